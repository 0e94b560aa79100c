use tch::{Device, Kind};

use super::*;
use crate::detect::batch;
use crate::detect::evaluate::Subject;
use crate::detect::test_support::{self, Things};
use crate::norm::Replicas;
use crate::optimiser::Settings;
use rungs_spec::recipe::Decay;

struct Trained {
    detector: Detector,
    parameters: Parameters,
    replicas: Replicas,
    optimiser: Optimiser,
    asked: Asked,
}

impl Trained {
    fn new(set: &str) -> Trained {
        let detect = test_support::detect(set);
        let (detector, parameters, replicas) = test_support::detector(&detect);
        let settings = Settings {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-3,
            decay: Decay::All,
            clip: Some(5.0),
            skip_overflow: false,
        };
        let mut optimiser = Optimiser::new(&parameters, settings);
        optimiser.set_rates(&parameters, |spec| detector.rate(&spec.name));
        let asked = Asked::new(&detect, detector.stride);
        Trained {
            detector,
            parameters,
            replicas,
            optimiser,
            asked,
        }
    }

    fn learner(&mut self) -> Learner<'_> {
        Learner {
            detector: &self.detector,
            parameters: &mut self.parameters,
            stats: self.replicas.each(),
            optimiser: &mut self.optimiser,
            asked: &self.asked,
            seed: 1,
        }
    }
}

fn group(things: &Things, images: &[usize], first: usize) -> Vec<Group> {
    let items = images.iter().map(|i| things.prepared(*i)).collect();
    let mut groups = batch::groups(items, Device::Cpu).expect("groups");
    for place in groups.iter_mut().flat_map(|group| &mut group.places) {
        *place += first;
    }
    groups
}

/// Images of two sizes are two groups: what they give is a matter of the mean over images, not of how
/// they are put together.
#[test]
fn a_step_does_not_depend_on_the_groups_its_images_are_in() {
    let things = Things::new(3, 1);
    let mut trained = Trained::new("");
    let whole = group(&things, &[0, 1, 2], 0);
    let mut parts = group(&things, &[0, 1], 0);
    parts.extend(group(&things, &[2], 2));
    let of = |groups: &[Group], trained: &mut Trained| {
        let learner = trained.learner();
        let (loss, gradients) = learner.gradients(groups, 5).expect("a step");
        (loss.double_value(&[]), gradients)
    };
    let (one, gradients) = of(&whole, &mut trained);
    let (two, others) = of(&parts, &mut trained);
    assert!((one - two).abs() < 1e-5 * one, "{one} {two}");
    let mut trains = 0;
    for (i, (a, b)) in gradients.iter().zip(&others).enumerate() {
        let size = a.abs().max().double_value(&[]);
        let apart = (a - b).abs().max().double_value(&[]);
        assert!(apart <= 1e-4 * size + 1e-6, "{apart} of {size}");
        assert_eq!(size > 0.0, trained.detector.trains(i), "parameter {i}");
        trains += usize::from(size > 0.0);
    }
    assert!(trains > 10);
    // Another step samples other anchors and boxes.
    let (loss, _) = trained.learner().gradients(&whole, 6).expect("a step");
    assert_ne!(loss.double_value(&[]), one);
}

/// The gradient across the pooling, along a direction, is the change of the loss.
#[test]
fn the_gradient_of_both_halves_is_that_of_the_loss() {
    let things = Things::new(2, 1);
    // Nothing that is chosen changes with the weights: every anchor inside is sampled, the true boxes
    // are the only ones.
    let mut trained =
        Trained::new("proposals = [1, 1]\nproposals_before_nms = [1, 1]\nproposal_min_size = 64");
    let groups = group(&things, &[0, 1], 0);
    let (_, gradients) = trained.learner().gradients(&groups, 0).expect("a step");
    let specs = trained.detector.network.parameters.clone();
    let mut checked = 0;
    for (i, spec) in specs.iter().enumerate() {
        let wanted = [
            "layer2.0.conv3.weight",
            "layer1.0.conv2.weight",
            "layer3.0.conv1.weight",
        ];
        if !wanted.iter().any(|name| spec.name.ends_with(name)) {
            continue;
        }
        let direction = gradients[i].sign();
        let along = (&gradients[i] * &direction)
            .sum(Kind::Double)
            .double_value(&[]);
        let h = 1e-3;
        let mut at = |by: f64| {
            {
                let _guard = tch::no_grad_guard();
                let _ = trained
                    .parameters
                    .view(&trained.parameters.master, i)
                    .g_add_(&(&direction * by));
                trained.parameters.refresh();
            }
            let (loss, _) = trained.learner().gradients(&groups, 0).expect("a step");
            loss.double_value(&[])
        };
        let change = (at(h) - at(-2.0 * h)) / (2.0 * h);
        at(h);
        assert!(
            (change / along - 1.0).abs() < 0.05,
            "{}: {change} {along}",
            spec.name
        );
        checked += 1;
    }
    assert_eq!(checked, 3);
}

/// recipes.md section 7, trap 23.
#[test]
fn trap_23_what_is_frozen_is_the_same_after_steps() {
    let things = Things::new(2, 1);
    let mut trained = Trained::new("frozen = 2");
    let before = (
        trained.parameters.master.copy(),
        trained.replicas.mean(&trained.detector.network).flat,
    );
    for step in 0..3 {
        let groups = group(&things, &[0, 1], 0);
        drop(trained.learner().step(&groups, step, 0.01).expect("a step"));
    }
    let stats = trained.replicas.mean(&trained.detector.network).flat;
    assert!(stats.equal(&before.1));
    let parameters = &trained.parameters;
    for i in 0..trained.detector.network.parameters.len() {
        let [old, new] = [&before.0, &parameters.master].map(|flat| parameters.view(flat, i));
        assert_ne!(old.equal(&new), trained.detector.trains(i), "parameter {i}");
    }
}

/// With BN of the batch its statistics move.
#[test]
fn things_are_found_after_some_steps() {
    let things = Things::new(24, 1);
    let mut trained = Trained::new("freeze_bn = false");
    for step in 0..150 {
        let images: Vec<usize> = (0..4).map(|k| (step as usize * 4 + k) % 16).collect();
        let groups = group(&things, &images, 0);
        drop(trained.learner().step(&groups, step, 0.02).expect("a step"));
    }
    let stats = trained.replicas.mean(&trained.detector.network);
    let leaves = trained.parameters.leaves();
    let subject = Subject::new(&trained.detector, &trained.asked, leaves, &stats);
    let mut right = 0;
    for i in 16..24 {
        let groups = group(&things, &[i], 0);
        let found = subject.detect(&groups[0]).remove(0);
        let best = found.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        let truth = groups[0].items[0].objects[0];
        let is_right = best.is_some_and(|best| {
            best.label == truth.label
                && super::super::coding::iou(best.corners, truth.corners) > 0.5
        });
        right += usize::from(is_right);
    }
    assert!(right >= 6, "{right} of 8");
}
