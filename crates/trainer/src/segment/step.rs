//! What is one training step of segmentation? Forward over the whole batch, whose BN statistics are
//! one (the released code's synchronised BN), the loss of both heads, backward, one update.

use tch::Tensor;

use super::fcn::Fcn;
use super::loss;
use crate::dropout::Dropout;
use crate::failure::Failure;
use crate::loss_scale::Scale;
use crate::network::{Boundary, Norms, Pass};
use crate::norm::RunningStats;
use crate::optimiser::Optimiser;
use crate::parameters::Parameters;

/// What a step changes.
#[derive(Debug)]
pub struct Learner<'a> {
    /// Layers.
    pub fcn: &'a Fcn,
    /// Weights.
    pub parameters: &'a mut Parameters,
    /// Running statistics: of one replica.
    pub stats: &'a [RunningStats],
    /// Momentum, with the heads' factor of the learning rate.
    pub optimiser: &'a mut Optimiser,
    /// Weight of the auxiliary head's loss.
    pub aux_weight: f64,
}

impl Learner<'_> {
    /// One update at `lr` with images (N, 3, H, W) and masks (N, H, W). Returns the loss, a scalar that
    /// stays on the device.
    pub fn step(
        &mut self,
        images: &Tensor,
        masks: &Tensor,
        dropout: Dropout,
        lr: f64,
    ) -> Result<Tensor, Failure> {
        let pass = Pass {
            parameters: self.parameters.leaves(),
            norms: Norms::Train(self.stats),
            boundary: Boundary::Exact,
            dropout: Some(dropout),
        };
        let logits = self.fcn.forward(images, pass, true);
        let loss = loss::of(&logits, masks, self.aux_weight);
        let gradients = Tensor::f_run_backward(&[&loss], self.parameters.leaves(), false, false)?;
        let pieces = self.parameters.pieces(&gradients, &Scale::Static(1.0));
        self.optimiser.step(self.parameters, &pieces, lr);
        Ok(loss.detach())
    }
}
