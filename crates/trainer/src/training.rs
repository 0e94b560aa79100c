//! One training step: the function that every run goes through, whatever its dataset and precision.

use rungs_spec::model::Model;
use tch::{Device, Tensor};

use crate::dropout::Dropout;
use crate::failure::Failure;
use crate::loss::Targets;
use crate::loss_scale::Scale;
use crate::mixup::Mixup;
use crate::network::{Boundary, Network};
use crate::norm::Replicas;
use crate::optimiser::Optimiser;
use crate::parameters::{Arithmetic, Parameters};
use crate::replica_layout::Part;
use crate::share::{self, Computed, Share};
use crate::supported::Settled;
use crate::teacher::Teacher;

/// A network in training: what a step changes, and what it needs.
#[derive(Debug)]
pub struct Training {
    /// Layers.
    pub network: Network,
    /// Weights.
    pub parameters: Parameters,
    /// Running statistics, each on the device of its replica.
    pub replicas: Replicas,
    /// Momentum.
    pub optimiser: Optimiser,
    /// Multiplier of the loss.
    pub scale: Scale,
    /// Where weights and momentum are.
    pub device: Device,
    settled: Settled,
    mixup: Option<Mixup>,
    teacher: Option<Teacher>,
    /// What each device does, this one's first.
    parts: Vec<Part>,
    /// The other devices', in the order of `parts`.
    copies: Vec<Copy>,
    seed: u64,
}

/// What a device other than the main one has of its own.
#[derive(Debug)]
struct Copy {
    parameters: Parameters,
    teacher: Option<Teacher>,
}

impl Training {
    /// A network with all parameters zero and optimiser at rest: initial weights or a checkpoint
    /// come next. The teacher is on the main device of `settled.layout`.
    pub fn new(
        model: &Model,
        settled: Settled,
        mixup: Option<Mixup>,
        teacher: Option<Teacher>,
        seed: u64,
    ) -> Training {
        Training::of_network(Network::new(model), settled, mixup, teacher, seed)
    }

    /// As [`Training::new`], of a network that a task has put together.
    pub fn of_network(
        network: Network,
        settled: Settled,
        mixup: Option<Mixup>,
        teacher: Option<Teacher>,
        seed: u64,
    ) -> Training {
        let arithmetic = settled.arithmetic;
        let device = settled.layout.main();
        let parts = settled.layout.parts(settled.replicas as usize);
        let parameters = Parameters::new(&network, arithmetic, device);
        let places: Vec<Device> = parts
            .iter()
            .flat_map(|part| vec![part.device; part.replicas])
            .collect();
        let replicas = Replicas::spread(&network, &places, arithmetic.master());
        let copies = parts.iter().skip(1).map(|part| Copy {
            parameters: Parameters::new(&network, arithmetic, part.device),
            teacher: teacher.as_ref().map(|teacher| teacher.on(part.device)),
        });
        let copies = copies.collect();
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
            parts,
            copies,
            seed,
        }
    }

    /// How it computes.
    pub fn arithmetic(&self) -> Arithmetic {
        self.settled.arithmetic
    }

    /// One update at `lr` with images (N, 3, H, W) in master precision and labels (N), on the main
    /// device. Returns the loss, the mean over the whole batch, as a scalar that stays on the device.
    pub fn step(
        &mut self,
        images: &Tensor,
        labels: &Tensor,
        step: u64,
        lr: f64,
    ) -> Result<Tensor, Failure> {
        self.step_with(share::compute_all, images, labels, step, lr)
    }

    /// As `step`, with the way shares are computed.
    fn step_with(
        &mut self,
        compute: fn(Vec<Share>) -> Result<Vec<Computed>, Failure>,
        images: &Tensor,
        labels: &Tensor,
        step: u64,
        lr: f64,
    ) -> Result<Tensor, Failure> {
        // Before, not after: then nothing else that changes the weights has to think of the copies.
        for copy in &mut self.copies {
            copy.parameters.copy_from(&self.parameters);
        }
        let (images, targets) = self.mix(images, labels, step);
        let mut computed = compute(self.shares(images, targets, step))?.into_iter();
        let first = computed.next();
        let mut sum = first.ok_or_else(|| Failure::permanent("the batch has no share"))?;
        for other in computed {
            sum.add(other, self.device);
        }
        let finite = self.optimiser.step(&mut self.parameters, &sum.gradient, lr);
        if let Some(finite) = finite {
            self.scale.update(&finite);
        }
        Ok(sum.loss)
    }

    /// What the network sees of a batch, and what it should say.
    fn mix(&self, images: &Tensor, labels: &Tensor, step: u64) -> (Tensor, Targets) {
        let mut targets = Targets {
            labels: labels.shallow_clone(),
            mixed: None,
            teacher: None,
        };
        let Some(mixup) = &self.mixup else {
            return (images.shallow_clone(), targets);
        };
        let mix = mixup.of_step(step);
        let partner = Tensor::from_slice(&mix.partner).to_device(self.device);
        targets.mixed = Some((mix.lambda, labels.index_select(0, &partner)));
        (mix.images(images, &partner), targets)
    }

    /// The batch as each device's share.
    fn shares(&mut self, images: Tensor, targets: Targets, step: u64) -> Vec<Share<'_>> {
        let batch = images.size()[0];
        let rows = batch / i64::from(self.settled.replicas);
        let mut stats = self.replicas.each_mut();
        let main = (&mut self.parameters, self.teacher.as_mut());
        let others = self.copies.iter_mut();
        let others = others.map(|copy| (&mut copy.parameters, copy.teacher.as_mut()));
        let mut shares = Vec::new();
        let mut first_replica = 0;
        for (part, (parameters, teacher)) in
            self.parts.iter().zip(std::iter::once(main).chain(others))
        {
            let (own, rest) = stats.split_at_mut(part.replicas);
            stats = rest;
            let (start, count) = (first_replica as i64 * rows, part.replicas as i64 * rows);
            shares.push(Share {
                network: &self.network,
                parameters,
                teacher,
                stats: own,
                passes: part.passes,
                images: images.narrow(0, start, count),
                targets: targets.rows(start, count, self.device),
                batch,
                loss: self.settled.loss,
                scale: self.scale.shallow_clone(),
                boundary: boundary(self.settled.arithmetic),
                dropout: Dropout {
                    seed: self.seed,
                    step,
                    first_replica,
                    replicas: part.replicas,
                },
            });
            first_replica += part.replicas;
        }
        shares
    }
}

/// What happens at layer boundaries in this arithmetic.
pub fn boundary(arithmetic: Arithmetic) -> Boundary {
    match arithmetic {
        Arithmetic::EmulatedHalf { half, .. } => Boundary::Rounded(half),
        Arithmetic::Autocast => Boundary::Autocast,
        Arithmetic::Plain(_) | Arithmetic::Half(_) => Boundary::Exact,
    }
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "half_golden_tests.rs"]
mod half_golden;
