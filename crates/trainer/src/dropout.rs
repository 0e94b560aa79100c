//! Which values does dropout drop? A function of (seed, step, layer, replica) alone: how replicas
//! are spread over passes and devices, and where a run was resumed, changes nothing.

use tch::Tensor;

use crate::determinism::Stream;

/// Dropout of one forward pass over some replicas of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run.
    pub step: u64,
    /// First replica of the pass.
    pub first_replica: usize,
    /// Replicas of the pass: equal slices of its rows.
    pub replicas: usize,
}

impl Dropout {
    /// x (N, ...) with each value dropped with probability p, the others divided by 1 - p. `layer`
    /// counts the network's dropout layers.
    pub fn apply(&self, layer: usize, p: f64, x: &Tensor) -> Tensor {
        if p == 0.0 {
            return x.shallow_clone();
        }
        let size = x.size();
        let each = size.iter().product::<i64>() as usize / self.replicas.max(1);
        let kept = (1.0 / (1.0 - p)) as f32;
        let mut mask = Vec::with_capacity(each * self.replicas);
        for replica in self.first_replica..self.first_replica + self.replicas {
            let purpose = format!("dropout {} {layer} {replica}", self.step);
            let mut stream = Stream::new(self.seed, &purpose);
            mask.extend((0..each).map(|_| if stream.uniform() < p { 0.0 } else { kept }));
        }
        let mask = Tensor::from_slice(&mask).view(size.as_slice());
        x * mask.to_kind(x.kind()).to_device(x.device())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn dropped(first_replica: usize, replicas: usize, step: u64) -> Tensor {
        let dropout = Dropout {
            seed: 1,
            step,
            first_replica,
            replicas,
        };
        let x = Tensor::ones([replicas as i64 * 8, 64], (Kind::Double, Device::Cpu));
        dropout.apply(0, 0.25, &x)
    }

    #[test]
    fn a_quarter_is_dropped_and_the_mean_stays() {
        let x = dropped(0, 8, 0);
        let zeros = x.eq(0.0).to_kind(Kind::Double).mean(Kind::Double);
        assert!((zeros.double_value(&[]) - 0.25).abs() < 0.02);
        assert!((x.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.03);
    }

    #[test]
    fn a_replica_drops_the_same_wherever_it_is_computed() {
        let all = dropped(0, 4, 7);
        for replica in 0..4 {
            let alone = dropped(replica, 1, 7);
            assert!(alone.equal(&all.narrow(0, 8 * replica as i64, 8)));
        }
        assert!(!dropped(0, 1, 7).equal(&dropped(1, 1, 7)));
        assert!(!dropped(0, 4, 8).equal(&all));
    }
}
