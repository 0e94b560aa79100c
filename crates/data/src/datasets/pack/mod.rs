//! A pack: a whole dataset in one file, with the original bytes of its images and an index. Written by
//! [`write()`], read at random by position, so that opening costs the index and nothing else. Little-endian:
//!
//! ```text
//! 0   8  magic "RUNGPACK"
//! 8   4  version, 1
//! 12  4  zero
//! 16  8  offset of the index          24  8  its length
//! 32  32 BLAKE3 of the index
//! 64     bytes of the images, one after the other
//! index: 4 bytes length of a JSON header, the header, then for every image of every split
//!        offset (8), size (8), label (4), length of its name (4); then all names
//! ```
//! docs/DATA.md says what is in the header.

mod write;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::write::{Written, write};
use super::MOST_CLASSES;
use super::files::Names;
use crate::dataset::{Channels, Dataset, Image, Split};
use crate::error::DataError;

const MAGIC: &[u8; 8] = b"RUNGPACK";
const VERSION: u32 = 1;
/// Bytes before the first image.
const START: u64 = 64;
/// Bytes of an image's entry in the index.
const ENTRY: usize = 24;
const CURE: &str = "make it again with `runner data pack`";

/// The JSON header of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// What was packed.
    name: String,
    classes: usize,
    /// In the order of the labels; empty if unknown.
    class_names: Vec<String>,
    /// Where the images are pixels and no files: height, width, channels.
    pixels: Option<[usize; 3]>,
    /// Images were made no larger than this, pixels.
    max_side: Option<u32>,
    splits: Vec<SplitHeader>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitHeader {
    /// `train` or `val`.
    split: String,
    images: usize,
}

/// One split of a pack.
#[derive(Debug)]
pub struct Pack {
    dataset: String,
    path: PathBuf,
    file: File,
    header: Header,
    entries: Vec<Entry>,
    names: Names,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    size: u64,
    label: u32,
}

/// Whether a file begins as a pack does.
pub(super) fn detect(path: &Path) -> bool {
    let mut magic = [0; 8];
    File::open(path)
        .and_then(|file| file.read_exact_at(&mut magic, 0))
        .is_ok_and(|()| &magic == MAGIC)
}

impl Pack {
    /// A split of the pack at `path`; `None` if it does not have it. Every offset and length of the index
    /// is compared with the file before anything is believed of it.
    pub fn open(name: &str, path: &Path, split: Split) -> Result<Option<Pack>, DataError> {
        let io = |source| DataError::io(path, source);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let bad = |problem: String| DataError::bad(path, problem, CURE);
        let (index, images_end) = read_index(&file, length).map_err(bad)?;
        let (header, table, names) = parse_index(&index).map_err(bad)?;
        let mut before = 0;
        let Some(images) = header.splits.iter().find_map(|of| {
            let first = before;
            before += of.images;
            (of.split == split.word()).then_some(first..first + of.images)
        }) else {
            return Ok(None);
        };
        let (mut entries, mut kept) = (Vec::with_capacity(images.len()), Names::default());
        let mut name_at = 0;
        for (number, entry) in table.iter().enumerate() {
            let (entry, name_length) = self::entry(entry);
            let name = names
                .get(name_at..)
                .and_then(|rest| rest.get(..name_length))
                .ok_or_else(|| {
                    bad(format!(
                        "the name of image {number} does not lie in its index"
                    ))
                })?;
            name_at += name_length;
            if !images.contains(&number) {
                continue;
            }
            check(&entry, &header, images_end)
                .map_err(|problem| bad(format!("image {number} ({name}): {problem}")))?;
            entries.push(entry);
            kept.push(name);
        }
        Ok(Some(Pack {
            dataset: name.to_owned(),
            path: path.to_owned(),
            file,
            header,
            entries,
            names: kept,
        }))
    }
}

/// The bytes of the index, and where the images end. Error: what is wrong with the file.
fn read_index(file: &File, length: u64) -> Result<(Vec<u8>, u64), String> {
    let read = |into: &mut [u8], at: u64| {
        file.read_exact_at(into, at)
            .map_err(|error| format!("cannot be read at byte {at}: {error}"))
    };
    if length < START {
        return Err(format!(
            "has {length} bytes, a pack begins with {START}: it is cut short"
        ));
    }
    let mut start = [0; START as usize];
    read(&mut start, 0)?;
    let (words, _) = start.as_chunks::<8>();
    if &words[0] != MAGIC {
        return Err("does not begin as a pack does".to_owned());
    }
    let version = u64::from_le_bytes(words[1]);
    if version != u64::from(VERSION) {
        return Err(format!(
            "has the version {version}, this program reads {VERSION}"
        ));
    }
    let (offset, size) = (u64::from_le_bytes(words[2]), u64::from_le_bytes(words[3]));
    if offset < START || offset.checked_add(size) != Some(length) {
        return Err(format!(
            "has {length} bytes, its index should be the {size} from byte {offset} to its end: it is cut short \
             or garbled"
        ));
    }
    // No more than the file has.
    let mut index = vec![0; usize::try_from(size).map_err(|error| error.to_string())?];
    read(&mut index, offset)?;
    if blake3::hash(&index).as_bytes() != &start[32..] {
        return Err(format!("its index (byte {offset}) is not what was written"));
    }
    Ok((index, offset))
}

