//! Writing a pack: beside its place, synced, then moved there.

use std::fs::{File, TryLockError};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageBuffer, Luma, Rgb};

use super::{Header, MAGIC, START, SplitHeader, VERSION};
use crate::dataset::{Channels, Dataset, Image, Split};
use crate::digest;
use crate::error::DataError;
use crate::parallel;

/// Images that are read side by side: bounds what lies in memory.
const CHUNK: usize = 256;
/// JPEG quality of images that were made smaller: the highest that is still a file of usual size.
const QUALITY: u8 = 95;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Digest of each split, hex.
    pub digests: Vec<(Split, String)>,
    /// Images of all splits.
    pub images: usize,
    /// Images that were made smaller and encoded again.
    pub smaller: usize,
    /// Size of the file, bytes.
    pub bytes: u64,
}

/// Writes the splits of one dataset to `out`, replacing it once all is on disk. With `max_side`, images
/// that are larger are made smaller (pixels of the longer side) and encoded again as JPEG; all others keep
/// their bytes. `progress` is told how many images were added.
pub fn write(
    out: &Path,
    splits: &[(Split, Arc<dyn Dataset>)],
    max_side: Option<u32>,
    progress: &dyn Fn(usize),
) -> Result<Written, DataError> {
    let temporary = beside(out);
    let failed = |source| DataError::write(out, source);
    // What a killed process left is overwritten; a living one holds the lock.
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&temporary)
        .map_err(failed)?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => DataError::Recipe(format!(
            "{} is being written by another process; wait for it",
            out.display()
        )),
        TryLockError::Error(source) => failed(source),
    })?;
    file.set_len(0).map_err(failed)?;
    let written = fill(file, out, splits, max_side, progress).and_then(|written| {
        std::fs::rename(&temporary, out)
            .and_then(|()| File::open(parent(out))?.sync_all())
            .map_err(|source| DataError::write(out, source))?;
        Ok(written)
    });
    if written.is_err() {
        // Leave no half-written file behind; the first error is the one that matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    parent(out).join(format!(".{name}.tmp"))
}

fn fill(
    file: File,
    out: &Path,
    splits: &[(Split, Arc<dyn Dataset>)],
    max_side: Option<u32>,
    progress: &dyn Fn(usize),
) -> Result<Written, DataError> {
    let failed = |source| DataError::write(out, source);
    let header = header(splits, max_side)?;
    let mut to = BufWriter::with_capacity(1 << 20, file);
    to.write_all(&[0; START as usize]).map_err(failed)?;
    let (mut at, mut smaller) = (START, 0);
    let (mut table, mut names) = (Vec::new(), String::new());
    let mut digests = Vec::new();
    for (split, dataset) in splits {
        let mut hashes = Vec::with_capacity(dataset.len());
        for first in (0..dataset.len()).step_by(CHUNK) {
            let count = CHUNK.min(dataset.len() - first);
            let images = parallel::map(count, |i| stored(dataset.as_ref(), first + i, max_side))?;
            for (index, (bytes, changed)) in (first..).zip(images) {
                check_pixels(dataset.as_ref(), index, &header, &bytes)?;
                let name = dataset.image_name(index);
                table.extend(at.to_le_bytes());
                table.extend((bytes.len() as u64).to_le_bytes());
                table.extend((dataset.label(index) as u32).to_le_bytes());
                table.extend((name.len() as u32).to_le_bytes());
                names.push_str(&name);
                to.write_all(&bytes).map_err(failed)?;
                at += bytes.len() as u64;
                smaller += usize::from(changed);
                hashes.push(*blake3::hash(&bytes).as_bytes());
            }
            progress(count);
        }
        digests.push((*split, digest::digest_of(dataset.as_ref(), &hashes)));
    }
    let json = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
    let mut index = (json.len() as u32).to_le_bytes().to_vec();
    index.extend(json);
    index.extend(table);
    index.extend(names.into_bytes());
    let mut start = MAGIC.to_vec();
    start.extend(u64::from(VERSION).to_le_bytes());
    start.extend(at.to_le_bytes());
    start.extend((index.len() as u64).to_le_bytes());
    start.extend(blake3::hash(&index).as_bytes());
    let bytes = at + index.len() as u64;
    to.write_all(&index)
        .and_then(|()| to.seek(SeekFrom::Start(0)))
        .and_then(|_| to.write_all(&start))
        .and_then(|()| to.flush())
        .and_then(|()| to.get_ref().sync_all())
        .map_err(failed)?;
    Ok(Written {
        digests,
        images: header.splits.iter().map(|split| split.images).sum(),
        smaller,
        bytes,
    })
}

