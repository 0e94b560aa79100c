//! How one batch is made: by a worker thread, or by the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dataset::{Dataset, Image};
use crate::datasets::tensors::{Tensors, Values};
use crate::error::DataError;
use crate::loader::{LoaderConfig, Pixels};
use crate::preprocess::{Layout, Pipeline, Scratch};
use crate::random::{Purpose, Stream, permutation};

/// A batch without its frame; recycled.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub images: Pixels,
    pub labels: Vec<i64>,
    pub indices: Vec<usize>,
    pub corrupt: Vec<DataError>,
}

/// One pass over a dataset: what every worker shares.
pub(crate) struct Job {
    dataset: Arc<dyn Dataset>,
    pipeline: Pipeline,
    layout: Layout,
    batch_size: usize,
    seed: u64,
    /// Training: the epoch and its order. Evaluation: none.
    epoch: Option<(u64, Vec<usize>)>,
}

impl Job {
    pub fn train(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        epoch: u64,
    ) -> Result<Self, DataError> {
        let order = match dataset.tensors() {
            Some(_) => (0..dataset.len()).collect(),
            None => permutation(config.seed, epoch, dataset.len()),
        };
        Self::new(dataset, config, config.batch_size, Some((epoch, order)))
    }

    pub fn eval(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        Self::new(dataset, config, batch_size, None)
    }

    fn new(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        batch_size: usize,
        epoch: Option<(u64, Vec<usize>)>,
    ) -> Result<Self, DataError> {
        let pipeline = Pipeline::new(
            &config.augment,
            config.variant,
            config.input_size,
            config.layout,
        )?;
        Ok(Job {
            dataset,
            pipeline,
            layout: config.layout,
            batch_size,
            seed: config.seed,
            epoch,
        })
    }

    pub fn dataset_name(&self) -> &str {
        self.dataset.name()
    }

    /// Height and width of the images that come out.
    pub fn shape(&self) -> [usize; 2] {
        match self.dataset.tensors() {
            Some(tensors) => [tensors.height, tensors.width],
            None => [self.pipeline.size(); 2],
        }
    }
}

/// The state of one thread.
#[derive(Default)]
pub(crate) struct Worker {
    image: Image,
    scratch: Scratch,
}

impl Worker {
    /// Makes batch `number`; a panic becomes an error. Stops early, with whatever is there, once `stop` is
    /// set: nobody will look at it.
    pub fn batch(
        &mut self,
        job: &Job,
        number: u64,
        mut buffers: Buffers,
        stop: &AtomicBool,
    ) -> Result<Buffers, DataError> {
        // After a panic this worker's buffers are overwritten before they are read.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.fill(job, number, &mut buffers, stop).map(|()| buffers)
        }));
        outcome.unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "without a message".to_owned());
            Err(DataError::Panic(message))
        })
    }

    fn fill(
        &mut self,
        job: &Job,
        number: u64,
        buffers: &mut Buffers,
        stop: &AtomicBool,
    ) -> Result<(), DataError> {
        let Buffers {
            images,
            labels,
            indices,
            corrupt,
        } = buffers;
        let first = number as usize * job.batch_size;
        let last = (first + job.batch_size).min(job.dataset.len());
        indices.clear();
        match &job.epoch {
            Some((_, order)) => indices.extend_from_slice(&order[first..last]),
            None => indices.extend(first..last),
        }
        labels.clear();
        labels.extend(indices.iter().map(|index| job.dataset.label(*index)));
        corrupt.clear();
        if let Some(tensors) = job.dataset.tensors() {
            copy(tensors, indices, job.layout, images);
            return Ok(());
        }
        let size = job.pipeline.size() * job.pipeline.size() * 3;
        if !matches!(images, Pixels::F32(_)) {
            *images = Pixels::default();
        }
        let Pixels::F32(values) = images else {
            return Ok(());
        };
        values.resize(indices.len() * size, 0.0);
        for (index, out) in indices.iter().zip(values.chunks_exact_mut(size)) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match job.dataset.image(*index, &mut self.image) {
                Ok(()) => match job.epoch {
                    Some((epoch, _)) => {
                        let mut stream =
                            Stream::new(Purpose::Augment, job.seed, epoch, *index as u64);
                        job.pipeline
                            .train(&self.image, &mut stream, &mut self.scratch, out);
                    }
                    None => job.pipeline.evaluate(&self.image, &mut self.scratch, out),
                },
                Err(error @ DataError::Corrupt { .. }) => {
                    out.fill(0.0);
                    corrupt.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Ready-made values as they are, in the layout that is asked for.
fn copy(tensors: &Tensors, indices: &[usize], layout: Layout, images: &mut Pixels) {
    fn gather<T: Copy>(
        from: &[T],
        plane: usize,
        indices: &[usize],
        layout: Layout,
        into: &mut Vec<T>,
    ) {
        into.clear();
        for index in indices {
            let image = &from[index * 3 * plane..][..3 * plane];
            match layout {
                Layout::Nchw => into.extend_from_slice(image),
                Layout::ChannelsLast => {
                    into.extend((0..plane).flat_map(|at| [0, 1, 2].map(|c| image[c * plane + at])));
                }
            }
        }
    }
    let plane = tensors.height * tensors.width;
    match (&tensors.images, &mut *images) {
        (Values::F32(from), Pixels::F32(into)) => gather(from, plane, indices, layout, into),
        (Values::F64(from), Pixels::F64(into)) => gather(from, plane, indices, layout, into),
        (Values::F32(from), Pixels::F64(_)) => {
            let mut into = Vec::new();
            gather(from, plane, indices, layout, &mut into);
            *images = Pixels::F32(into);
        }
        (Values::F64(from), Pixels::F32(_)) => {
            let mut into = Vec::new();
            gather(from, plane, indices, layout, &mut into);
            *images = Pixels::F64(into);
        }
    }
}
