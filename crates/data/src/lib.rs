//! Datasets, the paper's preprocessing, and the prefetching loader.
//!
//! | question | module |
//! |---|---|
//! | what is a dataset to the loader? | [`dataset`] |
//! | how do files become one: folders, archives, shards, packs? | [`datasets`] |
//! | which data is this? Is it still what a run was planned for? Is it whole? | [`mod@digest`], [`seen`], [`verify`] |
//! | which images does `train_subset` take? | [`mod@subset`] |
//! | which pixels has an image file, or a part of it? | [`mod@decode`] |
//! | what happens to an image before the network sees it? | [`preprocess`] |
//! | how do batches come, and in which order? | [`loader`], [`eval`] |
//! | what is in a batch? | [`batch`] |
//! | how do images with boxes and with masks come? | [`scenes`] |
//! | where do random numbers come from? | [`random`] |
//!
//! Architecture invariants: no libtorch; what a loader yields depends on (seed, epoch, index) alone,
//! never on the number of threads or on timing.
//!
//! # From a recipe to batches
//! ```
//! use rungs_data::{EvalSet, Layout, Loader, LoaderConfig, Output, Pixels, Split, digest, open, subset};
//!
//! # fn main() -> Result<(), rungs_data::DataError> {
//! # let augment = rungs_spec::recipe::Augment {
//! #     crop_area: [0.08, 1.0], crop_ratio: [0.75, 1.3333], flip: 0.5, hue: 0.4, saturation: 0.4,
//! #     brightness: 0.4, contrast: 0.0, pca_std: 0.1, antialias: false, resize_short: 37,
//! # };
//! # let (seed, epoch, first_batch) = (1, 0, 14);
//! let path = None; // RunFile.dataset.path.as_deref()
//! let train = subset(open("synthetic", path, Split::Train)?, Some(1024))?;
//! let val = subset(open("synthetic", path, Split::Val)?, None)?;
//! let seen = digest(train.as_ref())?; // for the `started` event; classes: train.classes()
//!
//! // `LoaderConfig::from_recipe(&recipe, seed, workers)` reads these from a recipe.
//! let config = LoaderConfig {
//!     seed,
//!     batch_size: 64,
//!     input_size: 32,
//!     augment,
//!     variant: rungs_spec::recipe::Variant::Paper,
//!     max_corrupt: 0,
//!     layout: Layout::ChannelsLast, // memory N, H, W, 3; or Layout::Nchw
//!     output: Output::Floats,       // or Output::Bytes, for a device to finish
//!     workers: 1,                   // 0 = in this thread
//! };
//! let loader = Loader::train(train.clone(), &config, epoch, first_batch)?;
//! assert_eq!(loader.batches(), 16); // of the whole epoch, drop_last
//! for batch in loader {
//!     let batch = batch?; // dropping it gives its buffer back to the loader
//!     assert_eq!(batch.labels.len(), 64);
//!     match &batch.images {
//!         // One tensor of batch.len() x height x width x 3 values, permuted to N, 3, H, W.
//!         Pixels::F32(values) => assert_eq!(values.len(), 64 * 32 * 32 * 3),
//!         Pixels::F64(_) => unreachable!("only tensors: files of doubles come as doubles"),
//!         Pixels::Bytes { .. } => unreachable!("not asked for"),
//!     }
//! }
//!
//! // Evaluation: every image once, in order, the last batch may be smaller. Kept after the first
//! // pass if all of it is under 512 MB. The batch size is free.
//! let mut eval = EvalSet::new(val, &config, 256)?;
//! let mut images = 0;
//! for batch in eval.pass()? {
//!     images += batch?.labels.len();
//! }
//! assert_eq!((images, seen.len()), (512, 64));
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

pub mod batch;
pub mod dataset;
pub mod datasets;
pub mod decode;
pub mod digest;
pub mod error;
pub mod eval;
pub mod files;
pub mod loader;
mod locate;
mod parallel;
pub mod preprocess;
pub mod random;
pub mod scenes;
pub mod seen;
pub mod subset;
pub mod verify;
mod worker;

pub use batch::{Batch, Output, Pixels};
pub use dataset::{Dataset, Image, Split, open, open_as};
pub use datasets::FileLayout;
pub use digest::{digest, fingerprint};
pub use error::DataError;
pub use eval::EvalSet;
pub use loader::{Loader, LoaderConfig};
pub use locate::locate;
pub use preprocess::Layout;
pub use seen::{open_run, open_test};
pub use subset::subset;
