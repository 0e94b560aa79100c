//! Batch normalisation: statistics of a batch per replica, and running statistics.
//!
//! A replica is a contiguous slice of the batch with BN statistics of its own, as a GPU of the
//! paper has (section 2.1; recipes.md section 1). Here the convolutions see the whole batch and only
//! BN is computed per slice.

use tch::{Device, Kind, Tensor};

use crate::network::Network;

/// Weight of the newest batch in the running statistics (PyTorch's momentum; 1 - MXNet's 0.9).
const MOMENTUM: f64 = 0.1;

/// Scale and shift of a BN.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// (C)
    pub gamma: &'a Tensor,
    /// (C)
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
}

/// Running mean and variance of every BN of a network: views of one flat tensor.
#[derive(Debug)]
pub struct RunningStats {
    /// (2 * channels of all norms): mean and variance of the first norm, then of the second, ...
    pub flat: Tensor,
    views: Vec<(Tensor, Tensor)>,
}

impl RunningStats {
    /// Mean 0, variance 1.
    pub fn new(network: &Network, kind: Kind, device: Device) -> RunningStats {
        let total: i64 = network.norms.iter().map(|norm| 2 * norm.channels).sum();
        let stats = RunningStats::of_flat(network, Tensor::zeros([total], (kind, device)));
        for (_, var) in &stats.views {
            let _ = var.shallow_clone().fill_(1.0);
        }
        stats
    }

    fn of_flat(network: &Network, flat: Tensor) -> RunningStats {
        let mut at = 0;
        let mut take = |n: i64| {
            at += n;
            flat.narrow(0, at - n, n)
        };
        let views = network
            .norms
            .iter()
            .map(|norm| (take(norm.channels), take(norm.channels)))
            .collect();
        RunningStats { flat, views }
    }

    /// Mean and variance of the n-th norm, (C) each.
    pub fn of(&self, n: usize) -> (&Tensor, &Tensor) {
        let (mean, var) = &self.views[n];
        (mean, var)
    }
}

/// The running statistics of all replicas of a run.
#[derive(Debug)]
pub struct Replicas {
    stats: Vec<RunningStats>,
}

impl Replicas {
    /// `count` replicas with mean 0 and variance 1.
    pub fn new(network: &Network, count: u32, kind: Kind, device: Device) -> Replicas {
        Replicas::spread(network, &vec![device; count as usize], kind)
    }

    /// One replica per device named, with mean 0 and variance 1.
    pub fn spread(network: &Network, devices: &[Device], kind: Kind) -> Replicas {
        Replicas {
            stats: devices
                .iter()
                .map(|device| RunningStats::new(network, kind, *device))
                .collect(),
        }
    }

    /// Replica by replica.
    pub fn each(&self) -> &[RunningStats] {
        &self.stats
    }

    /// Replica by replica, to be updated.
    pub fn each_mut(&mut self) -> &mut [RunningStats] {
        &mut self.stats
    }

    /// What evaluation and checkpoints use: the mean over replicas, on the first one's device.
    pub fn mean(&self, network: &Network) -> RunningStats {
        let device = self.stats.first().map_or(Device::Cpu, |s| s.flat.device());
        let flats: Vec<Tensor> = self
            .stats
            .iter()
            .map(|stats| stats.flat.to_device(device))
            .collect();
        let mean = match flats.as_slice() {
            [one] => one.copy(),
            many => Tensor::stack(many, 0).mean_dim([0].as_slice(), false, None),
        };
        RunningStats::of_flat(network, mean)
    }
}

/// Normalises x (N, C, H, W): the r-th of `replicas` slices with its own statistics, which also update
/// replica r's running ones (variance unbiased, as PyTorch's).
pub fn of_slices(replicas: &[RunningStats], n: usize, x: &Tensor, affine: Affine) -> Tensor {
    let one = |x: &Tensor, stats: &RunningStats| {
        let (mean, var) = stats.of(n);
        x.batch_norm(
            Some(affine.gamma),
            Some(affine.beta),
            Some(mean),
            Some(var),
            true,
            MOMENTUM,
            affine.eps,
            true,
        )
    };
    if let [stats] = replicas {
        return one(x, stats);
    }
    let slice = x.size()[0] / replicas.len() as i64;
    // split, not narrow: its derivative is one concatenation instead of a padded copy per slice.
    let slices: Vec<Tensor> = x
        .split(slice, 0)
        .iter()
        .zip(replicas)
        .map(|(x, stats)| one(x, stats))
        .collect();
    Tensor::cat(&slices, 0)
}

/// With the statistics of the whole batch; nothing is updated.
pub fn of_batch(x: &Tensor, affine: Affine) -> Tensor {
    let none: Option<&Tensor> = None;
    x.batch_norm(
        Some(affine.gamma),
        Some(affine.beta),
        none,
        none,
        true,
        MOMENTUM,
        affine.eps,
        true,
    )
}

/// With given statistics.
pub fn of_running(x: &Tensor, (mean, var): (&Tensor, &Tensor), affine: Affine) -> Tensor {
    x.batch_norm(
        Some(affine.gamma),
        Some(affine.beta),
        Some(mean),
        Some(var),
        false,
        MOMENTUM,
        affine.eps,
        true,
    )
}
