//! How good are the boxes of a split? Of each image the best proposals, for each class those that score
//! enough, through non-maximum suppression; then average precision in pixels of the image as stored.

use std::sync::atomic::AtomicBool;

use rungs_data::Dataset;
use rungs_data::preprocess::normalise::{MEAN, STD};
use rungs_data::scenes::Object;
use rungs_data::scenes::detection::Prepared;
use rungs_spec::pictures;
use rungs_spec::recipe::Detect;
use tch::{Kind, Tensor};

use super::anchors::Corners;
use super::average_precision::{AveragePrecision, Detection};
use super::batch::{self, Group};
use super::coding::{self, Deltas};
use super::elements;
use super::network::Detector;
use super::nms::nms;
use super::proposals::{self, Keep};
use super::step::Asked;
use crate::failure::Failure;
use crate::network::{Boundary, Norms, Pass};
use crate::norm::RunningStats;
use crate::pictures::{Said, Shown};
use crate::run::stopping;

/// IoU from which a detection is right.
const RIGHT: f64 = 0.5;
/// Detections below this score are not drawn into pictures.
const DRAWN: f32 = 0.5;

/// What an evaluation found.
#[derive(Debug)]
pub struct Evaluated {
    /// Images.
    pub n: u64,
    /// Detections and boxes.
    pub precision: AveragePrecision,
    /// A few of the images.
    pub shown: Vec<Shown>,
}

/// Weights to evaluate.
#[derive(Debug)]
pub struct Subject<'a> {
    detector: &'a Detector,
    asked: &'a Asked,
    parameters: &'a [Tensor],
    folded: Vec<(Tensor, Tensor)>,
}

impl<'a> Subject<'a> {
    /// With BN multiplied into the convolutions.
    pub fn new(
        detector: &'a Detector,
        asked: &'a Asked,
        parameters: &'a [Tensor],
        stats: &RunningStats,
    ) -> Subject<'a> {
        let _guard = tch::no_grad_guard();
        Subject {
            folded: detector.network.fold(parameters, stats),
            detector,
            asked,
            parameters,
        }
    }

    /// Over batches of a split; `None` if told to stop meanwhile.
    pub fn evaluate(
        &self,
        batches: impl Iterator<Item = Result<Vec<Prepared>, Failure>>,
        dataset: &dyn Dataset,
        device: tch::Device,
        stop: &AtomicBool,
    ) -> Result<Option<Evaluated>, Failure> {
        let mut found = Evaluated {
            n: 0,
            precision: AveragePrecision::new(self.detector.classes, RIGHT),
            shown: Vec::new(),
        };
        for batch in batches {
            if stopping(stop) {
                return Ok(None);
            }
            let mut judged: Vec<(usize, Vec<Detection>, Option<Shown>)> = Vec::new();
            let room = pictures::COUNT.saturating_sub(found.shown.len());
            for group in batch::groups(batch?, device)? {
                let detections = self.detect(&group);
                for (i, detections) in detections.into_iter().enumerate() {
                    let place = group.places[i];
                    let shown = match place < room {
                        true => Some(shown(&group, i, &detections, dataset)?),
                        false => None,
                    };
                    judged.push((place, in_stored(&group.items[i], detections), shown));
                    found.n += 1;
                }
            }
            judged.sort_by_key(|(place, ..)| *place);
            // Images of a batch follow each other in the split.
            let first = found.n as usize - judged.len();
            for (place, detections, shown) in judged {
                found
                    .precision
                    .add(&detections, dataset.objects(first + place));
                found.shown.extend(shown);
            }
        }
        Ok(Some(found))
    }

    /// What is found in each image of a group, in pixels of the resized image, best first within a class.
    pub fn detect(&self, group: &Group) -> Vec<Vec<Detection>> {
        let _guard = tch::no_grad_guard();
        let Asked {
            detect,
            anchors,
            pooling,
        } = self.asked;
        let pass = Pass {
            parameters: self.parameters,
            norms: Norms::Folded(&self.folded),
            boundary: Boundary::Exact,
            dropout: None,
        };
        let features = self.detector.features(&group.images, pass);
        let proposed = self.detector.propose(&features, pass);
        let size = features.size();
        let anchors = anchors.of_map(size[2] as usize, size[3] as usize);
        let keep = Keep::of_recipe(detect, false);
        let mut of_images = Vec::new();
        proposed.on_host(|_, scores, deltas| {
            of_images.push(proposals::of_image(
                &anchors,
                scores,
                deltas,
                group.size(),
                keep,
            ));
        });
        let rois: Vec<[f32; 5]> = of_images
            .iter()
            .enumerate()
            .flat_map(|(i, boxes)| {
                boxes
                    .iter()
                    .map(move |[l, t, r, b]| [i as f32, *l, *t, *r, *b])
            })
            .collect();
        if rois.is_empty() {
            return vec![Vec::new(); of_images.len()];
        }
        let rois = Tensor::from_slice(rois.as_flattened()).view([-1, 5]);
        let pooled = pooling.pool(&features, &rois.to_device(features.device()));
        let judged = self.detector.judge(&pooled, pass);
        let host = |tensor: Tensor| tensor.to_device(tch::Device::Cpu).contiguous();
        let scores = host(judged.scores.softmax(-1, Kind::Float));
        let deltas = host(judged.deltas.to_kind(Kind::Float));
        let classes = self.detector.classes;
        elements::read(&scores, |scores| {
            elements::read(&deltas, |deltas| {
                let mut rest = (
                    scores.chunks(classes + 1),
                    deltas.as_chunks().0.chunks(classes),
                );
                let of_image = |boxes: Vec<Corners>| {
                    let said: Vec<Candidate> = boxes
                        .into_iter()
                        .zip(rest.0.by_ref().zip(rest.1.by_ref()))
                        .map(|(roi, (scores, deltas))| Candidate {
                            roi,
                            scores: &scores[1..],
                            deltas,
                        })
                        .collect();
                    select(&said, classes, group.size(), detect)
                };
                of_images.into_iter().map(of_image).collect()
            })
        })
    }
}

