//! CIFAR-10 and CIFAR-100 from their official binary files, unpacked or straight from the `.tar.gz`.
//! A record is its label (CIFAR-100: coarse, then fine, which is the class) and 3 x 32 x 32 bytes, one
//! plane of a colour after the other; here, and in a digest, pixels are interleaved.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::classes;
use crate::dataset::{Channels, Dataset, Image, Split};
use crate::error::DataError;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const BYTES: usize = 3 * PLANE;
/// No official file is larger (CIFAR-100's `train.bin` has 154 MB).
const LARGEST: u64 = 256 << 20;
const CURE: &str = "fetch it again";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 10 classes.
    Cifar10,
    /// 100 classes.
    Cifar100,
}

impl Kind {
    /// Directory in the official archive.
    fn folder(self) -> &'static str {
        match self {
            Kind::Cifar10 => "cifar-10-batches-bin",
            Kind::Cifar100 => "cifar-100-binary",
        }
    }
    /// The official archive.
    pub(super) fn archive(self) -> &'static str {
        match self {
            Kind::Cifar10 => "cifar-10-binary.tar.gz",
            Kind::Cifar100 => "cifar-100-binary.tar.gz",
        }
    }
    /// The files of a split, in order.
    fn files(self, split: Split) -> &'static [&'static str] {
        match (self, split) {
            (Kind::Cifar10, Split::Train) => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            (Kind::Cifar10, Split::Val) => &["test_batch.bin"],
            (Kind::Cifar100, Split::Train) => &["train.bin"],
            (Kind::Cifar100, Split::Val) => &["test.bin"],
        }
    }
    /// A file that says which of the two a directory has.
    pub(super) fn witness(self) -> &'static str {
        self.files(Split::Train)[0]
    }
    fn name(self) -> &'static str {
        match self {
            Kind::Cifar10 => "cifar10",
            Kind::Cifar100 => "cifar100",
        }
    }
    /// Bytes before the pixels; the last of them is the class.
    fn head(self) -> usize {
        match self {
            Kind::Cifar10 => 1,
            Kind::Cifar100 => 2,
        }
    }
}

/// One split, held in memory (154 MB of training images).
#[derive(Debug)]
pub struct Cifar {
    name: String,
    /// 32 x 32 x 3 bytes an image.
    pixels: Vec<u8>,
    labels: Vec<u8>,
    class_names: Vec<String>,
}

/// The directory or the archive that holds the files of `kind`, at or below `path`.
pub(super) fn source(path: &Path, kind: Kind) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let folders = [path.to_owned(), path.join(kind.folder())];
    let unpacked = folders
        .into_iter()
        .find(|dir| dir.join(kind.witness()).is_file());
    unpacked.or_else(|| Some(path.join(kind.archive())).filter(|file| file.is_file()))
}

/// A split; `None` if there is no file of it.
pub fn open(name: &str, path: &Path, kind: Kind, split: Split) -> Result<Option<Cifar>, DataError> {
    let wanted = kind.files(split);
    let Some(source) = source(path, kind) else {
        return Err(DataError::bad(
            path,
            format!("has neither {} nor {}", kind.witness(), kind.archive()),
            "fetch the binary version (not the Python version)",
        ));
    };
    let files = if source.is_dir() {
        from_dir(&source, wanted)?
    } else {
        from_archive(&source, wanted)?
    };
    if files.is_empty() {
        return Ok(None);
    }
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in wanted {
        let place = source.join(file);
        let bytes = files
            .get(*file)
            .ok_or_else(|| DataError::bad(&place, "is not there", CURE))?;
        parse(bytes, kind, &mut labels, &mut pixels)
            .map_err(|problem| DataError::bad(&place, problem, CURE))?;
    }
    Ok(Some(Cifar {
        name: name.to_owned(),
        pixels,
        labels,
        class_names: classes::of(kind.name()),
    }))
}

fn from_dir<'a>(dir: &Path, wanted: &[&'a str]) -> Result<BTreeMap<&'a str, Vec<u8>>, DataError> {
    let mut files = BTreeMap::new();
    for file in wanted {
        let path = dir.join(file);
        if path.is_file() {
            let from = File::open(&path).map_err(|source| DataError::io(&path, source))?;
            files.insert(
                *file,
                read(from).map_err(|source| DataError::io(&path, source))?,
            );
        }
    }
    Ok(files)
}

fn from_archive<'a>(
    archive: &Path,
    wanted: &[&'a str],
) -> Result<BTreeMap<&'a str, Vec<u8>>, DataError> {
    let file = File::open(archive).map_err(|source| DataError::io(archive, source))?;
    let bad = |error: std::io::Error| {
        DataError::bad(archive, format!("is no whole .tar.gz file: {error}"), CURE)
    };
    let mut files = BTreeMap::new();
    let mut unpacked = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in unpacked.entries().map_err(bad)? {
        let entry = entry.map_err(bad)?;
        let path = entry.path().map_err(bad)?;
        let found = wanted
            .iter()
            .find(|w| path.file_name().is_some_and(|f| f == **w));
        if let Some(found) = found.copied() {
            files.insert(found, read(entry).map_err(bad)?);
        }
    }
    Ok(files)
}

