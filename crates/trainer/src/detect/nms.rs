//! Which boxes stay where several say the same? Non-maximum suppression: from the best score down, a box stays
//! unless it overlaps one that has stayed.
//!
//! The same indices as torchvision's CPU kernel, ties and boxes without area included. That one compares every
//! box that stays with all later ones, through an index; here every box is compared with those that have stayed,
//! side by side in memory and sixteen at a time, until one suppresses it, and it ends with the last box asked for.
//! Boxes on another device are copied to the host for it, and the indices back: a few hundred kilobytes.

use multiversion::multiversion;
use tch::{Device, Kind, Tensor};

use super::elements;

/// Boxes that are compared at once.
const LANES: usize = 16;

/// Indices of the boxes that stay, best score first and of equal scores the earlier first, at most `keep` of
/// them. A box goes if its intersection over union with one that stays is above `iou`. Boxes are left, top,
/// right and bottom; widths are differences, without the pixel that VOC's measure adds. NaN is the best score.
///
/// Panics if there are not as many scores as boxes.
pub fn nms(boxes: &[[f32; 4]], scores: &[f32], iou: f64, keep: usize) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "a score for each box");
    greedy(boxes, &order(scores), not_above(iou), keep)
}

/// [`nms`] of tensors (n, 4) and (n) on any device: i64 indices on the device of the boxes.
pub fn nms_tensor(boxes: &Tensor, scores: &Tensor, iou: f64, keep: usize) -> Tensor {
    let host = |tensor: &Tensor| {
        let tensor = tensor.detach().to_device(Device::Cpu);
        tensor.to_kind(Kind::Float).contiguous()
    };
    let kept = elements::read(&host(boxes), |boxes| {
        elements::read(&host(scores), |scores| {
            nms(boxes.as_chunks().0, scores, iou, keep)
        })
    });
    let kept: Vec<i64> = kept.into_iter().map(|i| i as i64).collect();
    Tensor::from_slice(&kept).to_device(boxes.device())
}

/// Indices of the scores, highest first, of equal ones the earlier first.
fn order(scores: &[f32]) -> Vec<u32> {
    // One integer for score and index: nothing is equal, so the fast sort is a stable one.
    let mut keys: Vec<u64> = scores
        .iter()
        .enumerate()
        .map(|(i, score)| u64::from(!ascending(*score)) << 32 | i as u64)
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

/// An integer that grows as the number does.
fn ascending(score: f32) -> u32 {
    if score.is_nan() {
        return u32::MAX;
    }
    // -0.0 is equal to 0.0.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// The largest f32 that is not above `value`: an f32 is above the one exactly if it is above the other.
fn not_above(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value {
        nearest.next_down()
    } else {
        nearest
    }
}

/// Boxes that have stayed, corner by corner.
#[derive(Clone, Copy)]
struct Block {
    left: [f32; LANES],
    top: [f32; LANES],
    right: [f32; LANES],
    bottom: [f32; LANES],
    area: [f32; LANES],
}

impl Block {
    /// Of boxes that overlap nothing: what is divided by their area is not a number, and above nothing.
    const EMPTY: Block = Block {
        left: [0.0; LANES],
        top: [0.0; LANES],
        right: [0.0; LANES],
        bottom: [0.0; LANES],
        area: [f32::NAN; LANES],
    };

    /// Does one of these boxes overlap that box by more than `iou`?
    #[inline(always)]
    fn suppresses(&self, [left, top, right, bottom]: [f32; 4], area: f32, iou: f32) -> bool {
        let mut over = 0;
        for i in 0..LANES {
            let width = larger(
                0.0,
                smaller(self.right[i], right) - larger(self.left[i], left),
            );
            let height = larger(
                0.0,
                smaller(self.bottom[i], bottom) - larger(self.top[i], top),
            );
            let both = width * height;
            over |= u32::from(both / (self.area[i] + area - both) > iou);
        }
        over != 0
    }
}

/// The first where the numbers cannot be compared, as in C++ and in one instruction.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

/// [`larger`].
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn greedy(boxes: &[[f32; 4]], order: &[u32], iou: f32, keep: usize) -> Vec<usize> {
    let mut kept = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    for index in order {
        if kept.len() == keep {
            break;
        }
        let corners = boxes[*index as usize];
        let [left, top, right, bottom] = corners;
        let area = (right - left) * (bottom - top);
        if blocks
            .iter()
            .any(|block| block.suppresses(corners, area, iou))
        {
            continue;
        }
        let lane = kept.len() % LANES;
        if lane == 0 {
            blocks.push(Block::EMPTY);
        }
        if let Some(block) = blocks.last_mut() {
            block.left[lane] = left;
            block.top[lane] = top;
            block.right[lane] = right;
            block.bottom[lane] = bottom;
            block.area[lane] = area;
        }
        kept.push(*index as usize);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: [f32; 4] = [0.0, 0.0, 10.0, 10.0];

    #[test]
    fn nms_keeps_the_earlier_of_equal_scores_and_ends_at_keep() {
        let apart = [20.0, 0.0, 30.0, 10.0];
        let boxes = [SQUARE, SQUARE, apart, apart];
        assert_eq!(nms(&boxes, &[0.5; 4], 0.5, usize::MAX), [0, 2]);
        assert_eq!(nms(&boxes, &[0.5, 0.6, 0.0, -0.0], 0.5, usize::MAX), [1, 2]);
        assert_eq!(nms(&boxes, &[0.1, 0.2, 0.3, 0.4], 0.5, 1), [3]);
        assert!(nms(&boxes, &[0.5; 4], 0.5, 0).is_empty());
        assert!(nms(&[], &[], 0.5, 9).is_empty());
    }

    /// Half of the square, so exactly 0.5: not above it, but above the f64 just below.
    #[test]
    fn nms_compares_with_the_threshold_as_given() {
        let boxes = [SQUARE, [0.0, 0.0, 10.0, 5.0]];
        assert_eq!(nms(&boxes, &[2.0, 1.0], 0.5, 9), [0, 1]);
        assert_eq!(nms(&boxes, &[2.0, 1.0], 0.5_f64.next_down(), 9), [0]);
    }

    #[test]
    fn nms_of_many_that_stay_compares_with_every_one() {
        // 40 apart, so three blocks, then the same again: each suppressed by its own.
        let boxes: Vec<[f32; 4]> = (0..80)
            .map(|i| (i % 40) as f32 * 10.0)
            .map(|left| [left, 0.0, left + 9.0, 9.0])
            .collect();
        let scores: Vec<f32> = (0..80).map(|i| -(i as f32)).collect();
        assert_eq!(nms(&boxes, &scores, 0.5, 99), (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn nms_of_tensors_is_that_of_slices() {
        let boxes = Tensor::from_slice(&[0.0_f64, 0.0, 9.0, 9.0, 0.0, 0.0, 9.0, 8.0]).view([2, 4]);
        let kept = nms_tensor(&boxes, &Tensor::from_slice(&[1.0_f64, 2.0]), 0.5, 9);
        assert_eq!(Vec::<i64>::try_from(&kept).expect("indices"), [1]);
        let none = Tensor::zeros([0, 4], (Kind::Float, Device::Cpu));
        assert_eq!(nms_tensor(&none, &none.view([0]), 0.5, 9).size(), [0]);
    }
}
