//! An image folder: `train/CLASS/*.jpg` and `val/CLASS/*.jpg` (or `valid`, `validation`, `test`), the
//! layout that torchvision, Keras and most downloads share. Class names sorted by their bytes give the
//! labels; folders below a class are read too, links are followed. A directory that holds class folders
//! itself is a training split alone.

use std::path::{Path, PathBuf};

use super::files::{Files, Listed, is_image};
use crate::dataset::{Dataset as _, Split};
use crate::digest::walk_failed;
use crate::error::DataError;

/// Names of a split's directory, the best first.
pub(super) fn split_words(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["train", "training"],
        Split::Val => &["val", "valid", "validation", "test"],
    }
}

/// The directory of a split below `root`.
pub(super) fn split_dir(root: &Path, split: Split) -> Option<PathBuf> {
    split_words(split)
        .iter()
        .map(|word| root.join(word))
        .find(|dir| dir.is_dir())
}

/// A split of the folder at `root`; `None` if it has no directory.
pub fn open(name: &str, root: &Path, split: Split) -> Result<Option<Files>, DataError> {
    let train = split_dir(root, Split::Train);
    let val = split_dir(root, Split::Val);
    let (train, val) = match (train, val) {
        (None, None) => (Some(root.to_owned()), None),
        found => found,
    };
    let Some(dir) = (match split {
        Split::Train => train.as_ref(),
        Split::Val => val.as_ref(),
    }) else {
        return Ok(None);
    };
    // The training split says which classes there are; without one, the other does.
    let of_classes = train.as_ref().unwrap_or(dir);
    let classes = class_folders(of_classes)?;
    if classes.is_empty() {
        return Err(DataError::bad(
            of_classes,
            "has no class folders",
            "put the images of each class into a folder of the class's name",
        ));
    }
    if dir != of_classes {
        let known = |class: &String| classes.binary_search(class).is_ok();
        if let Some(stranger) = class_folders(dir)?.iter().find(|class| !known(class)) {
            return Err(DataError::bad(
                &dir.join(stranger),
                format!("is a class that {} does not have", of_classes.display()),
                "both splits must have the same classes: rename the folder, or add the class",
            ));
        }
    }
    let images = images(dir, &classes)?;
    let files = Files::new(name, dir, false, images, classes);
    if dir == of_classes {
        no_class_is_empty(&files, dir)?;
    }
    Ok(Some(files))
}

/// Names of the directories in `dir`, sorted by bytes; hidden ones are left out.
pub(super) fn class_folders(dir: &Path) -> Result<Vec<String>, DataError> {
    let io = |source| DataError::io(dir, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let kind = entry.file_type().map_err(io)?;
        let is_dir = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
        if !is_dir || entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| not_text(&entry.path()))?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// The images below each class folder; a class without a folder has none.
fn images(dir: &Path, classes: &[String]) -> Result<Vec<Listed>, DataError> {
    let mut images = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let folder = dir.join(class);
        if !folder.exists() {
            continue;
        }
        let hidden = |e: &walkdir::DirEntry| {
            e.depth() > 0 && e.file_name().as_encoded_bytes().starts_with(b".")
        };
        let walk = walkdir::WalkDir::new(&folder).follow_links(true);
        for entry in walk.into_iter().filter_entry(|e| !hidden(e)) {
            let entry = entry.map_err(|error| walk_failed(&folder, error))?;
            if entry.file_type().is_dir() {
                continue;
            }
            let below = entry.path().strip_prefix(dir).unwrap_or(entry.path());
            let name = below.to_str().ok_or_else(|| not_text(entry.path()))?;
            if entry.file_name().to_str().is_some_and(is_image) {
                images.push(Listed {
                    name: name.to_owned(),
                    label: label as u32,
                });
            }
        }
    }
    Ok(images)
}

/// An empty class folder shifts no label, but it is a broken download more often than a wish.
fn no_class_is_empty(files: &Files, dir: &Path) -> Result<(), DataError> {
    let mut has = vec![false; files.classes()];
    (0..files.len()).for_each(|index| has[files.label(index) as usize] = true);
    match has.iter().position(|has| !has) {
        Some(empty) => Err(DataError::bad(
            &dir.join(&files.class_names()[empty]),
            "has no image (jpg, jpeg, png, bmp, gif, webp, tif, tiff)",
            "fill the folder, or remove it",
        )),
        None => Ok(()),
    }
}

fn not_text(path: &Path) -> DataError {
    DataError::bad(
        path,
        "has a name that is not UTF-8",
        "rename it: names of images are kept as text",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
    }

    fn names(files: &Files) -> Vec<(String, i64)> {
        (0..files.len())
            .map(|i| (files.image_name(i), files.label(i)))
            .collect()
    }

    #[test]
    fn classes_are_sorted_and_val_takes_the_labels_of_train() {
        let dir = tempfile::tempdir().unwrap();
        touch(
            dir.path(),
            &[
                "train/b/2.jpg",
                "train/b/1.PNG",
                "train/a/x/deep.jpeg",
                "train/c/3.jpg",
                "train/a/notes.txt",
                "train/a/._x.jpg",
                "train/.cache/1.jpg",
                "train/readme.jpg",
                "val/c/9.jpg",
                "val/a/8.jpg",
            ],
        );
        let train = open("x", dir.path(), Split::Train).unwrap().unwrap();
        let expected = [
            ("a/x/deep.jpeg", 0),
            ("b/1.PNG", 1),
            ("b/2.jpg", 1),
            ("c/3.jpg", 2),
        ];
        assert_eq!(names(&train), expected.map(|(n, l)| (n.to_owned(), l)));
        let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
        assert_eq!(
            names(&val),
            [("a/8.jpg".to_owned(), 0), ("c/9.jpg".to_owned(), 2)]
        );
        assert_eq!(val.class_names(), ["a", "b", "c"]);
        let mut bytes = Vec::new();
        val.bytes(1, &mut bytes).unwrap();
        assert_eq!(bytes, b"val/c/9.jpg");
    }

    #[test]
    fn links_are_followed_and_a_bare_folder_is_a_training_split() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), &["real/1.jpg", "data/b/2.jpg"]);
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("data/a")).unwrap();
        let train = open("x", &dir.path().join("data"), Split::Train)
            .unwrap()
            .unwrap();
        assert_eq!(
            names(&train),
            [("a/1.jpg".to_owned(), 0), ("b/2.jpg".to_owned(), 1)]
        );
        assert!(
            open("x", &dir.path().join("data"), Split::Val)
                .unwrap()
                .is_none()
        );
        std::os::unix::fs::symlink(dir.path().join("data"), dir.path().join("data/b/up")).unwrap();
        let error = open("x", &dir.path().join("data"), Split::Train)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("b/up") && error.contains("remove the link"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_a_dataset_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |split| open("x", dir.path(), split).unwrap_err().to_string();
        assert!(refused(Split::Train).contains("has no class folders"));
        touch(dir.path(), &["train/a/1.jpg", "val/b/2.jpg"]);
        let error = refused(Split::Val);
        assert!(
            error.contains("val/b") && error.contains("does not have"),
            "{error}"
        );
        std::fs::create_dir(dir.path().join("train/empty")).unwrap();
        let error = refused(Split::Train);
        assert!(error.contains("train/empty: has no image"), "{error}");
    }
}
