//! HOME/datasets.toml, and where a dataset's files lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rungs_spec::dataset;
use rungs_spec::error::nearest;
use rungs_spec::home::Home;
use rungs_spec::protocol::KnownData;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::StoreError;

/// One `[NAME]` of datasets.toml. `runner data add` writes all of it; a person may write `path` alone for
/// a dataset of the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Directory or file.
    pub path: PathBuf,
    /// How the files are arranged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// BLAKE3, hex: the identity of a dataset that is not in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// BLAKE3, hex, over names, sizes and times of change: as long as it holds, so do the digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<u64>,
    /// Trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<RegisteredSplit>,
    /// Evaluated on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<RegisteredSplit>,
}

/// A split of datasets.toml.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredSplit {
    /// Images.
    pub images: u64,
    /// BLAKE3 of the split, hex.
    pub blake3: String,
}

impl Registered {
    /// What a run file says of it, so that a trainer need not read everything at its start.
    pub fn known(&self) -> Option<KnownData> {
        let digest = |split: &Option<RegisteredSplit>| split.as_ref().map(|s| s.blake3.clone());
        Some(KnownData {
            fingerprint: self.fingerprint.clone()?,
            train_blake3: digest(&self.train),
            val_blake3: digest(&self.val),
        })
    }
}

/// A dataset that is here.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where; `None` for data that is made from a seed.
    pub path: Option<PathBuf>,
    /// Its entry in datasets.toml, if it has one.
    pub registered: Option<Registered>,
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
    durable::write(&path, text.as_bytes()).map_err(|e| {
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
    Ok(find(home, name)?.path)
}

/// As [`dataset_path`], with what is registered of it.
pub fn find(home: &Home, name: &str) -> Result<Found, StoreError> {
    let at = |path| Found {
        path,
        registered: None,
    };
    if name == "synthetic" {
        return Ok(at(None));
    }
    if let Some(file) = name.strip_prefix("tensors:") {
        return std::path::absolute(file)
            .map(|path| at(Some(path)))
            .map_err(|e| StoreError::file(Path::new(file), "is no path", e));
    }
    let registered = registered(home)?;
    if let Some(dataset) = registered.get(name) {
        if dataset.path.exists() {
            return Ok(Found {
                path: Some(dataset.path.clone()),
                registered: Some(dataset.clone()),
            });
        }
        return Err(StoreError::Content {
            path: home.datasets(),
            message: format!(
                "dataset {name:?} should lie at {}, but nothing is there. Put it back, or name its new place: `runner data add {name} PATH`",
                dataset.path.display()
            ),
        });
    }
    // What is made from another dataset's files lies where those are registered to lie.
    let source = dataset::made_from(name).and_then(|of| registered.get(of));
    if let Some(source) = source.filter(|of| of.path.exists()) {
        return Ok(at(Some(source.path.clone())));
    }
    let places = places(name);
    if let Some(found) = places.iter().find(|p| p.exists()) {
        return Ok(at(Some(found.clone())));
    }
    Err(StoreError::Content {
        path: home.datasets(),
        message: missing(name, &registered, &places),
    })
}

/// The cure for a dataset that is not found: how to say where it is.
pub(crate) fn how_to_register(name: &str) -> String {
    format!(
        "name its place with `runner data add {name} PATH`, or set RUNGS_DATA to the directory that holds {name}/"
    )
}

fn missing(name: &str, registered: &BTreeMap<String, Registered>, places: &[PathBuf]) -> String {
    let register = how_to_register(name);
    let cure = match name {
        "fashion-mnist" => format!(
            "`make fashion-mnist` fetches it (30 MB, no account), or if you have it, {register}"
        ),
        _ if dataset::find(name).is_some() => {
            format!(
                "`runner data fetch {name}` fetches it or says who has it; or if you have it, {register}"
            )
        }
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
            layout: Some("folder".into()),
            digest: Some("ab".into()),
            fingerprint: Some("cd".into()),
            classes: Some(10),
            train: Some(RegisteredSplit {
                images: 7,
                blake3: "ef".into(),
            }),
            val: None,
        };
        register(&home, "mine", mine.clone()).unwrap();
        let gone = Registered {
            path: "/nowhere/at/all".into(),
            ..mine.clone()
        };
        register(&home, "gone", gone).unwrap();
        let found = find(&home, "mine").unwrap();
        assert_eq!(found.path.as_deref(), Some(dir.path()));
        assert_eq!(found.registered, Some(mine.clone()));
        let known = mine.known().unwrap();
        assert_eq!(
            (known.fingerprint.as_str(), known.train_blake3.as_deref()),
            ("cd", Some("ef"))
        );
        assert_eq!(
            (known.val_blake3, Registered::default().known()),
            (None, None)
        );
        let error = dataset_path(&home, "gone").unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/at/all") && error.contains("runner data add gone"),
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
                && error.contains("runner data add imagenot PATH")
                && error.contains(&dir.path().join("datasets.toml").display().to_string())
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
