//! Runs as jobs of Slurm: one job per run, which executes one attempt after the other.
//!
//! | question | module |
//! |---|---|
//! | what does HOME/slurm.toml say? | [`config`] |
//! | what is written into the run directory, and what does the job do on its node? | [`job`] |
//! | how are sbatch, squeue, sacct, scancel called? | [`commands`] |
//! | what became of a job? | [`outcome`] |
//!
//! A job outlives the runner. So everything that a later scheduler needs is in the run directory:
//! `job.json` says which job works on the run, `attempt-N.exit` with which status the trainer of an
//! attempt left, and the job's own errors are in `log.txt`.

pub mod commands;
pub mod config;
pub mod job;
pub mod outcome;

pub use commands::{Listed, Queue};
pub use config::Config;
pub use job::Job;
pub use outcome::{Outcome, outcome};
