//! Images with masks, ready for a segmenter. Training, as in the authors' released code: mirrored, the short
//! side resized to a random length, filled up with black and ignored pixels, a random crop, sometimes blurred,
//! normalised. Evaluation: the centre crop of the image at the crop's size, or the image as it is.

use std::sync::Arc;

use rungs_spec::recipe::{Evaluate, Recipe, Segment, Task};

use crate::dataset::{Dataset, Image};
use crate::error::DataError;
use crate::random::{Purpose, Stream, permutation};
use crate::scenes::ahead::{Ahead, Maker};
use crate::scenes::blur;
use crate::scenes::detection::normalise;
use crate::scenes::resize::{self, Part, Scratch};
use crate::scenes::{IGNORE, Mask, check, image_and_mask};

/// What the loader of a segmentation needs to know of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentationConfig {
    /// Seed of the run.
    pub seed: u64,
    /// Images of a training step.
    pub batch_size: usize,
    /// The recipe's sub-table.
    pub segment: Segment,
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// As in the recipe; masks that make no sense are never tolerated.
    pub max_corrupt: u32,
    /// Threads that prepare batches; 0 = the caller's.
    pub workers: usize,
}

impl SegmentationConfig {
    /// The keys of a recipe that the loader uses. Error: it is not of a segmentation.
    pub fn from_recipe(recipe: &Recipe, seed: u64, workers: usize) -> Result<Self, DataError> {
        let Some(segment) = &recipe.segment else {
            return Err(DataError::Recipe(
                "the recipe has no sub-table \"segment\"; set task = \"segment\"".to_owned(),
            ));
        };
        Ok(SegmentationConfig {
            seed,
            batch_size: recipe.batch_size as usize,
            segment: segment.clone(),
            flip: recipe.augment.flip,
            max_corrupt: recipe.max_corrupt,
            workers,
        })
    }
}

/// Images of one size with their masks, ready for the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MaskedBatch {
    /// `indices.len() * height * width * 3` normalised values in the order N, H, W, 3.
    pub pixels: Vec<f32>,
    /// `indices.len() * height * width` classes; [`IGNORE`] counts nowhere.
    pub classes: Vec<i16>,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Indices in the dataset given to the loader.
    pub indices: Vec<usize>,
}

/// An iterator over batches of one pass. Ends after the first error.
pub struct SegmentationLoader(Ahead<MaskedBatch>);

/// What every worker shares.
struct Job {
    dataset: Arc<dyn Dataset>,
    config: SegmentationConfig,
    batch_size: usize,
    mode: Mode,
}

enum Mode {
    /// The epoch and its order.
    Train(u64, Vec<usize>),
    Evaluate(Evaluate),
}

/// Buffers of one worker.
#[derive(Debug, Default)]
struct Buffers {
    image: Image,
    mask: Mask,
    scratch: Scratch,
}

impl SegmentationLoader {
    /// Training batches of an epoch from `first_batch` on: shuffled by (seed, epoch), crops of the crop
    /// size, the incomplete last batch dropped. Errors: a dataset without masks; while it is read: a mask
    /// that is not of its image, a label beyond the classes.
    pub fn train(
        dataset: Arc<dyn Dataset>,
        config: &SegmentationConfig,
        epoch: u64,
        first_batch: u64,
    ) -> Result<Self, DataError> {
        let batches = super::full_batches(dataset.as_ref(), config.batch_size)?;
        let order = permutation(config.seed, epoch, dataset.len());
        let mode = Mode::Train(epoch, order);
        Self::start(
            dataset,
            config,
            config.batch_size,
            mode,
            first_batch,
            batches,
        )
    }

    /// Every image once, in order: what `how` says of it, not changed otherwise. Whole images come one by
    /// one, because each has a size of its own. Errors: as of [`SegmentationLoader::train`].
    pub fn eval(
        dataset: Arc<dyn Dataset>,
        config: &SegmentationConfig,
        how: Evaluate,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        let batch_size = match how {
            Evaluate::Crop => batch_size.max(1),
            Evaluate::Whole => 1,
        };
        let batches = dataset.len().div_ceil(batch_size) as u64;
        Self::start(dataset, config, batch_size, Mode::Evaluate(how), 0, batches)
    }

    fn start(
        dataset: Arc<dyn Dataset>,
        config: &SegmentationConfig,
        batch_size: usize,
        mode: Mode,
        first: u64,
        batches: u64,
    ) -> Result<Self, DataError> {
        check(dataset.as_ref(), Task::Segment, config.max_corrupt)?;
        let job = Arc::new(Job {
            dataset,
            config: config.clone(),
            batch_size,
            mode,
        });
        let maker = || -> Maker<MaskedBatch> {
            let job = job.clone();
            let mut buffers = Buffers::default();
            Box::new(move |number| job.batch(number, &mut buffers))
        };
        Ahead::start(first, batches, config.workers, maker).map(SegmentationLoader)
    }

