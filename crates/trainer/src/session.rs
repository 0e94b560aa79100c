//! One attempt from start to end: sets up data and network, resumes, and loops over epochs. What
//! differs between classification and other tasks is behind [`Task`].

mod classify;
mod start;
pub mod task;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rungs_spec::home::RunDir;
use rungs_spec::protocol::{EventKind, Num, RunFile};
use rungs_spec::schedule::LrSchedule;

use crate::attempts;
use crate::checkpoint::{Best, Checkpoints, Position};
use crate::environment;
use crate::evaluate;
use crate::events::Events;
use crate::failure::Failure;
use crate::gpu::Meter;
use crate::log;
use crate::loss_scale::Scale;
use crate::pictures;
use crate::readback::Readback;
use crate::run::stopping;
use crate::training::Training;
use crate::weights;
use task::{Found, Stepped, Task};

/// How an attempt ended, if it did not fail.
#[derive(Debug, PartialEq)]
pub enum Ended {
    /// The run is finished.
    Finished,
    /// Checkpointed because a signal asked.
    Stopped,
    /// This higher attempt exists.
    Superseded(u32),
}

/// A running attempt.
pub struct Session<'a> {
    run_dir: &'a RunDir,
    run: &'a RunFile,
    number: u32,
    events: &'a mut Events,
    stop: &'a AtomicBool,
    training: Training,
    schedule: LrSchedule,
    steps_per_epoch: u64,
    task: Box<dyn Task>,
    checkpoints: Checkpoints,
    checkpointed: Instant,
    at: Position,
    readback: Readback,
    /// `None` on a CPU.
    gpus: Option<Meter>,
    /// All of the epoch that is evaluated next was trained by this attempt, so that its energy is known.
    whole_epoch: bool,
    /// Images of the epoch that could not be decoded, as `max_corrupt` allows; since the attempt began.
    corrupt: u64,
    epoch_started: Instant,
    epoch_seconds: Vec<f64>,
}

