//! Where datasets lie when nobody says: `$RUNGS_DATA`, or `.data` in the current directory or one
//! above it.

use std::path::PathBuf;

/// The directory of a dataset, if it is in one of the usual places.
pub fn locate(name: &str) -> Option<PathBuf> {
    places()
        .into_iter()
        .map(|place| place.join(name))
        .find(|dir| dir.is_dir())
}

/// The usual places, first the one that counts most.
pub(crate) fn places() -> Vec<PathBuf> {
    if let Some(dir) = std::env::var_os("RUNGS_DATA").filter(|dir| !dir.is_empty()) {
        return vec![PathBuf::from(dir)];
    }
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors().map(|dir| dir.join(".data")).collect()
}
