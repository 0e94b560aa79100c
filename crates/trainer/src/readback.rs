//! Per-step scalars stay on the device and are read back in blocks: one device synchronisation per
//! block, none per step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rungs_spec::protocol::{EventKind, Num};
use tch::{Kind, Tensor};

use crate::events::Events;
use crate::failure::Failure;

/// Steps of a block at most.
const BLOCK: usize = 100;
/// Age of a block at most, so that a page shows a slow run's progress.
const AGE: Duration = Duration::from_secs(2);

/// Values of consecutive steps that are not in the event file yet.
#[derive(Debug)]
pub struct Readback {
    first_step: u64,
    epoch: u64,
    losses: Vec<Tensor>,
    rates: Vec<f64>,
    begun: Instant,
    /// Images per second of the last epoch's training.
    pub images_per_s: f64,
}

impl Readback {
    /// Empty.
    pub fn new() -> Readback {
        Readback {
            first_step: 0,
            epoch: 0,
            losses: Vec::new(),
            rates: Vec::new(),
            begun: Instant::now(),
            images_per_s: 0.0,
        }
    }

    /// Keeps the values of a step.
    pub fn push(&mut self, step: u64, epoch: u64, loss: Tensor, lr: f64) {
        if self.losses.is_empty() {
            (self.first_step, self.epoch, self.begun) = (step, epoch, Instant::now());
        }
        self.losses.push(loss);
        self.rates.push(lr);
    }

    /// Whether the block is full or old.
    pub fn is_due(&self) -> bool {
        self.losses.len() >= BLOCK || self.begun.elapsed() >= AGE
    }

    /// Writes the block. Error: a loss that is not finite, permanent; the block up to it is written.
    pub fn flush(&mut self, events: &mut Events) -> Result<(), Failure> {
        if self.losses.is_empty() {
            return Ok(());
        }
        let losses = Vec::<f64>::try_from(Tensor::stack(&self.losses, 0).to_kind(Kind::Double))?;
        let bad = losses.iter().position(|loss| !loss.is_finite());
        let count = bad.map_or(losses.len(), |at| at + 1);
        let numbers = |values: &[f64]| values[..count].iter().copied().map(Num).collect::<Vec<_>>();
        let values = BTreeMap::from([
            ("train/loss".to_owned(), numbers(&losses)),
            ("lr".to_owned(), numbers(&self.rates)),
        ]);
        events.write(EventKind::Metrics {
            step0: self.first_step,
            epoch0: self.epoch,
            values,
        })?;
        if let Some(at) = bad {
            return Err(Failure::permanent(format!(
                "the training loss is {} at step {} (learning rate {}): training has diverged; a lower lr or a longer \
                 warmup may help",
                losses[at],
                self.first_step + at as u64,
                self.rates[at]
            )));
        }
        self.losses.clear();
        self.rates.clear();
        Ok(())
    }
}
