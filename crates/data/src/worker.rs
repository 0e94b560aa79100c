//! How one batch is made: by one thread or by several together, a slice each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Output, Pixels};
use crate::dataset::{Dataset, Image};
use crate::datasets::tensors::{Tensors, Values};
use crate::decode::Decoder;
use crate::error::DataError;
use crate::loader::LoaderConfig;
use crate::preprocess::affine::Matrix;
use crate::preprocess::{Layout, Out, Pipeline, Plan, Scratch};
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
    output: Output,
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
            output: config.output,
            batch_size,
            seed: config.seed,
            epoch,
        })
    }

    pub fn dataset_name(&self) -> &str {
        self.dataset.name()
    }

    /// Bytes of a whole batch.
    pub fn batch_bytes(&self) -> usize {
        let [height, width] = self.shape();
        let value = match (self.dataset.tensors().map(|t| &t.images), self.output) {
            (Some(Values::F64(_)), _) => 8,
            (None, Output::Bytes) => 1,
            _ => 4,
        };
        self.batch_size.saturating_mul(height * width * 3 * value)
    }

    /// What happens to an image of this size.
    fn plan(&self, index: usize, width: usize, height: usize, scratch: &mut Scratch) -> Plan {
        match self.epoch {
            Some((epoch, _)) => {
                let mut stream = Stream::new(Purpose::Augment, self.seed, epoch, index as u64);
                self.pipeline
                    .plan_train(width, height, &mut stream, scratch)
            }
            None => self.pipeline.plan_evaluate(width, height, scratch),
        }
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
#[derive(Debug, Default)]
struct Worker {
    bytes: Vec<u8>,
    decoder: Decoder,
    image: Image,
    scratch: Scratch,
}

/// Some consecutive images of a batch: their positions and where they go.
struct Slice<'a> {
    first: usize,
    indices: &'a [usize],
    out: Target<'a>,
}

/// Room for the images of a slice.
enum Target<'a> {
    Floats(&'a mut [f32]),
    Bytes(&'a mut [u8], &'a mut [Matrix]),
}

impl Target<'_> {
    /// Room for image `at`.
    fn image(&mut self, at: usize, size: usize) -> Out<'_> {
        match self {
            Target::Floats(values) => Out::Floats(&mut values[at * size..][..size]),
            Target::Bytes(pixels, matrices) => {
                Out::Bytes(&mut pixels[at * size..][..size], &mut matrices[at])
            }
        }
    }
}

/// Position in the batch, and what was wrong with that image.
type Failure = (usize, DataError);

/// Threads that make one batch together: each takes the next slice.
pub(crate) struct Crew(Vec<Worker>);

impl Crew {
    /// At least one thread, the caller's.
    pub fn new(threads: usize) -> Self {
        Crew((0..threads.max(1)).map(|_| Worker::default()).collect())
    }

