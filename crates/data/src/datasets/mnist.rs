//! The MNIST family, grey images in IDX files: MNIST, Fashion-MNIST (Xiao et al. 2017, MIT licence),
//! KMNIST, EMNIST. Shown as RGB with three equal channels, so that the paper's colour steps have something
//! to act on. EMNIST's images are stored transposed and are given as they are stored.

use std::path::{Path, PathBuf};

use super::{classes, idx};
use crate::dataset::{Channels, Dataset, Image, Split};
use crate::error::DataError;
use crate::locate;

/// How the files of a split begin; EMNIST puts `emnist-SET-` before.
fn part_words(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["train"],
        Split::Val => &["t10k", "test"],
    }
}

/// How the names of the two files of a split end, with and without the dot that some copies have.
const IMAGES: [&str; 2] = ["images-idx3-ubyte", "images.idx3-ubyte"];
const LABELS: [&str; 2] = ["labels-idx1-ubyte", "labels.idx1-ubyte"];

/// One split, held in memory (47 MB of Fashion-MNIST's training images).
#[derive(Debug)]
pub struct Mnist {
    name: String,
    side: [usize; 2],
    images: Vec<u8>,
    labels: Vec<u8>,
    classes: usize,
    class_names: Vec<String>,
}

/// The files of a split, each plain or with `.gz`.
struct Pair {
    /// `emnist-letters`; empty for the files of any other member of the family.
    set: String,
    images: PathBuf,
    labels: PathBuf,
}

/// Whether a file of images of this family lies in `dir`.
pub(super) fn detect(names: &[String]) -> bool {
    let ends = |name: &str| {
        IMAGES
            .iter()
            .any(|end| name.trim_end_matches(".gz").ends_with(end))
    };
    names.iter().any(|name| ends(name))
}

impl Mnist {
    /// `dir` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two `t10k-` files, each
    /// plain or with `.gz`; of EMNIST's sets the one called as the dataset.
    pub fn open(name: &str, dir: &Path, split: Split) -> Result<Option<Mnist>, DataError> {
        let cure = match name {
            "fashion-mnist" => {
                "delete it and run `make fashion-mnist`, or give a directory that has the whole file"
            }
            _ => "fetch it again",
        };
        let Some(files) = pair(name, dir, split)? else {
            return Ok(None);
        };
        let images = idx::read(&files.images, 3, cure)?;
        let labels = idx::read(&files.labels, 1, cure)?;
        if images.dims[0] != labels.dims[0] || images.dims.contains(&0) {
            let problem = format!(
                "has {} labels, expected one for each of the {} images of {}",
                labels.dims[0],
                images.dims[0],
                files.images.display()
            );
            return Err(DataError::bad(&files.labels, problem, cure));
        }
        let class_names = classes::of(name);
        let classes = if class_names.is_empty() {
            let mut classes = highest(&labels.data) + 1;
            for other in Split::ALL.into_iter().filter(|s| *s != split) {
                if let Some(files) = pair(&files.set, dir, other)?.filter(|of| of.set == files.set)
                {
                    classes = classes.max(highest(&idx::read(&files.labels, 1, cure)?.data) + 1);
                }
            }
            classes
        } else {
            class_names.len()
        };
        if let Some(at) = labels.data.iter().position(|l| usize::from(*l) >= classes) {
            let problem = format!(
                "label {at} is {}, expected 0 to {}",
                labels.data[at],
                classes - 1
            );
            return Err(DataError::bad(&files.labels, problem, cure));
        }
        Ok(Some(Mnist {
            name: name.to_owned(),
            side: [images.dims[1], images.dims[2]],
            images: images.data,
            labels: labels.data,
            classes,
            class_names,
        }))
    }

    fn pixels(&self, index: usize) -> &[u8] {
        let size = self.side[0] * self.side[1];
        &self.images[index * size..(index + 1) * size]
    }
}

fn highest(labels: &[u8]) -> usize {
    labels.iter().max().map_or(0, |max| usize::from(*max))
}

/// Both files of a split; `None` if neither is there. Error: one of them is missing, or there are
/// several sets and none is called as the dataset.
fn pair(name: &str, dir: &Path, split: Split) -> Result<Option<Pair>, DataError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|source| DataError::io(dir, source))? {
        let entry = entry.map_err(|source| DataError::io(dir, source))?;
        names.extend(entry.file_name().into_string());
    }
    // Plain files before packed ones of the same name.
    names.sort_unstable();
    let find = |ends: &[&str]| -> Vec<(String, &String)> {
        let words = part_words(split).iter();
        let suffixes = words.flat_map(|word| ends.iter().map(move |end| format!("{word}-{end}")));
        let mut found: Vec<(String, &String)> = suffixes
            .flat_map(|suffix| {
                names.iter().filter_map(move |file| {
                    let set = file.trim_end_matches(".gz").strip_suffix(&suffix)?;
                    Some((set.trim_end_matches('-').to_owned(), file))
                })
            })
            .collect();
        found.dedup_by(|b, a| a.0 == b.0);
        found
    };
    let (images, labels) = (find(&IMAGES), find(&LABELS));
    if images.is_empty() && labels.is_empty() {
        return Ok(None);
    }
    let chosen =
        |found: Vec<(String, &String)>, ends: &[&str]| -> Result<(String, PathBuf), DataError> {
            let several: Vec<&str> = found.iter().map(|(set, _)| set.as_str()).collect();
            let called = found.iter().find(|(set, _)| set == name);
            match (called, found.as_slice()) {
                (Some((set, file)), _) | (None, [(set, file)]) => Ok((set.clone(), dir.join(file))),
                (None, []) => Err(DataError::Missing {
                    dataset: name.to_owned(),
                    what: format!("{}-{} (or .gz)", part_words(split)[0], ends[0]),
                    looked: dir.display().to_string(),
                    cure: locate::cure(name),
                }),
                (None, _) => Err(DataError::bad(
                    dir,
                    format!("holds several sets: {}", several.join(", ")),
                    format!(
                        "call the dataset as one of them, such as \"{}\"",
                        several[0]
                    ),
                )),
            }
        };
    let ((set, images), (_, labels)) = (chosen(images, &IMAGES)?, chosen(labels, &LABELS)?);
    Ok(Some(Pair {
        set,
        images,
        labels,
    }))
}

