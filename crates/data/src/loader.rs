//! Batches in order, made ahead of time by worker threads.
//!
//! Crews take batch numbers from a counter; the caller puts what comes back into order. Small batches
//! are made by crews of one thread, several batches at a time; a large batch by one crew of all threads,
//! so that few of them are alive. What is in a batch depends on (seed, epoch, index) alone, so the
//! number of workers changes nothing but speed. At most `workers + 1` small batches exist ahead of
//! the caller, or as many large ones as fit into 160 MiB, but at least one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rungs_spec::recipe::{Augment, Recipe, Variant};

use crate::batch::{Batch, Output};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::preprocess::Layout;
use crate::worker::{Buffers, Crew, Job};

/// Bytes of a batch that all threads make together.
const LARGE: usize = 8 << 20;
/// Bytes of large batches ahead of the caller.
const AHEAD: usize = 160 << 20;

/// What a loader needs to know of a run.
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// Seed of the run.
    pub seed: u64,
    /// Images of a training batch.
    pub batch_size: usize,
    /// Side of the square input, pixels.
    pub input_size: u32,
    /// The recipe's preprocessing.
    pub augment: Augment,
    /// The paper's preprocessing or that of its authors' code.
    pub variant: Variant,
    /// Undecodable images tolerated in one pass; such an image becomes the mean colour (zeros).
    pub max_corrupt: u32,
    /// Order of values in memory.
    pub layout: Layout,
    /// Floats, or bytes with a matrix an image.
    pub output: Output,
    /// Threads that prepare batches; 0 = the caller's.
    pub workers: usize,
}

impl LoaderConfig {
    /// The keys of a recipe that the loader uses; channels-last.
    pub fn from_recipe(recipe: &Recipe, seed: u64, workers: usize) -> Self {
        LoaderConfig {
            seed,
            batch_size: recipe.batch_size as usize,
            input_size: recipe.input_size,
            augment: recipe.augment.clone(),
            variant: recipe.variant,
            max_corrupt: recipe.max_corrupt,
            layout: Layout::ChannelsLast,
            output: Output::Floats,
            workers,
        }
    }
}

/// An iterator over the batches of one pass. Ends after the first error.
pub struct Loader {
    job: Arc<Job>,
    next: u64,
    batches: u64,
    max_corrupt: u32,
    corrupt: u64,
    makers: Makers,
    spare: (Sender<Buffers>, Receiver<Buffers>),
}

/// Who prepares the batches.
enum Makers {
    Caller(Crew),
    Threads(Threads),
}

struct Threads {
    /// One for each batch that may be made ahead; a worker takes it before it takes a number.
    tokens: Option<Sender<()>>,
    results: Receiver<(u64, Result<Buffers, DataError>)>,
    early: BTreeMap<u64, Result<Buffers, DataError>>,
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Loader {
    /// Training batches of an epoch from `first_batch` on: shuffled by (seed, epoch), augmented, the
    /// incomplete last batch dropped. `tensors:` keeps its order and is not augmented.
    pub fn train(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        epoch: u64,
        first_batch: u64,
    ) -> Result<Self, DataError> {
        let batches = dataset.len() / config.batch_size.max(1);
        if batches == 0 || config.batch_size == 0 {
            return Err(DataError::Recipe(format!(
                "batch_size {} does not fit into the {} training images of {}; set it between 1 and {}",
                config.batch_size,
                dataset.len(),
                dataset.name(),
                dataset.len()
            )));
        }
        let job = Job::train(dataset, config, epoch)?;
        Self::start(job, config, first_batch, batches as u64)
    }

    /// Every image once, in order, without augmentation; the last batch may be smaller.
    pub fn eval(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        let batch_size = batch_size.max(1);
        let batches = dataset.len().div_ceil(batch_size);
        let job = Job::eval(dataset, config, batch_size)?;
        Self::start(job, config, 0, batches as u64)
    }

    /// Batches of the whole pass, those before `first_batch` included.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    fn start(job: Job, config: &LoaderConfig, first: u64, batches: u64) -> Result<Self, DataError> {
        let job = Arc::new(job);
        let bytes = job.batch_bytes();
        // Crews, threads of each, and batches ahead.
        let (crews, threads, ahead) = match bytes {
            0..LARGE => (config.workers, 1, config.workers + 1),
            _ => (
                1,
                config.workers,
                (AHEAD / bytes).clamp(1, config.workers + 1),
            ),
        };
        let spare = bounded(ahead + 1);
        let makers = if config.workers == 0 {
            Makers::Caller(Crew::new(1))
        } else {
            let counter = Arc::new(AtomicU64::new(first));
            let stop = Arc::new(AtomicBool::new(false));
            let (tokens, token) = bounded(ahead);
            let (result, results) = bounded(ahead);
            for _ in 0..ahead {
                tokens
                    .send(())
                    .expect("the channel has room for every token");
            }
            let mut handles = Vec::with_capacity(crews);
            for number in 0..crews {
                let (job, counter, stop) = (job.clone(), counter.clone(), stop.clone());
                let (token, result, spare) =
                    (token.clone(), result.clone(), Receiver::clone(&spare.1));
                let work = move || {
                    let crew = Crew::new(threads);
                    work(
                        crew, &job, &counter, batches, &stop, &token, &spare, &result,
                    );
                };
                let handle = std::thread::Builder::new()
                    .name(format!("loader-{number}"))
                    .spawn(work);
                match handle {
                    Ok(handle) => handles.push(handle),
                    // With one thread the pass still completes, only slower.
                    Err(_) if number > 0 => break,
                    Err(error) => return Err(DataError::Threads(error)),
                }
            }
            Makers::Threads(Threads {
                tokens: Some(tokens),
                results,
                early: BTreeMap::new(),
                stop,
                handles,
            })
        };
        Ok(Loader {
            job,
            next: first,
            batches,
            max_corrupt: config.max_corrupt,
            corrupt: 0,
            makers,
            spare,
        })
    }

