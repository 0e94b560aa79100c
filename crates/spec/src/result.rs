//! What is known about a run, as the store tells it and the report shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::{Arithmetic, FailureClass, RunFile};
use crate::recipe::Recipe;
use crate::runkey::RunKey;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Planned, never queued.
    New,
    /// Queued, waits for a run it depends on.
    Blocked,
    /// Waits for a slot.
    Queued,
    /// An attempt is alive.
    Running,
    /// Finished.
    Done,
    /// Given up.
    Failed,
    /// Taken off the queue by a person.
    Cancelled,
}

impl RunState {
    /// All of them.
    pub const ALL: [RunState; 7] = [
        Self::New,
        Self::Blocked,
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word in SQL, JSON and HTML.
    pub fn word(self) -> &'static str {
        match self {
            RunState::New => "new",
            RunState::Blocked => "blocked",
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
}

/// A run with everything a table needs to show it. Superseded points are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult {
    /// Key.
    pub key: RunKey,
    /// Seed.
    pub seed: u64,
    /// State.
    pub state: RunState,
    /// Recipe.
    pub recipe: Recipe,
    /// Whether half precision was emulated.
    pub emulated: bool,
    /// Highest attempt so far, 0 if none.
    pub attempts: u32,
    /// Steps done, steps in all (0 while unknown), steps of an epoch.
    pub progress: Progress,
    /// Evaluations in order of epoch, one per (split, epoch).
    pub evaluations: Vec<Evaluation>,
    /// Outcome of a finished run.
    pub finished: Option<FinishedRun>,
    /// Outcome of a failed run.
    pub failure: Option<Failure>,
    /// What the newest attempt that started was made with.
    pub provenance: Option<Provenance>,
}

impl RunResult {
    /// A run of which nothing but its recipe is known.
    pub fn new(file: &RunFile) -> Self {
        RunResult {
            key: file.run.clone(),
            seed: file.seed,
            state: RunState::New,
            recipe: file.recipe.clone(),
            emulated: file.arithmetic == Arithmetic::CpuEmulatedHalf,
            attempts: 0,
            progress: Progress::default(),
            evaluations: Vec::new(),
            finished: None,
            failure: None,
            provenance: None,
        }
    }
}

/// What an attempt was made with: the part of its environment that a comparison rests on. Facts that an
/// older trainer did not write are empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Host name.
    pub host: String,
    /// CPU model.
    pub cpu: String,
    /// Devices computed on.
    pub device: String,
    /// Models of the GPUs among them.
    pub gpus: Vec<String>,
    /// Version of libtorch.
    pub libtorch: String,
    /// Version of the trainer.
    pub trainer: String,
    /// Commit that the trainer was built from.
    pub commit: Option<String>,
    /// The data really seen.
    pub dataset: Option<SeenData>,
}

/// Digests of the images that a run used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SeenData {
    /// BLAKE3 of ids, labels and bytes trained on.
    pub train_blake3: String,
    /// BLAKE3 of those evaluated on.
    pub val_blake3: String,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Training images per second over the newest events, 0 while unknown.
    pub images_per_s: f64,
}

/// What a plan asks of a run that is known: everything else of a result takes longer to read than to use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// State.
    pub state: RunState,
    /// How far it is.
    pub progress: Progress,
}

impl From<&RunResult> for Standing {
    fn from(run: &RunResult) -> Self {
        Standing {
            state: run.state,
            progress: run.progress,
        }
    }
}

/// One evaluation of a whole split.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Attempt that made it.
    pub attempt: u32,
    /// Finished epochs.
    pub epoch: u64,
    /// Finished steps.
    pub step: u64,
    /// `val` or `test`.
    pub split: String,
    /// Images.
    pub n: u64,
    /// Values by metric name.
    pub metrics: BTreeMap<String, f64>,
    /// Bitset of images right in their top 1; empty where none was written.
    pub top1_bits: Vec<u8>,
    /// Bitset of images right in their top 5.
    pub top5_bits: Vec<u8>,
}

/// Outcome of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishedRun {
    /// BLAKE3 of the final weights, hex.
    pub weights_blake3: String,
    /// Epoch of the best validation top-1.
    pub best_epoch: u64,
    /// Peak memory, bytes.
    pub peak_bytes: u64,
    /// Wall seconds of each epoch, superseded ones left out.
    pub epoch_seconds: Vec<f64>,
}

/// Outcome of a failed run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether another attempt could succeed.
    pub class: FailureClass,
    /// One paragraph.
    pub message: String,
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Step (see [`crate::protocol`] for how steps and epochs count).
    pub step: u64,
    /// Epoch.
    pub epoch: u64,
    /// Value.
    pub value: f64,
    /// Attempt that wrote it.
    pub attempt: u32,
    /// Superseded by a later attempt.
    pub superseded: bool,
}
