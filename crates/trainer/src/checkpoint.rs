//! Checkpoints: what is in one, how it gets onto the disk, and which one a new attempt continues
//! from.
//!
//! `checkpoints/N-last.safetensors` holds the model's state dict (running statistics: the mean over
//! replicas), and under `rungs/`: momentum, the running statistics of every replica, the count of
//! skipped steps, a dynamic loss scale. `N-best.safetensors` holds the state dict only. The metadata key `rungs` has a
//! [`Position`].
//!
//! A process may die at any instant. Order of writes: sync events, write a temporary file, sync it,
//! keep the old `N-last` as `N-previous`, rename, sync the directory, append the `checkpoint` event,
//! sync events, remove what is older. A file counts when some event has its digest, so between the
//! rename and the event `N-previous` counts.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rungs_spec::home::RunDir;
use rungs_spec::protocol::EventKind;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::attempts::{Attempts, Recorded};
use crate::events::Events;
use crate::failure::{Failure, io_failure};
use crate::loss_scale::Scale;
use crate::training::Training;
use crate::weights::{self, OWN_PREFIX, StateDict};

const METADATA: &str = "rungs";
/// How the name of a checkpoint ends, and that of one being written.
const WHOLE: &str = ".safetensors";
const TORN: &str = ".safetensors.tmp";

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Finished steps.
    pub step: u64,
    /// Finished and evaluated epochs.
    pub evaluated: u64,
    /// Epoch (from 1) of the highest score, the first of equals.
    pub best: Option<Best>,
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Finished epochs.
    pub epoch: u64,
    /// The task's first metric, percent: of a classification validation top-1.
    #[serde(rename = "top1")]
    pub score: f64,
}

/// The checkpoint files of a run, as this attempt writes them.
#[derive(Debug)]
pub struct Checkpoints {
    run_dir: RunDir,
    attempt: u32,
}

impl Checkpoints {
    /// Creates the directory if need be.
    pub fn open(run_dir: &RunDir, attempt: u32) -> Result<Checkpoints, Failure> {
        let dir = run_dir.checkpoints();
        std::fs::create_dir_all(&dir).map_err(|error| io_failure("cannot create", &dir, error))?;
        // Its name, and that of the event file beside it, before anything in them counts.
        sync_dir(run_dir.dir())?;
        Ok(Checkpoints {
            run_dir: run_dir.clone(),
            attempt,
        })
    }

    fn path(&self, which: &str) -> PathBuf {
        self.run_dir
            .checkpoints()
            .join(format!("{}-{which}.safetensors", self.attempt))
    }

    /// Writes `N-last`; then older checkpoints are not needed any more.
    pub fn write_last(
        &self,
        training: &Training,
        at: Position,
        epoch: u64,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let Training {
            network,
            parameters,
            replicas,
            optimiser,
            ..
        } = training;
        let mut dict = weights::state_dict(network, parameters, &replicas.mean(network));
        for (name, tensor) in weights::named(network, parameters, &optimiser.momentum) {
            dict.insert(format!("{OWN_PREFIX}momentum/{name}"), tensor);
        }
        for (r, stats) in replicas.each().iter().enumerate() {
            for (name, tensor) in weights::named_stats(network, stats) {
                dict.insert(format!("{OWN_PREFIX}replica/{r}/{name}"), tensor);
            }
        }
        dict.insert(format!("{OWN_PREFIX}skipped"), optimiser.skipped.copy());
        if let Scale::Dynamic { scale, good } = &training.scale {
            dict.insert(format!("{OWN_PREFIX}loss_scale"), scale.copy());
            dict.insert(format!("{OWN_PREFIX}good_steps"), good.copy());
        }
        self.write("last", &dict, at, epoch, events)?;
        self.remove_older()
    }

    /// Writes `N-best`.
    pub fn write_best(
        &self,
        training: &Training,
        at: Position,
        epoch: u64,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let Training {
            network,
            parameters,
            replicas,
            ..
        } = training;
        let dict = weights::state_dict(network, parameters, &replicas.mean(network));
        self.write("best", &dict, at, epoch, events)
    }

    fn write(
        &self,
        which: &str,
        dict: &StateDict,
        at: Position,
        epoch: u64,
        events: &mut Events,
    ) -> Result<(), Failure> {
        events.sync()?;
        let broken = |error| Failure::transient(format!("a checkpoint cannot be made: {error:#}"));
        let position = serde_json::to_string(&at).map_err(|error| broken(error.into()))?;
        let bytes = weights::serialize(dict, Some((METADATA, position))).map_err(broken)?;
        let path = self.path(which);
        let temporary = path.with_extension("safetensors.tmp");
        if let Err(error) = write_synced(&temporary, &bytes) {
            // Half a file is of no use, and the disk may be full. The first error is the one to tell.
            let _ = std::fs::remove_file(&temporary);
            return Err(io_failure("cannot write", &temporary, error));
        }
        if which == "last" && path.exists() {
            let previous = self.path("previous");
            std::fs::rename(&path, &previous)
                .map_err(|error| io_failure("cannot rename", &path, error))?;
            // A power loss that keeps only the second rename would leave neither checkpoint with an event.
            sync_dir(&self.run_dir.checkpoints())?;
        }
        std::fs::rename(&temporary, &path)
            .map_err(|error| io_failure("cannot rename", &temporary, error))?;
        sync_dir(&self.run_dir.checkpoints())?;
        let file = format!("checkpoints/{}-{which}.safetensors", self.attempt);
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        events.write(EventKind::Checkpoint {
            epoch,
            step: at.step,
            file,
            blake3,
        })?;
        events.sync()
    }

