//! HOME/datasets.toml, and where a dataset's files lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rungs_spec::dataset;
use rungs_spec::error::nearest;
use rungs_spec::home::Home;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// One `[NAME]` of datasets.toml.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Directory or file.
    pub path: PathBuf,
    /// How the files are arranged, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// BLAKE3, hex: the identity of a dataset that is not in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// HOME/datasets.toml by name; a missing file has none.
pub fn registered(home: &Home) -> Result<BTreeMap<String, Registered>, StoreError> {
    let path = home.datasets();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(StoreError::file(&path, "cannot be read", e)),
    };
    toml::from_str(&text).map_err(|e| StoreError::Content {
        path,
        message: format!(
            "{e}\nEach dataset is a table [NAME] with path, and if wanted layout and digest"
        ),
    })
}

/// Puts a dataset into HOME/datasets.toml, replacing one of the same name.
pub fn register(home: &Home, name: &str, dataset: Registered) -> Result<(), StoreError> {
    let mut all = registered(home)?;
    all.insert(name.to_owned(), dataset);
    let path = home.datasets();
    let text = toml::to_string(&all).map_err(|e| StoreError::Content {
        path: path.clone(),
        message: format!("cannot be written as TOML: {e}"),
    })?;
    let tmp = path.with_extension("toml.tmp");
    std::fs::write(&tmp, text)
        .and_then(|()| std::fs::rename(&tmp, &path))
        .map_err(|e| {
            StoreError::file(
                &path,
                "cannot be written (is the disk full, the home writable?)",
                e,
            )
        })
}

/// Where a dataset's files lie: `None` for data that is made from a seed, the file of `tensors:FILE`.
/// The error lists where it looked and names the cure.
pub fn dataset_path(home: &Home, name: &str) -> Result<Option<PathBuf>, StoreError> {
    if name == "synthetic" {
        return Ok(None);
    }
    if let Some(file) = name.strip_prefix("tensors:") {
        return std::path::absolute(file)
            .map(Some)
            .map_err(|e| StoreError::file(Path::new(file), "is no path", e));
    }
    let registered = registered(home)?;
    if let Some(dataset) = registered.get(name) {
        if dataset.path.exists() {
            return Ok(Some(dataset.path.clone()));
        }
        return Err(StoreError::Content {
            path: home.datasets(),
            message: format!(
                "dataset {name:?} should lie at {}, but nothing is there. Put it back, or write its new place there: path = \"DIR\" under [{name}]",
                dataset.path.display()
            ),
        });
    }
    let places = places(name);
    if let Some(found) = places.iter().find(|p| p.exists()) {
        return Ok(Some(found.clone()));
    }
    Err(StoreError::Content {
        path: home.datasets(),
        message: missing(&home.datasets(), name, &registered, &places),
    })
}

/// The cure for a dataset that is not found: how to say where it is.
pub(crate) fn how_to_register(file: &Path, name: &str) -> String {
    format!(
        "add [{name}] with path = \"DIR\" to {}, or set RUNGS_DATA to the directory that holds {name}/",
        file.display()
    )
}

fn missing(
    file: &Path,
    name: &str,
    registered: &BTreeMap<String, Registered>,
    places: &[PathBuf],
) -> String {
    let register = how_to_register(file, name);
    let cure = match name {
        "fashion-mnist" => format!(
            "`make fashion-mnist` fetches it (30 MB, no account), or if you have it, {register}"
        ),
        _ if dataset::find(name).is_some() => format!("If you have it, {register}"),
        _ => {
            let known = dataset::DATASETS
                .iter()
                .map(|d| d.name)
                .chain(registered.keys().map(String::as_str));
            format!(
                "If you have it, {register}; or use another one: {}",
                nearest(name, known)
            )
        }
    };
    let looked: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
    format!(
        "dataset {name:?} is not registered here, and not at {}. {cure}",
        looked.join(", ")
    )
}

/// Where a dataset may lie without being registered: [`dataset::places`].
fn places(name: &str) -> Vec<PathBuf> {
    let (here, program) = (
        std::env::current_dir().unwrap_or_default(),
        std::env::current_exe().ok(),
    );
    let around = dataset::Surroundings {
        variable: &|v| std::env::var_os(v),
        here: &here,
        program: program.as_deref(),
    };
    dataset::places(name, &around)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_dataset_is_found_and_a_moved_one_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().to_owned());
        assert_eq!(registered(&home).unwrap(), BTreeMap::new());
        let mine = Registered {
            path: dir.path().to_owned(),
            layout: Some("folders".into()),
            digest: Some("ab".into()),
        };
        register(&home, "mine", mine.clone()).unwrap();
        let gone = Registered {
            path: "/nowhere/at/all".into(),
            ..mine
        };
        register(&home, "gone", gone).unwrap();
        assert_eq!(
            dataset_path(&home, "mine").unwrap(),
            Some(dir.path().to_owned())
        );
        let error = dataset_path(&home, "gone").unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/at/all") && error.contains("under [gone]"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_dataset_says_where_it_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let error = dataset_path(&Home(dir.path().to_owned()), "imagenot")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(".data/imagenot")
                && error.contains("did you mean \"imagenet\"?")
                && error.contains(&format!(
                    "add [imagenot] with path = \"DIR\" to {}",
                    dir.path().join("datasets.toml").display()
                ))
                && error.contains("RUNGS_DATA"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_file_names_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().to_owned());
        std::fs::write(home.datasets(), "[a]\npath = 3\n").unwrap();
        let error = registered(&home).unwrap_err().to_string();
        assert!(
            error.contains("datasets.toml") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn synthetic_data_lies_nowhere() {
        assert_eq!(
            dataset_path(&Home("/none".into()), "synthetic").unwrap(),
            None
        );
    }
}
