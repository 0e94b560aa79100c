//! ILSVRC2012 as people have it: `train/SYNSET/*.JPEG`; `val/` in synset folders, or flat as its archive
//! unpacks, with a file of labels somewhere near; also Kaggle's directories. Labels are the sorted synsets.
//! A flat image is called `SYNSET/ILSVRC2012_val_...JPEG`, so both forms of `val/` are one dataset.

mod labels;

use std::path::{Path, PathBuf};

use self::labels::Labels;
use super::files::{Files, Listed, is_image};
use super::folder;
use crate::dataset::Split;
use crate::error::DataError;

/// Where `train/` and `val/` lie below the directory that a person names; Kaggle's is the second.
const ROOTS: [&str; 3] = ["", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC"];

/// Whether this is ILSVRC2012 rather than any image folder.
pub(super) fn detect(path: &Path) -> bool {
    let nested = ROOTS[1..].iter().any(|r| path.join(r).is_dir());
    nested || folder::split_dir(path, Split::Val).is_some_and(|val| is_flat(&val).unwrap_or(false))
}

/// A split; `None` if it has no directory.
pub fn open(name: &str, path: &Path, split: Split) -> Result<Option<Files>, DataError> {
    let root = ROOTS
        .iter()
        .map(|below| path.join(below))
        .find(|root| {
            Split::ALL
                .iter()
                .any(|s| folder::split_dir(root, *s).is_some())
        })
        .unwrap_or_else(|| path.to_owned());
    match folder::split_dir(&root, Split::Val) {
        Some(val) if split == Split::Val && is_flat(&val)? => {
            flat(name, path, &root, &val).map(Some)
        }
        _ => folder::open(name, &root, split),
    }
}

/// Whether images lie in the directory itself: a folder of classes has none.
fn is_flat(val: &Path) -> Result<bool, DataError> {
    let entries = std::fs::read_dir(val).map_err(|e| DataError::io(val, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| DataError::io(val, e))?;
        if entry.file_name().to_str().is_some_and(is_image) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The flat validation images in `val`, with the labels that are found near.
fn flat(name: &str, path: &Path, root: &Path, val: &Path) -> Result<Files, DataError> {
    let classes = match folder::split_dir(root, Split::Train) {
        Some(train) => folder::class_folders(&train)?,
        None => Vec::new(),
    };
    let labels = labels::find(&places(path, root, val), val, classes)?;
    let Labels { file, classes, .. } = &labels;
    let mut images = Vec::new();
    for entry in std::fs::read_dir(val).map_err(|e| DataError::io(val, e))? {
        let entry = entry.map_err(|e| DataError::io(val, e))?;
        let Some(image) = entry
            .file_name()
            .to_str()
            .filter(|n| is_image(n))
            .map(str::to_owned)
        else {
            continue;
        };
        let label = labels.of(&image).ok_or_else(|| {
            DataError::bad(
                file,
                format!("has no label for the image {}", val.join(&image).display()),
                "complete it, or remove the image",
            )
        })?;
        let synset = &classes[label as usize];
        images.push(Listed {
            name: format!("{synset}/{image}"),
            label,
        });
    }
    Ok(Files::new(name, val, true, images, labels.classes))
}

/// Directories where a file of labels may lie, the nearest first.
fn places(path: &Path, root: &Path, val: &Path) -> Vec<PathBuf> {
    let mut places = vec![val.to_owned(), root.to_owned(), path.to_owned()];
    for devkit in ["ILSVRC2012_devkit_t12", "devkit", "ILSVRC2012_devkit_t3"] {
        places.push(path.join(devkit).join("data"));
        places.push(path.join(devkit));
    }
    places.push(path.join("data"));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset as _;
    use crate::digest;

    const SYNSETS: [&str; 3] = ["n01", "n02", "n03"];

    /// Three classes; the flat images 1 to 4 are of the classes 2, 0, 1, 0.
    fn imagenet(flat: bool) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: String| {
            let path = dir.path().join(&file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        };
        for synset in SYNSETS {
            write(format!("train/{synset}/{synset}_1.JPEG"));
        }
        for (index, class) in [2, 0, 1, 0].into_iter().enumerate() {
            let folder = if flat {
                String::new()
            } else {
                format!("{}/", SYNSETS[class])
            };
            write(format!("val/{folder}ILSVRC2012_val_{:08}.JPEG", index + 1));
        }
        dir
    }

    #[test]
    fn every_way_to_label_a_flat_val_gives_the_dataset_of_the_folders() {
        let folders = imagenet(false);
        let expected = open("x", folders.path(), Split::Val).unwrap().unwrap();
        let expected = digest(&expected).unwrap();
        let ways: [&[(&str, &str)]; 7] = [
            &[(
                "LOC_val_solution.csv",
                "ImageId,PredictionString\nILSVRC2012_val_00000004,n01 1 2 3 4 \n\
                ILSVRC2012_val_00000001,n03 1 2 3 4 n03 9 9 9 9\nILSVRC2012_val_00000003,n02 0 0 0 0\n\
                ILSVRC2012_val_00000002,n01 0 0 0 0\n",
            )],
            &[(
                "val.txt",
                "ILSVRC2012_val_00000001.JPEG 2\nILSVRC2012_val_00000002.JPEG 0\n\
                ILSVRC2012_val_00000003.JPEG 1\nILSVRC2012_val_00000004.JPEG 0\n",
            )],
            &[(
                "val/val.txt",
                "ILSVRC2012_val_00000001.JPEG n03\r\nILSVRC2012_val_00000002.JPEG n01\r\n\
                ILSVRC2012_val_00000003.JPEG n02\r\nILSVRC2012_val_00000004.JPEG n01\r\n",
            )],
            &[(
                "imagenet_2012_validation_synset_labels.txt",
                "n03\nn01\nn02\nn01\n",
            )],
            &[
                (
                    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
                    "1\n3\n2\n3\n",
                ),
                (
                    "ILSVRC2012_devkit_t12/data/map_clsloc.txt",
                    "n03 1 kit_fox\nn02 2 x\nn01 3 y\n",
                ),
            ],
            &[
                (
                    "devkit/data/ILSVRC2012_validation_ground_truth.txt",
                    "1\n3\n2\n3\n",
                ),
                ("map_clsloc.txt", "n03 1 kit_fox\nn02 2 x\nn01 3 y\n"),
            ],
            &[(
                "ILSVRC2012_val.txt",
                "ILSVRC2012_val_00000001.JPEG 2\nILSVRC2012_val_00000002.JPEG 0\n\
                ILSVRC2012_val_00000003.JPEG 1\nILSVRC2012_val_00000004.JPEG 0\n",
            )],
        ];
        for way in ways {
            let dir = imagenet(true);
            for (file, text) in way {
                let path = dir.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert!(detect(dir.path()), "{way:?}");
            let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
            assert_eq!(digest(&val).unwrap(), expected, "{way:?}");
            assert_eq!(val.image_name(0), "n01/ILSVRC2012_val_00000002.JPEG");
            assert!(val.place(0).ends_with("val/ILSVRC2012_val_00000002.JPEG"));
        }
    }

    #[test]
    fn missing_or_wrong_labels_are_named_with_the_cure() {
        let dir = imagenet(true);
        let refused = || open("x", dir.path(), Split::Val).unwrap_err().to_string();
        let error = refused();
        for part in ["val", "LOC_val_solution.csv", "val.txt", "synset folders"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let truth = dir.path().join("ILSVRC2012_validation_ground_truth.txt");
        std::fs::write(&truth, "1\n3\n2\n3\n").unwrap();
        let error = refused();
        assert!(
            error.contains("ground_truth.txt") && error.contains("map_clsloc.txt"),
            "{error}"
        );
        std::fs::write(dir.path().join("map_clsloc.txt"), "n03 1 a\nn02 2 b\n").unwrap();
        let error = refused();
        assert!(error.contains("line 2") && error.contains('3'), "{error}");
        let list = dir.path().join("val.txt");
        std::fs::write(&list, "ILSVRC2012_val_00000001.JPEG 7\n").unwrap();
        let error = refused();
        assert!(
            error.contains("val.txt") && error.contains("line 1") && error.contains('7'),
            "{error}"
        );
        std::fs::write(&list, "ILSVRC2012_val_00000001.JPEG n99\n").unwrap();
        assert!(refused().contains("n99"));
        std::fs::write(&list, "ILSVRC2012_val_00000001.JPEG 1\n").unwrap();
        assert!(refused().contains("has no label for the image"));
    }

    #[test]
    fn kaggles_directories_are_found() {
        let flat = imagenet(true);
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("ILSVRC/Data/CLS-LOC");
        std::fs::create_dir_all(below.parent().unwrap()).unwrap();
        std::fs::rename(flat.path().join("."), &below).unwrap_or_else(|_| {
            std::os::unix::fs::symlink(flat.path(), &below).unwrap();
        });
        let csv = "ImageId,PredictionString\nILSVRC2012_val_00000001,n03 1\nILSVRC2012_val_00000002,n01 1\n\
                   ILSVRC2012_val_00000003,n02 1\nILSVRC2012_val_00000004,n01 1\n";
        std::fs::write(dir.path().join("LOC_val_solution.csv"), csv).unwrap();
        assert!(detect(dir.path()));
        let train = open("x", dir.path(), Split::Train).unwrap().unwrap();
        let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
        assert_eq!((train.len(), val.len(), val.classes()), (3, 4, 3));
        assert_eq!(
            (0..4).map(|i| val.label(i)).collect::<Vec<_>>(),
            [0, 0, 1, 2]
        );
    }
}
