//! The words of Rungs and everything that can be decided without I/O.
//!
//! | question | module |
//! |---|---|
//! | what does an experiment file say? | [`experiment`] |
//! | which hyperparameters does a cell train with, and why? | [`settle`], [`recipe`], [`keys`] |
//! | what does one refinement change? | [`refinement`] |
//! | which runs does that make, and what are they called? | [`plan`], [`runkey`] |
//! | what do trainer and runner say to each other? | [`protocol`] |
//! | which learning rate at which step? | [`schedule`] |
//! | which layers does a model have? | [`model`] |
//! | what do detection and segmentation add to a recipe? | [`transfer`] |
//! | what is known about a run? | [`result`] |
//! | what does a run say about a few images? | [`pictures`] |
//! | what does the paper claim of its refinements? | [`claims`] |
//!
//! Architecture invariant: this crate does no I/O, knows no clock and no async.
#![warn(missing_docs)]

pub mod builtin;
pub mod claims;
pub mod dataset;
pub mod error;
pub mod experiment;
pub mod home;
pub mod keys;
pub mod metric;
pub mod model;
pub mod pictures;
pub mod plan;
pub mod protocol;
pub mod recipe;
pub mod refinement;
pub mod result;
pub mod runkey;
pub mod schedule;
pub mod settle;
pub mod transfer;
pub mod weights;

pub use error::SpecError;
pub use recipe::Recipe;
pub use runkey::RunKey;
