//! Fashion-MNIST: 70,000 grey 28x28 images of clothes in 10 classes (Xiao et al. 2017, MIT licence).
//! Shown as RGB with three equal channels, so that the paper's colour steps have something to act on.

use std::path::{Path, PathBuf};

use crate::dataset::{Channels, Dataset, Image, Split};
use crate::error::DataError;
use crate::{idx, locate};

const NAME: &str = "fashion-mnist";
const CURE: &str =
    "delete it and run `make fashion-mnist`, or give a directory that has the whole file";
const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// One split, held in memory (47 MB of training images).
pub struct FashionMnist {
    side: [usize; 2],
    images: Vec<u8>,
    labels: Vec<u8>,
    class_names: Vec<String>,
}

impl FashionMnist {
    /// `dir` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two `t10k-` files,
    /// each plain or with `.gz`.
    pub fn open(dir: Option<&Path>, split: Split) -> Result<Self, DataError> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => locate::locate(NAME)
                .ok_or_else(|| missing("its directory", &locate::places(NAME)))?,
        };
        let part = match split {
            Split::Train => "train",
            Split::Val => "t10k",
        };
        let find = |suffix: &str| {
            let path = dir.join(format!("{part}-{suffix}"));
            if path.exists() || dir.join(format!("{part}-{suffix}.gz")).exists() {
                Ok(path)
            } else {
                Err(missing(
                    &format!("{part}-{suffix} (or .gz)"),
                    std::slice::from_ref(&dir),
                ))
            }
        };
        let (images_path, labels_path) = (find("images-idx3-ubyte")?, find("labels-idx1-ubyte")?);
        let images = idx::read(&images_path, 3, CURE)?;
        let labels = idx::read(&labels_path, 1, CURE)?;
        if images.dims[0] != labels.dims[0] || images.dims.contains(&0) {
            return Err(DataError::BadFile {
                path: labels_path,
                problem: format!(
                    "has {} labels, expected one for each of the {} images of {}",
                    labels.dims[0],
                    images.dims[0],
                    images_path.display()
                ),
                cure: CURE.to_owned(),
            });
        }
        if let Some(at) = labels
            .data
            .iter()
            .position(|l| usize::from(*l) >= CLASSES.len())
        {
            return Err(DataError::BadFile {
                path: labels_path,
                problem: format!("label {at} is {}, expected 0 to 9", labels.data[at]),
                cure: CURE.to_owned(),
            });
        }
        Ok(FashionMnist {
            side: [images.dims[1], images.dims[2]],
            images: images.data,
            labels: labels.data,
            class_names: CLASSES.iter().map(|&c| c.to_owned()).collect(),
        })
    }

    fn pixels(&self, index: usize) -> &[u8] {
        let size = self.side[0] * self.side[1];
        &self.images[index * size..(index + 1) * size]
    }
}

impl Dataset for FashionMnist {
    fn name(&self) -> &str {
        NAME
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn classes(&self) -> usize {
        CLASSES.len()
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

fn missing(what: &str, looked: &[PathBuf]) -> DataError {
    DataError::Missing {
        dataset: NAME.to_owned(),
        what: what.to_owned(),
        looked: looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
        cure: "run `make fashion-mnist` in the source tree, or set RUNGS_DATA to the directory above it"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_files() {
        let Some(dir) = locate::locate(NAME) else {
            eprintln!("SKIPPED: fashion-mnist is not here; run `make fashion-mnist`");
            return;
        };
        let train = FashionMnist::open(Some(&dir), Split::Train).unwrap();
        let val = FashionMnist::open(Some(&dir), Split::Val).unwrap();
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

    #[test]
    fn a_missing_file_is_named_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let Err(error) = FashionMnist::open(Some(dir.path()), Split::Val) else {
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
        let write = |name: &str, header: &[u8], n: usize| {
            let mut bytes = header.to_vec();
            bytes.resize(header.len() + n, 11);
            std::fs::write(dir.path().join(name), bytes).unwrap();
        };
        write(
            "train-images-idx3-ubyte",
            &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1],
            2,
        );
        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 3], 3);
        let Err(error) = FashionMnist::open(Some(dir.path()), Split::Train) else {
            panic!("opened")
        };
        assert!(
            error
                .to_string()
                .contains("has 3 labels, expected one for each of the 2 images"),
            "{error}"
        );
        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2], 2);
        let Err(error) = FashionMnist::open(Some(dir.path()), Split::Train) else {
            panic!("opened")
        };
        assert!(
            error.to_string().contains("label 0 is 11, expected 0 to 9"),
            "{error}"
        );
    }
}
