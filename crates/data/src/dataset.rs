//! What is a dataset to the loader: numbered, labelled images of one split.

use std::path::Path;
use std::sync::Arc;

use crate::error::DataError;
use crate::tensors::Tensors;
use crate::{fashion_mnist, synthetic, tensors};

/// Part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Trained on.
    Train,
    /// Evaluated on.
    Val,
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
    /// Decodes an image. Errors: [`DataError::Corrupt`] if this one image is bad.
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError>;
    /// The stored bytes of an image, what a digest is made of.
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError>;
    /// Whether [`Dataset::bytes`] gives an image file, of which the loader may decode a part only.
    fn is_file(&self) -> bool {
        false
    }
    /// Where an image lies, for messages.
    fn place(&self, index: usize) -> String {
        format!("image {index} of {}", self.name())
    }
    /// The values themselves, where the dataset is ready-made tensors and has no 8-bit images.
    fn tensors(&self) -> Option<&Tensors> {
        None
    }
}

/// Opens a split of the dataset a recipe names. `path` is the directory (or file) that holds it;
/// `None` looks where [`crate::locate`] says. `tensors:FILE` is the same for both splits.
pub fn open(name: &str, path: Option<&Path>, split: Split) -> Result<Arc<dyn Dataset>, DataError> {
    if let Some(file) = name.strip_prefix("tensors:") {
        let file = path.unwrap_or(Path::new(file));
        return Ok(Arc::new(tensors::TensorDataset::open(name, file)?));
    }
    match name {
        "fashion-mnist" => Ok(Arc::new(fashion_mnist::FashionMnist::open(path, split)?)),
        "synthetic" => Ok(Arc::new(synthetic::Synthetic::new(split))),
        "imagenet" => Err(DataError::Recipe(
            "imagenet: this version reads fashion-mnist, synthetic and tensors:FILE only; \
             choose a profile that trains on one of them (`--profile quick`)"
                .to_owned(),
        )),
        _ => {
            let known = rungs_spec::dataset::DATASETS.iter().map(|d| d.name);
            Err(DataError::UnknownDataset {
                name: name.to_owned(),
                hint: rungs_spec::error::nearest(name, known),
            })
        }
    }
}

/// BLAKE3, in hex, over the id, the label and the stored bytes of every image in order: what a run
/// really saw. Reads everything once (47 MB of Fashion-MNIST take about 50 ms).
pub fn digest(dataset: &dyn Dataset) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::new();
    for index in 0..dataset.len() {
        bytes.clear();
        dataset.bytes(index, &mut bytes)?;
        hasher.update(&dataset.id(index).to_le_bytes());
        hasher.update(&dataset.label(index).to_le_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subset::subset;

    #[test]
    fn digest_sees_order_labels_and_bytes() {
        let train = open("synthetic", None, Split::Train).unwrap();
        let val = open("synthetic", None, Split::Val).unwrap();
        let all = digest(train.as_ref()).unwrap();
        assert_eq!(all, digest(train.as_ref()).unwrap());
        assert_ne!(all, digest(val.as_ref()).unwrap());
        let part = subset(train.clone(), Some(100)).unwrap();
        let smaller = subset(train, Some(99)).unwrap();
        assert_ne!(
            digest(part.as_ref()).unwrap(),
            digest(smaller.as_ref()).unwrap()
        );
    }

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
