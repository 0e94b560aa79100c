//! Where datasets lie when nobody says: the places that [`rungs_spec::dataset::places`] lists.

use std::path::PathBuf;

use rungs_spec::dataset::{self, Surroundings};

/// The directory of a dataset, if it is in one of the usual places.
pub fn locate(name: &str) -> Option<PathBuf> {
    places(name).into_iter().find(|dir| dir.is_dir())
}

/// The usual places, first the one that counts most.
pub(crate) fn places(name: &str) -> Vec<PathBuf> {
    let (here, program) = (
        std::env::current_dir().unwrap_or_default(),
        std::env::current_exe().ok(),
    );
    let around = Surroundings {
        variable: &|v| std::env::var_os(v),
        here: &here,
        program: program.as_deref(),
    };
    dataset::places(name, &around)
}