/// Everything, up to one byte more than any official file has.
fn read(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Appends the records of a file. Error: what was expected and what is there.
fn parse(
    bytes: &[u8],
    kind: Kind,
    labels: &mut Vec<u8>,
    pixels: &mut Vec<u8>,
) -> Result<(), String> {
    let record = kind.head() + BYTES;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) || bytes.len() as u64 > LARGEST {
        return Err(format!(
            "has {} bytes, expected records of {record} bytes and nothing else: it is cut short or garbled",
            bytes.len()
        ));
    }
    let classes = classes::of(kind.name()).len();
    for (number, record) in bytes.chunks_exact(record).enumerate() {
        let (head, planes) = record.split_at(kind.head());
        let label = head[kind.head() - 1];
        if usize::from(label) >= classes {
            return Err(format!(
                "the label of record {number} is {label}, expected 0 to {}",
                classes - 1
            ));
        }
        labels.push(label);
        pixels
            .extend((0..PLANE).flat_map(|at| [0, 1, 2].map(|colour| planes[colour * PLANE + at])));
    }
    Ok(())
}

impl Dataset for Cifar {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn classes(&self) -> usize {
        self.class_names.len()
    }
    fn class_names(&self) -> &[String] {
        &self.class_names
    }
    fn label(&self, index: usize) -> i64 {
        i64::from(self.labels[index])
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        let pixels = &self.pixels[index * BYTES..(index + 1) * BYTES];
        into.set(SIDE, SIDE, Channels::Rgb, pixels);
        Ok(())
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        into.extend_from_slice(&self.pixels[index * BYTES..(index + 1) * BYTES]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    /// A record whose red is the label, whose green counts and whose blue is 255.
    fn record(kind: Kind, label: u8) -> Vec<u8> {
        let mut bytes = vec![1; kind.head() - 1];
        bytes.push(label);
        bytes.extend(vec![label; PLANE]);
        bytes.extend((0..PLANE).map(|at| at as u8));
        bytes.extend(vec![255; PLANE]);
        bytes
    }

    fn write_cifar10(dir: &Path) {
        for (n, file) in Kind::Cifar10.files(Split::Train).iter().enumerate() {
            std::fs::write(dir.join(file), record(Kind::Cifar10, n as u8)).unwrap();
        }
        std::fs::write(dir.join("test_batch.bin"), record(Kind::Cifar10, 9)).unwrap();
    }

    #[test]
    fn planes_are_interleaved_and_the_fine_label_counts() {
        let dir = tempfile::tempdir().unwrap();
        write_cifar10(dir.path());
        let train = open("x", dir.path(), Kind::Cifar10, Split::Train)
            .unwrap()
            .unwrap();
        assert_eq!(
            (0..5).map(|i| train.label(i)).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
        let mut image = Image::default();
        train.image(3, &mut image).unwrap();
        assert_eq!(
            (image.rgb(5, 0), image.rgb(1, 1)),
            ([3, 5, 255], [3, 33, 255])
        );

        std::fs::write(dir.path().join("train.bin"), record(Kind::Cifar100, 99)).unwrap();
        let train = open("x", dir.path(), Kind::Cifar100, Split::Train)
            .unwrap()
            .unwrap();
        assert_eq!(
            (train.label(0), train.class_names()[99].as_str()),
            (99, "worm")
        );
        assert!(
            open("x", dir.path(), Kind::Cifar100, Split::Val)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_archive_is_read_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let batches = dir.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&batches).unwrap();
        write_cifar10(&batches);
        let of = |path: &Path, split| {
            digest(&open("x", path, Kind::Cifar10, split).unwrap().unwrap()).unwrap()
        };
        let unpacked = Split::ALL.map(|split| of(dir.path(), split));
        let archive = dir.path().join("cifar-10-binary.tar.gz");
        let gz = flate2::write::GzEncoder::new(File::create(&archive).unwrap(), Default::default());
        let mut tar = tar::Builder::new(gz);
        tar.append_dir_all("cifar-10-batches-bin", &batches)
            .unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        std::fs::remove_dir_all(&batches).unwrap();
        assert_eq!(unpacked, Split::ALL.map(|split| of(&archive, split)));
        assert_eq!(unpacked, Split::ALL.map(|split| of(dir.path(), split)));
        let whole = std::fs::read(&archive).unwrap();
        std::fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
        let error = open("x", &archive, Kind::Cifar10, Split::Val)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cifar-10-binary.tar.gz: is no whole"),
            "{error}"
        );
    }

    #[test]
    fn broken_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write_cifar10(dir.path());
        let refused = || {
            open("x", dir.path(), Kind::Cifar10, Split::Train)
                .unwrap_err()
                .to_string()
        };
        std::fs::write(
            dir.path().join("data_batch_4.bin"),
            record(Kind::Cifar10, 10),
        )
        .unwrap();
        assert!(refused().contains("data_batch_4.bin: the label of record 0 is 10"));
        std::fs::write(
            dir.path().join("data_batch_4.bin"),
            &record(Kind::Cifar10, 1)[..99],
        )
        .unwrap();
        assert!(refused().contains("data_batch_4.bin: has 99 bytes"));
        std::fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
        assert!(refused().contains("data_batch_4.bin: is not there"));
        let empty = tempfile::tempdir().unwrap();
        let error = open("x", empty.path(), Kind::Cifar100, Split::Val)
            .unwrap_err()
            .to_string();
        assert!(error.contains("binary version"), "{error}");
    }
}
