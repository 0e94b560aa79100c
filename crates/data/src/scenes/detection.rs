//! Images with boxes, ready for a detector: the short side resized, mirrored with its boxes, normalised.
//!
//! As in the authors' released code: bilinear without antialias, the long side held below a bound, the boxes
//! resized with the image. Images keep their shape, so each of a batch has a size of its own.

use std::sync::Arc;

use rungs_spec::recipe::{Recipe, Task};

use crate::dataset::{Dataset, Image};
use crate::error::DataError;
use crate::preprocess::normalise::{MEAN, STD};
use crate::random::{Purpose, Stream, permutation};
use crate::scenes::ahead::{Ahead, Maker};
use crate::scenes::resize::{self, Part, Scratch};
use crate::scenes::{Object, check};

/// What the loader of a detection needs to know of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectionConfig {
    /// Seed of the run.
    pub seed: u64,
    /// Images of a training step.
    pub batch_size: usize,
    /// Short side that images are resized to, pixels.
    pub short_side: u32,
    /// Most that the long side may have then, pixels.
    pub max_side: u32,
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Boxes tolerated that make no sense; they are left out.
    pub max_corrupt: u32,
    /// Threads that prepare images; 0 = the caller's.
    pub workers: usize,
}

impl DetectionConfig {
    /// The keys of a recipe that the loader uses. Error: it is not of a detection.
    pub fn from_recipe(recipe: &Recipe, seed: u64, workers: usize) -> Result<Self, DataError> {
        let Some(detect) = &recipe.detect else {
            return Err(DataError::Recipe(
                "the recipe has no sub-table \"detect\"; set task = \"detect\"".to_owned(),
            ));
        };
        Ok(DetectionConfig {
            seed,
            batch_size: recipe.batch_size as usize,
            short_side: detect.short_side,
            max_side: detect.max_side,
            flip: recipe.augment.flip,
            max_corrupt: recipe.max_corrupt,
            workers,
        })
    }
}

/// An image with its objects, ready for the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prepared {
    /// `height * width * 3` normalised values in the order H, W, 3.
    pub pixels: Vec<f32>,
    /// Pixels, after the resize.
    pub width: usize,
    /// Pixels, after the resize.
    pub height: usize,
    /// Width and height as stored, pixels.
    pub original: [usize; 2],
    /// Width and height after the resize, over those before it.
    pub scale: [f32; 2],
    /// Mirrored.
    pub flipped: bool,
    /// Objects, their corners in pixels of the resized image.
    pub objects: Vec<Object>,
    /// Index in the dataset given to the loader.
    pub index: usize,
}

/// An iterator over batches of one pass. Ends after the first error.
pub struct DetectionLoader(Ahead<Vec<Prepared>>);

/// What every worker shares.
struct Job {
    dataset: Arc<dyn Dataset>,
    config: DetectionConfig,
    batch_size: usize,
    /// Training: the epoch and its order. Evaluation: none.
    epoch: Option<(u64, Vec<usize>)>,
}

impl DetectionLoader {
    /// Training batches of an epoch from `first_batch` on: shuffled by (seed, epoch), the incomplete last
    /// one dropped. Errors: a dataset without boxes, or with more bad ones than are tolerated.
    pub fn train(
        dataset: Arc<dyn Dataset>,
        config: &DetectionConfig,
        epoch: u64,
        first_batch: u64,
    ) -> Result<Self, DataError> {
        let batches = super::full_batches(dataset.as_ref(), config.batch_size)?;
        let order = permutation(config.seed, epoch, dataset.len());
        let epoch = Some((epoch, order));
        Self::start(
            dataset,
            config,
            config.batch_size,
            epoch,
            first_batch,
            batches,
        )
    }

    /// Every image once, in order, as it is; the last batch may be smaller. Errors: as of
    /// [`DetectionLoader::train`].
    pub fn eval(
        dataset: Arc<dyn Dataset>,
        config: &DetectionConfig,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        let batch_size = batch_size.max(1);
        let batches = dataset.len().div_ceil(batch_size) as u64;
        Self::start(dataset, config, batch_size, None, 0, batches)
    }

