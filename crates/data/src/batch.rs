//! What a loader gives: some images, ready for the network or for a device that makes them so. The buffers of
//! a batch that is dropped go back to its loader.

use crossbeam_channel::Sender;

use crate::error::DataError;
use crate::preprocess::affine::Matrix;
use crate::worker::Buffers;

/// What a loader gives for images of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Values ready for the network.
    #[default]
    Floats,
    /// Resized bytes and a matrix an image, for a device to apply: a quarter of the memory and of
    /// the way to the device.
    Bytes,
}

/// Values of a batch: doubles where the dataset is a `tensors:` file of doubles.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// Single.
    F32(Vec<f32>),
    /// Double.
    F64(Vec<f64>),
    /// [`Output::Bytes`].
    Bytes {
        /// N, H, W, 3, whatever the loader's layout.
        pixels: Vec<u8>,
        /// N: what makes channel `c` of a pixel is `m[c][0] R + m[c][1] G + m[c][2] B + m[c][3]`.
        matrices: Vec<Matrix>,
    },
}

impl Default for Pixels {
    fn default() -> Self {
        Pixels::F32(Vec::new())
    }
}

impl Pixels {
    /// Room for `n` images of `size` values, whatever they were.
    pub(crate) fn shape(&mut self, output: Output, n: usize, size: usize) {
        match (output, &mut *self) {
            (Output::Floats, Pixels::F32(values)) => values.resize(n * size, 0.0),
            (Output::Floats, _) => *self = Pixels::F32(vec![0.0; n * size]),
            (Output::Bytes, Pixels::Bytes { pixels, matrices }) => {
                pixels.resize(n * size, 0);
                matrices.resize(n, Matrix::default());
            }
            (Output::Bytes, _) => {
                *self = Pixels::Bytes {
                    pixels: vec![0; n * size],
                    matrices: vec![Matrix::default(); n],
                }
            }
        }
    }
}

/// Some images, ready for the network.
#[derive(Debug)]
pub struct Batch {
    /// `len() * height * width * 3` values in the layout of the loader.
    pub images: Pixels,
    /// Class of each image.
    pub labels: Vec<i64>,
    /// Index of each image in the dataset given to the loader.
    pub indices: Vec<usize>,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// Images of this batch that could not be decoded (all zeros).
    pub corrupt: Vec<DataError>,
    pool: Sender<Buffers>,
}

impl Batch {
    /// `shape`: height and width. `pool`: where the buffers go in the end.
    pub(crate) fn new(buffers: Buffers, shape: [usize; 2], pool: Sender<Buffers>) -> Self {
        let Buffers {
            images,
            labels,
            indices,
            corrupt,
        } = buffers;
        let [height, width] = shape;
        Batch {
            images,
            labels,
            indices,
            height,
            width,
            corrupt,
            pool,
        }
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never: there are no empty batches.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // A full or closed pool is no error: the buffers are then freed.
        let _ = self.pool.try_send(Buffers {
            images: std::mem::take(&mut self.images),
            labels: std::mem::take(&mut self.labels),
            indices: std::mem::take(&mut self.indices),
            corrupt: std::mem::take(&mut self.corrupt),
        });
    }
}
