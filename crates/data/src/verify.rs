//! Is a dataset whole: every image decoded, counted, measured and compared with the others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rungs_spec::recipe::Task;
use serde::Serialize;

use crate::dataset::{Dataset, Image, Split};
use crate::digest::digest_of;
use crate::error::DataError;
use crate::parallel;
use crate::scenes::{Mask, image_and_mask};

/// Images that a thread looks at at a time.
const CHUNK: usize = 16;

/// What was found in one split.
#[derive(Debug, Clone, Serialize)]
pub struct SplitReport {
    /// `train` or `val`.
    pub split: &'static str,
    /// Images.
    pub images: usize,
    /// Images of each class, in the order of the labels; with boxes or masks, images that have it anywhere.
    pub per_class: Vec<u64>,
    /// Smallest width and height, pixels.
    pub smallest: [usize; 2],
    /// Largest width and height, pixels.
    pub largest: [usize; 2],
    /// Images that cannot be read or decoded, each with its place and why.
    pub undecodable: Vec<String>,
    /// What is wrong with boxes, masks and files of annotations, each with its place: the text with which a
    /// training refuses it.
    pub annotations: Vec<String>,
    /// Images of another size than all of this dataset have, each with its place.
    pub wrong_size: Vec<String>,
    /// Digest, hex; none if an image cannot be read.
    pub digest: Option<String>,
}

/// What was found in all splits.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Each split.
    pub splits: Vec<SplitReport>,
    /// Pairs of places of images in both splits with the same bytes.
    pub in_both: Vec<[String; 2]>,
}

/// What was found of one image.
struct Look {
    hash: Option<[u8; 32]>,
    /// As `hash`, over its boxes or mask too: what the digest is made of.
    whole: Option<[u8; 32]>,
    size: Result<[usize; 2], String>,
    /// Classes of its mask, in order, or what is wrong with it; none of a dataset without masks.
    mask: Option<Result<Vec<i16>, String>>,
}

