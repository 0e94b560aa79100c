//! What is one training step of detection? Features and RPN of the images of each size, proposals and
//! targets image by image on the host, the head over the sampled boxes of all images, the losses'
//! mean over images, backward, one update.
//!
//! Backward goes in two halves, for plain Rust pools between them ([`Pooled`]): the head's first, then
//! that of everything before it.
//!
//! Frozen BN is multiplied into the convolutions' weights: the same function and the same gradient,
//! and activations are read and written once less.

use rungs_spec::recipe::Detect;
use tch::Tensor;

use super::anchors::Anchors;
use super::batch::Group;
use super::loss;
use super::network::Detector;
use super::proposals::{self, Keep};
use super::roi_align::{Pooled, RoiAlign};
use super::targets::{self, RoiTargets};
use crate::determinism::Stream;
use crate::failure::Failure;
use crate::loss_scale::Scale;
use crate::network::{Boundary, Norms, Pass};
use crate::norm::RunningStats;
use crate::optimiser::Optimiser;
use crate::parameters::Parameters;

/// What a detector is asked with.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Numbers of the recipe.
    pub detect: Detect,
    /// Anchors on the detector's features.
    pub anchors: Anchors,
    /// How boxes are pooled.
    pub pooling: RoiAlign,
}

impl Asked {
    /// Of a recipe and the stride of the features.
    pub fn new(detect: &Detect, stride: u32) -> Asked {
        Asked {
            anchors: Anchors::of_recipe(detect, stride),
            pooling: RoiAlign {
                side: detect.roi_size as usize,
                scale: 1.0 / f64::from(stride),
                sampling: detect.roi_sampling as usize,
            },
            detect: detect.clone(),
        }
    }
}

/// What a step changes, and what it needs.
#[derive(Debug)]
pub struct Learner<'a> {
    /// Layers.
    pub detector: &'a Detector,
    /// Weights.
    pub parameters: &'a mut Parameters,
    /// Running statistics: of one replica.
    pub stats: &'a [RunningStats],
    /// Momentum; what is not trained has learning rate 0.
    pub optimiser: &'a mut Optimiser,
    /// Numbers, anchors, pooling.
    pub asked: &'a Asked,
    /// Seed of the run.
    pub seed: u64,
}

/// The first half of a step: the images of one size up to what is pooled of them.
#[derive(Debug)]
struct Before {
    pooled: Pooled,
    targets: Vec<RoiTargets>,
    /// Of the RPN, a sum over the images.
    loss: Tensor,
}

