//! One attempt from start to end: sets up data and network, resumes, and loops over epochs.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rungs_data::{EvalSet, Loader, LoaderConfig, Split};
use rungs_spec::home::RunDir;
use rungs_spec::model::Model;
use rungs_spec::protocol::{EventKind, Num, RunFile};
use rungs_spec::schedule::LrSchedule;
use tch::Device;

use crate::attempts::{self, Attempts};
use crate::batch;
use crate::checkpoint::{self, Best, Checkpoints, Position};
use crate::determinism;
use crate::environment::{self, Environment, SeenData};
use crate::evaluate::{self, Evaluated, Subject};
use crate::events::Events;
use crate::failure::{Failure, io_failure};
use crate::init;
use crate::initial;
use crate::readback::Readback;
use crate::run::stopping;
use crate::supported::{self, InitialWeights};
use crate::training::Training;
use crate::weights;

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
    train: std::sync::Arc<dyn rungs_data::Dataset>,
    loader: LoaderConfig,
    val: EvalSet,
    checkpoints: Checkpoints,
    checkpointed: Instant,
    at: Position,
    readback: Readback,
    epoch_started: Instant,
    epoch_seconds: Vec<f64>,
}

impl<'a> Session<'a> {
    /// Everything up to the first step: nothing of the run is changed before the `started` event.
    pub fn start(
        run_dir: &'a RunDir,
        run: &'a RunFile,
        past: &Attempts,
        number: u32,
        events: &'a mut Events,
        stop: &'a AtomicBool,
    ) -> Result<Session<'a>, Failure> {
        let epoch_started = Instant::now();
        let settled = supported::settle(run)?;
        let device = determinism::device(run.arithmetic);
        if device != Device::Cpu && !tch::Cuda::is_available() {
            return Err(Failure::transient(
                "the run was planned for an NVIDIA GPU and none is to be seen here",
            ));
        }
        determinism::set_up(run.compute_threads);

        let path = run.dataset.path.as_deref();
        let open = |split| rungs_data::open(&run.dataset.name, path, split);
        let train = rungs_data::subset(open(Split::Train)?, run.recipe.train_subset)?;
        let val = rungs_data::subset(open(Split::Val)?, run.recipe.val_subset)?;
        let seen = SeenData {
            name: run.dataset.name.clone(),
            train: train.len() as u64,
            train_blake3: rungs_data::digest(train.as_ref())?,
            val: val.len() as u64,
            val_blake3: rungs_data::digest(val.as_ref())?,
        };
        check_identity(run)?;
        let steps_per_epoch = run.recipe.steps_per_epoch(train.len() as u64);
        if steps_per_epoch == 0 {
            return Err(Failure::permanent(format!(
                "batch_size = {} is more than the {} training images of {}: choose a smaller batch or a larger \
                 train_subset",
                run.recipe.batch_size,
                train.len(),
                run.dataset.name
            )));
        }
        let workers = loader_workers(run.compute_threads);
        let loader = LoaderConfig::from_recipe(&run.recipe, run.seed, workers);
        let eval_set = EvalSet::new(val, &loader, evaluate::BATCH)?;

        let loaded = match &settled.init {
            InitialWeights::Drawn(_) => None,
            InitialWeights::Loaded(path) => Some(initial::read(run, path.as_deref())?),
        };
        let classes = initial::classes(run, train.classes(), loaded.as_ref())?;
        let model = Model::of_recipe(&run.recipe, classes)?;
        let drawn = settled.init.clone();
        let zero_gamma = settled.zero_gamma;
        let mut training = Training::new(&model, settled, run.seed, device);
        let Training {
            network,
            parameters,
            replicas,
            ..
        } = &mut training;
        match (drawn, &loaded) {
            (InitialWeights::Drawn(distribution), _) => {
                init::draw(parameters, &network.parameters, distribution, run.seed);
            }
            (InitialWeights::Loaded(_), Some(file)) => {
                weights::load(&file.dict, network, parameters, replicas).map_err(|error| {
                    Failure::permanent(format!("{}: {error:#}", file.path.display()))
                })?;
            }
            (InitialWeights::Loaded(_), None) => {
                return Err(Failure::permanent(
                    "initial weights were named but not read",
                ));
            }
        }
        if zero_gamma {
            init::zero_gamma(parameters, &network.parameters);
        }
        parameters.refresh();

