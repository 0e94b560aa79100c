//! The command line: planning, scheduler, executors, ingest.
//!
//! | question | module |
//! |---|---|
//! | what may be typed? | [`cli`] |
//! | what does a command do? | [`commands`], one file each |
//! | which home, which database, which experiment? | [`context`] |
//! | who runs what next, and what if something dies? | [`scheduler`] |
//! | how is a trainer found, started, ended? | [`trainer`], [`executor`] |
//! | how is a machine shared out? | [`slots`] |
//! | what stands in recipe.json? | [`runfile`] |
//! | how does progress look? | [`progress`] |
//! | how is a published file fetched and checked? | [`download`] |
//! | which exit status? | [`failure`] |
#![warn(missing_docs)]

pub mod cli;
pub mod clock;
pub mod commands;
pub mod context;
pub mod download;
pub mod executor;
pub mod failure;
pub mod files;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod runfile;
pub mod scheduler;
pub mod settled;
pub mod slots;
#[cfg(test)]
mod test_plan;
pub mod trainer;
