//! Tests of a whole step: loss scale and precision (trap 18), mixup (trap 16), replica layouts.

use rungs_spec::recipe::{Decay, DynamicWord, LossScale};
use tch::Kind;

use super::*;
use crate::init::{self, Distribution};
use crate::loss::Loss;
use crate::mixup::Mix;
use crate::optimiser::Settings;
use crate::replica_layout::ReplicaLayout;
use crate::supported::InitialWeights;
use crate::test_support::{emulated, images, model};

fn settled(arithmetic: Arithmetic, loss_scale: LossScale) -> Settled {
    Settled {
        arithmetic,
        loss_scale,
        loss: Loss {
            label_smoothing: 0.1,
            distill: None,
        },
        optimiser: Settings {
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0,
            decay: Decay::All,
            clip: None,
            skip_overflow: arithmetic.is_half(),
        },
        init: InitialWeights::Drawn(Distribution::Xavier),
        zero_gamma: false,
        replicas: 2,
        layout: ReplicaLayout::Slices(Device::Cpu),
    }
}

fn training(settled: Settled) -> Training {
    training_with(settled, 0.0, None, None)
}

fn training_with(
    settled: Settled,
    dropout: f64,
    mixup: Option<Mixup>,
    teacher: Option<Teacher>,
) -> Training {
    let mut training = Training::new(&model("resnet50", dropout), settled, mixup, teacher, 1);
    init::draw(
        &mut training.parameters,
        &training.network.parameters,
        Distribution::Xavier,
        3,
    );
    training.parameters.refresh();
    training
}

fn batch(kind: Kind) -> (Tensor, Tensor) {
    let images = images(8, 28, kind);
    let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 4, 5, 6, 7]);
    (images, labels)
}

/// The FP32 gradient of the first step: what momentum holds after it.
fn gradient(arithmetic: Arithmetic, loss_scale: LossScale) -> Tensor {
    let mut training = training(settled(arithmetic, loss_scale));
    let (images, labels) = batch(Kind::Float);
    let _ = training.step(&images, &labels, 0, 0.1).expect("a step");
    training.optimiser.momentum
}

/// recipes.md section 7, trap 18: the scale of the loss does not reach the FP32 gradients.
#[test]
fn trap_18_scale_1_and_1024_give_the_same_fp32_gradients() {
    // Without autocast's rounding (a CPU has none), and in BF16, whose exponents are FP32's, a power
    // of two changes no bit.
    for arithmetic in [Arithmetic::Autocast, emulated(Kind::BFloat16)] {
        let one = gradient(arithmetic, LossScale::Static(1.0));
        let scaled = gradient(arithmetic, LossScale::Static(1024.0));
        assert_eq!(one.kind(), Kind::Float);
        assert!(one.abs().max().double_value(&[]) > 1e-3);
        assert!(one.equal(&scaled), "{arithmetic:?}");
        let dynamic = gradient(arithmetic, LossScale::Dynamic(DynamicWord::Dynamic));
        assert!(one.equal(&dynamic), "{arithmetic:?}");
    }
    // In FP16 small gradients are subnormal without a scale: that is what it is for.
    let half = emulated(Kind::Half);
    let one = gradient(half, LossScale::Static(1.0));
    let scaled = gradient(half, LossScale::Static(1024.0));
    let error = (&one - &scaled).abs().max() / scaled.abs().max();
    assert!(error.double_value(&[]) < 2e-3, "{error}");
    assert!(!one.equal(&scaled));
}

