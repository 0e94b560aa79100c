//! What is the loss of predicted masks? Softmax cross entropy of both heads, each a mean over the
//! labelled pixels of the whole batch: main + aux_weight aux (recipes.md section 5).
//!
//! The released code multiplies by aux_weight 0.5 in vain: its loss layer ignores what it is
//! multiplied by, and the optimiser divides by the whole batch what was a mean over one GPU's pixels.
//! What it really does is `variant = "gluoncv"`: aux_weight 1, a quarter of the learning rate, four
//! times the decay.

use tch::{Reduction, Tensor};

use super::fcn::{self, Logits};
use crate::loss::in_full_precision;

/// Class of a pixel that has no label.
pub const IGNORE: i64 = -1;

/// Scalar, at least FP32. `masks`: (N, H, W), classes or [`IGNORE`]; logits are scaled up to them. A
/// batch without any label has loss 0.
pub fn of(logits: &Logits, masks: &Tensor, aux_weight: f64) -> Tensor {
    let main = one(&logits.main, masks);
    match &logits.aux {
        Some(aux) => main + one(aux, masks) * aux_weight,
        None => main,
    }
}

fn one(logits: &Tensor, masks: &Tensor) -> Tensor {
    let size = masks.size();
    let logits = fcn::resize(&in_full_precision(logits), size[1], size[2]);
    // A sum, not libtorch's mean: that is 0/0 where nothing is labelled.
    let sum = logits.cross_entropy_loss(masks, None::<&Tensor>, Reduction::Sum, IGNORE, 0.0);
    let labelled = masks.ne(IGNORE).sum(None).clamp_min(1).to_kind(sum.kind());
    sum / labelled
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn logits(scale: f64) -> Tensor {
        let values: Vec<f64> = (0..2 * 3 * 2 * 2).map(|i| f64::from(i * 7 % 11)).collect();
        Tensor::from_slice(&values).view([2, 3, 2, 2]) * scale
    }

    /// Logits as large as the mask, so that nothing is interpolated; 4 of 8 pixels are labelled,
    /// unevenly over the two images.
    #[test]
    fn the_loss_is_a_mean_over_labelled_pixels_of_the_whole_batch() {
        let masks = Tensor::from_slice(&[0_i64, 2, -1, 1, -1, -1, 2, -1]).view([2, 2, 2]);
        let (main, aux) = (logits(0.3), logits(-0.2));
        let by_hand = |logits: &Tensor| {
            let log = logits.log_softmax(1, Kind::Double);
            let mut sum = 0.0;
            for (n, h, w, class) in [(0, 0, 0, 0), (0, 0, 1, 2), (0, 1, 1, 1), (1, 1, 0, 2)] {
                sum -= log.double_value(&[n, class, h, w]);
            }
            sum / 4.0
        };
        let both = Logits {
            main: main.copy(),
            aux: Some(aux.copy()),
        };
        let got = of(&both, &masks, 0.5).double_value(&[]);
        assert!((got - by_hand(&main) - 0.5 * by_hand(&aux)).abs() < 1e-12);
    }

    #[test]
    fn unlabelled_pixels_have_no_gradient_and_an_unlabelled_batch_no_loss() {
        let main = logits(1.0).set_requires_grad(true);
        let masks = Tensor::from_slice(&[0_i64, -1, -1, -1, -1, -1, -1, -1]).view([2, 2, 2]);
        let of_masks = |masks: &Tensor| {
            let both = Logits {
                main: main.shallow_clone(),
                aux: None,
            };
            let loss = of(&both, masks, 0.5);
            let gradient = Tensor::run_backward(&[&loss], &[&main], false, false).remove(0);
            (loss.double_value(&[]), gradient)
        };
        let (_, gradient) = of_masks(&masks);
        let touched = gradient
            .abs()
            .sum_dim_intlist(Some([1].as_slice()), false, Kind::Double);
        assert_eq!(touched.gt(0.0).sum(None).int64_value(&[]), 1);
        let nothing = Tensor::full([2, 2, 2], IGNORE, (Kind::Int64, Device::Cpu));
        let (loss, gradient) = of_masks(&nothing);
        assert_eq!(loss, 0.0);
        assert_eq!(gradient.abs().sum(None).double_value(&[]), 0.0);
    }
}
