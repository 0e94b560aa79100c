//! Image files that are none of ours, decoded as a whole by kept libraries: `zune-jpeg` for
//! progressive and CMYK JPEGs, `image` for PNG, BMP, GIF, TIFF and WebP.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{MAX_PIXELS, check};
use crate::dataset::{Channels, Image};

/// Any JPEG. CMYK and YCCK are taken for Adobe's, which are inverted, and put on white paper as PIL does.
pub fn jpeg(bytes: &[u8], into: &mut Image) -> Result<(), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let problem = |e: zune_jpeg::errors::DecodeErrors| format!("{e:?}").replace('\n', " ");
    decoder.decode_headers().map_err(problem)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (space, channels) = match grey {
        true => (ColorSpace::Luma, Channels::Grey),
        false => (ColorSpace::RGB, Channels::Rgb),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    check(width, height)?;
    into.shape(width, height, channels);
    decoder.decode_into(&mut into.data).map_err(problem)
}

/// Any other format; transparency is dropped, as PIL's `convert("RGB")` does.
pub fn other(bytes: &[u8], into: &mut Image) -> Result<(), String> {
    let reader = || {
        let mut reader = image::ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|e| e.to_string())?;
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(MAX_PIXELS as u64 * 8);
        reader.limits(limits);
        match reader.format() {
            Some(_) => Ok(reader),
            None => Err(unknown(bytes)),
        }
    };
    let (width, height) = reader()?.into_dimensions().map_err(|e| e.to_string())?;
    check(width as usize, height as usize)?;
    let pixels = reader()?.decode().map_err(|e| e.to_string())?.into_rgb8();
    into.set(
        width as usize,
        height as usize,
        Channels::Rgb,
        pixels.as_raw(),
    );
    Ok(())
}

fn unknown(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(8)];
    match bytes.is_empty() {
        true => "the file is empty".to_owned(),
        false => format!(
            "it begins with the bytes {first:02x?}, which no image format that is read here does"
        ),
    }
}
