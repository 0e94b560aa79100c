//! The one scheduler of a home: who it is ([`lock`]), what it decides ([`machine`], [`ending`],
//! [`apply`]), and how that is carried out ([`driver`] and `begin`; `jobs`, `submit` and `jobs_left` for
//! Slurm).
//!
//! Architecture invariant: only the holder of HOME/scheduler.lock writes the database, and every
//! decision is in journal.jsonl, synced, before it takes effect.

mod account;
pub mod apply;
mod begin;
pub mod catchup;
pub mod driver;
pub mod ending;
pub mod ingest;
mod jobs;
mod jobs_left;
pub mod ledger;
pub mod lock;
pub mod machine;
pub mod moves;
pub mod requests;
mod submit;

pub use lock::SchedulerLock;