impl Learner<'_> {
    /// One update at `lr` with the images of step `step`. Returns the loss, the mean over the images: a
    /// scalar that stays on the device.
    pub fn step(&mut self, groups: &[Group], step: u64, lr: f64) -> Result<Tensor, Failure> {
        let (loss, gradients) = self.gradients(groups, step)?;
        let pieces = self.parameters.pieces(&gradients, &Scale::Static(1.0));
        self.optimiser.step(self.parameters, &pieces, lr);
        Ok(loss)
    }

    /// The loss and a gradient of each parameter; zero of those that are not trained.
    fn gradients(&self, groups: &[Group], step: u64) -> Result<(Tensor, Vec<Tensor>), Failure> {
        let leaves = self.parameters.leaves();
        let detector = self.detector;
        let known: Vec<Tensor> = (0..leaves.len())
            .map(|i| match detector.trains(i) {
                true => leaves[i].shallow_clone(),
                false => leaves[i].detach(),
            })
            .collect();
        let folded = match (detector.freeze_bn, self.stats) {
            (true, [stats, ..]) => detector.network.fold(&known, stats),
            _ => Vec::new(),
        };
        let pass = Pass {
            parameters: &known,
            norms: match detector.freeze_bn {
                true => Norms::Folded(&folded),
                false => Norms::Train(self.stats),
            },
            boundary: Boundary::Exact,
            dropout: None,
        };
        let images: usize = groups.iter().map(|group| group.items.len()).sum();
        let of_rpn = images as f64 * f64::from(self.asked.detect.rpn_batch);
        let before: Vec<Before> = groups
            .iter()
            .map(|group| self.before(group, pass, step))
            .collect();
        let mut gradients: Vec<Tensor> = leaves
            .iter()
            .map(|leaf| leaf.detach().zeros_like())
            .collect();
        let mut loss = None;
        let mut first = Vec::new();
        if let Some(behind) = self.behind(&before, pass, images) {
            let own = &detector.behind_pooling;
            let mut inputs: Vec<&Tensor> = own.iter().map(|i| &leaves[*i]).collect();
            inputs.extend(before.iter().map(|part| &part.pooled.values));
            let mut found = Tensor::f_run_backward(&[&behind], &inputs, false, false)?;
            let of_values = found.split_off(own.len());
            for (i, gradient) in own.iter().zip(found) {
                gradients[*i] = gradient;
            }
            for (part, gradient) in before.iter().zip(&of_values) {
                first.push(part.pooled.surrogate_of(gradient));
            }
            loss = Some(behind.detach());
        }
        for part in &before {
            let own = &part.loss / of_rpn;
            let own_value = own.detach();
            loss = Some(match loss {
                Some(sum) => sum + own_value,
                None => own_value,
            });
            first.push(own);
        }
        let own = &detector.before_pooling;
        let inputs: Vec<&Tensor> = own.iter().map(|i| &leaves[*i]).collect();
        let first: Tensor = first.into_iter().sum();
        let found = Tensor::f_run_backward(&[&first], &inputs, false, false)?;
        for (i, gradient) in own.iter().zip(found) {
            gradients[*i] = gradient;
        }
        let loss = loss.ok_or_else(|| Failure::permanent("a step without images"))?;
        Ok((loss, gradients))
    }

    /// Features, the RPN and its loss, proposals, targets, pooling.
    fn before(&self, group: &Group, pass: Pass, step: u64) -> Before {
        let Asked {
            detect,
            anchors,
            pooling,
        } = self.asked;
        let features = self.detector.features(&group.images, pass);
        let proposed = self.detector.propose(&features, pass);
        let size = features.size();
        let anchors = anchors.of_map(size[2] as usize, size[3] as usize);
        let mut sampled: Vec<i64> = Vec::new();
        let (mut objects, mut is_object, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rois, mut of_boxes) = (Vec::new(), Vec::new());
        proposed.on_host(|i, scores, changes| {
            let item = &group.items[i];
            let place = group.places[i];
            let mut stream =
                Stream::new(self.seed, &format!("detection step {step} image {place}"));
            let own =
                targets::of_anchors(&anchors, &item.objects, group.size(), detect, &mut stream);
            let first = i * anchors.len();
            let numbers = own.sampled.iter().map(|anchor| (first + anchor) as i64);
            objects.extend(numbers.clone().take(own.deltas.len()));
            is_object
                .extend((0..own.sampled.len()).map(|k| f32::from(u8::from(k < own.deltas.len()))));
            sampled.extend(numbers);
            deltas.extend(own.deltas);
            let keep = Keep::of_recipe(detect, true);
            let found = proposals::of_image(&anchors, scores, changes, group.size(), keep);
            let own = targets::of_proposals(&found, &item.objects, detect, &mut stream);
            rois.extend(
                own.rois
                    .iter()
                    .map(|[l, t, r, b]| [i as f32, *l, *t, *r, *b]),
            );
            of_boxes.push(own);
        });
        let device = features.device();
        let pick = |from: &Tensor, numbers: &[i64]| {
            from.index_select(0, &Tensor::from_slice(numbers).to_device(device))
        };
        let loss = loss::of_anchors(
            &pick(&proposed.scores.view([-1]), &sampled),
            &is_object,
            &pick(&proposed.deltas.view([-1, 4]), &objects),
            &deltas,
            detect.rpn_huber,
        );
        let rois = Tensor::from_slice(rois.as_flattened()).view([-1, 5]);
        Before {
            pooled: Pooled::new(*pooling, &features, &rois.to_device(device)),
            targets: of_boxes,
            loss,
        }
    }

    /// The head's loss, the mean over images; `None` if there is not one box.
    fn behind(&self, before: &[Before], pass: Pass, images: usize) -> Option<Tensor> {
        let targets: Vec<&RoiTargets> = before.iter().flat_map(|part| &part.targets).collect();
        let labels: Vec<i64> = targets
            .iter()
            .flat_map(|of_image| of_image.labels.iter().copied())
            .collect();
        if labels.is_empty() {
            return None;
        }
        let pooled = match before {
            [one] => one.pooled.values.shallow_clone(),
            many => {
                let values: Vec<&Tensor> = many.iter().map(|part| &part.pooled.values).collect();
                Tensor::cat(&values, 0)
            }
        };
        let judged = self.detector.judge(&pooled, pass);
        // Row of the changes (box, class) of each box that is an object.
        let classes = self.detector.classes as i64;
        let own = labels.iter().enumerate().filter(|(_, label)| **label > 0);
        let rows: Vec<i64> = own
            .map(|(roi, label)| roi as i64 * classes + label - 1)
            .collect();
        let rows = Tensor::from_slice(&rows).to_device(pooled.device());
        let truth: Vec<_> = targets
            .iter()
            .flat_map(|of_image| of_image.deltas.iter().copied())
            .collect();
        let sum = loss::of_boxes(
            &judged.scores,
            &Tensor::from_slice(&labels).to_device(pooled.device()),
            &judged.deltas.view([-1, 4]).index_select(0, &rows),
            &truth,
            self.asked.detect.roi_huber,
        );
        Some(sum / (images as f64 * f64::from(self.asked.detect.roi_batch)))
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