    /// Batches of the whole pass, those before `first_batch` included.
    pub fn batches(&self) -> u64 {
        self.0.end()
    }
}

impl Iterator for SegmentationLoader {
    type Item = Result<MaskedBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl Job {
    fn batch(&self, number: u64, buffers: &mut Buffers) -> Result<MaskedBatch, DataError> {
        let first = number as usize * self.batch_size;
        let last = (first + self.batch_size).min(self.dataset.len());
        let mut batch = MaskedBatch::default();
        for at in first..last {
            let index = match &self.mode {
                Mode::Train(_, order) => order[at],
                Mode::Evaluate(_) => at,
            };
            let Buffers { image, mask, .. } = buffers;
            image_and_mask(self.dataset.as_ref(), index, image, mask)?;
            let draw = self.draw(index, [image.width, image.height]);
            batch.push(index, &draw, buffers);
        }
        Ok(batch)
    }

    fn draw(&self, index: usize, size: [usize; 2]) -> Draw {
        let segment = &self.config.segment;
        match &self.mode {
            Mode::Train(epoch, _) => {
                let seed = self.config.seed;
                let mut stream = Stream::new(Purpose::Augment, seed, *epoch, index as u64);
                Draw::train(segment, self.config.flip, size, &mut stream)
            }
            Mode::Evaluate(Evaluate::Crop) => Draw::centre(segment.crop_size as usize, size),
            Mode::Evaluate(Evaluate::Whole) => Draw::whole(size),
        }
    }
}

/// What happens to one image and its mask. Pairs are [horizontal, vertical].
#[derive(Debug, Clone, PartialEq)]
struct Draw {
    part: Part,
    /// Size of what comes out: the part, filled up to the right and below.
    out: [usize; 2],
    /// Standard deviation of the blur, pixels; 0 = none.
    sigma: f64,
}

impl Draw {
    /// In the order of the authors' code: flip, short side, corner of the crop, blur.
    fn train(segment: &Segment, flip: f64, size: [usize; 2], stream: &mut Stream) -> Draw {
        let flip = stream.unit() < flip;
        let base = f64::from(segment.base_size);
        let [least, most] = segment.scale.map(|s| (s * base) as u64);
        let short = least.max(1) + stream.below(most.max(1) + 1 - least.max(1));
        let full = to_short(size, short as usize);
        let crop = segment.crop_size as usize;
        let mut corner = |side: usize| match side.saturating_sub(crop) {
            0 => 0,
            room => stream.below(room as u64 + 1) as usize,
        };
        let offset = [corner(full[0]), corner(full[1])];
        let sigma = match stream.unit() < segment.blur {
            true => stream.uniform(0.0, segment.blur_radius),
            false => 0.0,
        };
        Draw {
            part: Part {
                full,
                offset,
                size: full.map(|side| side.min(crop)),
                flip,
                antialias: true,
            },
            out: [crop; 2],
            sigma,
        }
    }

    fn centre(crop: usize, size: [usize; 2]) -> Draw {
        let full = to_short(size, crop);
        Draw {
            part: Part {
                full,
                offset: full.map(|side| (side - crop) / 2),
                size: [crop; 2],
                flip: false,
                antialias: true,
            },
            out: [crop; 2],
            sigma: 0.0,
        }
    }

    fn whole(size: [usize; 2]) -> Draw {
        Draw {
            part: Part::whole(size, false, false),
            out: size,
            sigma: 0.0,
        }
    }
}

/// The short side exact, the long one rounded down.
fn to_short([width, height]: [usize; 2], short: usize) -> [usize; 2] {
    let least = width.min(height);
    [width, height].map(|side| side * short / least)
}

impl MaskedBatch {
    /// Adds the image and mask that are in the buffers.
    fn push(&mut self, index: usize, draw: &Draw, buffers: &mut Buffers) {
        let [width, height] = draw.out;
        (self.width, self.height) = (width, height);
        let mut pixels = vec![[0.0; 3]; width * height];
        resize::image(
            &buffers.image,
            &draw.part,
            &mut buffers.scratch,
            &mut pixels,
            width,
        );
        blur::gaussian(&mut pixels, width, draw.sigma);
        normalise(&mut pixels);
        self.pixels.extend(pixels.as_flattened());
        let start = self.classes.len();
        self.classes.resize(start + width * height, IGNORE);
        resize::mask(&buffers.mask, &draw.part, &mut self.classes[start..], width);
        self.indices.push(index);
    }
}

#[cfg(test)]
mod tests;
