//! What differs between tasks: batches, steps and what an evaluation says. Everything else of an
//! attempt (events, checkpoints, resuming, schedule) is one for all.

use std::sync::atomic::AtomicBool;

use rungs_data::DataError;
use tch::Tensor;

use crate::failure::Failure;
use crate::pictures::Shown;
use crate::training::Training;

/// A task at work.
pub trait Task {
    /// Batches of an epoch come next, from number `first` on.
    fn begin_epoch(&mut self, epoch: u64, first: u64) -> Result<(), Failure>;

    /// One update with the next batch; `None` at the end of the epoch.
    fn step(
        &mut self,
        training: &mut Training,
        step: u64,
        lr: f64,
    ) -> Result<Option<Stepped>, Failure>;

    /// Evaluates the validation split; `None` if told to stop meanwhile. `last`: nothing is trained
    /// after it.
    fn evaluate(
        &mut self,
        training: &Training,
        last: bool,
        stop: &AtomicBool,
    ) -> Result<Option<Found>, Failure>;

    /// Names of the classes that pictures show.
    fn classes(&self) -> &[String];
}

/// What one update leaves.
#[derive(Debug)]
pub struct Stepped {
    /// Mean over the batch: a scalar on the device.
    pub loss: Tensor,
    /// Images of the batch that could not be decoded.
    pub corrupt: Vec<DataError>,
}

/// What an evaluation found.
#[derive(Debug, Default)]
pub struct Found {
    /// Images.
    pub n: u64,
    /// By name; the first one is the score that decides which epoch is best: higher is better.
    pub metrics: Vec<(&'static str, f64)>,
    /// Of a classification: whether each image is right in its top 1 and top 5.
    pub right: Option<[Vec<bool>; 2]>,
    /// A few images with what the network says.
    pub pictures: Vec<Shown>,
}

impl Found {
    /// The first metric.
    pub fn score(&self) -> f64 {
        self.metrics.first().map_or(0.0, |(_, value)| *value)
    }
}
