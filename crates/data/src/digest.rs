//! Which data is this: a digest of what training sees, and a cheap fingerprint of the files.
//!
//! The digest of a split covers, for every image in order, its number, its label and its bytes. Splits of
//! named images are in the byte order of the names, so that a folder, tar shards and a pack of the same
//! images have one digest: names decide the order and are not covered themselves, because training never
//! sees them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::parallel;

/// Images that a thread hashes at a time.
const CHUNK: usize = 64;

/// BLAKE3 of each image's stored bytes, and of its boxes or mask where it has any, in order; all threads of the machine read. `progress` is told how
/// many images were added.
pub fn hashes(
    dataset: &dyn Dataset,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<[u8; 32]>, DataError> {
    let chunks = parallel::map(dataset.len().div_ceil(CHUNK), |chunk| {
        let images = chunk * CHUNK..((chunk + 1) * CHUNK).min(dataset.len());
        let mut bytes = Vec::new();
        let mut hashes = Vec::with_capacity(CHUNK);
        for index in images {
            bytes.clear();
            dataset.bytes(index, &mut bytes)?;
            dataset.annotation(index, &mut bytes)?;
            hashes.push(*blake3::hash(&bytes).as_bytes());
        }
        progress(hashes.len());
        Ok(hashes)
    })?;
    Ok(chunks.concat())
}

/// BLAKE3, hex, over number, label and bytes of every image: what a run really saw. Reads everything once
/// (47 MB of Fashion-MNIST take about 50 ms).
pub fn digest(dataset: &dyn Dataset) -> Result<String, DataError> {
    Ok(digest_of(dataset, &hashes(dataset, &|_| ())?))
}

/// As [`digest`], from [`hashes`] that are there already.
pub fn digest_of(dataset: &dyn Dataset, hashes: &[[u8; 32]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for (index, hash) in hashes.iter().enumerate() {
        hasher.update(&dataset.id(index).to_le_bytes());
        hasher.update(&dataset.label(index).to_le_bytes());
        hasher.update(hash);
    }
    hasher.finalize().to_hex().to_string()
}

/// The digest of a dataset, hex: over the digests of the splits that it has, each under its word.
pub fn digest_of_splits<'a>(splits: impl IntoIterator<Item = (Split, &'a str)>) -> String {
    let mut splits: Vec<_> = splits.into_iter().collect();
    splits.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (split, digest) in splits {
        hasher.update(format!("{} {digest}\n", split.word()).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// BLAKE3, hex, over name, size and time of change of every file at `path`: as long as it stays, the
/// digests of its images need not be computed again.
pub fn fingerprint(path: &Path) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    let files = walkdir::WalkDir::new(path)
        .follow_links(true)
        .sort_by_file_name();
    for entry in files {
        let entry = entry.map_err(|error| walk_failed(path, error))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let about = entry.metadata().map_err(|error| walk_failed(path, error))?;
        let changed = about
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_nanos());
        let name = entry.path().strip_prefix(path).unwrap_or(entry.path());
        let name = name.as_os_str().as_bytes();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&about.len().to_le_bytes());
        hasher.update(&changed.to_le_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// A directory that cannot be walked through.
pub(crate) fn walk_failed(root: &Path, error: walkdir::Error) -> DataError {
    let path = error.path().unwrap_or(root).to_owned();
    if let Some(ancestor) = error.loop_ancestor() {
        return DataError::bad(
            &path,
            format!("is a link to {}, which it lies in", ancestor.display()),
            "remove the link",
        );
    }
    let source = error
        .into_io_error()
        .unwrap_or_else(|| std::io::Error::other("the directory cannot be walked through"));
    DataError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::open;
    use crate::subset::subset;

    #[test]
    fn a_digest_sees_order_labels_and_bytes() {
        let train = open("synthetic", None, Split::Train).unwrap();
        let val = open("synthetic", None, Split::Val).unwrap();
        let all = digest(train.as_ref()).unwrap();
        assert_eq!(all, digest(train.as_ref()).unwrap());
        assert_ne!(all, digest(val.as_ref()).unwrap());
        let part = subset(train.clone(), Some(100)).unwrap();
        let smaller = subset(train, Some(99)).unwrap();
        assert_ne!(
            digest(part.as_ref()).unwrap(),
            digest(smaller.as_ref()).unwrap()
        );
    }

    #[test]
    fn splits_are_told_apart_and_their_order_is_not() {
        let (train, val) = ((Split::Train, "a"), (Split::Val, "b"));
        let both = digest_of_splits([train, val]);
        assert_eq!(both, digest_of_splits([val, train]));
        assert_ne!(
            both,
            digest_of_splits([(Split::Train, "b"), (Split::Val, "a")])
        );
        assert_ne!(both, digest_of_splits([train]));
    }

    #[test]
    fn a_fingerprint_notices_what_changes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::write(root.join("a/x.jpg"), "12").unwrap();
        let first = fingerprint(&root).unwrap();
        std::fs::read(root.join("a/x.jpg")).unwrap();
        assert_eq!(first, fingerprint(&root).unwrap());
        std::fs::write(root.join("a/y.jpg"), "").unwrap();
        let more = fingerprint(&root).unwrap();
        assert_ne!(first, more);
        let file = std::fs::File::options()
            .append(true)
            .open(root.join("a/y.jpg"))
            .unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert_ne!(more, fingerprint(&root).unwrap());
        std::os::unix::fs::symlink(&root, root.join("a/loop")).unwrap();
        let error = fingerprint(&root).unwrap_err().to_string();
        assert!(
            error.contains("a/loop") && error.contains("remove the link"),
            "{error}"
        );
        assert!(
            fingerprint(&dir.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("none")
        );
    }
}