/// recipes.md section 7, trap 18: BN stays in FP32, the rest of what forward reads is half, and the
/// gradient is near the FP32 one.
#[test]
fn trap_18_bn_parameters_stay_float_and_gradients_near_fp32() {
    use crate::network::Role;
    let exact = gradient(Arithmetic::Plain(Kind::Float), LossScale::Static(1.0));
    let mut errors = Vec::new();
    for kind in [Kind::Half, Kind::BFloat16] {
        let arithmetic = emulated(kind);
        let trained = training(settled(arithmetic, LossScale::Static(1024.0)));
        let mut rounded = 0;
        for (i, spec) in trained.network.parameters.iter().enumerate() {
            let leaf = &trained.parameters.leaves()[i];
            let master = trained.parameters.view(&trained.parameters.master, i);
            let half = master.to_kind(kind).to_kind(Kind::Float);
            match spec.role {
                Role::Weight | Role::Bias => assert!(leaf.equal(&half), "{}", spec.name),
                Role::Gamma { .. } | Role::Beta => assert!(leaf.equal(&master), "{}", spec.name),
            }
            rounded += i64::from(!half.equal(&master));
        }
        assert!(rounded > 0, "no weight is changed by rounding");
        let half = gradient(arithmetic, LossScale::Static(1024.0));
        let error = ((half - &exact).norm() / exact.norm()).double_value(&[]);
        errors.push(error);
    }
    // Few images and ReLUs that flip make it coarse; BF16 has 8 times the rounding of FP16.
    let [fp16, bf16] = errors.as_slice() else {
        unreachable!("two kinds")
    };
    assert!(0.0 < *fp16 && *fp16 < 0.1, "{errors:?}");
    assert!((2.0..20.0).contains(&(bf16 / fp16)), "{errors:?}");
}

/// recipes.md section 7, trap 18: a step that overflows changes nothing, is counted, and halves the
/// scale; the next one trains.
#[test]
fn trap_18_an_overflowing_step_is_skipped_and_halves_the_scale() {
    let half = emulated(Kind::Half);
    let dynamic = LossScale::Dynamic(DynamicWord::Dynamic);
    let mut training = training(settled(half, dynamic));
    let Scale::Dynamic { scale, .. } = &mut training.scale else {
        panic!("a dynamic scale")
    };
    let too_much = 2f64.powi(24);
    let _ = scale.fill_(too_much);
    let before = training.parameters.master.copy();
    let (images, labels) = batch(Kind::Float);
    let mut skipped = 0;
    while training.parameters.master.equal(&before) {
        let loss = training
            .step(&images, &labels, skipped, 0.1)
            .expect("a step");
        assert!(loss.double_value(&[]).is_finite());
        skipped += 1;
        assert!(skipped < 30, "the scale never came down");
    }
    skipped -= 1; // the last one trained
    assert!(skipped > 0, "nothing overflowed");
    assert_eq!(training.optimiser.skipped.int64_value(&[]), skipped as i64);
    let Scale::Dynamic { scale, good } = &training.scale else {
        panic!("a dynamic scale")
    };
    assert_eq!(
        scale.double_value(&[]),
        too_much / 2f64.powi(skipped as i32)
    );
    assert_eq!(good.int64_value(&[]), 1);
}

fn mixes(lambdas: &[f64]) -> Option<Mixup> {
    let mix = |lambda: &f64| Mix {
        lambda: *lambda,
        partner: vec![3, 2, 1, 0, 5, 6, 7, 4],
    };
    Some(Mixup::given(lambdas.iter().map(mix).collect()))
}

/// recipes.md section 7, trap 16: lambda = 1 trains as without mixup, bit by bit, in every precision.
#[test]
fn trap_16_lambda_1_trains_to_the_same_bits_as_no_mixup() {
    for arithmetic in [
        Arithmetic::Plain(Kind::Float),
        Arithmetic::Plain(Kind::Double),
        emulated(Kind::Half),
    ] {
        let (images, labels) = batch(arithmetic.master());
        let trained = |mixup| {
            let settled = settled(arithmetic, LossScale::Static(1024.0));
            let mut training = training_with(settled, 0.0, mixup, None);
            let mut losses = Vec::new();
            for step in 0..2 {
                let loss = training.step(&images, &labels, step, 0.1).expect("a step");
                losses.push(loss.double_value(&[]));
            }
            (losses, training.parameters.master)
        };
        let (plain, mixed) = (trained(None), trained(mixes(&[1.0, 1.0])));
        assert_eq!(plain.0, mixed.0);
        assert!(plain.1.equal(&mixed.1), "{arithmetic:?}");
        assert_ne!(plain.0, trained(mixes(&[0.5, 0.5])).0);
    }
}