impl Dataset for Mnist {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn class_names(&self) -> &[String] {
        &self.class_names
    }
    fn label(&self, index: usize) -> i64 {
        i64::from(self.labels[index])
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        let [height, width] = self.side;
        into.set(width, height, Channels::Grey, self.pixels(index));
        Ok(())
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        into.extend_from_slice(self.pixels(index));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open as open_dataset;

    const NAME: &str = "fashion-mnist";

    #[test]
    fn the_real_files() {
        let Some(dir) = locate::locate(NAME) else {
            eprintln!("SKIPPED: fashion-mnist is not here; run `make fashion-mnist`");
            return;
        };
        let train = Mnist::open(NAME, &dir, Split::Train).unwrap().unwrap();
        let val = Mnist::open(NAME, &dir, Split::Val).unwrap().unwrap();
        assert_eq!((train.len(), val.len()), (60_000, 10_000));
        for class in 0..10 {
            assert_eq!(
                (0..train.len())
                    .filter(|i| train.label(*i) == class)
                    .count(),
                6_000
            );
        }
        // The first training image is a boot whose sole is bright and whose corners are black.
        let mut image = Image::default();
        train.image(0, &mut image).unwrap();
        assert_eq!(train.class_names()[train.label(0) as usize], "Ankle boot");
        assert_eq!(
            (image.width, image.height, image.rgb(0, 0)),
            (28, 28, [0; 3])
        );
        let mean =
            train.images.iter().map(|b| f64::from(*b)).sum::<f64>() / train.images.len() as f64;
        assert!(
            (mean - 72.94).abs() < 0.01,
            "mean grey of the training split is known to be 72.94, got {mean}"
        );
    }

    /// One image of 1 x 1 for each label.
    fn write(dir: &Path, start: &str, labels: &[u8]) {
        let n = labels.len() as u8;
        let mut images = vec![0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 1, 0, 0, 0, 1];
        images.resize(16 + labels.len(), 7);
        std::fs::write(dir.join(format!("{start}-images-idx3-ubyte")), images).unwrap();
        let mut bytes = vec![0, 0, 8, 1, 0, 0, 0, n];
        bytes.extend(labels);
        std::fs::write(dir.join(format!("{start}-labels-idx1-ubyte")), bytes).unwrap();
    }

    #[test]
    fn a_missing_file_is_named_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "train", &[1]);
        let Err(error) = open_dataset(NAME, Some(dir.path()), Split::Val) else {
            panic!("opened")
        };
        assert!(error.to_string().contains("its split \"val\""), "{error}");
        std::fs::write(dir.path().join("t10k-labels-idx1-ubyte"), "").unwrap();
        let Err(error) = open_dataset(NAME, Some(dir.path()), Split::Val) else {
            panic!("opened")
        };
        let error = error.to_string();
        assert!(
            error.contains("t10k-images-idx3-ubyte") && error.contains("make fashion-mnist"),
            "{error}"
        );
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
    }

    #[test]
    fn labels_that_do_not_belong_to_the_images_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "train", &[11, 11]);
        let refused = || {
            Mnist::open(NAME, dir.path(), Split::Train)
                .unwrap_err()
                .to_string()
        };
        assert!(refused().contains("label 0 is 11, expected 0 to 9"));
        let labels = [0, 0, 8, 1, 0, 0, 0, 3, 1, 1, 1];
        std::fs::write(dir.path().join("train-labels-idx1-ubyte"), labels).unwrap();
        let error = refused();
        assert!(
            error.contains("has 3 labels, expected one for each of the 2 images"),
            "{error}"
        );
    }

    #[test]
    fn emnists_sets_are_chosen_by_name_and_have_their_own_number_of_classes() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "emnist-letters-train", &[1, 25]);
        write(dir.path(), "emnist-letters-test", &[26]);
        let one = Mnist::open("mine", dir.path(), Split::Train)
            .unwrap()
            .unwrap();
        assert_eq!((one.len(), one.classes()), (2, 27));
        write(dir.path(), "emnist-digits-train", &[9]);
        let letters = Mnist::open("emnist-letters", dir.path(), Split::Train)
            .unwrap()
            .unwrap();
        assert_eq!(letters.label(1), 25);
        let digits = Mnist::open("emnist-digits", dir.path(), Split::Train)
            .unwrap()
            .unwrap();
        assert_eq!((digits.len(), digits.classes()), (1, 10));
        let error = Mnist::open("mine", dir.path(), Split::Train)
            .unwrap_err()
            .to_string();
        assert!(error.contains("emnist-digits, emnist-letters"), "{error}");
    }
}