        let resumed = checkpoint::newest(run_dir, past)?;
        let mut at = Position::default();
        if let Some(resumed) = &resumed {
            checkpoint::restore(&mut training, resumed)?;
            at = resumed.position;
        }
        let environment = Environment {
            host: environment::host(),
            cpu: environment::cpu_model(),
            pid: std::process::id(),
            device: if device == Device::Cpu {
                "cpu".to_owned()
            } else {
                "cuda:0".to_owned()
            },
            compute_threads: run.compute_threads,
            trainer: env!("CARGO_PKG_VERSION").to_owned(),
            commit: environment::commit(),
            libtorch: environment::libtorch(),
            protocol: rungs_spec::protocol::PROTOCOL_VERSION,
            numerics: rungs_spec::protocol::NUMERICS_VERSION,
            dataset: seen,
        };
        let as_json = |error| {
            Failure::permanent(format!(
                "the environment cannot be written as JSON: {error}"
            ))
        };
        let environment = serde_json::to_value(&environment).map_err(as_json)?;
        let text = serde_json::to_vec_pretty(&environment).map_err(as_json)?;
        write_replacing(&run_dir.environment(), &text)?;
        let schedule = LrSchedule::new(&run.recipe, steps_per_epoch);
        events.write(EventKind::Started {
            run: run.run.clone(),
            step: at.step,
            resumed_from: resumed.as_ref().map(|resumed| resumed.file.clone()),
            steps_per_epoch,
            steps: schedule.steps(),
            environment,
        })?;
        let checkpoints = Checkpoints::open(run_dir, number)?;
        let mut session = Session {
            run_dir,
            run,
            number,
            events,
            stop,
            training,
            schedule,
            steps_per_epoch,
            train,
            loader,
            val: eval_set,
            checkpoints,
            checkpointed: Instant::now(),
            at,
            readback: Readback::new(),
            epoch_started,
            epoch_seconds: Vec::new(),
        };
        session.repair_best(past)?;
        Ok(session)
    }

    /// An attempt that died between `last` and `best` of its best epoch left the best weights in
    /// `last` only.
    fn repair_best(&mut self, past: &Attempts) -> Result<(), Failure> {
        let Some(best) = self.at.best else {
            return Ok(());
        };
        let here = best.epoch * self.steps_per_epoch == self.at.step;
        if here && !checkpoint::has_best(self.run_dir, past, best.epoch)? {
            self.checkpoints
                .write_best(&self.training, self.at, best.epoch, self.events)?;
        }
        Ok(())
    }

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
        let loader = Loader::train(self.train.clone(), &self.loader, epoch, first)?;
        let kind = self.training.arithmetic().activations();
        let started = Instant::now();
        let first_step = self.at.step;
        for batch in loader {
            let (images, labels) = batch::tensors(&batch?, kind, self.training.device)?;
            let step = self.at.step;
            let lr = self.schedule.lr(step);
            let loss = self.training.step(&images, &labels, step, lr)?;
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
        let stats = self.training.replicas.mean(&self.training.network);
        let subject = Subject {
            network: &self.training.network,
            parameters: self.training.parameters.leaves(),
            stats: &stats,
            arithmetic: self.training.arithmetic(),
            device: self.training.device,
        };
        let Some(found) = evaluate::evaluate(subject, &mut self.val, self.stop)? else {
            self.checkpoint()?;
            return Ok(Some(Ended::Stopped));
        };
        self.write_evaluation(epochs, &found)?;
        let top1 = found.top1_percent();
        let is_best = self.at.best.is_none_or(|best| top1 > best.top1);
        if is_best {
            self.at.best = Some(Best {
                epoch: epochs,
                top1,
            });
        }
        self.at.evaluated = epochs;
        self.checkpoint()?;
        if is_best {
            self.checkpoints
                .write_best(&self.training, self.at, epochs, self.events)?;
        }
        self.epoch_seconds
            .push(self.epoch_started.elapsed().as_secs_f64());
        self.epoch_started = Instant::now();
        if stopping(self.stop) {
            return Ok(Some(Ended::Stopped));
        }
        self.superseded()
    }

    fn write_evaluation(&mut self, epochs: u64, found: &Evaluated) -> Result<(), Failure> {
        let mut metrics = std::collections::BTreeMap::from([
            ("val/loss".to_owned(), Num(found.loss)),
            ("val/top1".to_owned(), Num(found.top1_percent())),
            ("val/top5".to_owned(), Num(found.top5_percent())),
            (
                "system/rss_bytes".to_owned(),
                Num(environment::resident_bytes() as f64),
            ),
        ]);
        // An attempt that resumes at an evaluation has trained nothing.
        if self.readback.images_per_s > 0.0 {
            metrics.insert(
                "system/images_per_s".to_owned(),
                Num(self.readback.images_per_s),
            );
        }
        if self.training.arithmetic().is_half() {
            let skipped = self.training.optimiser.skipped.int64_value(&[]);
            metrics.insert("system/skipped_steps".to_owned(), Num(skipped as f64));
        }
        self.events.write(EventKind::Evaluation {
            epoch: epochs,
            step: self.at.step,
            split: "val".to_owned(),
            n: found.n,
            metrics,
            top1_bits: Some(evaluate::bits(&found.top1)),
            top5_bits: Some(evaluate::bits(&found.top5)),
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
        Ok(Ended::Finished)
    }
}

/// Threads that prepare batches, beside libtorch's own.
fn loader_workers(compute_threads: u32) -> usize {
    (compute_threads as usize).max(1)
}

/// A `tensors:` file is part of the run's identity by its content.
fn check_identity(run: &RunFile) -> Result<(), Failure> {
    let (Some(expected), Some(file)) = (
        run.dataset.identity.strip_prefix("blake3:"),
        run.recipe.tensors_file(),
    ) else {
        return Ok(());
    };
    let path = run.dataset.path.as_deref().unwrap_or(Path::new(file));
    let bytes = std::fs::read(path).map_err(|error| io_failure("cannot read", path, error))?;
    let found = blake3::hash(&bytes).to_hex().to_string();
    if found != expected {
        return Err(Failure::permanent(format!(
            "{}: has BLAKE3 {found}, the run was planned for {expected}: the file has changed since; plan again",
            path.display()
        )));
    }
    Ok(())
}

fn write_replacing(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let temporary = path.with_extension("json.tmp");
    std::fs::write(&temporary, bytes)
        .map_err(|error| io_failure("cannot write", &temporary, error))?;
    std::fs::rename(&temporary, path)
        .map_err(|error| io_failure("cannot rename", &temporary, error))
}
