//! What should anchors and proposals say? Which of an image are sampled for the losses, what each is,
//! and which box it belongs to, in the order of the authors' released code. Random choices come from a
//! [`Stream`] of the step and image, so that a resumed run samples the same.

use rungs_data::scenes::Object;
use rungs_spec::recipe::Detect;

use super::anchors::Corners;
use super::coding::{self, Deltas, UNIT};
use crate::determinism::Stream;

/// What the RPN should say about an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnchorTargets {
    /// Sampled anchors: first those that are an object, then those that are not.
    pub sampled: Vec<usize>,
    /// How to change each of those that are an object.
    pub deltas: Vec<Deltas>,
}

/// What the head should say about an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RoiTargets {
    /// Sampled boxes: first those that are an object, then those that are not.
    pub rois: Vec<Corners>,
    /// Class of each: 0 is the background, the dataset's first class is 1.
    pub labels: Vec<i64>,
    /// How to change each of those that are an object.
    pub deltas: Vec<Deltas>,
}

/// Of the anchors of an image of `size` (width, height). An anchor that crosses the border is never
/// sampled. An anchor is an object if it overlaps one by at least `rpn_positive_iou` or overlaps one
/// most of all; then every anchor below `rpn_negative_iou` is none, the best of a box included.
pub fn of_anchors(
    anchors: &[Corners],
    objects: &[Object],
    size: [f32; 2],
    detect: &Detect,
    stream: &mut Stream,
) -> AnchorTargets {
    let inside = |[left, top, right, bottom]: &Corners| {
        *left >= 0.0 && *top >= 0.0 && *right < size[0] && *bottom < size[1]
    };
    let valid: Vec<usize> = (0..anchors.len())
        .filter(|i| inside(&anchors[*i]))
        .collect();
    let mut best = vec![(0.0_f32, 0_usize); valid.len()];
    let mut is_most = vec![false; valid.len()];
    for (o, object) in objects.iter().enumerate() {
        let overlaps: Vec<f32> = valid
            .iter()
            .map(|i| coding::iou(anchors[*i], object.corners))
            .collect();
        let most = overlaps.iter().copied().fold(0.0, f32::max);
        for (at, overlap) in overlaps.into_iter().enumerate() {
            if overlap > best[at].0 {
                best[at] = (overlap, o);
            }
            is_most[at] |= overlap + f32::EPSILON > most;
        }
    }
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    for (at, (overlap, object)) in best.iter().enumerate() {
        let overlap = f64::from(*overlap);
        if overlap < detect.rpn_negative_iou || objects.is_empty() {
            negative.push(valid[at]);
        } else if overlap >= detect.rpn_positive_iou || is_most[at] {
            positive.push((valid[at], *object));
        }
    }
    let batch = detect.rpn_batch as usize;
    stream.choose(&mut positive, share(batch, detect.rpn_positive));
    stream.choose(&mut negative, batch - positive.len());
    let deltas = positive
        .iter()
        .map(|(i, object)| coding::encode(objects[*object].corners, anchors[*i], UNIT));
    let deltas = deltas.collect();
    let sampled = positive.iter().map(|(i, _)| *i).chain(negative);
    AnchorTargets {
        sampled: sampled.collect(),
        deltas,
    }
}

/// Of the proposals of an image and its true boxes themselves: an object from `roi_positive_iou` on,
/// everything else background. Fewer than `roi_batch` if there are not so many boxes.
pub fn of_proposals(
    proposals: &[Corners],
    objects: &[Object],
    detect: &Detect,
    stream: &mut Stream,
) -> RoiTargets {
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let true_boxes = objects.iter().map(|object| object.corners);
    for roi in proposals.iter().copied().chain(true_boxes) {
        let mut best = (0.0, None);
        for (o, object) in objects.iter().enumerate() {
            let overlap = coding::iou(roi, object.corners);
            if overlap > best.0 {
                best = (overlap, Some(o));
            }
        }
        match best {
            (overlap, Some(object)) if f64::from(overlap) >= detect.roi_positive_iou => {
                positive.push((roi, object));
            }
            _ => negative.push(roi),
        }
    }
    let batch = detect.roi_batch as usize;
    stream.choose(&mut positive, share(batch, detect.roi_positive));
    stream.choose(&mut negative, batch - positive.len());
    let stds = detect.box_stds.map(|std| std as f32);
    let deltas = positive
        .iter()
        .map(|(roi, object)| coding::encode(objects[*object].corners, *roi, stds));
    let deltas = deltas.collect();
    let mut labels: Vec<i64> = positive
        .iter()
        .map(|(_, object)| objects[*object].label + 1)
        .collect();
    labels.resize(positive.len() + negative.len(), 0);
    let rois = positive.iter().map(|(roi, _)| *roi).chain(negative);
    RoiTargets {
        rois: rois.collect(),
        labels,
        deltas,
    }
}

/// Most positives of a sample.
fn share(batch: usize, positive: f64) -> usize {
    (batch as f64 * positive).round_ties_even() as usize
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
