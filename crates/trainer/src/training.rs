//! One training step: the function that every run goes through, whatever its dataset and precision.

use rungs_spec::model::Model;
use tch::{Device, Kind, Reduction, Tensor};

use crate::determinism;
use crate::failure::Failure;
use crate::network::{Boundary, Network, Norms, Pass};
use crate::norm::Replicas;
use crate::optimiser::Optimiser;
use crate::parameters::{Arithmetic, Parameters};
use crate::supported::Settled;

/// A network in training: what a step changes, and what it needs.
#[derive(Debug)]
pub struct Training {
    /// Layers.
    pub network: Network,
    /// Weights.
    pub parameters: Parameters,
    /// Running statistics.
    pub replicas: Replicas,
    /// Momentum.
    pub optimiser: Optimiser,
    /// Where it computes.
    pub device: Device,
    settled: Settled,
    seed: u64,
}

impl Training {
    /// A network with all parameters zero and optimiser at rest: initial weights or a checkpoint
    /// come next.
    pub fn new(model: &Model, settled: Settled, seed: u64, device: Device) -> Training {
        let network = Network::new(model);
        let parameters = Parameters::new(&network, settled.arithmetic, device);
        let replicas = Replicas::new(
            &network,
            settled.replicas,
            settled.arithmetic.master(),
            device,
        );
        let optimiser = Optimiser::new(&parameters, settled.optimiser);
        Training {
            network,
            parameters,
            replicas,
            optimiser,
            device,
            settled,
            seed,
        }
    }

    /// How it computes.
    pub fn arithmetic(&self) -> Arithmetic {
        self.settled.arithmetic
    }

    /// Whether values are rounded at layer boundaries.
    pub fn boundary(&self) -> Boundary {
        boundary(self.settled.arithmetic)
    }

    /// One update at `lr` with images (N, 3, H, W) and labels (N). Returns the loss, the mean over
    /// the whole batch, as a scalar that stays on the device.
    pub fn step(
        &mut self,
        images: &Tensor,
        labels: &Tensor,
        step: u64,
        lr: f64,
    ) -> Result<Tensor, Failure> {
        if self.network.has_dropout() {
            determinism::seed_step(self.seed, step);
        }
        let pass = Pass {
            parameters: self.parameters.leaves(),
            norms: Norms::Train(&self.replicas),
            boundary: self.boundary(),
            dropout: true,
        };
        let logits = self.network.forward(images, pass);
        let loss = cross_entropy(&logits, labels, self.settled.label_smoothing);
        let scale = self.settled.loss_scale;
        let scaled = if scale == 1.0 {
            loss.shallow_clone()
        } else {
            &loss * scale
        };
        let gradients = Tensor::f_run_backward(&[scaled], self.parameters.leaves(), false, false)?;
        let gradient = self.parameters.flatten(&gradients, scale);
        self.optimiser.step(&mut self.parameters, gradient, lr);
        Ok(loss.detach())
    }
}

/// What happens at layer boundaries in this arithmetic.
pub fn boundary(arithmetic: Arithmetic) -> Boundary {
    match arithmetic {
        Arithmetic::EmulatedHalf => Boundary::RoundedToHalf,
        Arithmetic::Plain(_) | Arithmetic::Half => Boundary::Exact,
    }
}

/// Softmax cross entropy, mean over the batch, at least in FP32. Smoothed targets are
/// 1 - eps + eps / K for the label and eps / K for the others (paper section 5.2).
fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    let logits = if logits.kind() == Kind::Half {
        logits.to_kind(Kind::Float)
    } else {
        logits.shallow_clone()
    };
    logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, smoothing)
}
