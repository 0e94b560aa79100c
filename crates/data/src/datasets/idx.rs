//! Reads IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.
//!
//! Four bytes 0, 0, type (8 = unsigned byte), dimensions; one big-endian u32 per dimension; data.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::DataError;

/// An array of unsigned bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Idx {
    /// Lengths, slowest first.
    pub dims: Vec<usize>,
    /// Product of `dims` bytes.
    pub data: Vec<u8>,
}

/// The largest array that is read: four times the largest of the family (EMNIST by class).
const LARGEST: usize = 2 << 30;

/// Reads `path`, unpacked if its name ends in `.gz`. `dims` is how many dimensions it must have, `cure`
/// what a person can do about a bad file.
pub fn read(path: &Path, dims: usize, cure: &str) -> Result<Idx, DataError> {
    let file = File::open(path).map_err(|source| DataError::io(path, source))?;
    let size = file
        .metadata()
        .map_err(|source| DataError::io(path, source))?
        .len();
    if path.extension().is_some_and(|e| e == "gz") {
        let unpacked = GzDecoder::new(BufReader::new(file));
        parse(unpacked, dims).map_err(|problem| match problem {
            Problem::Reading(error) => format!("is not a whole gzip file of {size} bytes: {error}"),
            Problem::Content(problem) => problem,
        })
    } else {
        parse(file, dims).map_err(|problem| match problem {
            Problem::Reading(error) => format!("cannot be read: {error}"),
            Problem::Content(problem) => problem,
        })
    }
    .map_err(|problem| DataError::bad(path, problem, cure))
}

/// Why there is no array.
#[derive(Debug)]
enum Problem {
    /// The bytes do not come.
    Reading(std::io::Error),
    /// What was expected and what is there.
    Content(String),
}

/// What is allocated grows with the bytes that come, never with what the header announces.
fn parse(mut from: impl Read, dims: usize) -> Result<Idx, Problem> {
    let mut take = |limit: usize| {
        let mut bytes = Vec::new();
        let taken = from.by_ref().take(limit as u64).read_to_end(&mut bytes);
        taken.map(|_| bytes).map_err(Problem::Reading)
    };
    let refuse = |problem: String| Err(Problem::Content(problem));
    let size = 4 + 4 * dims;
    let magic = [0, 0, 8, dims as u8];
    let header = take(size)?;
    if header.len() < size {
        return refuse(format!(
            "has {} bytes, expected an IDX header of {size}: it is cut short",
            header.len()
        ));
    }
    if header[..4] != magic {
        return refuse(format!(
            "begins with the bytes {:02x?}, expected {magic:02x?} (an IDX array of bytes with {dims} dimensions)",
            &header[..4]
        ));
    }
    let lengths: Vec<usize> = header[4..]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| u32::from_be_bytes(*b) as usize)
        .collect();
    let shape = lengths
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" x ");
    let expected = lengths
        .iter()
        .try_fold(1usize, |n, d| n.checked_mul(*d))
        .filter(|n| *n <= LARGEST);
    let Some(expected) = expected else {
        return refuse(format!(
            "announces {shape} values, more than fit in memory: it is garbled"
        ));
    };
    let data = take(expected + 1)?;
    if data.len() != expected {
        let more = if data.len() > expected {
            "more"
        } else {
            "fewer"
        };
        return refuse(format!(
            "has {more} bytes than the {} that its header announces ({shape} values after {size} bytes of header), \
             it holds {}{}: it is cut short or garbled",
            expected + size,
            if data.len() > expected {
                "at least "
            } else {
                ""
            },
            data.len() + size,
        ));
    }
    Ok(Idx {
        dims: lengths,
        data,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file() -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend(0..12);
        bytes
    }

    #[test]
    fn plain_and_gzipped_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, file()).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&file()).unwrap();
        let packed = dir.path().join("packed.gz");
        let whole = gz.finish().unwrap();
        std::fs::write(&packed, &whole).unwrap();
        let a = read(&plain, 3, "").unwrap();
        assert_eq!(a, read(&packed, 3, "").unwrap());
        std::fs::write(&packed, &whole[..whole.len() - 9]).unwrap();
        let error = read(&packed, 3, "").unwrap_err().to_string();
        assert!(
            error.contains("packed.gz: is not a whole gzip file"),
            "{error}"
        );
        assert_eq!((a.dims, a.data), (vec![2, 2, 3], (0..12).collect()));
    }

    #[test]
    fn a_truncated_file_names_itself_both_sizes_and_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-images");
        std::fs::write(&path, &file()[..20]).unwrap();
        let error = read(&path, 3, "delete it and run X")
            .unwrap_err()
            .to_string();
        for part in [
            "train-images",
            "holds 20",
            "fewer bytes than the 28",
            "2 x 2 x 3",
            "delete it and run X",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(!error.contains('\n'));
    }

    #[test]
    fn a_header_cut_short_or_of_another_type_is_refused() {
        let refused = |bytes: &[u8], dims| match parse(bytes, dims) {
            Err(Problem::Content(problem)) => problem,
            other => panic!("{other:?}"),
        };
        assert!(refused(&file()[..7], 3).contains("has 7 bytes, expected an IDX header of 16"));
        assert!(refused(&file(), 1).contains("00, 00, 08, 01"));
        assert!(refused(b"<html>404 Not Found</html>", 3).contains("begins with"));
        let mut more = file();
        more.push(0);
        assert!(refused(&more, 3).contains("more bytes than the 28"));
        let mut huge = file();
        huge[4..16].fill(0xff);
        assert!(refused(&huge, 3).contains("more than fit in memory"));
    }
}