/// What the head says of a proposal.
struct Candidate<'a> {
    roi: Corners,
    /// Of each class.
    scores: &'a [f32],
    /// For each class.
    deltas: &'a [Deltas],
}

/// The detections of an image of `size` (width, height).
fn select(said: &[Candidate], classes: usize, size: [f32; 2], detect: &Detect) -> Vec<Detection> {
    let stds = detect.box_stds.map(|std| std as f32);
    let mut found = Vec::new();
    for class in 0..classes {
        let mut enough: Vec<&Candidate> = said
            .iter()
            .filter(|one| f64::from(one.scores[class]) > detect.score)
            .collect();
        enough.sort_by(|a, b| b.scores[class].total_cmp(&a.scores[class]));
        enough.truncate(detect.nms_top as usize);
        let boxes: Vec<Corners> = enough
            .iter()
            .map(|one| coding::clip(coding::decode(one.deltas[class], one.roi, stds), size))
            .collect();
        let scores: Vec<f32> = enough.iter().map(|one| one.scores[class]).collect();
        let kept = nms(&boxes, &scores, detect.nms, usize::MAX);
        found.extend(kept.into_iter().map(|i| Detection {
            label: class as i64,
            corners: boxes[i],
            score: scores[i],
        }));
    }
    found
}

/// The same in pixels of the image as stored.
fn in_stored(item: &Prepared, detections: Vec<Detection>) -> Vec<Detection> {
    let [x, y] = item.scale;
    let stored = |detection: Detection| {
        let [left, top, right, bottom] = detection.corners;
        Detection {
            corners: [left / x, top / y, right / x, bottom / y],
            ..detection
        }
    };
    detections.into_iter().map(stored).collect()
}

/// Image i of a group, as the network sees it, with its truth and what was found.
fn shown(
    group: &Group,
    i: usize,
    detections: &[Detection],
    dataset: &dyn Dataset,
) -> Result<Shown, Failure> {
    let item = &group.items[i];
    let image = group.images.get(i as i64).permute([1, 2, 0]);
    let values_of = |values: [f64; 3]| {
        Tensor::from_slice(&values)
            .to_kind(Kind::Float)
            .to_device(image.device())
    };
    let rgb = &image * values_of(STD) + values_of(MEAN);
    let rgb = rgb.round().clamp(0.0, 255.0).to_kind(Kind::Uint8);
    let object = |corners: [f32; 4], label: i64, score, difficult| pictures::Object {
        at: corners.map(f64::from),
        class: label as u32,
        score,
        difficult,
    };
    let truth = |one: &Object| object(one.corners, one.label, None, one.difficult);
    let mut drawn: Vec<&Detection> = detections.iter().filter(|one| one.score >= DRAWN).collect();
    drawn.sort_by(|a, b| b.score.total_cmp(&a.score));
    let predicted =
        |one: &&Detection| object(one.corners, one.label, Some(f64::from(one.score)), false);
    Ok(Shown {
        name: dataset.image_name(item.index),
        width: item.width,
        height: item.height,
        rgb: Vec::<u8>::try_from(rgb.reshape([-1]))?,
        truth: Said::Boxes(item.objects.iter().map(truth).collect()),
        predicted: Said::Boxes(drawn.iter().map(predicted).collect()),
    })
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
