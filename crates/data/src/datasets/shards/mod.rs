//! Tar shards by WebDataset's naming: `NAME-train-000000.tar`, or `train/*.tar`; in them an image
//! `KEY.jpg` with its class in `KEY.cls` (a number) or in the `label` of `KEY.json`. Shards are indexed
//! when opened and then read at random, without unpacking.

mod index;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use self::index::{Member, index};
use super::files::Names;
use super::folder;
use crate::dataset::{Dataset, Split};
use crate::error::DataError;
use crate::parallel;

/// Names of the classes, a line each, beside the shards; WebDataset itself has none.
const CLASSES: &str = "classes.txt";
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
mod tests;
