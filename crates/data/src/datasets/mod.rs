//! How files become a dataset: one reader for each layout, and which layout a directory has.

pub mod ade;
pub mod cifar;
mod class_list;
mod classes;
mod detect;
pub mod fashion_scenes;
mod files;
pub mod folder;
mod idx;
pub mod imagenet;
pub mod mnist;
pub mod pack;
pub mod places365;
pub mod shards;
pub mod synthetic;
pub mod tensors;
pub mod voc;
pub mod write_out;

use std::path::Path;
use std::sync::Arc;

use rungs_spec::error::nearest;

use crate::dataset::{Dataset, Split, Splits};
use crate::error::DataError;
use crate::locate;

/// More classes than any dataset has: a number that a broken file announces is not believed, because
/// memory is needed for each class.
pub(crate) const MOST_CLASSES: usize = 1 << 20;

/// How the files of a dataset are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileLayout {
    /// `train/CLASS/*.jpg` and `val/CLASS/*.jpg`.
    Folder,
    /// ILSVRC2012: as `Folder`, or with a flat `val/` and a file of labels.
    Imagenet,
    /// CIFAR-10's official binary files.
    Cifar10,
    /// CIFAR-100's official binary files.
    Cifar100,
    /// IDX files of the MNIST family.
    Mnist,
    /// Places365-Standard by its file lists, images of 256 px.
    Places365Standard,
    /// Places365-Standard by its file lists, large images.
    Places365StandardLarge,
    /// Places365-Challenge by its file lists, images of 256 px.
    Places365Challenge,
    /// Places365-Challenge by its file lists, large images.
    Places365ChallengeLarge,
    /// Tar files by WebDataset's naming.
    Shards,
    /// One file with an index, written by `runner data pack`.
    Pack,
    /// Boxes: PASCAL VOC's devkit, or one directory of its kind.
    Voc,
    /// Masks: ADE20K's scene parsing.
    Ade,
    /// The files of Fashion-MNIST, whose garments scenes are composed from.
    FashionScenes,
}

impl FileLayout {
    /// All, with what they are called and what they look like.
    pub const ALL: [(FileLayout, &'static str, &'static str); 14] = [
        (
            FileLayout::Folder,
            "folder",
            "train/CLASS/*.jpg and val/CLASS/*.jpg",
        ),
        (
            FileLayout::Imagenet,
            "imagenet",
            "train/SYNSET/*.JPEG, val/ in folders, or flat with a file of labels",
        ),
        (
            FileLayout::Cifar10,
            "cifar10",
            "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or cifar-10-binary.tar.gz",
        ),
        (
            FileLayout::Cifar100,
            "cifar100",
            "train.bin and test.bin, or cifar-100-binary.tar.gz",
        ),
        (
            FileLayout::Mnist,
            "mnist",
            "train-images-idx3-ubyte and its like, plain or .gz",
        ),
        (
            FileLayout::Places365Standard,
            "places365-standard",
            "places365_train_standard.txt with data_256/ and val_256/",
        ),
        (
            FileLayout::Places365StandardLarge,
            "places365-standard-large",
            "places365_train_standard.txt with data_large/ and val_large/",
        ),
        (
            FileLayout::Places365Challenge,
            "places365-challenge",
            "places365_train_challenge.txt with data_256/ and val_256/",
        ),
        (
            FileLayout::Places365ChallengeLarge,
            "places365-challenge-large",
            "places365_train_challenge.txt with data_large/ and val_large/",
        ),
        (
            FileLayout::Shards,
            "shards",
            "NAME-train-000000.tar and NAME-val-000000.tar, or train/*.tar and val/*.tar",
        ),
        (
            FileLayout::Pack,
            "pack",
            "one file written by `runner data pack`",
        ),
        (
            FileLayout::Voc,
            "voc",
            "VOC2007/ and VOC2012/, or Annotations/ with JPEGImages/ and ImageSets/Main/",
        ),
        (
            FileLayout::Ade,
            "ade",
            "images/ and annotations/, each with training/ and validation/",
        ),
        (
            FileLayout::FashionScenes,
            "fashion-scenes",
            "the files of Fashion-MNIST, under the name fashion-scenes",
        ),
    ];

