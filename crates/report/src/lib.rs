//! What is shown: statistics, tables, charts and exports. Pure: no I/O, no clock, no SQL.
//!
//! | question | module |
//! |---|---|
//! | what did each refinement do, beside the paper? | [`table`] |
//! | is a difference real, does it agree with the paper? | [`stats`] |
//! | what does a profile narrow? | [`profile`] |
//! | what differs between runs? | [`compare`] |
//! | which runs would a plan do, and for how long? | [`plan`] |
//! | how does a table look on a terminal? | [`text`] |
//! | csv, json, markdown, latex, html? | [`export`] |
//! | curves as SVG? | [`chart`] |
//! | how long will a run take, here or on the paper's GPUs? | [`history`], [`published`] |
//! | every point of a metric as JSON? | [`series`] |
//! | how is one number written, and one note? | [`mod@format`], [`show`] |
#![warn(missing_docs)]

pub mod chart;
pub mod claims;
pub mod compare;
pub mod error;
pub mod export;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod format;
pub mod history;
pub mod plan;
pub mod power;
pub mod profile;
pub mod published;
#[cfg(test)]
mod schema_tests;
pub mod series;
pub mod show;
pub mod stats;
pub mod table;
pub mod text;

pub use error::ReportError;
pub use table::{Select, Table};
