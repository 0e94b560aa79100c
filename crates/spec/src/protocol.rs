//! What runner and trainer say to each other: `recipe.json` in, `attempt-N.jsonl` and an exit status
//! out. Language-neutral on purpose; docs/schema/ holds the JSON Schemas of both.
//!
//! Steps count from 0: step `s` is the `s`-th update. The epoch of a step is the index (from 0) of
//! the epoch it belongs to. An evaluation stands after `epoch` finished epochs and `step` finished
//! steps, so the first evaluation has epoch 1.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::recipe::{CheckpointRef, Recipe};
use crate::runkey::RunKey;

/// Version of `recipe.json`, events and exit statuses. Runner and trainer refuse to work together
/// when theirs differ.
pub const PROTOCOL_VERSION: u32 = 1;

/// Version of the trainer's numbers: raised when the same recipe and seed would train to different
/// weights. Part of the run key.
pub const NUMERICS_VERSION: u32 = 4;

/// Exit status: the run is finished.
pub const EXIT_FINISHED: i32 = 0;
/// Exit status: a permanent failure; a retry would fail again.
pub const EXIT_PERMANENT: i32 = 1;
/// Exit status: checkpointed and left, as SIGTERM asked.
pub const EXIT_CHECKPOINTED: i32 = 75;
/// What a line of the log begins with that only tells how far an attempt has come. An error message
/// quotes what the log says after the last of them.
pub const LOG_PROGRESS: &str = "-- ";

/// The device a run computes on, and whether half precision is real there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arithmetic {
    /// FP32, FP64 on a CPU.
    #[serde(rename = "cpu")]
    Cpu,
    /// Any precision on an NVIDIA GPU.
    #[serde(rename = "cuda")]
    Cuda,
    /// Half precision emulated on a CPU: FP32 arithmetic, values rounded at layer boundaries.
    #[serde(rename = "cpu-emulated-half")]
    CpuEmulatedHalf,
}

/// HOME/runs/RUNKEY/recipe.json: all that a trainer needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// [`PROTOCOL_VERSION`].
    pub v: u32,
    /// Key of the run; the name of its directory.
    pub run: RunKey,
    /// Seed of every random stream.
    pub seed: u64,
    /// [`NUMERICS_VERSION`] the run was planned for.
    pub numerics: u32,
    /// Device kind the run was planned for.
    pub arithmetic: Arithmetic,
    /// CPU threads for libtorch, fixed when the run was first queued.
    pub compute_threads: u32,
    /// Devices that the replicas are spread over, such as `["cuda:0", "cuda:1"]`; empty = the one
    /// device of `arithmetic`. Changes speed only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// A timing run: a few epochs for the clock, alone on the machine. Its accuracy is never shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timing: bool,
    /// A checkpoint at least this often, seconds (and at every epoch).
    pub checkpoint_every_s: f64,
    /// Where the data is.
    pub dataset: DatasetRef,
    /// Weights from elsewhere, by the recipe key that names them (`init`, `distill.teacher`,
    /// `mixup_lambdas`).
    #[serde(default)]
    pub inputs: BTreeMap<String, InputRef>,
    /// The hyperparameters.
    pub recipe: Recipe,
}

/// The dataset of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRef {
    /// As in the recipe.
    pub name: String,
    /// What entered the run key: `NAME@VERSION`, or `blake3:DIGEST`.
    pub identity: String,
    /// Directory or file it is read from; `None` for synthetic data.
    pub path: Option<PathBuf>,
    /// How its files are arranged, as `runner data add` recorded it; without it, the reader looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Digests of the whole splits that need not be computed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownData>,
}

/// Digests of a dataset, and the state of its files for which they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownData {
    /// BLAKE3 over names, sizes and times of change of the files.
    pub fingerprint: String,
    /// BLAKE3 of the training split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_blake3: Option<String>,
    /// BLAKE3 of the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_blake3: Option<String>,
}

/// Weights that a run starts from or learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRef {
    /// Model whose state dict it is.
    pub model: String,
    /// Run directory of the source run, if it is one.
    pub run_dir: Option<PathBuf>,
    /// Which checkpoint of that run.
    pub checkpoint: Option<CheckpointRef>,
    /// File of weights, if it is one.
    pub file: Option<PathBuf>,
}