/// What the splits have in common. Error: they are not of one dataset, or cannot be packed.
fn header(
    splits: &[(Split, Arc<dyn Dataset>)],
    max_side: Option<u32>,
) -> Result<Header, DataError> {
    let refuse = |problem: String| Err(DataError::Recipe(problem));
    let Some((_, first)) = splits.iter().find(|(_, dataset)| !dataset.is_empty()) else {
        return refuse("there are no images to pack".to_owned());
    };
    let name = first.name().to_owned();
    if first.tensors().is_some() {
        return refuse(format!("{name} is one file already and is used as it is"));
    }
    let pixels = if first.is_file() {
        None
    } else {
        let mut image = Image::default();
        first.image(0, &mut image)?;
        Some([image.height, image.width, image.channels.count()])
    };
    if pixels.is_some() && max_side.is_some() {
        return refuse(format!(
            "{name} has no image files to make smaller; leave --max-side out"
        ));
    }
    Ok(Header {
        name,
        classes: splits.iter().map(|(_, d)| d.classes()).max().unwrap_or(0),
        class_names: first.class_names().to_vec(),
        pixels,
        max_side,
        splits: splits
            .iter()
            .map(|(split, dataset)| SplitHeader {
                split: split.word().to_owned(),
                images: dataset.len(),
            })
            .collect(),
    })
}

/// Images that are pixels all have one size.
fn check_pixels(
    dataset: &dyn Dataset,
    index: usize,
    header: &Header,
    bytes: &[u8],
) -> Result<(), DataError> {
    match header.pixels {
        Some(size) if size.iter().product::<usize>() != bytes.len() => {
            Err(DataError::Recipe(format!(
                "{} has {} bytes, the images before {size:?}: such a dataset cannot be packed",
                dataset.place(index),
                bytes.len()
            )))
        }
        _ => Ok(()),
    }
}

/// The bytes of an image as the pack stores them, and whether they were changed.
fn stored(
    dataset: &dyn Dataset,
    index: usize,
    max_side: Option<u32>,
) -> Result<(Vec<u8>, bool), DataError> {
    let mut bytes = Vec::new();
    dataset.bytes(index, &mut bytes)?;
    let Some(max_side) = max_side else {
        return Ok((bytes, false));
    };
    let mut image = Image::default();
    crate::decode::whole(&bytes, &|| dataset.place(index), &mut image)?;
    let longer = image.width.max(image.height);
    if longer <= max_side as usize {
        return Ok((bytes, false));
    }
    let side = |side: usize| {
        let scaled = side as f64 * f64::from(max_side) / longer as f64;
        (scaled.round() as u32).max(1)
    };
    let (width, height) = (side(image.width), side(image.height));
    let smaller = shrink(image, width, height).map_err(|problem| DataError::Corrupt {
        place: dataset.place(index),
        problem,
    })?;
    Ok((smaller, true))
}

/// A smaller JPEG, filtered so that nothing aliases.
fn shrink(image: Image, width: u32, height: u32) -> Result<Vec<u8>, String> {
    let (from_width, from_height) = (image.width as u32, image.height as u32);
    let size = || "its size is not that of its pixels".to_owned();
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    let encoded = match image.channels {
        Channels::Grey => {
            let pixels = ImageBuffer::<Luma<u8>, _>::from_raw(from_width, from_height, image.data);
            let pixels = imageops::resize(
                &pixels.ok_or_else(size)?,
                width,
                height,
                FilterType::CatmullRom,
            );
            encode(
                encoder,
                pixels.as_raw(),
                width,
                height,
                ExtendedColorType::L8,
            )
        }
        Channels::Rgb | Channels::Rgbx => {
            let bytes = match image.channels {
                Channels::Rgbx => {
                    let pixels = image.data.as_chunks::<4>().0.iter();
                    pixels.flat_map(|[r, g, b, _]| [*r, *g, *b]).collect()
                }
                Channels::Rgb | Channels::Grey => image.data,
            };
            let pixels = ImageBuffer::<Rgb<u8>, _>::from_raw(from_width, from_height, bytes);
            let pixels = imageops::resize(
                &pixels.ok_or_else(size)?,
                width,
                height,
                FilterType::CatmullRom,
            );
            encode(
                encoder,
                pixels.as_raw(),
                width,
                height,
                ExtendedColorType::Rgb8,
            )
        }
    };
    encoded.map_err(|error| error.to_string())?;
    Ok(jpeg)
}

fn encode(
    mut encoder: JpegEncoder<&mut Vec<u8>>,
    pixels: &[u8],
    width: u32,
    height: u32,
    colour: ExtendedColorType,
) -> image::ImageResult<()> {
    encoder.encode(pixels, width, height, colour)
}
