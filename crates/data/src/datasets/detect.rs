//! Which layout a directory or file has, from the names in it: no image is opened.

use std::path::Path;

use super::places365::{self, List, Size};
use super::{FileLayout, ade, cifar, folder, imagenet, mnist, pack, shards, voc};
use crate::dataset::Split;
use crate::error::DataError;

pub(super) fn detect(path: &Path) -> Result<FileLayout, DataError> {
    let found = if path.is_dir() {
        directory(path)?
    } else {
        file(path)?
    };
    found.ok_or_else(|| {
        let known: Vec<String> = FileLayout::ALL
            .iter()
            .map(|(_, name, looks)| format!("{name} ({looks})"))
            .collect();
        DataError::bad(
            path,
            "has none of the known layouts",
            format!("arrange it as one of {}", known.join("; ")),
        )
    })
}

fn file(path: &Path) -> Result<Option<FileLayout>, DataError> {
    std::fs::File::open(path).map_err(|source| DataError::io(path, source))?;
    if pack::detect(path) {
        return Ok(Some(FileLayout::Pack));
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let archive = name.ends_with(".tar.gz") || name.ends_with(".tgz");
    Ok(match () {
        () if archive && name.contains("cifar-100") => Some(FileLayout::Cifar100),
        () if archive && name.contains("cifar-10") => Some(FileLayout::Cifar10),
        () if name.ends_with(".tar") => Some(FileLayout::Shards),
        () => None,
    })
}

fn directory(path: &Path) -> Result<Option<FileLayout>, DataError> {
    let io = |source| DataError::io(path, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().into_string());
    }
    let has = |name: &str| names.iter().any(|n| n == name);
    for (layout, kind) in [
        (FileLayout::Cifar10, cifar::Kind::Cifar10),
        (FileLayout::Cifar100, cifar::Kind::Cifar100),
    ] {
        if cifar::source(path, kind).is_some() {
            return Ok(Some(layout));
        }
    }
    if voc::detect(path) {
        return Ok(Some(FileLayout::Voc));
    }
    if ade::detect(path) {
        return Ok(Some(FileLayout::Ade));
    }
    if mnist::detect(&names) {
        return Ok(Some(FileLayout::Mnist));
    }
    for (list, small, large) in [
        (
            List::Standard,
            FileLayout::Places365Standard,
            FileLayout::Places365StandardLarge,
        ),
        (
            List::Challenge,
            FileLayout::Places365Challenge,
            FileLayout::Places365ChallengeLarge,
        ),
    ] {
        if has(&list.file()) {
            let of = |size| places365::images_dir(path, list, size, Split::Train).is_some();
            return Ok(Some(if of(Size::Large) && !of(Size::Small) {
                large
            } else {
                small
            }));
        }
    }
    if !shards::shards(path, Split::Train)?.is_empty() {
        return Ok(Some(FileLayout::Shards));
    }
    if imagenet::detect(path) {
        return Ok(Some(FileLayout::Imagenet));
    }
    let splits = Split::ALL
        .iter()
        .any(|split| folder::split_dir(path, *split).is_some());
    Ok((splits || !folder::class_folders(path)?.is_empty()).then_some(FileLayout::Folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_seen_from_its_names() {
        let cases: [(&str, &[&str]); 16] = [
            ("folder", &["train/a/1.jpg", "val/a/2.jpg"]),
            ("folder", &["cats/1.jpg", "dogs/1.jpg"]),
            (
                "imagenet",
                &["train/n01/1.JPEG", "val/ILSVRC2012_val_00000001.JPEG"],
            ),
            ("imagenet", &["ILSVRC/Data/CLS-LOC/train/n01/1.JPEG"]),
            ("cifar10", &["cifar-10-batches-bin/data_batch_1.bin"]),
            ("cifar10", &["cifar-10-binary.tar.gz"]),
            ("cifar100", &["train.bin", "test.bin"]),
            ("mnist", &["emnist-letters-train-images-idx3-ubyte.gz"]),
            (
                "places365-standard",
                &[
                    "places365_train_standard.txt",
                    "data_256/a/1.jpg",
                    "data_large/a/1.jpg",
                ],
            ),
            (
                "places365-challenge-large",
                &[
                    "places365_train_challenge.txt",
                    "data_large_challenge/a/1.jpg",
                ],
            ),
            ("shards", &["train/0.tar", "val/0.tar"]),
            (
                "voc",
                &[
                    "Annotations/a.xml",
                    "ImageSets/Main/train.txt",
                    "JPEGImages/a.jpg",
                ],
            ),
            (
                "voc",
                &[
                    "VOCdevkit/VOC2007/Annotations/a.xml",
                    "VOCdevkit/VOC2007/ImageSets/Main/test.txt",
                ],
            ),
            (
                "voc",
                &[
                    "VOC2012/Annotations/a.xml",
                    "VOC2012/ImageSets/Main/val.txt",
                ],
            ),
            (
                "ade",
                &["images/training/a.jpg", "annotations/training/a.png"],
            ),
            ("shards", &["imagenet-train-000000.tar"]),
        ];
        for (layout, files) in cases {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
            let found = FileLayout::detect(dir.path()).unwrap();
            assert_eq!(found.name(), layout, "{files:?}");
            assert_eq!(FileLayout::parse(layout).unwrap(), found);
        }
    }

    #[test]
    fn what_has_no_layout_is_told_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        for path in [dir.path().to_owned(), dir.path().join("notes.txt")] {
            let error = FileLayout::detect(&path).unwrap_err().to_string();
            assert!(
                error.contains("none of the known layouts")
                    && error.contains("places365-standard ("),
                "{error}"
            );
        }
        let error = FileLayout::detect(&dir.path().join("gone"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("gone"), "{error}");
        assert!(
            FileLayout::parse("foldr")
                .unwrap_err()
                .contains("\"folder\"")
        );
    }
}
