//! The evaluation split, preprocessed once: its images are the same in every epoch, so they are kept
//! where they fit.

use std::sync::Arc;

use crate::batch::Batch;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::loader::{Loader, LoaderConfig};
use crate::worker::Job;

/// Bytes of preprocessed images that are kept, at most.
const KEEP: usize = 512 << 20;

/// An evaluation split with its preprocessing.
pub struct EvalSet {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    batch_size: usize,
    keep: bool,
    kept: Option<Vec<Arc<Batch>>>,
}

impl EvalSet {
    /// `batch_size` need not be the recipe's: results do not depend on it. Errors: a bad recipe.
    pub fn new(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        let [height, width] = Job::eval(dataset.clone(), config, batch_size)?.shape();
        // Doubles count as such; everything else is f32.
        let value = match dataset.tensors().map(|t| &t.images) {
            Some(crate::datasets::tensors::Values::F64(_)) => 8,
            _ => 4,
        };
        let keep = dataset.len().saturating_mul(height * width * 3 * value) <= KEEP;
        Ok(EvalSet {
            dataset,
            config: config.clone(),
            batch_size,
            keep,
            kept: None,
        })
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.dataset.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.dataset.is_empty()
    }

    /// All batches, in order. The first complete pass prepares them, later ones repeat them.
    pub fn pass(&mut self) -> Result<EvalPass<'_>, DataError> {
        if self.kept.is_some() {
            return Ok(EvalPass {
                set: self,
                source: Source::Kept(0),
            });
        }
        let loader = Loader::eval(self.dataset.clone(), &self.config, self.batch_size)?;
        Ok(EvalPass {
            set: self,
            source: Source::Made(loader, Vec::new()),
        })
    }
}

/// An iterator over the batches of one evaluation.
pub struct EvalPass<'a> {
    set: &'a mut EvalSet,
    source: Source,
}

enum Source {
    /// Number of the next one.
    Kept(usize),
    /// What was made so far, if it is to be kept.
    Made(Loader, Vec<Arc<Batch>>),
}

impl Iterator for EvalPass<'_> {
    type Item = Result<Arc<Batch>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Kept(next) => {
                let batch = self.set.kept.as_ref()?.get(*next)?.clone();
                *next += 1;
                Some(Ok(batch))
            }
            Source::Made(loader, made) => match loader.next() {
                Some(Ok(batch)) => {
                    let batch = Arc::new(batch);
                    if self.set.keep {
                        made.push(batch.clone());
                    }
                    // Set with the last batch, not after it: callers may stop asking there.
                    if made.len() as u64 == loader.batches() {
                        self.set.kept = Some(std::mem::take(made));
                    }
                    Some(Ok(batch))
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            },
        }
    }
}