    /// Makes batch `number`; a panic becomes an error. Stops early, with whatever is there, once `stop` is
    /// set: nobody will look at it.
    pub fn batch(
        &mut self,
        job: &Job,
        number: u64,
        mut buffers: Buffers,
        stop: &AtomicBool,
    ) -> Result<Buffers, DataError> {
        // After a panic the buffers are overwritten before they are read.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.fill(job, number, &mut buffers, stop).map(|()| buffers)
        }));
        outcome.unwrap_or_else(|panic| Err(DataError::Panic(message(panic.as_ref()))))
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
        let mut failures = self.slices(job, indices, images, stop);
        failures.sort_by_key(|(position, _)| *position);
        for (_, error) in failures {
            match error {
                error @ DataError::Corrupt { .. } => corrupt.push(error),
                error => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes all images; what went wrong, in any order.
    fn slices(
        &mut self,
        job: &Job,
        indices: &[usize],
        images: &mut Pixels,
        stop: &AtomicBool,
    ) -> Vec<Failure> {
        let size = job.pipeline.size() * job.pipeline.size() * 3;
        // Large enough that handing out costs nothing, small enough that nobody waits long at the end.
        let grain = if job.dataset.is_file() { 2 } else { 64 };
        images.shape(job.output, indices.len(), size);
        let targets: Box<dyn Iterator<Item = Target<'_>> + Send> = match images {
            Pixels::F32(values) => Box::new(values.chunks_mut(grain * size).map(Target::Floats)),
            Pixels::Bytes { pixels, matrices } => Box::new(
                pixels
                    .chunks_mut(grain * size)
                    .zip(matrices.chunks_mut(grain))
                    .map(|(pixels, matrices)| Target::Bytes(pixels, matrices)),
            ),
            Pixels::F64(_) => return Vec::new(),
        };
        let slices = targets
            .zip(indices.chunks(grain))
            .enumerate()
            .map(|(i, (out, indices))| Slice {
                first: i * grain,
                indices,
                out,
            });
        let slices = Mutex::new(slices);
        let next = || {
            let mut slices = slices.lock().unwrap_or_else(PoisonError::into_inner);
            slices.next()
        };
        let give_up = AtomicBool::new(false);
        let failures = Mutex::new(Vec::new());
        let work = |worker: &mut Worker| {
            while !stop.load(Ordering::Relaxed) && !give_up.load(Ordering::Relaxed) {
                let Some(mut slice) = next() else {
                    return;
                };
                // After a panic this worker's buffers are overwritten before they are read.
                let outcome =
                    catch_unwind(AssertUnwindSafe(|| worker.slice(job, &mut slice, size)));
                let found = outcome.unwrap_or_else(|panic| {
                    let message = message(panic.as_ref());
                    vec![(slice.first, DataError::Panic(message))]
                });
                // Slices are handed out in order and each is finished, so the first error of a
                // batch is the same for any number of threads.
                if found
                    .iter()
                    .any(|(_, e)| !matches!(e, DataError::Corrupt { .. }))
                {
                    give_up.store(true, Ordering::Relaxed);
                }
                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.extend(found);
            }
        };
        if let Some((own, others)) = self.0.split_first_mut() {
            std::thread::scope(|scope| {
                for worker in others {
                    let thread = std::thread::Builder::new().name("loader-crew".to_owned());
                    // With fewer threads the batch still gets done, only slower.
                    if thread.spawn_scoped(scope, || work(worker)).is_err() {
                        break;
                    }
                }
                work(own);
            });
        }
        failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn slice(&mut self, job: &Job, slice: &mut Slice<'_>, size: usize) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (at, index) in slice.indices.iter().enumerate() {
            let out = slice.out.image(at, size);
            let outcome = self.image(job, *index, out);
            if let Err(error) = outcome {
                match slice.out.image(at, size) {
                    Out::Floats(values) => values.fill(0.0),
                    Out::Bytes(pixels, matrix) => {
                        pixels.fill(0);
                        *matrix = [[0.0; 4]; 3];
                    }
                }
                let fatal = !matches!(error, DataError::Corrupt { .. });
                failures.push((slice.first + at, error));
                if fatal {
                    break;
                }
            }
        }
        failures
    }

    fn image(&mut self, job: &Job, index: usize, out: Out<'_>) -> Result<(), DataError> {
        let Worker {
            bytes,
            decoder,
            image,
            scratch,
        } = self;
        let dataset = job.dataset.as_ref();
        if !dataset.is_file() {
            dataset.image(index, image)?;
            let plan = job.plan(index, image.width, image.height, scratch);
            job.pipeline.carry_out(&plan, image, [0, 0], scratch, out);
            return Ok(());
        }
        bytes.clear();
        dataset.bytes(index, bytes)?;
        let place = || dataset.place(index);
        let opened = decoder.open(bytes, &place)?;
        let plan = job.plan(index, opened.width, opened.height, scratch);
        opened.region(plan.needed, &place, image)?;
        let origin = [plan.needed.x, plan.needed.y];
        job.pipeline.carry_out(&plan, image, origin, scratch, out);
        Ok(())
    }
}

pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
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
        (Values::F32(from), _) => {
            let mut into = Vec::new();
            gather(from, plane, indices, layout, &mut into);
            *images = Pixels::F32(into);
        }
        (Values::F64(from), _) => {
            let mut into = Vec::new();
            gather(from, plane, indices, layout, &mut into);
            *images = Pixels::F64(into);
        }
    }
}
