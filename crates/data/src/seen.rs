//! The data of a run: both splits, and digests of what the run really sees.

use std::sync::Arc;

use rungs_spec::protocol::{DatasetRef, KnownData};

use crate::dataset::{Dataset, Split, open_as};
use crate::datasets::{self, FileLayout};
use crate::digest::{digest, digest_of_splits, fingerprint};
use crate::error::DataError;
use crate::locate;
use crate::subset::subset;

/// Both splits of a run.
pub struct RunData {
    /// Trained on: all, or `train_subset`.
    pub train: Arc<dyn Dataset>,
    /// Evaluated on: all, or `val_subset`.
    pub val: Arc<dyn Dataset>,
    /// Digest of `train`, hex.
    pub train_blake3: String,
    /// Digest of `val`, hex.
    pub val_blake3: String,
}

/// Opens the data of a run. Digests of whole splits are taken from the run's file as long as the
/// fingerprint of the files holds; else everything is read once. Error: the dataset is not (or no longer)
/// the one whose digest the run was planned for.
pub fn open_run(
    data: &DatasetRef,
    train_subset: Option<u64>,
    val_subset: Option<u64>,
) -> Result<RunData, DataError> {
    let layout = data.layout.as_deref().map(FileLayout::parse).transpose();
    let layout = layout.map_err(DataError::Recipe)?;
    let open = |split| open_as(&data.name, data.path.as_deref(), layout, split);
    let whole = [open(Split::Train)?, open(Split::Val)?];
    let mut digests = known_digests(data)?;
    if let Some(planned) = planned_digest(data)
        && digests
            .as_ref()
            .is_none_or(|known| of_both(known) != planned)
    {
        let computed = [digest(whole[0].as_ref())?, digest(whole[1].as_ref())?];
        let found = of_both(&computed);
        if found != planned {
            return Err(changed(data, &found, planned));
        }
        digests = Some(computed);
    }
    let cut = |which: usize, n| -> Result<(Arc<dyn Dataset>, String), DataError> {
        let part = subset(whole[which].clone(), n)?;
        let digest = match &digests {
            Some(digests) if part.len() == whole[which].len() && n.is_none() => {
                digests[which].clone()
            }
            _ => digest(part.as_ref())?,
        };
        Ok((part, digest))
    };
    let (train, train_blake3) = cut(0, train_subset)?;
    let (val, val_blake3) = cut(1, val_subset)?;
    Ok(RunData {
        train,
        val,
        train_blake3,
        val_blake3,
    })
}

/// The test images of a run's dataset, whose labels a server holds. Errors: no such dataset, or its test
/// split is not there.
pub fn open_test(data: &DatasetRef) -> Result<Arc<dyn Dataset>, DataError> {
    let found;
    let path = match &data.path {
        Some(path) => path,
        None => {
            found = locate::locate(&data.name).ok_or_else(|| locate::missing(&data.name))?;
            &found
        }
    };
    let layout = match data.layout.as_deref() {
        Some(layout) => FileLayout::parse(layout).map_err(DataError::Recipe)?,
        None => FileLayout::of(&data.name, path)?,
    };
    datasets::open_test(&data.name, path, layout)
}

/// What the run file knows of both splits, if the files are still those.
fn known_digests(data: &DatasetRef) -> Result<Option<[String; 2]>, DataError> {
    let (Some(known), Some(path)) = (&data.known, &data.path) else {
        return Ok(None);
    };
    let KnownData {
        fingerprint: of_then,
        train_blake3: Some(train),
        val_blake3: Some(val),
    } = known
    else {
        return Ok(None);
    };
    Ok((*of_then == fingerprint(path)?).then(|| [train.clone(), val.clone()]))
}

/// The digest that a run of a registered dataset was planned for. (A catalogue's dataset has a version
/// instead; the file of `tensors:` is compared by whoever opens the run.)
fn planned_digest(data: &DatasetRef) -> Option<&str> {
    let planned = data.identity.strip_prefix("blake3:")?;
    (!data.name.starts_with("tensors:")).then_some(planned)
}

fn of_both([train, val]: &[String; 2]) -> String {
    digest_of_splits([(Split::Train, train.as_str()), (Split::Val, val.as_str())])
}

fn changed(data: &DatasetRef, found: &str, planned: &str) -> DataError {
    let path = data.path.clone().unwrap_or_default();
    let name = &data.name;
    DataError::bad(
        &path,
        format!("has the digest {found}, the run was planned for the {planned} of {name}"),
        format!(
            "put the images back, or take the new ones: `runner data add {name} {}`, then reproduce again",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn image(root: &Path, file: &str, bytes: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn registered(root: &Path) -> DatasetRef {
        let digests = Split::ALL
            .map(|split| digest(crate::open("mine", Some(root), split).unwrap().as_ref()).unwrap());
        DatasetRef {
            name: "mine".to_owned(),
            identity: format!("blake3:{}", of_both(&digests)),
            path: Some(root.to_owned()),
            layout: Some("folder".to_owned()),
            known: Some(KnownData {
                fingerprint: fingerprint(root).unwrap(),
                train_blake3: Some(digests[0].clone()),
                val_blake3: Some(digests[1].clone()),
            }),
        }
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "train/a/1.jpg",
            "train/b/2.jpg",
            "val/a/3.jpg",
            "val/b/4.jpg",
        ] {
            image(dir.path(), file, file);
        }
        dir
    }

    #[test]
    fn what_is_known_is_taken_while_the_files_stay_and_subsets_are_digested() {
        let dir = folder();
        let data = registered(dir.path());
        let known = data.known.clone().unwrap();
        let all = open_run(&data, None, None).unwrap();
        assert_eq!((all.train.len(), all.val.len()), (2, 2));
        assert_eq!(Some(all.train_blake3), known.train_blake3);
        // The digests of the run's file are believed as long as fingerprint and identity agree with them.
        let mut told = data.clone();
        let (train, val) = ("11".repeat(32), "22".repeat(32));
        told.identity = format!("blake3:{}", of_both(&[train.clone(), val.clone()]));
        told.known = Some(KnownData {
            train_blake3: Some(train.clone()),
            val_blake3: Some(val),
            ..known
        });
        assert_eq!(open_run(&told, None, None).unwrap().train_blake3, train);
        let part = open_run(&data, Some(1), None).unwrap();
        assert_eq!(part.train.len(), 1);
        assert_eq!(part.train_blake3, digest(part.train.as_ref()).unwrap());
    }

    #[test]
    fn touched_files_are_read_again_and_changed_ones_refused() {
        let dir = folder();
        let data = registered(dir.path());
        // The same bytes at another time: another fingerprint, the same digest.
        std::fs::remove_file(dir.path().join("val/a/3.jpg")).unwrap();
        image(dir.path(), "val/a/3.jpg", "val/a/3.jpg");
        let again = open_run(&data, None, None).unwrap();
        assert_eq!(
            Some(again.val_blake3),
            data.known.as_ref().unwrap().val_blake3
        );
        image(dir.path(), "val/a/3.jpg", "another");
        let Err(error) = open_run(&data, Some(1), None) else {
            panic!("opened")
        };
        let error = error.to_string();
        assert!(
            error.contains("the run was planned for") && error.contains("runner data add mine"),
            "{error}"
        );
        // A catalogue's dataset is recorded as it is found.
        let named = DatasetRef {
            identity: "cifar10@1".to_owned(),
            ..data
        };
        assert!(open_run(&named, None, None).is_ok());
    }
}