/// What is left after some steps with everything on: losses, weights, running statistics.
fn everything(layout: ReplicaLayout, at_once: bool) -> (Vec<f64>, Tensor, Vec<Tensor>) {
    let exact = Arithmetic::Plain(Kind::Double);
    let mut settled = settled(exact, LossScale::Static(1.0));
    settled.replicas = 4;
    settled.layout = layout;
    settled.loss.distill = Some(crate::loss::Distill {
        temperature: 20.0,
        soft_weight: 1.0,
        hard_weight: 1.0,
    });
    let source = training(self::settled(exact, LossScale::Static(1.0)));
    let stats = source.replicas.mean(&source.network);
    let dict = crate::weights::state_dict(&source.network, &source.parameters, &stats);
    let teacher = Teacher::new(
        Network::new(&model("resnet50", 0.0)),
        &dict,
        exact,
        Device::Cpu,
    );
    let mut training = training_with(
        settled,
        0.3,
        mixes(&[0.3, 0.8, 0.9]),
        Some(teacher.expect("a teacher")),
    );
    let (images, labels) = batch(Kind::Double);
    let mut losses = Vec::new();
    for step in 0..3 {
        let loss = if at_once {
            training.step_with(share::at_once, &images, &labels, step, 0.01)
        } else {
            training.step(&images, &labels, step, 0.01)
        };
        losses.push(loss.expect("a step").double_value(&[]));
    }
    let stats = training.replicas.each().iter();
    (
        losses,
        training.parameters.master.copy(),
        stats.map(|stats| stats.flat.copy()).collect(),
    )
}

/// However replicas are computed, FP64 gives the same losses, weights and running statistics, with
/// mixup, a teacher, label smoothing and dropout.
#[test]
fn every_replica_layout_trains_to_the_same_weights() {
    let slices = everything(ReplicaLayout::Slices(Device::Cpu), false);
    let close = |a: &Tensor, b: &Tensor| a.allclose(b, 1e-12, 1e-12, false);
    for (layout, at_once) in [
        (ReplicaLayout::MicroBatches(Device::Cpu), false),
        (ReplicaLayout::Devices(vec![Device::Cpu; 2]), false),
        (ReplicaLayout::Devices(vec![Device::Cpu; 4]), true),
    ] {
        let other = everything(layout.clone(), at_once);
        for (a, b) in slices.0.iter().zip(&other.0) {
            assert!((a - b).abs() < 1e-12 * a.abs(), "{layout:?}: {a} {b}");
        }
        assert!(close(&slices.1, &other.1), "{layout:?}: weights");
        for (r, (a, b)) in slices.2.iter().zip(&other.2).enumerate() {
            assert!(close(a, b), "{layout:?}: replica {r}");
        }
    }
    // The test sees that replicas differ, and that training has moved.
    assert!(!close(&slices.2[0], &slices.2[1]));
    assert!(slices.0[0] != slices.0[2]);
}

/// recipes.md section 7, trap 26: in tch `set_lr` leaves groups behind; here one rate drives decayed and exempt
/// elements alike, in step 0 and after the schedule has changed it, in step 1000.
#[test]
fn trap_26_weights_and_exempt_move_by_the_rate_of_their_step() {
    let recipe = "schedule = { kind = 'step', milestones = [1], gamma = 0.1 }".parse();
    let recipe = rungs_spec::settle::complete(&recipe.expect("TOML")).expect("a recipe");
    let schedule = rungs_spec::schedule::LrSchedule::new(&recipe, 500);
    assert_eq!(schedule.lr(0), 0.1);
    assert!((schedule.lr(1000) - 0.01).abs() < 1e-15);
    let moved = [0, 1000].map(|step| {
        let mut exact = settled(Arithmetic::Plain(Kind::Double), LossScale::Static(1.0));
        exact.optimiser.momentum = 0.0;
        exact.optimiser.decay = Decay::Weights;
        let mut training = training(exact);
        let before = training.parameters.master.copy();
        let (images, labels) = batch(Kind::Double);
        let rate = schedule.lr(step);
        let loss = training.step(&images, &labels, step, rate);
        let _ = loss.expect("a step");
        let weights = training.parameters.weights;
        let moved = before - &training.parameters.master;
        let exempt = moved.size()[0] - weights;
        let norm = |part: Tensor| (part / rate).norm().double_value(&[]);
        [
            norm(moved.narrow(0, 0, weights)),
            norm(moved.narrow(0, weights, exempt)),
        ]
    });
    for (first, later) in moved[0].iter().zip(&moved[1]) {
        assert!(*first > 1e-3, "{moved:?}");
        assert!((first / later - 1.0).abs() < 1e-9, "{moved:?}");
    }
}
