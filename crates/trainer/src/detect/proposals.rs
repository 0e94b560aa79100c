//! Where might something be? The RPN's scores and changes of the anchors as boxes: clipped to the
//! image, the small ones left out, the best through non-maximum suppression.

use rungs_spec::recipe::Detect;

use super::anchors::Corners;
use super::coding::{self, Deltas, UNIT};
use super::nms::nms;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keep {
    /// Best scored boxes that enter the suppression.
    pub before: usize,
    /// Boxes that leave it.
    pub after: usize,
    /// IoU above which the lesser box goes.
    pub iou: f64,
    /// Smallest side.
    pub min_size: f32,
}

impl Keep {
    /// Of a recipe.
    pub fn of_recipe(detect: &Detect, training: bool) -> Keep {
        let phase = usize::from(!training);
        Keep {
            before: detect.proposals_before_nms[phase] as usize,
            after: detect.proposals[phase] as usize,
            iou: detect.proposal_nms,
            min_size: detect.proposal_min_size as f32,
        }
    }
}

/// The proposals of an image of `size` (width, height), best first. `scores` may be logits. Boxes that
/// are not numbers are left out.
pub fn of_image(
    anchors: &[Corners],
    scores: &[f32],
    deltas: &[Deltas],
    size: [f32; 2],
    keep: Keep,
) -> Vec<Corners> {
    // Only the best few thousand are worth decoding, as a rule: those that are too small, and so make
    // room for others, are few. So decode in turns, from the best down.
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let better = |a: &u32, b: &u32| {
        let [x, y] = [a, b].map(|i| scores[*i as usize]);
        y.total_cmp(&x).then(a.cmp(b))
    };
    let (mut boxes, mut of_boxes) = (Vec::new(), Vec::new());
    let mut rest = order.as_mut_slice();
    while boxes.len() < keep.before && !rest.is_empty() {
        let want = (keep.before - boxes.len()).min(rest.len());
        if want < rest.len() {
            rest.select_nth_unstable_by(want, better);
        }
        let (best, others) = rest.split_at_mut(want);
        best.sort_unstable_by(better);
        for i in best {
            let i = *i as usize;
            let decoded = coding::decode(deltas[i], anchors[i], UNIT);
            let clipped = coding::clip(decoded, size);
            let [left, top, right, bottom] = clipped;
            if right - left >= keep.min_size && bottom - top >= keep.min_size {
                boxes.push(clipped);
                of_boxes.push(scores[i]);
            }
        }
        rest = others;
    }
    let kept = nms(&boxes, &of_boxes, keep.iou, keep.after);
    kept.into_iter().map(|i| boxes[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep {
        before: 3,
        after: 2,
        iou: 0.7,
        min_size: 4.0,
    };

    /// The best is outside the image and too small once clipped, so that a fourth gets its place; the
    /// third is suppressed by the second.
    #[test]
    fn proposals_are_clipped_large_enough_apart_and_best_first() {
        let anchors = [
            [0.0, 0.0, 10.0, 10.0],
            [-20.0, 0.0, 3.0, 10.0],
            [0.0, 0.0, 10.0, 9.0],
            [20.0, 20.0, 50.0, 40.0],
            [30.0, 0.0, 40.0, 10.0],
        ];
        let scores = [1.0, 3.0, 0.5, -1.0, -2.0];
        let found = of_image(&anchors, &scores, &[[0.0; 4]; 5], [45.0, 30.0], KEEP);
        assert_eq!(found, [[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 45.0, 30.0]]);
        // Of the two best that are large enough one suppresses the other.
        let two = Keep { before: 2, ..KEEP };
        let found = of_image(&anchors, &scores, &[[0.0; 4]; 5], [45.0, 30.0], two);
        assert_eq!(found, [[0.0, 0.0, 10.0, 10.0]]);
    }

    #[test]
    fn proposals_move_with_the_changes_and_none_is_no_number() {
        let anchors = [[0.0, 0.0, 10.0, 10.0]; 2];
        let deltas = [[1.0, 0.0, 0.0, 0.0], [f32::NAN; 4]];
        let found = of_image(&anchors, &[0.0, 1.0], &deltas, [45.0, 30.0], KEEP);
        assert_eq!(found, [[10.0, 0.0, 20.0, 10.0]]);
    }
}