impl Session<'_> {
    /// Trains to the end, or until told to stop.
    pub fn train(mut self) -> Result<Ended, Failure> {
        loop {
            let epochs = self.at.step / self.steps_per_epoch;
            let at_boundary = self.at.step.is_multiple_of(self.steps_per_epoch);
            if at_boundary && epochs > self.at.evaluated {
                match self.evaluate(epochs)? {
                    Some(ended) => return Ok(ended),
                    None => continue,
                }
            }
            if self.at.step >= self.schedule.steps() {
                return self.finish();
            }
            if let Some(ended) = self.train_epoch(epochs)? {
                return Ok(ended);
            }
        }
    }

    /// Steps up to the end of the epoch. `Some` if the attempt ends before.
    fn train_epoch(&mut self, epoch: u64) -> Result<Option<Ended>, Failure> {
        let first = self.at.step - epoch * self.steps_per_epoch;
        self.task.begin_epoch(epoch, first)?;
        let started = Instant::now();
        let first_step = self.at.step;
        self.corrupt = 0;
        loop {
            let step = self.at.step;
            let lr = self.schedule.lr(step);
            let stepped = self.task.step(&mut self.training, step, lr)?;
            let Some(Stepped { loss, corrupt }) = stepped else {
                break;
            };
            for error in &corrupt {
                log::say(format_args!(
                    "epoch {}: {error}; max_corrupt allows it",
                    epoch + 1
                ));
            }
            self.corrupt += corrupt.len() as u64;
            self.readback.push(step, epoch, loss, lr);
            self.at.step += 1;
            let stop = stopping(self.stop);
            let due = self.checkpointed.elapsed().as_secs_f64() >= self.run.checkpoint_every_s;
            if self.readback.is_due() || stop || due {
                self.readback.flush(self.events)?;
                if let Some(ended) = self.superseded()? {
                    return Ok(Some(ended));
                }
            }
            // At the end of an epoch the evaluation comes first, and its checkpoint after it.
            let ends_epoch = self.at.step.is_multiple_of(self.steps_per_epoch);
            if stop || (due && !ends_epoch) {
                self.checkpoint()?;
            }
            if stop {
                return Ok(Some(Ended::Stopped));
            }
        }
        self.readback.flush(self.events)?;
        let images = (self.at.step - first_step) * u64::from(self.run.recipe.batch_size);
        self.readback.images_per_s = images as f64 / started.elapsed().as_secs_f64();
        self.superseded()
    }

    fn superseded(&self) -> Result<Option<Ended>, Failure> {
        let highest = attempts::highest(self.run_dir)?;
        Ok((highest > self.number).then_some(Ended::Superseded(highest)))
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        let epoch = self.at.step / self.steps_per_epoch;
        self.checkpoints
            .write_last(&self.training, self.at, epoch, self.events)?;
        self.checkpointed = Instant::now();
        Ok(())
    }

    /// Evaluates after `epochs` finished epochs and writes the checkpoints of an epoch's end.
    fn evaluate(&mut self, epochs: u64) -> Result<Option<Ended>, Failure> {
        let last = self.at.step >= self.schedule.steps();
        let Some(found) = self.task.evaluate(&self.training, last, self.stop)? else {
            self.checkpoint()?;
            return Ok(Some(Ended::Stopped));
        };
        self.write_evaluation(epochs, &found)?;
        if !found.pictures.is_empty() {
            let classes = self.task.classes();
            pictures::write(self.run_dir, self.number, epochs, classes, &found.pictures)?;
        }
        let score = found.score();
        let is_best = self.at.best.is_none_or(|best| score > best.score);
        if is_best {
            self.at.best = Some(Best {
                epoch: epochs,
                score,
            });
        }
        self.at.evaluated = epochs;
        self.checkpoint()?;
        if is_best {
            self.checkpoints
                .write_best(&self.training, self.at, epochs, self.events)?;
        }
        let seconds = self.epoch_started.elapsed().as_secs_f64();
        self.epoch_seconds.push(seconds);
        self.epoch_started = Instant::now();
        self.tell(epochs, &found, is_best, seconds);
        if stopping(self.stop) {
            return Ok(Some(Ended::Stopped));
        }
        self.superseded()
    }

    /// One line of the log for an epoch.
    fn tell(&self, epochs: u64, found: &Found, is_best: bool, seconds: f64) {
        let mut line = format!("epoch {epochs} of {}:", self.epochs());
        for (name, value) in &found.metrics {
            // Percents as in the tables, losses finer.
            let digits = if *value < 10.0 { 4 } else { 2 };
            line += &format!(" {name} {value:.digits$},");
        }
        if self.readback.images_per_s > 0.0 {
            line += &format!(" {:.0} images/s,", self.readback.images_per_s);
        }
        let best = if is_best { ", the best so far" } else { "" };
        log::progress(format_args!("{line} {seconds:.1} s{best}"));
    }

    /// Epochs of the whole run.
    fn epochs(&self) -> u64 {
        self.schedule.steps() / self.steps_per_epoch
    }

    fn write_evaluation(&mut self, epochs: u64, found: &Found) -> Result<(), Failure> {
        let own = found.metrics.iter();
        let mut metrics: std::collections::BTreeMap<String, Num> = own
            .map(|(name, value)| ((*name).to_owned(), Num(*value)))
            .collect();
        metrics.insert(
            "system/rss_bytes".to_owned(),
            Num(environment::resident_bytes() as f64),
        );
        metrics.insert("system/cpu_s".to_owned(), Num(environment::cpu_seconds()));
        // An attempt that resumes at an evaluation has trained nothing.
        if self.readback.images_per_s > 0.0 {
            metrics.insert(
                "system/images_per_s".to_owned(),
                Num(self.readback.images_per_s),
            );
        }
        if let Some(gpus) = &mut self.gpus {
            let now = gpus.read();
            let told = [
                ("system/gpu_busy", now.busy),
                ("system/gpu_memory_bytes", now.memory_bytes),
                (
                    "system/gpu_energy_j",
                    now.energy_j.filter(|_| self.whole_epoch),
                ),
            ];
            let told = told.into_iter();
            self.whole_epoch = true;
            metrics.extend(told.filter_map(|(name, value)| Some((name.to_owned(), Num(value?)))));
        }
        if self.run.recipe.max_corrupt > 0 {
            let corrupt = Num(self.corrupt as f64);
            metrics.insert("system/corrupt_images".to_owned(), corrupt);
        }
        if self.training.arithmetic().is_half() {
            let skipped = self.training.optimiser.skipped.int64_value(&[]);
            metrics.insert("system/skipped_steps".to_owned(), Num(skipped as f64));
            if let Scale::Dynamic { scale, .. } = &self.training.scale {
                let scale = scale.double_value(&[]);
                metrics.insert("system/loss_scale".to_owned(), Num(scale));
            }
        }
        self.events.write(EventKind::Evaluation {
            epoch: epochs,
            step: self.at.step,
            split: "val".to_owned(),
            n: found.n,
            metrics,
            top1_bits: found.right.as_ref().map(|[top1, _]| evaluate::bits(top1)),
            top5_bits: found.right.as_ref().map(|[_, top5]| evaluate::bits(top5)),
        })
    }

    fn finish(self) -> Result<Ended, Failure> {
        let Training {
            network,
            parameters,
            replicas,
            ..
        } = &self.training;
        let dict = weights::state_dict(network, parameters, &replicas.mean(network));
        let weights_blake3 = weights::digest(&dict).map_err(|error| {
            Failure::transient(format!("the final weights cannot be read: {error:#}"))
        })?;
        self.events.write(EventKind::Finished {
            weights_blake3,
            best_epoch: self.at.best.map_or(0, |best| best.epoch),
            peak_bytes: environment::peak_bytes(),
            epoch_seconds: self.epoch_seconds,
        })?;
        self.events.sync()?;
        log::progress(format_args!("finished: {} epochs", self.at.evaluated));
        Ok(Ended::Finished)
    }
}
