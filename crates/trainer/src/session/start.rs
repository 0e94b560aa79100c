//! Everything before an attempt's first step: data, network, initial weights or a checkpoint, the
//! `started` event.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rungs_data::seen::RunData;
use rungs_data::{Dataset, LoaderConfig, Output};
use rungs_spec::home::RunDir;
use rungs_spec::model::{Model, too_small};
use rungs_spec::protocol::{EventKind, RunFile};
use rungs_spec::recipe::Task as RecipeTask;
use rungs_spec::schedule::LrSchedule;
use tch::Device;

use super::Session;
use super::classify::Classify;
use super::task::Task;
use crate::attempts::Attempts;
use crate::checkpoint::{self, Checkpoints, Position};
use crate::detect::task::DetectTask;
use crate::environment::{self, Environment, SeenData};
use crate::events::Events;
use crate::failure::{Failure, io_failure};
use crate::gpu::Meter;
use crate::initial::{self, InitialFile};
use crate::log;
use crate::mixup::Mixup;
use crate::readback::Readback;
use crate::segment::task::SegmentTask;
use crate::supported::{self, InitialWeights, Settled};
use crate::teacher::Teacher;
use crate::training::Training;
use crate::{determinism, init, weights};

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
        let device_names = settled.layout.names();
        let devices = settled.layout.devices();
        determinism::set_up(run.compute_threads);

        check_identity(run)?;
        let (train_subset, val_subset) = (run.recipe.train_subset, run.recipe.val_subset);
        let RunData {
            train,
            val,
            train_blake3,
            val_blake3,
        } = rungs_data::open_run(&run.dataset, train_subset, val_subset)?;
        let seen = SeenData {
            name: run.dataset.name.clone(),
            train: train.len() as u64,
            train_blake3,
            val: val.len() as u64,
            val_blake3,
        };
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
        let schedule = LrSchedule::new(&run.recipe, steps_per_epoch);
        let prepared = match run.recipe.task {
            RecipeTask::Classify => classification(run, settled, train, val, schedule.steps())?,
            RecipeTask::Segment => on_backbone(run, settled, |settled, workers, loaded| {
                SegmentTask::prepare(run, settled, train, val, workers, loaded)
            })?,
            RecipeTask::Detect => on_backbone(run, settled, |settled, workers, loaded| {
                DetectTask::prepare(run, settled, train, val, workers, loaded)
            })?,
        };
        let (task, mut training) = prepared;

        let resumed = checkpoint::newest(run_dir, past)?;
        let mut at = Position::default();
        if let Some(resumed) = &resumed {
            checkpoint::restore(&mut training, resumed)?;
            at = resumed.position;
        }
        let gpus = Meter::of(&devices);
        let environment = Environment {
            host: environment::host(),
            cpu: environment::cpu_model(),
            pid: std::process::id(),
            command: environment::command(),
            driver: environment::driver(),
            device: device_names.clone(),
            gpus: gpus.as_ref().map_or_else(Vec::new, Meter::models),
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
            task,
            checkpoints,
            checkpointed: Instant::now(),
            at,
            readback: Readback::new(),
            gpus,
            whole_epoch: at.step == at.evaluated * steps_per_epoch,
            corrupt: 0,
            epoch_started,
            epoch_seconds: Vec::new(),
        };
        session.repair_best(past)?;
        log::progress(format_args!(
            "attempt {number} on {device_names} goes {} step {} of {}, {} epochs of {steps_per_epoch} steps",
            if at.step == 0 { "from" } else { "on at" },
            at.step,
            session.schedule.steps(),
            session.epochs(),
        ));
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
}

/// What a task trains with.
type Prepared = (Box<dyn Task>, Training);

/// Data, network and initial weights of a classification.
fn classification(
    run: &RunFile,
    settled: Settled,
    train: Arc<dyn Dataset>,
    val: Arc<dyn Dataset>,
    steps: u64,
) -> Result<Prepared, Failure> {
    let device = settled.layout.main();
    let workers = loader_workers(run.compute_threads);
    let mut loader = LoaderConfig::from_recipe(&run.recipe, run.seed, workers);
    if device != Device::Cpu {
        // A quarter of what floats would take over the bus; the GPU finishes them (crate::batch).
        loader.output = Output::Bytes;
    }
    let loaded = loaded(run, &settled)?;
    let classes = initial::classes(run, train.classes(), loaded.as_ref())?;
    let model = Model::of_recipe(&run.recipe, classes)?;
    if let Some(why) = too_small(&model, run.recipe.input_size) {
        return Err(Failure::permanent(why));
    }
    let mixup = Mixup::of_run(run, steps)?;
    let teacher = Teacher::of_run(run, classes, settled.arithmetic, device)?;
    let (init, zero_gamma) = (settled.init.clone(), settled.zero_gamma);
    let mut training = Training::new(&model, settled, mixup, teacher, run.seed);
    let Training {
        network,
        parameters,
        replicas,
        ..
    } = &mut training;
    match (init, &loaded) {
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
    Ok((Box::new(Classify::new(train, val, loader)?), training))
}

/// Data, network and initial weights of a task on a backbone, whose weights may come from elsewhere; its
/// own parts' are always drawn.
fn on_backbone<T: Task + 'static>(
    run: &RunFile,
    settled: Settled,
    prepare: impl FnOnce(Settled, usize, Option<InitialFile>) -> Result<(T, Training), Failure>,
) -> Result<Prepared, Failure> {
    let loaded = loaded(run, &settled)?;
    let (task, training) = prepare(settled, loader_workers(run.compute_threads), loaded)?;
    Ok((Box::new(task), training))
}

/// Initial weights from elsewhere, read.
fn loaded(run: &RunFile, settled: &Settled) -> Result<Option<InitialFile>, Failure> {
    match &settled.init {
        InitialWeights::Drawn(_) => Ok(None),
        InitialWeights::Loaded(path) => {
            initial::read(run, initial::INIT, path.as_deref()).map(Some)
        }
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