/// One line of `attempt-N.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`PROTOCOL_VERSION`].
    pub v: u32,
    /// RFC 3339, UTC.
    pub t: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EventKind {
    /// First event of an attempt.
    Started {
        /// Key of the run.
        run: RunKey,
        /// First step this attempt will execute; 0 unless it resumes. Points of earlier attempts
        /// at or after it are superseded.
        step: u64,
        /// Checkpoint file it resumes from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed_from: Option<String>,
        /// Steps of one epoch, and of the whole run.
        steps_per_epoch: u64,
        /// Steps of the whole run.
        steps: u64,
        /// Host, CPU, threads, libtorch, versions, dataset digest: as in environment.json.
        environment: serde_json::Value,
    },
    /// Per-step values of consecutive steps of one epoch.
    Metrics {
        /// Step of the first value.
        step0: u64,
        /// Index of the epoch all of them belong to.
        epoch0: u64,
        /// Values by metric name, all of the same length.
        values: BTreeMap<String, Vec<Num>>,
    },
    /// One evaluation of a whole split.
    Evaluation {
        /// Finished epochs.
        epoch: u64,
        /// Finished steps.
        step: u64,
        /// `val` or `test`.
        split: String,
        /// Images evaluated.
        n: u64,
        /// Values by metric name.
        metrics: BTreeMap<String, Num>,
        /// base64 of a bitset in the order of the split, bit i of byte i/8 (least significant
        /// first): image i is right in its top 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top1_bits: Option<String>,
        /// As `top1_bits`, top 5.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top5_bits: Option<String>,
    },
    /// A checkpoint is complete on disk.
    Checkpoint {
        /// Finished epochs (an unfinished one does not count).
        epoch: u64,
        /// Finished steps: the next attempt starts at this step.
        step: u64,
        /// Path below the run directory.
        file: String,
        /// Digest of that file, hex.
        blake3: String,
    },
    /// Last event of a run.
    Finished {
        /// BLAKE3 of the final weights, hex (see docs/schema/README.md for the order of bytes).
        weights_blake3: String,
        /// Epoch of the best validation top-1.
        best_epoch: u64,
        /// Peak memory of the trainer's process, bytes.
        peak_bytes: u64,
        /// Wall seconds of each epoch of this attempt, evaluation included.
        epoch_seconds: Vec<f64>,
    },
    /// The attempt gave up.
    Failed {
        /// Whether another attempt could succeed.
        class: FailureClass,
        /// One paragraph: what, where, the cure.
        message: String,
    },
}

/// Whether another attempt could succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// Never: a bad recipe, missing data, a NaN loss.
    Permanent,
    /// Perhaps: memory, disk, a lost node.
    Transient,
}

/// A float that survives JSON: non-finite values are the strings `"NaN"`, `"Infinity"`,
/// `"-Infinity"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Num(pub f64);

impl Serialize for Num {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            s.serialize_f64(self.0)
        } else if self.0.is_nan() {
            s.serialize_str("NaN")
        } else if self.0 > 0.0 {
            s.serialize_str("Infinity")
        } else {
            s.serialize_str("-Infinity")
        }
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            F(f64),
            S(String),
        }
        match Raw::deserialize(d)? {
            Raw::F(x) => Ok(Num(x)),
            Raw::S(s) => match s.as_str() {
                "NaN" => Ok(Num(f64::NAN)),
                "Infinity" => Ok(Num(f64::INFINITY)),
                "-Infinity" => Ok(Num(f64::NEG_INFINITY)),
                other => Err(serde::de::Error::custom(format!(
                    "{other:?} is not a number"
                ))),
            },
        }
    }
}

/// `trainer devices --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerInfo {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// [`NUMERICS_VERSION`].
    pub numerics: u32,
    /// Version of the trainer.
    pub version: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// CPU first, then GPUs.
    pub devices: Vec<Device>,
}

/// A device that the trainer can compute on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// `cpu`, `cuda:0`, ...
    pub id: String,
    /// `cpu` or `cuda`.
    pub kind: String,
    /// As the driver or /proc calls it.
    pub name: String,
    /// Bytes.
    pub memory_bytes: u64,
    /// Usable CPU threads (0 for GPUs).
    pub threads: u32,
}
