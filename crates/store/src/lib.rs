//! The index over a home's files: what was asked for, what ran, every metric of every step.
//!
//! | question | module |
//! |---|---|
//! | how is the database opened, by one writer and many readers? | [`connect`] |
//! | what was decided and registered? | [`decisions`] |
//! | what runs next, and what became of it? | [`queue`] |
//! | how do events get in? | [`ingest`], and [`events`] reads them from attempt files |
//! | how are metric series stored? | [`chunk`] |
//! | what does a table need of its runs? | [`results`], [`series`] |
//! | which runs are there? | [`lists`], [`filter`] |
//! | what did a run's attempts do, what wants it, what does the scheduler say? | [`attempts`], [`applications`], [`slots`] |
//! | has anything of some runs changed? | [`stamps`] |
//! | where is the database, a dataset? what does planning ask of the home? | [`place`], [`dataset`], [`world`], [`parsed`] |
//! | who holds a lock? | [`locks`] |
//! | what was decided, what is asked for? | [`journal`], [`requests`] |
//! | how does a file survive a power loss? | [`durable`] |
//! | what if the database is gone? | [`reindex`] |
//!
//! Architecture invariants: the only crate with SQL; only the holder of HOME/scheduler.lock opens a
//! writer; nothing is in the database that the home's files cannot bring back, except columns marked
//! "volatile" in migrations/.
#![warn(missing_docs)]

pub mod applications;
pub mod attempts;
mod blocks;
pub mod chunk;
pub mod connect;
pub mod dataset;
pub mod decisions;
pub mod durable;
pub mod error;
pub mod events;
pub mod filter;
pub mod ingest;
pub mod journal;
pub mod lists;
pub mod locks;
pub mod parsed;
pub mod place;
pub mod queue;
pub mod reindex;
pub mod requests;
pub mod results;
pub mod series;
pub mod slots;
pub mod stamps;
mod time;
pub mod world;

pub use applications::{Applied, CellOf};
pub use attempts::{AttemptRow, AttemptState, CheckpointRow};
pub use connect::Store;
pub use error::StoreError;
pub use filter::{Paged, Place, RunFilter, RunOrder, SortBy};
pub use lists::RunRow;
pub use place::database_path;
pub use queue::{AttemptEnd, Claim, JOB_SLOT};
pub use reindex::{Reindexed, reindex};
pub use slots::SlotRow;
