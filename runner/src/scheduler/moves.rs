//! What goes into the state machine of [`super::machine`] and what comes out of it.

use rungs_spec::RunKey;
use rungs_spec::protocol::FailureClass;

use super::ending::{Ending, Verdict};

/// One attempt of one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptId {
    /// Run.
    pub run: RunKey,
    /// Attempt, from 1.
    pub attempt: u32,
}

/// How a live attempt is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// A process of this machine; 0 if its number is not known.
    Process(u32),
    /// By the job of its run. It lives on without a scheduler: Slurm itself starts it again where a
    /// node fails or the time is up.
    Job,
}

/// A claimed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The attempt.
    pub id: AttemptId,
    /// CPU threads it computes with.
    pub threads: u32,
    /// Tries used up since a person queued the run, this one included.
    pub tries: u32,
    /// A timing run: nothing else may live beside it, or its clock would measure that as well.
    pub alone: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Some time has passed: look for work.
    Tick,
    /// The answer to [`Effect::Claim`].
    Claimed {
        /// Slot that asked.
        slot: usize,
        /// The attempt to start; `None` if nothing waits.
        claim: Option<Work>,
    },
    /// A live trainer was found after a restart.
    Adopted {
        /// What it executes.
        work: Work,
        /// How it is reached.
        handle: Handle,
    },
    /// A trainer was started, or a job was taken in by Slurm.
    Started {
        /// What it executes.
        id: AttemptId,
        /// How it is reached.
        handle: Handle,
    },
    /// Slurm started the job of this run again: it executes a later attempt.
    Advanced {
        /// What it executed.
        id: AttemptId,
        /// Attempt that it executes.
        attempt: u32,
    },
    /// Slurm does not take this one now, so it takes no other either: its queue is full, or it does
    /// not answer.
    Refused {
        /// What was to be executed.
        id: AttemptId,
    },
    /// Slurm may take something again.
    Reopened,
    /// A trainer is gone, or could not be started.
    Ended {
        /// What it executed.
        id: AttemptId,
        /// How it ended.
        ending: Ending,
        /// Now, milliseconds since 1970.
        now_ms: i64,
    },
    /// A person cancelled this run.
    Cancelled {
        /// Run.
        run: RunKey,
    },
    /// Start nothing more, and leave when no trainer lives here. `Stop` comes from Ctrl-C.
    Stop(Stop),
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Leave the live trainers to the next scheduler.
    Detach,
    /// Let trainers write a checkpoint (SIGTERM), wait for them.
    Checkpoint,
    /// At once (SIGKILL).
    AtOnce,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the store for work for this slot.
    Claim {
        /// Slot.
        slot: usize,
    },
    /// Start a trainer.
    Start {
        /// Slot.
        slot: usize,
        /// What it shall execute.
        id: AttemptId,
    },
    /// Ask a trainer to write a checkpoint and leave.
    Terminate {
        /// Its process.
        pid: u32,
    },
    /// End a trainer at once.
    Kill {
        /// Its process.
        pid: u32,
    },
    /// Cancel the job of a run.
    CancelJob {
        /// Run.
        run: RunKey,
    },
    /// Take a claim back of which nothing came.
    Unclaim {
        /// Attempt.
        id: AttemptId,
    },
    /// Tell the store how an attempt ended.
    Record {
        /// Attempt.
        id: AttemptId,
        /// How.
        verdict: Verdict,
    },
    /// Give a run up: a decision, so the journal has it first.
    GiveUp {
        /// Attempt.
        id: AttemptId,
        /// Whether another attempt could have succeeded.
        class: FailureClass,
        /// Why.
        message: String,
    },
    /// Nothing lives any more, and nothing shall be started.
    Leave,
}