    fn take(&mut self) -> Result<Batch, DataError> {
        let buffers = match &mut self.makers {
            Makers::Caller(crew) => {
                let buffers = self.spare.1.try_recv().unwrap_or_default();
                crew.batch(&self.job, self.next, buffers, &AtomicBool::new(false))
            }
            Makers::Threads(threads) => threads.take(self.next),
        }?;
        let mut batch = Batch::new(buffers, self.job.shape(), self.spare.0.clone());
        self.corrupt += batch.corrupt.len() as u64;
        if self.corrupt > u64::from(self.max_corrupt)
            && let Some(last) = batch.corrupt.pop()
        {
            return Err(DataError::TooManyCorrupt {
                dataset: self.job.dataset_name().to_owned(),
                count: self.corrupt,
                max: self.max_corrupt,
                last: Box::new(last),
            });
        }
        Ok(batch)
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches {
            return None;
        }
        let batch = self.take();
        self.next = if batch.is_ok() {
            self.next + 1
        } else {
            self.batches
        };
        Some(batch)
    }
}

impl Threads {
    fn take(&mut self, number: u64) -> Result<Buffers, DataError> {
        let result = loop {
            if let Some(result) = self.early.remove(&number) {
                break result;
            }
            let Ok((done, result)) = self.results.recv() else {
                return Err(DataError::Panic(
                    "all loader threads ended early".to_owned(),
                ));
            };
            self.early.insert(done, result);
        };
        if let Some(tokens) = &self.tokens {
            // Workers that have left need no token.
            let _ = tokens.try_send(());
        }
        result
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tokens = None;
        for handle in self.handles.drain(..) {
            // A worker reports its panics as results; there is nothing to add here.
            let _ = handle.join();
        }
    }
}

/// One crew's life.
#[expect(
    clippy::too_many_arguments,
    reason = "each is an end of another channel or counter, used here only"
)]
fn work(
    mut crew: Crew,
    job: &Job,
    counter: &AtomicU64,
    batches: u64,
    stop: &AtomicBool,
    token: &Receiver<()>,
    spare: &Receiver<Buffers>,
    result: &Sender<(u64, Result<Buffers, DataError>)>,
) {
    while token.recv().is_ok() && !stop.load(Ordering::Relaxed) {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        if number >= batches {
            return;
        }
        let buffers = spare.try_recv().unwrap_or_default();
        let batch = crew.batch(job, number, buffers, stop);
        // There are never more results under way than tokens, so this does not block.
        if result.send((number, batch)).is_err() {
            return;
        }
    }
}
