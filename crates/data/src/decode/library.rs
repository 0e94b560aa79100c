//! Image files that are no JPEGs, decoded as a whole by the library `image`: PNG, BMP, GIF, TIFF and WebP.

use std::io::Cursor;

use super::{MAX_PIXELS, check};
use crate::dataset::{Channels, Image};

/// Transparency is dropped, as PIL's `convert("RGB")` does.
pub fn whole(bytes: &[u8], into: &mut Image) -> Result<(), String> {
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
