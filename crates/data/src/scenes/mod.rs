//! Images with boxes and with masks: what comes with them, and how they come to a network.
//!
//! | question | module |
//! |---|---|
//! | what is an object, a mask, a problem with one? | here |
//! | what happens to an image and its boxes? in which batches do they come? | [`detection`] |
//! | what happens to an image and its mask? in which batches do they come? | [`segmentation`] |
//! | how is an image resized to any width and height? | [`resize`] |
//! | how are things made ahead of time, in order? | [`ahead`] |
//!
//! What a loader yields depends on (seed, epoch, index) alone, as everywhere in this crate.

pub mod ahead;
mod blur;
pub mod detection;
pub mod resize;
pub mod segmentation;

use std::path::PathBuf;

use rungs_spec::recipe::Task;

use crate::dataset::{Dataset, Image};
use crate::error::DataError;

/// Class of a pixel that counts nowhere.
pub const IGNORE: i16 = -1;

/// A thing in an image, with the box around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Class, from 0.
    pub label: i64,
    /// Left, top, right and bottom, pixels from 0; the right and bottom one are inside. (VOC counts from 1,
    /// the authors' code subtracts it, and so does the reader.)
    pub corners: [f32; 4],
    /// Not counted in an evaluation; trained on, as in the authors' code.
    pub difficult: bool,
}

/// Class of each pixel of an image, row by row; [`IGNORE`] for none. Reused from image to image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `height * width` classes.
    pub classes: Vec<i16>,
}

impl Mask {
    /// Gets another size and one class everywhere, keeping the buffer.
    pub fn fill(&mut self, width: usize, height: usize, class: i16) {
        (self.width, self.height) = (width, height);
        self.classes.clear();
        self.classes.resize(width * height, class);
    }
}

/// What is wrong with what annotates an image: the same text from `runner data verify` and from a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File.
    pub path: PathBuf,
    /// Its line, or the row of a mask's pixels, from 1; none if the whole file is meant.
    pub line: Option<u64>,
    /// Found and expected, with the cure.
    pub what: String,
    /// Only one box is meant, which is left out already: `max_corrupt` of them are tolerated.
    pub left_out: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.what)
    }
}

/// Refuses a dataset for a task: it has no boxes or masks, or something is wrong with them that the
/// recipe's `max_corrupt` does not tolerate.
pub fn check(dataset: &dyn Dataset, task: Task, max_corrupt: u32) -> Result<(), DataError> {
    if !dataset.tasks().contains(&task) {
        return Err(DataError::Recipe(format!(
            "{} has no {}, which the recipe's task learns from; choose another dataset or another task",
            dataset.name(),
            task.learned_from()
        )));
    }
    let problems = dataset.problems();
    let left_out = problems.iter().filter(|p| p.left_out).count();
    let tolerated = left_out <= max_corrupt as usize;
    let refused = problems.iter().find(|p| !(p.left_out && tolerated));
    match refused {
        None => Ok(()),
        Some(first) if problems.len() == 1 => Err(DataError::Annotation(first.clone())),
        Some(first) => Err(DataError::Annotations {
            dataset: dataset.name().to_owned(),
            first: first.clone(),
            more: problems.len() - 1,
        }),
    }
}

/// An image and its mask. Error: one of them cannot be read, or they are of different sizes.
pub fn image_and_mask(
    dataset: &dyn Dataset,
    index: usize,
    image: &mut Image,
    mask: &mut Mask,
) -> Result<(), DataError> {
    dataset.image(index, image)?;
    dataset.mask(index, mask)?;
    if [image.width, image.height] != [mask.width, mask.height] {
        return Err(DataError::Annotation(Problem {
            path: PathBuf::from(dataset.mask_place(index)),
            line: None,
            what: format!(
                "the mask has {} x {} pixels, its image {} has {} x {}; put the mask of that image there",
                mask.width,
                mask.height,
                dataset.place(index),
                image.width,
                image.height
            ),
            left_out: false,
        }));
    }
    Ok(())
}

/// Full batches of a training pass. Error: there is none.
fn full_batches(dataset: &dyn Dataset, batch_size: usize) -> Result<u64, DataError> {
    match dataset.len().checked_div(batch_size) {
        Some(batches) if batches > 0 => Ok(batches as u64),
        _ => Err(DataError::Recipe(format!(
            "batch_size {batch_size} does not fit into the {} training images of {}; set it between 1 and {}",
            dataset.len(),
            dataset.name(),
            dataset.len()
        ))),
    }
}

/// Appends what a digest knows of an image's objects: of each its label (8 bytes, little-endian), its corners
/// (4 x 4) and whether it is difficult (1).
pub(crate) fn object_bytes(objects: &[Object], into: &mut Vec<u8>) {
    for object in objects {
        into.extend(object.label.to_le_bytes());
        into.extend(object.corners.iter().flat_map(|c| c.to_le_bytes()));
        into.push(u8::from(object.difficult));
    }
}
