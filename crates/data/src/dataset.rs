//! What is a dataset to the loader: numbered, labelled images of one split.

use std::path::Path;
use std::sync::Arc;

use rungs_spec::recipe::Task;

use crate::datasets::synthetic::Synthetic;
use crate::datasets::tensors::{TensorDataset, Tensors};
use crate::datasets::{self, FileLayout};
use crate::decode;
use crate::error::DataError;
use crate::locate;
use crate::scenes::{Mask, Object, Problem};

/// Part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Trained on.
    Train,
    /// Evaluated on.
    Val,
}

impl Split {
    /// Both.
    pub const ALL: [Split; 2] = [Split::Train, Split::Val];

    /// As in file names and in a digest: `train` or `val`.
    pub fn word(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
        }
    }
}

/// What the bytes of an [`Image`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// One byte a pixel, standing for three equal ones: a third of the work in every step.
    Grey,
    /// Three bytes a pixel.
    #[default]
    Rgb,
    /// Four bytes a pixel, the last of them unused: what the JPEG decoder makes, because vector
    /// instructions know no groups of three.
    Rgbx,
}

impl Channels {
    /// Bytes of a pixel.
    pub fn count(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::Rgb => 3,
            Channels::Rgbx => 4,
        }
    }
}

/// A decoded 8-bit image: `data` is row by row, `channels.count()` bytes a pixel. Reused from image
/// to image, so that decoding does not allocate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Grey or RGB.
    pub channels: Channels,
    /// `height * width * channels.count()` bytes.
    pub data: Vec<u8>,
}

impl Image {
    /// Takes over size and bytes, keeping the buffer.
    pub fn set(&mut self, width: usize, height: usize, channels: Channels, bytes: &[u8]) {
        debug_assert_eq!(bytes.len(), width * height * channels.count());
        (self.width, self.height, self.channels) = (width, height, channels);
        self.data.clear();
        self.data.extend_from_slice(bytes);
    }

    /// Gets another size, keeping the buffer; the bytes are whatever they were.
    pub fn shape(&mut self, width: usize, height: usize, channels: Channels) {
        (self.width, self.height, self.channels) = (width, height, channels);
        self.data.resize(width * height * channels.count(), 0);
    }

    /// The three values of a pixel.
    pub fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * self.channels.count();
        match self.channels {
            Channels::Grey => [self.data[at]; 3],
            Channels::Rgb | Channels::Rgbx => [self.data[at], self.data[at + 1], self.data[at + 2]],
        }
    }
}

/// Numbered, labelled images of one split. `index` runs from 0 to `len() - 1`.
pub trait Dataset: Send + Sync {
    /// As in the recipe.
    fn name(&self) -> &str;
    /// Images.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Classes.
    fn classes(&self) -> usize;
    /// Name of each class; empty if the dataset does not say.
    fn class_names(&self) -> &[String];
    /// Class of an image, from 0.
    fn label(&self, index: usize) -> i64;
    /// Number of the image in its whole split: differs from `index` in a subset only.
    fn id(&self, index: usize) -> u64 {
        index as u64
    }
    /// What the image is called: its path below its split (`CLASS/STEM.jpg`), where it has one. Splits of
    /// named images are in the byte order of these names.
    fn image_name(&self, index: usize) -> String {
        format!("{:08}", self.id(index))
    }
    /// Where a person finds the image, for messages: the file, or the file and the place in it.
    fn place(&self, index: usize) -> String {
        format!("image {} of {}", self.id(index), self.name())
    }
    /// Whether [`Dataset::bytes`] is an image file (JPEG, PNG, ...), of which a loader may decode a part
    /// only; otherwise it is the pixels themselves, as [`Dataset::image`] gives them.
    fn is_file(&self) -> bool {
        false
    }
    /// Decodes an image. Errors: [`DataError::Corrupt`] if this one image is bad.
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        let mut bytes = Vec::new();
        self.bytes(index, &mut bytes)?;
        decode::whole(&bytes, &|| self.place(index), into)
    }
    /// Appends the stored bytes of an image, what a digest is made of.
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError>;
    /// What can be learned from it: labels, boxes, masks.
    fn tasks(&self) -> &[Task] {
        &[Task::Classify]
    }
    /// Things in an image with their boxes; none of a dataset without boxes.
    fn objects(&self, index: usize) -> &[Object] {
        let _ = index;
        &[]
    }
    /// Name of each class of a mask; empty for a dataset without masks.
    fn mask_classes(&self) -> &[String] {
        &[]
    }
    /// Class of each pixel of an image. Errors: no such file, no mask, a label beyond the classes.
    fn mask(&self, index: usize, into: &mut Mask) -> Result<(), DataError> {
        let _ = (index, into);
        Err(DataError::Recipe(format!("{} has no masks", self.name())))
    }
    /// Where a person finds the mask of an image.
    fn mask_place(&self, index: usize) -> String {
        self.place(index)
    }
    /// Appends what an image comes with beside its label, for the digest: boxes, or the bytes of its mask.
    fn annotation(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        let _ = (index, into);
        Ok(())
    }
    /// What is wrong with boxes and files of annotations, found when it was opened; each with its place.
    fn problems(&self) -> &[Problem] {
        &[]
    }
    /// The values themselves, where the dataset is ready-made tensors and has no 8-bit images.
    fn tensors(&self) -> Option<&Tensors> {
        None
    }
}

/// The splits that a dataset has, in the order of [`Split::ALL`].
pub type Splits = Vec<(Split, Arc<dyn Dataset>)>;

/// Opens a split of the dataset a recipe names. `path` is the directory (or file) that holds it, whose
/// layout is seen from what is in it; `None` looks where [`crate::locate()`] says. `tensors:FILE` is the
/// same for both splits.
pub fn open(name: &str, path: Option<&Path>, split: Split) -> Result<Arc<dyn Dataset>, DataError> {
    open_as(name, path, None, split)
}

/// As [`open`], with the layout that `runner data add` recorded.
pub fn open_as(
    name: &str,
    path: Option<&Path>,
    layout: Option<FileLayout>,
    split: Split,
) -> Result<Arc<dyn Dataset>, DataError> {
    if let Some(file) = name.strip_prefix("tensors:") {
        let file = path.unwrap_or(Path::new(file));
        return Ok(Arc::new(TensorDataset::open(name, file)?));
    }
    if name == "synthetic" {
        return Ok(Arc::new(Synthetic::new(split)));
    }
    let found;
    let path = match path {
        Some(path) => path,
        None => {
            found = locate::locate(name).ok_or_else(|| locate::missing(name))?;
            &found
        }
    };
    let layout = match layout {
        Some(layout) => layout,
        None => FileLayout::of(name, path)?,
    };
    datasets::open(name, path, layout, split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let Err(error) = open("fashion-mnits", None, Split::Train) else {
            panic!("opened")
        };
        assert!(
            error
                .to_string()
                .contains("did you mean \"fashion-mnist\"?"),
            "{error}"
        );
    }
}
