//! Tar shards by WebDataset's naming: `NAME-train-000000.tar`, or `train/*.tar`; in them an image
//! `KEY.jpg` with its class in `KEY.cls` (a number) or in the `label` of `KEY.json`. Shards are indexed
//! when opened and then read at random, without unpacking.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::files::{Names, is_image};
use super::{MOST_CLASSES, folder};
use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::parallel;

/// Names of the classes, a line each, beside the shards; WebDataset itself has none.
const CLASSES: &str = "classes.txt";
/// A label has no more bytes than this.
const LONGEST_LABEL: u64 = 1 << 20;

/// One split.
#[derive(Debug)]
pub struct Shards {
    dataset: String,
    files: Vec<PathBuf>,
    names: Names,
    images: Vec<Place>,
    classes: usize,
    class_names: Vec<String>,
}

/// Where an image lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    shard: u32,
    label: u32,
    offset: u64,
    size: u64,
}

/// An image of a shard.
#[derive(Debug)]
pub(crate) struct Member {
    /// In the archive, without `./`.
    pub name: String,
    pub label: u32,
    /// Of its bytes in the file.
    pub offset: u64,
    pub size: u64,
}

/// A split; `None` if there are no shards of it.
pub fn open(name: &str, path: &Path, split: Split) -> Result<Option<Shards>, DataError> {
    let files = shards(path, split)?;
    if files.is_empty() {
        return Ok(None);
    }
    let class_names = class_names(path)?;
    let of_files = |files: &[PathBuf]| parallel::map(files.len(), |i| index(&files[i]));
    let members = of_files(&files)?;
    let count = |members: &[Vec<Member>]| {
        let labels = members.iter().flatten().map(|m| m.label as usize + 1);
        labels.max().unwrap_or(0)
    };
    let mut classes = count(&members);
    if !class_names.is_empty() {
        if classes > class_names.len() {
            return Err(DataError::bad(
                &path.join(CLASSES),
                format!(
                    "names {} classes, the shards have {classes}",
                    class_names.len()
                ),
                "name every class on a line of its own",
            ));
        }
        classes = class_names.len();
    } else if let Some(known) = rungs_spec::dataset::find(name) {
        classes = classes.max(known.classes as usize);
    } else {
        for other in Split::ALL.into_iter().filter(|s| *s != split) {
            classes = classes.max(count(&of_files(&shards(path, other)?)?));
        }
    }
    let mut all: Vec<(u32, Member)> = Vec::new();
    for (shard, members) in members.into_iter().enumerate() {
        all.extend(members.into_iter().map(|member| (shard as u32, member)));
    }
    all.sort_unstable_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
    if let Some(twice) = all.windows(2).find(|pair| pair[0].1.name == pair[1].1.name) {
        return Err(DataError::bad(
            &files[twice[1].0 as usize],
            format!(
                "has an image {}, which is also in {}",
                twice[1].1.name,
                files[twice[0].0 as usize].display()
            ),
            "give every sample a key of its own",
        ));
    }
    let mut names = Names::default();
    let mut images = Vec::with_capacity(all.len());
    for (shard, member) in &all {
        names.push(&member.name);
        images.push(Place {
            shard: *shard,
            label: member.label,
            offset: member.offset,
            size: member.size,
        });
    }
    Ok(Some(Shards {
        dataset: name.to_owned(),
        files,
        names,
        images,
        classes,
        class_names,
    }))
}

/// The tar files of a split, sorted: those in the directory of the split, else those whose names say so.
/// A shard that says nothing is of the training split, and so is a single file.
pub(super) fn shards(path: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
    if path.is_file() {
        let only_train = (split == Split::Train).then(|| path.to_owned());
        return Ok(only_train.into_iter().collect());
    }
    if let Some(dir) = folder::split_dir(path, split) {
        let files = tars(&dir)?;
        if !files.is_empty() {
            return Ok(files);
        }
    }
    let words = |file: &Path| -> Vec<String> {
        let stem = file.file_stem().map(|s| s.to_string_lossy().to_lowercase());
        let stem = stem.unwrap_or_default();
        stem.split(|c: char| !c.is_alphanumeric())
            .map(str::to_owned)
            .collect()
    };
    let says = |file: &Path, word: &str| words(file).iter().any(|w| w == word);
    let all = tars(path)?;
    // The best word that any shard has: where there is both val and test, val counts.
    for word in folder::split_words(split) {
        let files: Vec<PathBuf> = all
            .iter()
            .filter(|file| says(file, word))
            .cloned()
            .collect();
        if !files.is_empty() {
            return Ok(files);
        }
    }
    if split == Split::Val {
        return Ok(Vec::new());
    }
    let other = folder::split_words(Split::Val);
    Ok(all
        .into_iter()
        .filter(|file| !other.iter().any(|word| says(file, word)))
        .collect())
}