    /// As in datasets.toml and on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(layout, ..)| *layout == self)
            .map_or("", |(_, name, _)| name)
    }

    /// The layout of that name. Error: the nearest name.
    pub fn parse(name: &str) -> Result<FileLayout, String> {
        Self::ALL
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(layout, ..)| *layout)
            .ok_or_else(|| {
                let known = Self::ALL.iter().map(|(_, known, _)| *known);
                format!("no layout is called \"{name}\"; {}", nearest(name, known))
            })
    }

    /// As [`FileLayout::detect`], for a dataset of that name: Fashion-MNIST's files are scenes under the name
    /// of those.
    pub fn of(name: &str, path: &Path) -> Result<FileLayout, DataError> {
        match Self::detect(path)? {
            FileLayout::Mnist if name == fashion_scenes::NAME => Ok(FileLayout::FashionScenes),
            layout => Ok(layout),
        }
    }

    /// The layout that a directory or file has, from the names in it. Errors: none that is known.
    pub fn detect(path: &Path) -> Result<FileLayout, DataError> {
        detect::detect(path)
    }
}

/// A split of the dataset at `path`. Errors: it is not there, or not what the layout says.
pub fn open(
    name: &str,
    path: &Path,
    layout: FileLayout,
    split: Split,
) -> Result<Arc<dyn Dataset>, DataError> {
    find(name, path, layout, split)?.ok_or_else(|| DataError::Missing {
        dataset: name.to_owned(),
        what: format!("its split \"{}\"", split.word()),
        looked: format!("{}, read as the layout \"{}\"", path.display(), layout.name()),
        cure: match split {
            Split::Train => "put the training images where the layout has them".to_owned(),
            Split::Val => {
                "training needs images to evaluate on: put them where the layout has them, such as val/"
                    .to_owned()
            }
        },
    })
}

/// The test images of a dataset whose labels a server holds. Errors: no such dataset.
pub fn open_test(
    name: &str,
    path: &Path,
    layout: FileLayout,
) -> Result<Arc<dyn Dataset>, DataError> {
    let size = match layout {
        FileLayout::Places365Standard | FileLayout::Places365Challenge => places365::Size::Small,
        FileLayout::Places365StandardLarge | FileLayout::Places365ChallengeLarge => {
            places365::Size::Large
        }
        _ => {
            return Err(DataError::Recipe(format!(
                "{name} has no test split whose labels a server holds, so there is nothing to submit; Places365 has \
                 one, read by its own file lists"
            )));
        }
    };
    Ok(Arc::new(places365::test(name, path, size)?))
}

/// As [`open`], but a split that is simply not there is no error.
pub fn find(
    name: &str,
    path: &Path,
    layout: FileLayout,
    split: Split,
) -> Result<Option<Arc<dyn Dataset>>, DataError> {
    if !path.exists() {
        return Err(DataError::Missing {
            dataset: name.to_owned(),
            what: "its directory or file".to_owned(),
            looked: path.display().to_string(),
            cure: locate::cure(name),
        });
    }
    fn shared<D: Dataset + 'static>(dataset: Option<D>) -> Option<Arc<dyn Dataset>> {
        dataset.map(|dataset| Arc::new(dataset) as Arc<dyn Dataset>)
    }
    Ok(match layout {
        FileLayout::Folder => shared(folder::open(name, path, split)?),
        FileLayout::Imagenet => shared(imagenet::open(name, path, split)?),
        FileLayout::Cifar10 => shared(cifar::open(name, path, cifar::Kind::Cifar10, split)?),
        FileLayout::Cifar100 => shared(cifar::open(name, path, cifar::Kind::Cifar100, split)?),
        FileLayout::Mnist => shared(mnist::Mnist::open(name, path, split)?),
        FileLayout::Places365Standard => shared(places365::open(
            name,
            path,
            places365::List::Standard,
            places365::Size::Small,
            split,
        )?),
        FileLayout::Places365StandardLarge => shared(places365::open(
            name,
            path,
            places365::List::Standard,
            places365::Size::Large,
            split,
        )?),
        FileLayout::Places365Challenge => shared(places365::open(
            name,
            path,
            places365::List::Challenge,
            places365::Size::Small,
            split,
        )?),
        FileLayout::Places365ChallengeLarge => shared(places365::open(
            name,
            path,
            places365::List::Challenge,
            places365::Size::Large,
            split,
        )?),
        FileLayout::Shards => shared(shards::open(name, path, split)?),
        FileLayout::Pack => shared(pack::Pack::open(name, path, split)?),
        FileLayout::Voc => shared(voc::open(name, path, split)?),
        FileLayout::Ade => shared(ade::open(name, path, split)?),
        FileLayout::FashionScenes => {
            shared(fashion_scenes::FashionScenes::open(name, path, split)?)
        }
    })
}

/// All splits of the dataset at `path`.
pub fn splits(name: &str, path: &Path, layout: FileLayout) -> Result<Splits, DataError> {
    let mut found = Vec::new();
    for split in Split::ALL {
        found.extend(find(name, path, layout, split)?.map(|dataset| (split, dataset)));
    }
    Ok(found)
}
