//! Names of the files in a home. The home's files are the truth; the database is an index over them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::runkey::RunKey;

/// Paths below a home.
#[derive(Debug, Clone)]
pub struct Home(pub PathBuf);

impl Home {
    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }
    /// Experiment files ever applied, by the hash of their text.
    pub fn experiments(&self) -> PathBuf {
        self.0.join("experiments")
    }
    /// What server and CLI ask of the scheduler.
    pub fn requests(&self) -> PathBuf {
        self.0.join("requests")
    }
    /// Every decision, one JSON object a line.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }
    /// Held by the one scheduler.
    pub fn scheduler_lock(&self) -> PathBuf {
        self.0.join("scheduler.lock")
    }
    /// Dataset names to paths.
    pub fn datasets(&self) -> PathBuf {
        self.0.join("datasets.toml")
    }
    /// What the trainer said of this machine ([`crate::protocol::TrainerInfo`]).
    pub fn machine(&self) -> PathBuf {
        self.0.join("machine.json")
    }
    /// The database, unless `--db` says otherwise.
    pub fn database(&self) -> PathBuf {
        self.0.join("rungs.db")
    }
    /// How runs are submitted to Slurm (docs/SLURM.md).
    pub fn slurm(&self) -> PathBuf {
        self.0.join("slurm.toml")
    }
    /// All run directories.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }
    /// One run's directory.
    pub fn run(&self, key: &RunKey) -> RunDir {
        RunDir(self.runs().join(key.as_str()))
    }
}

/// Paths below a run directory.
#[derive(Debug, Clone)]
pub struct RunDir(pub PathBuf);

impl RunDir {
    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }
    /// What to train.
    pub fn recipe(&self) -> PathBuf {
        self.0.join("recipe.json")
    }
    /// Events of one attempt.
    pub fn attempt(&self, n: u32) -> PathBuf {
        self.0.join(format!("attempt-{n}.jsonl"))
    }
    /// Number in an event file's name.
    pub fn attempt_number(file_name: &str) -> Option<u32> {
        file_name
            .strip_prefix("attempt-")?
            .strip_suffix(".jsonl")?
            .parse()
            .ok()
            .filter(|n| *n > 0)
    }
    /// Exit status of the trainer of one attempt, left by the script of its Slurm job, which outlives
    /// the runner.
    pub fn exit_status(&self, n: u32) -> PathBuf {
        self.0.join(format!("attempt-{n}.exit"))
    }
    /// The Slurm job that works on the run, or is about to; there as long as it is not over.
    pub fn job(&self) -> PathBuf {
        self.0.join("job.json")
    }
    /// The script of that job.
    pub fn job_script(&self) -> PathBuf {
        self.0.join("job.sh")
    }
    /// Checkpoints `N-last.safetensors`, `N-best.safetensors`.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
    /// A few images with what the newest attempt says about them ([`crate::pictures`]).
    pub fn pictures(&self) -> PathBuf {
        self.0.join("pictures")
    }
    /// Output of all attempts.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.txt")
    }
    /// Machine and versions of the newest attempt.
    pub fn environment(&self) -> PathBuf {
        self.0.join("environment.json")
    }
    /// Locked (flock) by a live trainer for as long as it lives; its text is the trainer's pid.
    pub fn lock(&self) -> PathBuf {
        self.0.join("trainer.lock")
    }
}

/// One line of `journal.jsonl`: a decision. Replaying all lines gives the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalLine {
    /// RFC 3339, UTC.
    pub t: String,
    /// What was decided.
    #[serde(flatten)]
    pub entry: JournalEntry,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum JournalEntry {
    /// An experiment was applied: its cells want these runs.
    Applied {
        /// File stem.
        experiment: String,
        /// Names HOME/experiments/HASH.toml.
        hash: String,
        /// Profile.
        profile: Option<String>,
        /// Seeds 1..=n of every cell.
        seeds: u64,
        /// `--set` of the application.
        #[serde(default)]
        set: Vec<String>,
        /// Which cells want which runs.
        cells: Vec<CellRun>,
    },
    /// A run was queued (first time, or again).
    Queued {
        /// Run.
        run: RunKey,
        /// Runs that must be done before it.
        #[serde(default)]
        depends_on: Vec<RunKey>,
        /// Higher goes first.
        #[serde(default)]
        priority: i64,
    },
    /// A run was taken off the queue by a person.
    Cancelled {
        /// Run.
        run: RunKey,
    },
    /// A run was given up: out of tries, or its trainer said so.
    Failed {
        /// Run.
        run: RunKey,
        /// Why.
        class: crate::protocol::FailureClass,
        /// Why.
        message: String,
    },
    /// The order of a run changed.
    Priority {
        /// Run.
        run: RunKey,
        /// Higher goes first.
        priority: i64,
    },
    /// No new attempts start.
    Paused,
    /// They do again.
    Resumed,
}

/// One run of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRun {
    /// Row id.
    pub row: String,
    /// Column id.
    pub column: String,
    /// Seed.
    pub seed: u64,
    /// Run.
    pub run: RunKey,
}

/// HOME/requests/UUIDv7.json: what server or CLI ask of the scheduler, carried out in order of name
/// and then removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Request {
    /// Apply an experiment: queue what is missing.
    Apply {
        /// File stem.
        experiment: String,
        /// Names HOME/experiments/HASH.toml, written by who asks.
        hash: String,
        /// Profile.
        profile: Option<String>,
        /// Seeds of every cell, if not the file's.
        seeds: Option<u64>,
        /// `--set key=value`.
        #[serde(default)]
        set: Vec<String>,
        /// Only these rows.
        #[serde(default)]
        rows: Option<Vec<String>>,
        /// Only these columns.
        #[serde(default)]
        columns: Option<Vec<String>>,
    },
    /// Take a run off the queue, or stop it.
    Cancel {
        /// Run.
        run: RunKey,
    },
    /// Queue a failed or cancelled run again.
    Retry {
        /// Run.
        run: RunKey,
    },
    /// Change the order.
    Priority {
        /// Run.
        run: RunKey,
        /// Higher goes first.
        priority: i64,
    },
    /// Start no new attempts.
    Pause,
    /// Start them again.
    Resume,
}