/// Tar files in a directory, sorted by name.
fn tars(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|source| DataError::io(dir, source))? {
        let path = entry.map_err(|source| DataError::io(dir, source))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|e| e == "tar") && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let file = path.join(CLASSES);
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&file).map_err(|source| DataError::io(&file, source))?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect())
}

/// The images of one shard with their labels, from its headers alone.
pub(crate) fn index(path: &Path) -> Result<Vec<Member>, DataError> {
    let file = File::open(path).map_err(|source| DataError::io(path, source))?;
    let length = file
        .metadata()
        .map_err(|source| DataError::io(path, source))?
        .len();
    let bad = |error: std::io::Error| {
        DataError::bad(
            path,
            format!("is no whole tar file: {error}"),
            "make or fetch it again",
        )
    };
    let (mut images, mut labels) = (Vec::new(), HashMap::new());
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let at = |problem: String| {
            DataError::bad(
                path,
                format!("{name:?} at byte {offset}: {problem}"),
                "make or fetch the shard again",
            )
        };
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(at(format!(
                "{size} bytes are announced, the file ends before: it is cut short"
            )));
        }
        let (key, end) = name.rsplit_once('.').unwrap_or((&name, ""));
        match end {
            "cls" | "json" => {
                let mut text = String::new();
                let read = entry.by_ref().take(LONGEST_LABEL).read_to_string(&mut text);
                read.map_err(|error| at(error.to_string()))?;
                if let Some(label) = label(end, &text).map_err(at)? {
                    labels.insert(key.to_owned(), label);
                }
            }
            _ if is_image(file_name(&name)) => images.push((name, offset, size)),
            _ => {}
        }
    }
    let mut members = Vec::with_capacity(images.len());
    for (name, offset, size) in images {
        let key = name.rsplit_once('.').map_or(name.as_str(), |(key, _)| key);
        match labels.get(key) {
            Some(label) => members.push(Member {
                label: *label,
                name,
                offset,
                size,
            }),
            // `KEY.seg.png` beside `KEY.jpg`: a picture of a sample, not a sample.
            None if file_name(key).contains('.') => {}
            None => {
                return Err(DataError::bad(
                    path,
                    format!("{name:?} at byte {offset} has no label"),
                    format!(
                        "put its class, a number from 0, into {key}.cls or the \"label\" of {key}.json"
                    ),
                ));
            }
        }
    }
    Ok(members)
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The class in a `.cls` or `.json` file; a JSON without a label says nothing of it. Error: it is none.
fn label(end: &str, text: &str) -> Result<Option<u32>, String> {
    let number = match end {
        "cls" => text.trim().parse::<u64>().ok(),
        _ => {
            let value: serde_json::Value =
                serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
            match value.get("label").or_else(|| value.get("cls")) {
                None => return Ok(None),
                Some(label) => label.as_u64(),
            }
        }
    };
    match number {
        Some(number) if number < MOST_CLASSES as u64 => Ok(Some(number as u32)),
        _ => Err(format!(
            "expected a class, a whole number from 0 to {}, found {:?}",
            MOST_CLASSES - 1,
            text.chars().take(40).collect::<String>()
        )),
    }
}

