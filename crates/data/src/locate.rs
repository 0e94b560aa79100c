//! Where datasets lie when nobody says: the places that [`rungs_spec::dataset::places`] lists.

use std::path::PathBuf;

use rungs_spec::dataset::{self, Surroundings};

use crate::error::DataError;

/// The directory (or file) of a dataset, if it is in one of the usual places.
pub fn locate(name: &str) -> Option<PathBuf> {
    places(name).into_iter().find(|path| path.exists())
}

/// The usual places, first the one that counts most.
fn places(name: &str) -> Vec<PathBuf> {
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

/// Why a dataset that lies in none of the usual places cannot be opened.
pub(crate) fn missing(name: &str) -> DataError {
    if dataset::find(name).is_none() {
        let known = dataset::DATASETS.iter().map(|d| d.name);
        return DataError::UnknownDataset {
            name: name.to_owned(),
            hint: rungs_spec::error::nearest(name, known),
        };
    }
    let looked: Vec<String> = places(name)
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    DataError::Missing {
        dataset: name.to_owned(),
        what: "its directory".to_owned(),
        looked: looked.join(", "),
        cure: cure(name),
    }
}

/// What a person can do about a dataset that is missing or broken.
pub(crate) fn cure(name: &str) -> String {
    match name {
        "fashion-mnist" => {
            "run `make fashion-mnist` in the source tree, or set RUNGS_DATA to the directory above it"
                .to_owned()
        }
        _ => format!(
            "name its place with `runner data add {name} PATH`, or set RUNGS_DATA to the directory above it"
        ),
    }
}
