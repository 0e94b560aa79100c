//! What does one device do in a step? Forward and backward over its share of the replicas.

use tch::{Device, Tensor};

use crate::dropout::Dropout;
use crate::failure::Failure;
use crate::loss::{Loss, Targets};
use crate::loss_scale::Scale;
use crate::network::{Boundary, Network, Norms, Pass};
use crate::norm::RunningStats;
use crate::parameters::Parameters;
use crate::teacher::Teacher;

/// A device's share of a batch. It owns or borrows all of it for itself, so it may go to a thread.
#[derive(Debug)]
pub struct Share<'a> {
    /// Layers.
    pub network: &'a Network,
    /// Weights on this device.
    pub parameters: &'a mut Parameters,
    /// Teacher on this device.
    pub teacher: Option<&'a mut Teacher>,
    /// Running statistics of this share's replicas, which it updates.
    pub stats: &'a mut [RunningStats],
    /// Passes: each takes an equal number of replicas.
    pub passes: usize,
    /// (n, 3, H, W) of this share, mixed, in master precision; on any device.
    pub images: Tensor,
    /// Labels (n) of this share; on any device.
    pub targets: Targets,
    /// Images of the whole batch.
    pub batch: i64,
    /// Terms of the loss.
    pub loss: Loss,
    /// Multiplier of the loss.
    pub scale: Scale,
    /// Layer boundaries.
    pub boundary: Boundary,
    /// Dropout of the share's replicas.
    pub dropout: Dropout,
}

/// What a share adds to the step.
#[derive(Debug)]
pub struct Computed {
    /// Its part of the mean loss over the whole batch: a scalar on its device.
    pub loss: Tensor,
    /// Its part of the gradient, without the loss scale, in the pieces of [`Parameters::pieces`].
    pub gradient: Vec<Tensor>,
}

impl Share<'_> {
    /// Forward and backward, pass by pass.
    pub fn compute(self) -> Result<Computed, Failure> {
        let device = self.parameters.master.device();
        let rows = self.images.size()[0] / self.passes as i64;
        let replicas = self.stats.len() / self.passes;
        let weight = rows as f64 / self.batch as f64;
        let mut sum: Option<Computed> = None;
        for pass in 0..self.passes {
            let start = pass as i64 * rows;
            let images = self.images.narrow(0, start, rows).to_device(device);
            let mut targets = self.targets.rows(start, rows, device);
            targets.teacher = self.teacher.as_ref().map(|teacher| teacher.logits(&images));
            let logits = self.network.forward(
                &images.to_kind(self.parameters.arithmetic().activations()),
                Pass {
                    parameters: self.parameters.leaves(),
                    norms: Norms::Train(&self.stats[pass * replicas..(pass + 1) * replicas]),
                    boundary: self.boundary,
                    dropout: Some(Dropout {
                        first_replica: self.dropout.first_replica + pass * replicas,
                        replicas,
                        ..self.dropout
                    }),
                },
            );
            let mean = self.loss.of(&logits, &targets);
            let loss = if weight == 1.0 { mean } else { mean * weight };
            let scaled = self.scale.apply(&loss);
            let gradients =
                Tensor::f_run_backward(&[scaled], self.parameters.leaves(), false, false)?;
            let computed = Computed {
                loss: loss.detach(),
                gradient: self.parameters.pieces(&gradients, &self.scale),
            };
            match &mut sum {
                None => sum = Some(computed),
                Some(sum) => sum.add(computed, device),
            }
        }
        sum.ok_or_else(|| Failure::permanent("a share of the batch has no replica"))
    }
}

impl Computed {
    /// Adds what another pass or device has computed, in place, on this one's device.
    pub fn add(&mut self, other: Computed, device: Device) {
        let _guard = tch::no_grad_guard();
        let _ = self.loss.g_add_(&other.loss.to_device(device));
        for (sum, part) in self.gradient.iter_mut().zip(other.gradient) {
            let _ = sum.g_add_(&part.to_device(device));
        }
    }
}

/// Computes all shares; GPUs at the same time, so that one thread does not have to feed all of them.
/// CPU shares take turns: the run's threads are theirs together.
pub fn compute_all(shares: Vec<Share>) -> Result<Vec<Computed>, Failure> {
    let gpus = shares
        .iter()
        .all(|share| share.parameters.master.device() != Device::Cpu);
    if gpus && shares.len() > 1 {
        at_once(shares)
    } else {
        shares.into_iter().map(Share::compute).collect()
    }
}

/// One thread per share.
pub fn at_once(shares: Vec<Share>) -> Result<Vec<Computed>, Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.compute()))
            .collect();
        let results = threads.into_iter().map(|thread| {
            let result = thread.join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        results.collect()
    })
}