    fn start(
        dataset: Arc<dyn Dataset>,
        config: &DetectionConfig,
        batch_size: usize,
        epoch: Option<(u64, Vec<usize>)>,
        first: u64,
        batches: u64,
    ) -> Result<Self, DataError> {
        check(dataset.as_ref(), Task::Detect, config.max_corrupt)?;
        let job = Arc::new(Job {
            dataset,
            config: config.clone(),
            batch_size,
            epoch,
        });
        let maker = || -> Maker<Vec<Prepared>> {
            let job = job.clone();
            let mut buffers = (Image::default(), Scratch::default());
            Box::new(move |number| job.batch(number, &mut buffers))
        };
        Ahead::start(first, batches, config.workers, maker).map(DetectionLoader)
    }

    /// Batches of the whole pass, those before `first_batch` included.
    pub fn batches(&self) -> u64 {
        self.0.end()
    }
}

impl Iterator for DetectionLoader {
    type Item = Result<Vec<Prepared>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl Job {
    fn batch(
        &self,
        number: u64,
        buffers: &mut (Image, Scratch),
    ) -> Result<Vec<Prepared>, DataError> {
        let first = number as usize * self.batch_size;
        let last = (first + self.batch_size).min(self.dataset.len());
        (first..last)
            .map(|at| match &self.epoch {
                None => self.prepare(at, false, buffers),
                Some((epoch, order)) => {
                    let (seed, index) = (self.config.seed, order[at]);
                    let mut stream = Stream::new(Purpose::Augment, seed, *epoch, index as u64);
                    self.prepare(index, stream.unit() < self.config.flip, buffers)
                }
            })
            .collect()
    }

    fn prepare(
        &self,
        index: usize,
        flip: bool,
        (image, scratch): &mut (Image, Scratch),
    ) -> Result<Prepared, DataError> {
        self.dataset.image(index, image)?;
        let config = &self.config;
        let mut made = Prepared {
            index,
            ..prepare(
                image,
                self.dataset.objects(index),
                [config.short_side, config.max_side],
                flip,
                scratch,
            )
        };
        made.flipped = flip;
        Ok(made)
    }
}

/// Resizes, mirrors and normalises an image and its objects. `sides`: short side, most of the long one.
pub fn prepare(
    image: &Image,
    objects: &[Object],
    sides: [u32; 2],
    flip: bool,
    scratch: &mut Scratch,
) -> Prepared {
    let original = [image.width, image.height];
    let [width, height] = resized(original, sides);
    let mut pixels = vec![[0.0; 3]; width * height];
    let part = Part::whole([width, height], flip, false);
    resize::image(image, &part, scratch, &mut pixels, width);
    normalise(&mut pixels);
    let scale = [
        width as f32 / image.width as f32,
        height as f32 / image.height as f32,
    ];
    let objects = objects.iter().map(|object| {
        let [left, top, right, bottom] = object.corners;
        let (left, right) = match flip {
            // Pixel x becomes pixel width - 1 - x.
            true => {
                let last = image.width as f32 - 1.0;
                (last - right, last - left)
            }
            false => (left, right),
        };
        Object {
            corners: [
                left * scale[0],
                top * scale[1],
                right * scale[0],
                bottom * scale[1],
            ],
            ..*object
        }
    });
    Prepared {
        objects: objects.collect(),
        pixels: pixels.into_flattened(),
        width,
        height,
        original,
        scale,
        flipped: flip,
        index: 0,
    }
}

/// Width and height after the resize: the short side exact, unless the long one would be too long.
pub fn resized([width, height]: [usize; 2], [short, most]: [u32; 2]) -> [usize; 2] {
    let (least, long) = (width.min(height) as f64, width.max(height) as f64);
    let mut scale = f64::from(short) / least;
    if (long * scale).round_ties_even() > f64::from(most) {
        scale = f64::from(most) / long;
    }
    [width, height].map(|side| ((side as f64 * scale).round_ties_even() as usize).max(1))
}

/// From the 0..255 scale to what the backbones were trained on.
pub(super) fn normalise(pixels: &mut [[f32; 3]]) {
    let (mean, scale) = (MEAN.map(|m| m as f32), STD.map(|s| (1.0 / s) as f32));
    for pixel in pixels {
        (0..3).for_each(|c| pixel[c] = (pixel[c] - mean[c]) * scale[c]);
    }
}

#[cfg(test)]
mod tests;
