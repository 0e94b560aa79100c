//! One training step: the function that every run goes through, whatever its dataset and precision.

use rungs_spec::model::Model;
use tch::{Device, Tensor};

use crate::determinism;
use crate::failure::Failure;
use crate::loss::Targets;
use crate::loss_scale::Scale;
use crate::mixup::Mixup;
use crate::network::{Boundary, Network, Norms, Pass};
use crate::norm::Replicas;
use crate::optimiser::Optimiser;
use crate::parameters::{Arithmetic, Parameters};
use crate::supported::Settled;
use crate::teacher::Teacher;

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
    /// Multiplier of the loss.
    pub scale: Scale,
    /// Where it computes.
    pub device: Device,
    settled: Settled,
    mixup: Option<Mixup>,
    teacher: Option<Teacher>,
    seed: u64,
}

impl Training {
    /// A network with all parameters zero and optimiser at rest: initial weights or a checkpoint
    /// come next.
    pub fn new(
        model: &Model,
        settled: Settled,
        mixup: Option<Mixup>,
        teacher: Option<Teacher>,
        seed: u64,
        device: Device,
    ) -> Training {
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
            scale: Scale::new(settled.loss_scale, device),
            device,
            settled,
            mixup,
            teacher,
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

    /// One update at `lr` with images (N, 3, H, W) in master precision and labels (N), on the device.
    /// Returns the loss, the mean over the whole batch, as a scalar that stays on the device.
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
        let (images, targets) = self.batch(images, labels, step);
        let pass = Pass {
            parameters: self.parameters.leaves(),
            norms: Norms::Train(&self.replicas),
            boundary: self.boundary(),
            dropout: true,
        };
        let logits = self.network.forward(&images, pass);
        let loss = self.settled.loss.of(&logits, &targets);
        let scaled = self.scale.apply(&loss);
        let gradients = Tensor::f_run_backward(&[scaled], self.parameters.leaves(), false, false)?;
        let gradient = self.parameters.pieces(&gradients, &self.scale);
        let finite = self.optimiser.step(&mut self.parameters, &gradient, lr);
        if let Some(finite) = finite {
            self.scale.update(&finite);
        }
        Ok(loss.detach())
    }

    /// What the network sees of a batch, and what it should say: images mixed and in the kind of
    /// activations, labels, the teacher's logits.
    fn batch(&self, images: &Tensor, labels: &Tensor, step: u64) -> (Tensor, Targets) {
        let mut targets = Targets {
            labels: labels.shallow_clone(),
            mixed: None,
            teacher: None,
        };
        let mut images = images.shallow_clone();
        if let Some(mixup) = &self.mixup {
            let mix = mixup.of_step(step);
            let partner = Tensor::from_slice(&mix.partner).to_device(self.device);
            images = mix.images(&images, &partner);
            targets.mixed = Some((mix.lambda, labels.index_select(0, &partner)));
        }
        targets.teacher = self.teacher.as_ref().map(|teacher| teacher.logits(&images));
        let kind = self.arithmetic().activations();
        (images.to_kind(kind), targets)
    }
}

/// What happens at layer boundaries in this arithmetic.
pub fn boundary(arithmetic: Arithmetic) -> Boundary {
    match arithmetic {
        Arithmetic::EmulatedHalf(kind) => Boundary::Rounded(kind),
        Arithmetic::Autocast => Boundary::Autocast,
        Arithmetic::Plain(_) | Arithmetic::Half(_) => Boundary::Exact,
    }
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;