    /// Removes `last` and `previous` files that the newest `last` supersedes, and what attempts that
    /// died inside a write left half done.
    fn remove_older(&self) -> Result<(), Failure> {
        for (path, attempt, _) in files(&self.run_dir, TORN)? {
            if attempt < self.attempt {
                remove(&path)?;
            }
        }
        for (path, attempt, which) in files(&self.run_dir, WHOLE)? {
            let superseded = match which.as_str() {
                "last" | "previous" if attempt < self.attempt => true,
                "previous" => attempt == self.attempt,
                _ => false,
            };
            if superseded {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    std::fs::remove_file(path).map_err(|error| io_failure("cannot remove", path, error))
}

/// Files NUMBER-WHICH with this ending in the checkpoints directory.
fn files(run_dir: &RunDir, ending: &str) -> Result<Vec<(PathBuf, u32, String)>, Failure> {
    let dir = run_dir.checkpoints();
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_failure("cannot read", &dir, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| io_failure("cannot read", &dir, error))?
            .path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(ending));
        if let Some((number, which)) = name.and_then(|name| name.split_once('-'))
            && let Ok(attempt) = number.parse()
        {
            let which = which.to_owned();
            found.push((path, attempt, which));
        }
    }
    Ok(found)
}

/// A checkpoint that a new attempt can continue from.
#[derive(Debug)]
pub struct Resumable {
    /// Path below the run directory.
    pub file: String,
    /// How far it is.
    pub position: Position,
    dict: StateDict,
}

/// The newest whole checkpoint of a run: one that an event has the digest of. Others are passed over.
pub fn newest(run_dir: &RunDir, attempts: &Attempts) -> Result<Option<Resumable>, Failure> {
    let mut found: Vec<(u64, u32, PathBuf, Vec<u8>)> = Vec::new();
    for (path, attempt, which) in files(run_dir, WHOLE)? {
        if which != "last" && which != "previous" {
            continue;
        }
        let bytes =
            std::fs::read(&path).map_err(|error| io_failure("cannot read", &path, error))?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        if let Some(Recorded { step, .. }) = attempts.checkpoint_with(&digest) {
            found.push((step, attempt, path, bytes));
        }
    }
    found.sort_by_key(|(step, attempt, ..)| std::cmp::Reverse((*step, *attempt)));
    for (_, _, path, bytes) in found {
        if let Some((position, dict)) = position_of(&bytes).zip(weights::parse(&bytes).ok()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Ok(Some(Resumable {
                file: format!("checkpoints/{name}"),
                position,
                dict,
            }));
        }
    }
    Ok(None)
}

/// Whether the weights of that epoch's `best` are whole on the disk.
pub fn has_best(run_dir: &RunDir, attempts: &Attempts, epoch: u64) -> Result<bool, Failure> {
    for (path, _, which) in files(run_dir, WHOLE)? {
        if which == "best" {
            let bytes =
                std::fs::read(&path).map_err(|error| io_failure("cannot read", &path, error))?;
            let recorded = attempts.checkpoint_with(blake3::hash(&bytes).to_hex().as_str());
            if recorded.is_some_and(|recorded| recorded.epoch == epoch) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn position_of(bytes: &[u8]) -> Option<Position> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).ok()?;
    serde_json::from_str(header.metadata().as_ref()?.get(METADATA)?).ok()
}

/// Puts a checkpoint into a training: afterwards every bit is as when it was written.
pub fn restore(training: &mut Training, checkpoint: &Resumable) -> Result<(), Failure> {
    let wrong = |error| {
        Failure::permanent(format!(
            "{}: does not fit this run's recipe: {error:#}",
            checkpoint.file
        ))
    };
    let Training {
        network,
        parameters,
        replicas,
        optimiser,
        ..
    } = training;
    weights::load(&checkpoint.dict, network, parameters, replicas).map_err(wrong)?;
    let _guard = tch::no_grad_guard();
    let own = |name: String| {
        let found = checkpoint.dict.get(&format!("{OWN_PREFIX}{name}"));
        found.ok_or_else(|| wrong(anyhow::anyhow!("{OWN_PREFIX}{name} is missing")))
    };
    for (i, spec) in network.parameters.iter().enumerate() {
        parameters
            .view(&optimiser.momentum, i)
            .copy_(own(format!("momentum/{}", spec.name))?);
    }
    for (r, stats) in replicas.each().iter().enumerate() {
        for (n, norm) in network.norms.iter().enumerate() {
            let (mean, var) = stats.of(n);
            let copy = |to: &Tensor, part: &str| -> Result<(), Failure> {
                to.shallow_clone()
                    .copy_(own(format!("replica/{r}/{}.{part}", norm.name))?);
                Ok(())
            };
            copy(mean, "running_mean")?;
            copy(var, "running_var")?;
        }
    }
    optimiser.skipped.copy_(own("skipped".to_owned())?);
    if let Scale::Dynamic { scale, good } = &mut training.scale {
        scale.copy_(own("loss_scale".to_owned())?);
        good.copy_(own("good_steps".to_owned())?);
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_dir(dir: &Path) -> Result<(), Failure> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| io_failure("cannot sync", dir, error))
}
