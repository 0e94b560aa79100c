//! Which pixels has an image file, or a part of it?
//!
//! What a file is says its content, never its name: ImageNet has a PNG and CMYK JPEGs under names that end
//! in `.JPEG`. JPEGs are decoded here, and no more of them than is asked for
//! ([`jpeg`]); everything else by a kept library, as a whole ([`library`]). EXIF is not read:
//! broken EXIF does no harm, and its orientation is NOT applied, as everywhere in the field (PIL,
//! torchvision, OpenCV's `IMREAD_UNCHANGED`, MXNet), so crops and labels mean the same as there.
//!
//! Pixels of JPEGs equal those that PIL makes with libjpeg-turbo (`crates/data/tests/decode.rs`).

mod jpeg;
mod library;

use crate::dataset::Image;
use crate::error::DataError;
use crate::preprocess::crop::Rect;

/// Pixels of the largest image that is decoded; a larger one is refused before memory is asked for.
/// ImageNet's largest has 44 million.
pub const MAX_PIXELS: usize = 120_000_000;

/// Decodes image files, one after the other: its buffers are reused.
#[derive(Debug, Default)]
pub struct Decoder {
    jpeg: jpeg::Buffers,
    whole: Image,
}

/// A file whose size is known and whose pixels are not decoded yet.
#[derive(Debug)]
pub struct Opened<'a> {
    decoder: &'a mut Decoder,
    bytes: &'a [u8],
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Jpeg(Box<jpeg::header::Header>),
    /// Decoded by the library already.
    Whole,
}

impl Decoder {
    /// Reads a file's header. `place`: what the file is called in an error. Errors:
    /// [`DataError::Corrupt`] for what is no image, a broken header, or more than [`MAX_PIXELS`].
    pub fn open<'a>(
        &'a mut self,
        bytes: &'a [u8],
        place: &dyn Fn() -> String,
    ) -> Result<Opened<'a>, DataError> {
        let (width, height, kind) = self.read(bytes).map_err(|p| corrupt(place, p))?;
        Ok(Opened {
            decoder: self,
            bytes,
            width,
            height,
            kind,
        })
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, usize, Kind), String> {
        if bytes.starts_with(&[0xff, 0xd8]) {
            let header = jpeg::header::read(bytes)?;
            check(header.width, header.height)?;
            return Ok((header.width, header.height, Kind::Jpeg(Box::new(header))));
        }
        library::whole(bytes, &mut self.whole)?;
        Ok((self.whole.width, self.whole.height, Kind::Whole))
    }
}

impl Opened<'_> {
    /// Decodes the pixels of `region`, which must lie in the image, within a grey level of decoding
    /// all of it. `into` becomes an image of that size. Error: [`DataError::Corrupt`]; damage behind the
    /// last line of the region goes unnoticed.
    pub fn region(
        self,
        region: Rect,
        place: &dyn Fn() -> String,
        into: &mut Image,
    ) -> Result<(), DataError> {
        let Rect {
            x,
            y,
            width,
            height,
        } = region;
        debug_assert!(x + width <= self.width && y + height <= self.height);
        match self.kind {
            Kind::Jpeg(header) => {
                jpeg::decode(self.bytes, &header, region, &mut self.decoder.jpeg, into)
                    .map_err(|p| corrupt(place, p))
            }
            Kind::Whole => {
                let whole = &self.decoder.whole;
                let pixel = whole.channels.count();
                into.shape(width, height, whole.channels);
                for (line, out) in into.data.chunks_exact_mut(width * pixel).enumerate() {
                    let start = ((y + line) * whole.width + x) * pixel;
                    out.copy_from_slice(&whole.data[start..start + width * pixel]);
                }
                Ok(())
            }
        }
    }

    /// Decodes all of it. Error: as [`Opened::region`].
    pub fn whole(self, place: &dyn Fn() -> String, into: &mut Image) -> Result<(), DataError> {
        let region = Rect {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        };
        self.region(region, place, into)
    }
}

/// Decodes an image file. `place`: what it is called in an error. Error: [`DataError::Corrupt`].
pub fn whole(bytes: &[u8], place: &dyn Fn() -> String, into: &mut Image) -> Result<(), DataError> {
    Decoder::default().open(bytes, place)?.whole(place, into)
}

/// Numbers of classes, one byte a pixel, from a PNG that is grey or has a palette. Error: why it cannot be.
pub fn labels(bytes: &[u8]) -> Result<Image, String> {
    library::labels(bytes)
}

/// Width and height of an image file, from its header. `place`: what it is called in an error. Error:
/// [`DataError::Corrupt`].
pub fn size(bytes: &[u8], place: &dyn Fn() -> String) -> Result<[usize; 2], DataError> {
    let read = || {
        if bytes.starts_with(&[0xff, 0xd8]) {
            let header = jpeg::header::read(bytes)?;
            return Ok([header.width, header.height]);
        }
        library::size(bytes)
    };
    read().map_err(|problem| corrupt(place, problem))
}

fn check(width: usize, height: usize) -> Result<(), String> {
    match width.checked_mul(height) {
        Some(0) => Err(format!("its size is {width} x {height}")),
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(format!(
            "it says it has {width} x {height} pixels, and no more than {MAX_PIXELS} are decoded"
        )),
    }
}

fn corrupt(place: &dyn Fn() -> String, problem: String) -> DataError {
    DataError::Corrupt {
        place: place(),
        problem,
    }
}