/// Header, table and names. Error: what is wrong with them.
fn parse_index(index: &[u8]) -> Result<(Header, &[[u8; ENTRY]], &str), String> {
    let garbled = |what: &str| format!("its index is garbled: {what}");
    let (length, rest) = index
        .split_first_chunk::<4>()
        .ok_or_else(|| garbled("it has no header"))?;
    let (header, rest) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(|| garbled("its header is longer than it"))?;
    let header: Header = serde_json::from_slice(header).map_err(|e| garbled(&e.to_string()))?;
    if header.classes == 0
        || header.classes > MOST_CLASSES
        || !(header.class_names.is_empty() || header.class_names.len() == header.classes)
    {
        return Err(garbled(&format!(
            "{} classes with {} names",
            header.classes,
            header.class_names.len()
        )));
    }
    let size = header
        .splits
        .iter()
        .try_fold(0usize, |all, split| all.checked_add(split.images))
        .and_then(|images| images.checked_mul(ENTRY))
        .filter(|size| *size <= rest.len())
        .ok_or_else(|| garbled("it has fewer entries than images"))?;
    let (table, names) = rest.split_at(size);
    let names = std::str::from_utf8(names).map_err(|_| garbled("names that are not UTF-8"))?;
    Ok((header, table.as_chunks().0, names))
}

/// An entry, and the length of its name.
fn entry(bytes: &[u8; ENTRY]) -> (Entry, usize) {
    let words = bytes.as_chunks::<8>().0;
    let last = u64::from_le_bytes(words[2]);
    let entry = Entry {
        offset: u64::from_le_bytes(words[0]),
        size: u64::from_le_bytes(words[1]),
        label: last as u32,
    };
    (entry, (last >> 32) as usize)
}

fn check(entry: &Entry, header: &Header, images_end: u64) -> Result<(), String> {
    let Entry {
        offset,
        size,
        label,
    } = *entry;
    let inside = offset >= START
        && offset
            .checked_add(size)
            .is_some_and(|end| end <= images_end);
    if !inside {
        return Err(format!(
            "its {size} bytes at byte {offset} do not lie in the file"
        ));
    }
    if label as usize >= header.classes {
        return Err(format!(
            "its label is {label}, expected 0 to {}",
            header.classes - 1
        ));
    }
    let Some([height, width, channels]) = header.pixels else {
        return Ok(());
    };
    let pixels = height
        .checked_mul(width)
        .and_then(|n| n.checked_mul(channels));
    if !matches!(channels, 1 | 3) || pixels.map(|n| n as u64) != Some(size) {
        return Err(format!(
            "it has {size} bytes, expected {height} x {width} x {channels}"
        ));
    }
    Ok(())
}

impl Dataset for Pack {
    fn name(&self) -> &str {
        &self.dataset
    }
    fn len(&self) -> usize {
        self.entries.len()
    }
    fn classes(&self) -> usize {
        self.header.classes
    }
    fn class_names(&self) -> &[String] {
        &self.header.class_names
    }
    fn label(&self, index: usize) -> i64 {
        i64::from(self.entries[index].label)
    }
    fn image_name(&self, index: usize) -> String {
        self.names.get(index).to_owned()
    }
    fn place(&self, index: usize) -> String {
        let (file, offset) = (self.path.display(), self.entries[index].offset);
        format!(
            "{file}: {} at byte {offset}",
            self.names.get(index).escape_debug()
        )
    }
    fn is_file(&self) -> bool {
        self.header.pixels.is_none()
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        let mut bytes = Vec::new();
        self.bytes(index, &mut bytes)?;
        let Some([height, width, channels]) = self.header.pixels else {
            return crate::decode::whole(&bytes, &|| self.place(index), into);
        };
        let channels = if channels == 1 {
            Channels::Grey
        } else {
            Channels::Rgb
        };
        into.set(width, height, channels, &bytes);
        Ok(())
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        let Entry { offset, size, .. } = self.entries[index];
        let start = into.len();
        into.resize(start + size as usize, 0);
        self.file
            .read_exact_at(&mut into[start..], offset)
            .map_err(|source| DataError::io(&self.path, source))
    }
}

#[cfg(test)]
mod tests;
