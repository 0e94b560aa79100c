//! Reads IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.
//!
//! Four bytes 0, 0, type (8 = unsigned byte), dimensions; one big-endian u32 per dimension; data.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// An array of unsigned bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Idx {
    /// Lengths, slowest first.
    pub dims: Vec<usize>,
    /// Product of `dims` bytes.
    pub data: Vec<u8>,
}

/// Reads `path`, or `path.gz` where only that exists. `dims` is how many dimensions it must have,
/// `cure` what a person can do about a bad file.
pub fn read(path: &Path, dims: usize, cure: &str) -> Result<Idx, DataError> {
    let gz = PathBuf::from(format!("{}.gz", path.display()));
    let packed = !path.exists() && gz.exists();
    let path = if packed { gz.as_path() } else { path };
    let mut bytes = std::fs::read(path).map_err(|source| DataError::Io {
        path: path.to_owned(),
        source,
    })?;
    if packed {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut plain)
            .map_err(|error| DataError::BadFile {
                path: path.to_owned(),
                problem: format!("is not a whole gzip file of {} bytes: {error}", bytes.len()),
                cure: cure.to_owned(),
            })?;
        bytes = plain;
    }
    parse(bytes, dims).map_err(|problem| DataError::BadFile {
        path: path.to_owned(),
        problem,
        cure: cure.to_owned(),
    })
}

/// Error: what was expected and what is there.
fn parse(mut bytes: Vec<u8>, dims: usize) -> Result<Idx, String> {
    let header = 4 + 4 * dims;
    let magic = [0, 0, 8, dims as u8];
    if bytes.len() < header {
        return Err(format!(
            "has {} bytes, expected an IDX header of {header}: it is cut short",
            bytes.len()
        ));
    }
    if bytes[..4] != magic {
        return Err(format!(
            "begins with the bytes {:02x?}, expected {magic:02x?} (an IDX array of bytes with {dims} dimensions)",
            &bytes[..4]
        ));
    }
    let lengths: Vec<usize> = bytes[4..header]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .collect();
    let shape = lengths
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" x ");
    let expected = lengths
        .iter()
        .try_fold(1usize, |n, d| n.checked_mul(*d))
        .and_then(|n| n.checked_add(header));
    if expected != Some(bytes.len()) {
        let expected = expected.map_or("more than fit in memory".to_owned(), |n| n.to_string());
        return Err(format!(
            "has {} bytes, expected {expected} for the {shape} values that its header announces: \
             it is cut short or garbled",
            bytes.len()
        ));
    }
    bytes.drain(..header);
    Ok(Idx {
        dims: lengths,
        data: bytes,
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
        std::fs::write(dir.path().join("packed.gz"), gz.finish().unwrap()).unwrap();
        let a = read(&plain, 3, "").unwrap();
        assert_eq!(a, read(&dir.path().join("packed"), 3, "").unwrap());
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
            "has 20 bytes",
            "expected 28",
            "2 x 2 x 3",
            "delete it and run X",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(!error.contains('\n'));
    }

    #[test]
    fn a_header_cut_short_or_of_another_type_is_refused() {
        assert!(
            parse(file()[..7].to_vec(), 3)
                .unwrap_err()
                .contains("has 7 bytes, expected an IDX header of 16")
        );
        assert!(parse(file(), 1).unwrap_err().contains("00, 00, 08, 01"));
        assert!(
            parse(b"<html>404 Not Found</html>".to_vec(), 3)
                .unwrap_err()
                .contains("begins with")
        );
        let mut huge = file();
        huge[4..16].fill(0xff);
        assert!(
            parse(huge, 3)
                .unwrap_err()
                .contains("more than fit in memory")
        );
    }
}
