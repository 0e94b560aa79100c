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

/// Width and height, from the header.
pub fn size(bytes: &[u8]) -> Result<[usize; 2], String> {
    let reader = image::ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| e.to_string())?;
    if reader.format().is_none() {
        return Err(unknown(bytes));
    }
    let (width, height) = reader.into_dimensions().map_err(|e| e.to_string())?;
    Ok([width as usize, height as usize])
}

/// An image whose pixels are numbers of classes, one byte each: grey, or the indices of a palette, which are
/// not looked up. Errors: what is no PNG of 8 bits or fewer in one channel.
pub fn labels(bytes: &[u8]) -> Result<Image, String> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    // Indices stay indices; fewer bits than 8 are unpacked below.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (width, height) = reader.info().size();
    let (width, height) = (width as usize, height as usize);
    check(width, height)?;
    let (colour, depth) = reader.output_color_type();
    let bits = depth as usize;
    if !matches!(colour, png::ColorType::Grayscale | png::ColorType::Indexed) || bits > 8 {
        return Err(format!("it has {bits} bits of {colour:?} a pixel"));
    }
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(|e| e.to_string())?;
    let mut image = Image::default();
    image.shape(width, height, Channels::Grey);
    let lines = packed.chunks_exact(frame.line_size);
    for (row, line) in image.data.chunks_exact_mut(width).zip(lines) {
        for (x, value) in row.iter_mut().enumerate() {
            let at = x * bits;
            *value = line[at / 8] >> (8 - bits - at % 8) & (0xff >> (8 - bits));
        }
    }
    Ok(image)
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