/// Reads and decodes every image. `side` is what every width and height must be, if the dataset says.
/// `progress` is told how many images were added. Errors: never of a single image.
pub fn verify(
    splits: &[(Split, Arc<dyn Dataset>)],
    side: Option<u32>,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report, DataError> {
    let mut reports = Vec::new();
    let mut first_of: HashMap<[u8; 32], (Split, usize)> = HashMap::new();
    let mut in_both = Vec::new();
    for (split, dataset) in splits {
        let looks = look_at_all(dataset.as_ref(), progress)?;
        reports.push(report(*split, dataset.as_ref(), &looks, side));
        for (index, look) in looks.iter().enumerate() {
            let Some(hash) = look.hash else { continue };
            let (of, first) = *first_of.entry(hash).or_insert((*split, index));
            if of != *split {
                let other = splits.iter().find(|(split, _)| *split == of);
                let other = other.map_or_else(String::new, |(_, dataset)| dataset.place(first));
                in_both.push([other, dataset.place(index)]);
            }
        }
    }
    Ok(Report {
        splits: reports,
        in_both,
    })
}

fn look_at_all(
    dataset: &dyn Dataset,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Look>, DataError> {
    let chunks = parallel::map(dataset.len().div_ceil(CHUNK), |chunk| {
        let images = chunk * CHUNK..((chunk + 1) * CHUNK).min(dataset.len());
        let (mut image, mut bytes) = (Image::default(), Vec::new());
        let mut looks = Vec::with_capacity(CHUNK);
        for index in images {
            looks.push(look(dataset, index, &mut bytes, &mut image));
        }
        progress(looks.len());
        Ok(looks)
    })?;
    Ok(chunks.into_iter().flatten().collect())
}

fn look(dataset: &dyn Dataset, index: usize, bytes: &mut Vec<u8>, image: &mut Image) -> Look {
    bytes.clear();
    if let Err(error) = dataset.bytes(index, bytes) {
        return Look {
            hash: None,
            whole: None,
            size: Err(error.to_string()),
            mask: None,
        };
    }
    let decoded = if dataset.is_file() {
        crate::decode::whole(bytes, &|| dataset.place(index), image)
    } else {
        dataset.image(index, image)
    };
    let size = decoded
        .map(|()| [image.width, image.height])
        .map_err(|error| error.to_string());
    let masked = !dataset.mask_classes().is_empty() && size.is_ok();
    let mask = masked.then(|| {
        let mut mask = Mask::default();
        image_and_mask(dataset, index, image, &mut mask).map_err(|error| error.to_string())?;
        let classes: BTreeSet<i16> = mask.classes.into_iter().collect();
        Ok(classes.into_iter().collect())
    });
    // A picture that is there twice is the same picture with other boxes too: images are compared without.
    let hash = Some(*blake3::hash(bytes).as_bytes());
    let annotated = dataset.annotation(index, bytes);
    let whole = annotated.ok().map(|()| *blake3::hash(bytes).as_bytes());
    Look {
        hash,
        whole,
        size,
        mask,
    }
}

/// Classes that an image counts for.
fn classes(dataset: &dyn Dataset, index: usize, look: &Look) -> BTreeSet<usize> {
    if dataset.tasks().contains(&Task::Classify) {
        return BTreeSet::from([dataset.label(index) as usize]);
    }
    if dataset.tasks().contains(&Task::Detect) {
        let objects = dataset.objects(index).iter();
        return objects.map(|object| object.label as usize).collect();
    }
    let of_mask = look.mask.iter().flatten().flatten();
    of_mask
        .filter_map(|class| usize::try_from(*class).ok())
        .collect()
}

fn report(split: Split, dataset: &dyn Dataset, looks: &[Look], side: Option<u32>) -> SplitReport {
    let mut per_class = vec![0; dataset.classes()];
    let (mut smallest, mut largest) = ([usize::MAX; 2], [0; 2]);
    let (mut undecodable, mut wrong_size) = (Vec::new(), Vec::new());
    let mut annotations: Vec<String> = dataset.problems().iter().map(ToString::to_string).collect();
    for (index, look) in looks.iter().enumerate() {
        for class in classes(dataset, index, look) {
            per_class[class] += 1;
        }
        annotations.extend(
            look.mask
                .as_ref()
                .and_then(|mask| mask.as_ref().err().cloned()),
        );
        match &look.size {
            Ok(size) => {
                for axis in 0..2 {
                    smallest[axis] = smallest[axis].min(size[axis]);
                    largest[axis] = largest[axis].max(size[axis]);
                }
                if side.is_some_and(|side| *size != [side as usize; 2]) {
                    let [width, height] = size;
                    wrong_size.push(format!(
                        "{} has {width} x {height} pixels",
                        dataset.place(index)
                    ));
                }
            }
            Err(problem) => undecodable.push(problem.clone()),
        }
    }
    if undecodable.len() == looks.len() {
        smallest = [0; 2];
    }
    let hashes: Option<Vec<[u8; 32]>> = looks.iter().map(|look| look.whole).collect();
    SplitReport {
        split: split.word(),
        images: dataset.len(),
        per_class,
        smallest,
        largest,
        undecodable,
        annotations,
        wrong_size,
        digest: hashes.map(|hashes| digest_of(dataset, &hashes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileLayout;
    use crate::datasets::splits;
    use image::RgbImage;

    #[test]
    fn everything_wrong_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, side: u32, grey: u8| {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(side, side, image::Rgb([grey; 3]))
                .save(&path)
                .unwrap();
        };
        write("train/a/1.png", 32, 1);
        write("train/a/2.png", 32, 2);
        write("train/b/3.png", 16, 3);
        write("val/a/4.png", 32, 2);
        write("val/b/5.png", 32, 5);
        std::fs::write(dir.path().join("train/b/6.jpg"), "no image").unwrap();
        let dangling = dir.path().join("val/b/7.png");
        std::os::unix::fs::symlink(dir.path().join("gone"), &dangling).unwrap();
        let broken = splits("x", dir.path(), FileLayout::Folder);
        assert!(broken.is_err(), "a link to nowhere is no image");
        std::fs::remove_file(&dangling).unwrap();
        let splits = splits("x", dir.path(), FileLayout::Folder).unwrap();
        let report = verify(&splits, Some(32), &|_| ()).unwrap();
        let [train, val] = report.splits.as_slice() else {
            panic!("{report:?}")
        };
        assert_eq!((train.images, &train.per_class), (4, &vec![2, 2]));
        assert_eq!((train.smallest, train.largest), ([16; 2], [32; 2]));
        assert!(train.undecodable[0].contains("train/b/6.jpg"), "{report:?}");
        assert!(
            train.wrong_size[0].contains("train/b/3.png has 16 x 16"),
            "{report:?}"
        );
        assert_eq!((train.undecodable.len(), train.wrong_size.len()), (1, 1));
        assert!(val.undecodable.is_empty() && val.digest.is_some());
        let [[a, b]] = report.in_both.as_slice() else {
            panic!("{report:?}")
        };
        assert!(
            a.ends_with("train/a/2.png") && b.ends_with("val/a/4.png"),
            "{report:?}"
        );
        std::fs::remove_file(dir.path().join("val/b/5.png")).unwrap();
        let report = verify(&splits, None, &|_| ()).unwrap();
        assert!(
            report.splits[1].undecodable[0].contains("val/b/5.png"),
            "{report:?}"
        );
        assert_eq!(report.splits[1].digest, None);
    }
}
