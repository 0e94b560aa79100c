//! What are the losses of a detection? Of each image (recipes.md section 5): sigmoid cross entropy of
//! the sampled anchors and Huber loss of those that are an object, both divided by `rpn_batch`; softmax
//! cross entropy of the sampled boxes and Huber loss of those that are an object, both divided by
//! `roi_batch`; all four summed without weights.
//!
//! The released code has one image on each of four GPUs, adds up their gradients and divides by the
//! batch: a step's loss is the mean over its images.

use tch::{Kind, Reduction, Tensor};

use super::coding::Deltas;

/// Huber loss as MXNet's: quadratic up to `rho`, then linear with slope 1; summed.
fn huber(predicted: &Tensor, truth: &[Deltas], rho: f64) -> Tensor {
    let truth = Tensor::from_slice(truth.as_flattened())
        .view([-1, 4])
        .to_device(predicted.device());
    predicted.smooth_l1_loss(&truth, Reduction::Sum, rho)
}

/// Of the RPN: logits of sampled anchors (n), whether each is an object (n), the changes of those that
/// are (p, 4). A sum, to be divided by `rpn_batch`.
pub fn of_anchors(
    scores: &Tensor,
    is_object: &[f32],
    deltas: &Tensor,
    truth: &[Deltas],
    rho: f64,
) -> Tensor {
    let labels = Tensor::from_slice(is_object).to_device(scores.device());
    let none: Option<&Tensor> = None;
    let classes = scores.binary_cross_entropy_with_logits(&labels, none, none, Reduction::Sum);
    classes + huber(deltas, truth, rho)
}

/// Of the head: logits of sampled boxes (r, 1 + classes), the class of each (r), the changes of those
/// that are an object, for their class (p, 4). A sum, to be divided by `roi_batch`.
pub fn of_boxes(
    scores: &Tensor,
    labels: &Tensor,
    deltas: &Tensor,
    truth: &[Deltas],
    rho: f64,
) -> Tensor {
    let none: Option<&Tensor> = None;
    let classes =
        scores
            .to_kind(Kind::Float)
            .cross_entropy_loss(labels, none, Reduction::Sum, -100, 0.0);
    classes + huber(deltas, truth, rho)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(loss: &Tensor) -> f64 {
        loss.double_value(&[])
    }

    /// Differences 1/18 and 1 at rho = 1/9: quadratic 0.5 (1/18)^2 / rho, linear 1 - rho / 2.
    #[test]
    fn the_loss_of_anchors_by_hand() {
        let scores = Tensor::from_slice(&[0.0_f32, 2.0, -1.0]);
        let deltas = Tensor::from_slice(&[1.0_f32 / 18.0, 1.0, 0.5, 0.5]).view([1, 4]);
        let truth = [[0.0, 0.0, 0.5, 0.5]];
        let got = of_anchors(&scores, &[1.0, 0.0, 0.0], &deltas, &truth, 1.0 / 9.0);
        let classes = 2.0_f64.ln() + (1.0 + 2.0_f64.exp()).ln() + (1.0 + (-1.0_f64).exp()).ln();
        let boxes = 0.5 * 9.0 / 324.0 + 1.0 - 1.0 / 18.0;
        assert!((value(&got) - classes - boxes).abs() < 1e-5);
    }

    #[test]
    fn the_loss_of_boxes_by_hand_and_without_any_object() {
        let scores = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0]).view([2, 2]);
        let labels = Tensor::from_slice(&[1_i64, 0]);
        let deltas = Tensor::from_slice(&[3.0_f32, 0.5, 0.0, 0.0]).view([1, 4]);
        let got = of_boxes(&scores, &labels, &deltas, &[[0.0; 4]], 1.0);
        let classes = 2.0_f64.ln() + (1.0 + (-1.0_f64).exp()).ln();
        assert!((value(&got) - classes - (3.0 - 0.5) - 0.125).abs() < 1e-5);
        let none = deltas.narrow(0, 0, 0);
        let got = of_boxes(&scores, &labels, &none, &[], 1.0);
        assert!((value(&got) - classes).abs() < 1e-5);
    }
}
