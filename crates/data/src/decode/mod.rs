//! From the bytes of an image file to its pixels.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageReader, Limits};

use crate::dataset::{Channels, Image};
use crate::error::DataError;

/// Memory that one image may need, bytes: 100 megapixels of RGB, and room for the decoder.
const MOST_MEMORY: u64 = 512 << 20;

/// Decodes an image file by its content, whatever it is called. `place` is what an error names.
/// EXIF orientation is not applied, as is usual in training. Errors: [`DataError::Corrupt`].
pub fn whole(bytes: &[u8], place: &dyn Fn() -> String, into: &mut Image) -> Result<(), DataError> {
    let corrupt = |problem: String| DataError::Corrupt {
        place: place(),
        problem,
    };
    let image = decode(bytes).map_err(corrupt)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    match image.color() {
        ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16 => {
            into.set(width, height, Channels::Grey, image.into_luma8().as_raw());
        }
        _ => into.set(width, height, Channels::Rgb, image.into_rgb8().as_raw()),
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(1 << 16);
    limits.max_image_height = Some(1 << 16);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    reader.decode().map_err(|error| error.to_string())
}