impl Dataset for Shards {
    fn name(&self) -> &str {
        &self.dataset
    }
    fn len(&self) -> usize {
        self.images.len()
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn class_names(&self) -> &[String] {
        &self.class_names
    }
    fn label(&self, index: usize) -> i64 {
        i64::from(self.images[index].label)
    }
    fn image_name(&self, index: usize) -> String {
        self.names.get(index).to_owned()
    }
    fn place(&self, index: usize) -> String {
        let Place { shard, offset, .. } = self.images[index];
        let file = self.files[shard as usize].display();
        format!(
            "{file}: {} at byte {offset}",
            self.names.get(index).escape_debug()
        )
    }
    fn is_file(&self) -> bool {
        true
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        let Place {
            shard,
            offset,
            size,
            ..
        } = self.images[index];
        let path = &self.files[shard as usize];
        let start = into.len();
        // The size was compared with the length of the file when it was indexed.
        into.resize(start + size as usize, 0);
        // Opened anew each time: thousands of shards are more than a process may have open.
        File::open(path)
            .and_then(|file| file.read_exact_at(&mut into[start..], offset))
            .map_err(|source| DataError::io(path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(path: &Path, members: &[(&str, &str)]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, text) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap();
    }

    #[test]
    fn images_are_found_by_key_and_sorted_over_all_shards() {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("b/{}.jpg", "x".repeat(150));
        tar(
            &dir.path().join("x-train-000000.tar"),
            &[
                ("b/2.jpg", "two"),
                ("b/2.cls", "1\n"),
                ("b/2.seg.png", "mask"),
                ("b/2.txt", "words"),
                (&long, "long"),
                (&long.replace(".jpg", ".json"), "{\"label\": 4}"),
            ],
        );
        tar(
            &dir.path().join("x-train-000001.tar"),
            &[
                ("./a/1.v2.PNG", "one"),
                ("./a/1.v2.json", "{\"a\": 1, \"label\": 0}"),
                ("a/1.v2.cls", "0"),
            ],
        );
        tar(
            &dir.path().join("x-val-000000.tar"),
            &[("c.jpg", "v"), ("c.cls", "2")],
        );
        tar(
            &dir.path().join("x-test-000000.tar"),
            &[("d.jpg", "t"), ("d.cls", "2")],
        );
        let train = open("x", dir.path(), Split::Train).unwrap().unwrap();
        let names: Vec<_> = (0..3)
            .map(|i| (train.image_name(i), train.label(i)))
            .collect();
        assert_eq!(names[0], ("a/1.v2.PNG".to_owned(), 0));
        assert_eq!(names[1], ("b/2.jpg".to_owned(), 1));
        assert_eq!(names[2], (long, 4));
        assert_eq!((train.len(), train.classes()), (3, 5));
        let mut bytes = b"before ".to_vec();
        train.bytes(2, &mut bytes).unwrap();
        assert_eq!(bytes, b"before long");
        let place = train.place(1);
        assert!(
            place.contains("x-train-000000.tar: b/2.jpg at byte 512"),
            "{place}"
        );
        let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
        assert_eq!(
            (val.len(), val.image_name(0), val.classes()),
            (1, "c.jpg".to_owned(), 5)
        );
        std::fs::write(dir.path().join(CLASSES), "a\nb\nc\nd\ne\nf\n").unwrap();
        let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
        assert_eq!((val.classes(), val.class_names()[2].as_str()), (6, "c"));
    }

    #[test]
    fn directories_of_splits_come_first() {
        let dir = tempfile::tempdir().unwrap();
        for split in ["train", "validation"] {
            tar(
                &dir.path().join(split).join("0.tar"),
                &[
                    (&format!("{split}.jpg"), ""),
                    (&format!("{split}.cls"), "0"),
                ],
            );
        }
        for (split, name) in [(Split::Train, "train.jpg"), (Split::Val, "validation.jpg")] {
            assert_eq!(
                open("x", dir.path(), split).unwrap().unwrap().image_name(0),
                name
            );
        }
    }

    #[test]
    fn broken_shards_are_named_with_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("train-0.tar");
        let refused = |members: &[(&str, &str)]| {
            tar(&file, members);
            open("x", dir.path(), Split::Train).unwrap_err().to_string()
        };
        let error = refused(&[("1.jpg", "one"), ("2.cls", "0")]);
        assert!(
            error.contains("train-0.tar: \"1.jpg\" at byte 512 has no label"),
            "{error}"
        );
        for (label, found) in [
            ("1.5", "1.5"),
            ("-1", "-1"),
            ("99999999", "99999999"),
            ("", "found \"\""),
        ] {
            let error = refused(&[("1.jpg", ""), ("1.cls", label)]);
            assert!(error.contains("1.cls") && error.contains(found), "{error}");
        }
        assert!(refused(&[("1.jpg", ""), ("1.json", "{")]).contains("is no JSON"));
        assert!(refused(&[("1.jpg", ""), ("1.cls", "0"), ("1.jpg", "")]).contains("also in"));
        tar(&file, &[("1.cls", "0"), ("1.jpg", "picture")]);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..512 * 3 + 3]).unwrap();
        let error = open("x", dir.path(), Split::Train).unwrap_err().to_string();
        assert!(
            error.contains("\"1.jpg\" at byte 1536: 7 bytes are announced"),
            "{error}"
        );
        std::fs::write(
            &file,
            "no tar file at all, but long enough to be a block of it".repeat(20),
        )
        .unwrap();
        let error = open("x", dir.path(), Split::Train).unwrap_err().to_string();
        assert!(
            error.contains("train-0.tar: is no whole tar file"),
            "{error}"
        );
    }
}
