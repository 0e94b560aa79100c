//! The one catalogue of datasets: what planning needs to know without the data.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::recipe::Task;

/// A dataset that Rungs knows by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dataset {
    /// Name in recipes.
    pub name: &'static str,
    /// Version: enters the run key as `NAME@VERSION`.
    pub version: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What can be learned from it.
    pub tasks: &'static [Task],
    /// Classes; the background is not one.
    pub classes: u32,
    /// Images of the training split.
    pub train: u64,
    /// Images of the validation split.
    pub val: u64,
    /// Fewest and most training images that a class has; of a dataset with boxes or masks nothing is known.
    pub train_per_class: [u64; 2],
    /// Fewest and most validation images that a class has.
    pub val_per_class: [u64; 2],
    /// Width and height of every image, pixels, where they are the same.
    pub side: Option<u32>,
    /// Where it comes from, its licence.
    pub source: &'static str,
}

/// All datasets.
pub const DATASETS: &[Dataset] = &[
    Dataset {
        name: "imagenet",
        version: "ILSVRC2012",
        title: "ImageNet (ILSVRC 2012)",
        tasks: &[Task::Classify],
        classes: 1000,
        train: 1_281_167,
        val: 50_000,
        train_per_class: [732, 1300],
        val_per_class: [50, 50],
        side: None,
        source: "image-net.org, needs an account",
    },
    Dataset {
        name: "fashion-mnist",
        version: "1",
        title: "Fashion-MNIST",
        tasks: &[Task::Classify],
        classes: 10,
        train: 60_000,
        val: 10_000,
        train_per_class: [6000, 6000],
        val_per_class: [1000, 1000],
        side: Some(28),
        source: "Zalando Research, MIT licence; Debian package dataset-fashion-mnist",
    },
    Dataset {
        name: "cifar10",
        version: "1",
        title: "CIFAR-10",
        tasks: &[Task::Classify],
        classes: 10,
        train: 50_000,
        val: 10_000,
        train_per_class: [5000, 5000],
        val_per_class: [1000, 1000],
        side: Some(32),
        source: "www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009), free to use with citation",
    },
    Dataset {
        name: "cifar100",
        version: "1",
        title: "CIFAR-100",
        tasks: &[Task::Classify],
        classes: 100,
        train: 50_000,
        val: 10_000,
        train_per_class: [500, 500],
        val_per_class: [100, 100],
        side: Some(32),
        source: "www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009), free to use with citation",
    },
    Dataset {
        name: "mnist",
        version: "1",
        title: "MNIST",
        tasks: &[Task::Classify],
        classes: 10,
        train: 60_000,
        val: 10_000,
        train_per_class: [5421, 6742],
        val_per_class: [892, 1135],
        side: Some(28),
        source: "yann.lecun.com (LeCun et al. 1998), CC BY-SA 3.0",
    },
    Dataset {
        name: "kmnist",
        version: "1",
        title: "Kuzushiji-MNIST",
        tasks: &[Task::Classify],
        classes: 10,
        train: 60_000,
        val: 10_000,
        train_per_class: [6000, 6000],
        val_per_class: [1000, 1000],
        side: Some(28),
        source: "codh.rois.ac.jp/kmnist (Clanuwat et al. 2018), CC BY-SA 4.0",
    },
    Dataset {
        name: "places365-standard",
        version: "1",
        title: "Places365-Standard",
        tasks: &[Task::Classify],
        classes: 365,
        train: 1_803_460,
        val: 36_500,
        train_per_class: [3068, 5000],
        val_per_class: [100, 100],
        side: None,
        source: "places2.csail.mit.edu (Zhou et al. 2017), research and education only",
    },
    Dataset {
        name: "places365-challenge",
        version: "2016",
        title: "Places365-Challenge",
        tasks: &[Task::Classify],
        classes: 365,
        train: 8_026_628,
        val: 36_500,
        train_per_class: [3068, 40_000],
        val_per_class: [100, 100],
        side: None,
        source: "places2.csail.mit.edu (Zhou et al. 2017), research and education only",
    },
    Dataset {
        name: "voc0712",
        version: "1",
        title: "PASCAL VOC 2007 + 2012",
        tasks: &[Task::Detect],
        classes: 20,
        train: 16_551,
        val: 4_952,
        train_per_class: [0, 16_551],
        val_per_class: [0, 4_952],
        side: None,
        source: "host.robots.ox.ac.uk/pascal/VOC (Everingham et al.), Flickr terms of use; trained on both trainval, tested on 2007's test",
    },
    Dataset {
        name: "ade20k",
        version: "2016",
        title: "ADE20K (scene parsing, 150 classes)",
        tasks: &[Task::Segment],
        classes: 150,
        train: 20_210,
        val: 2_000,
        train_per_class: [0, 20_210],
        val_per_class: [0, 2_000],
        side: None,
        source: "data.csail.mit.edu/places/ADEchallenge (Zhou et al. 2017), BSD 3-clause",
    },
    Dataset {
        name: "fashion-scenes",
        version: "1",
        title: "Fashion scenes",
        tasks: &[Task::Detect, Task::Segment],
        classes: 10,
        train: 2_400,
        val: 400,
        train_per_class: [0, 2_400],
        val_per_class: [0, 400],
        side: None,
        source: "composed from the garments of Fashion-MNIST (Zalando Research, MIT licence)",
    },
    Dataset {
        name: "synthetic",
        version: "1",
        title: "Synthetic (test double)",
        tasks: &[Task::Classify],
        classes: 10,
        train: 2_048,
        val: 512,
        train_per_class: [204, 205],
        val_per_class: [51, 52],
        side: Some(32),
        source: "made from a seed; for tests, never a substitute for real data",
    },
];

/// The dataset of that name.
pub fn find(name: &str) -> Option<&'static Dataset> {
    DATASETS.iter().find(|d| d.name == name)
}

/// The dataset whose files another one is made from.
pub fn made_from(name: &str) -> Option<&'static str> {
    (name == "fashion-scenes").then_some("fashion-mnist")
}

/// What decides where datasets lie when nobody says: the environment, read by the caller.
pub struct Surroundings<'a> {
    /// Reads an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Current directory.
    pub here: &'a Path,
    /// The running program.
    pub program: Option<&'a Path>,
}

/// Where Debian's package `dataset-fashion-mnist` puts its files.
const DEBIAN_FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

/// Where a dataset may lie without being registered, first match wins: the user's choice
/// (`RUNGS_DATA/NAME`), then the work tree (`.data/NAME` here and above the program), then an
/// installation (`share/rungs/NAME` beside `bin`), the user's data, the system.
pub fn places(name: &str, around: &Surroundings<'_>) -> Vec<PathBuf> {
    let set = |v: &str| {
        (around.variable)(v)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let mut places = Vec::new();
    places.extend(set("RUNGS_DATA"));
    places.push(around.here.join(".data"));
    if let Some(program) = around.program {
        // target/release/runner -> the work tree; a test's program lies one deeper.
        places.extend(program.ancestors().skip(1).take(5).map(|d| d.join(".data")));
        places.extend(
            program
                .parent()
                .and_then(Path::parent)
                .map(|d| d.join("share/rungs")),
        );
    }
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|h| h.join(".local/share")));
    places.extend(data.map(|d| d.join("rungs")));
    let name = made_from(name).unwrap_or(name);
    let mut places: Vec<PathBuf> = places.into_iter().map(|d| d.join(name)).collect();
    if name == "fashion-mnist" {
        places.push(DEBIAN_FASHION_MNIST.into());
    }
    let mut seen = BTreeSet::new();
    places.retain(|p| seen.insert(p.clone()));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_the_classes_add_up() {
        for d in DATASETS {
            for (images, [fewest, most]) in [(d.train, d.train_per_class), (d.val, d.val_per_class)]
            {
                let classes = u64::from(d.classes);
                let possible = classes * fewest..=classes * most;
                assert!(possible.contains(&images), "{}: {images}", d.name);
            }
        }
    }

    #[test]
    fn the_users_choice_comes_before_the_work_tree_and_the_installation() {
        let variable = |v: &str| match v {
            "RUNGS_DATA" => Some("/mine".into()),
            "HOME" => Some("/home/me".into()),
            _ => None,
        };
        let around = Surroundings {
            variable: &variable,
            here: Path::new("/tree"),
            program: Some(Path::new("/opt/bin/runner")),
        };
        let places = places("fashion-mnist", &around);
        let wanted = [
            "/mine/fashion-mnist",
            "/tree/.data/fashion-mnist",
            "/opt/bin/.data/fashion-mnist",
            "/opt/.data/fashion-mnist",
            "/.data/fashion-mnist",
            "/opt/share/rungs/fashion-mnist",
            "/home/me/.local/share/rungs/fashion-mnist",
            DEBIAN_FASHION_MNIST,
        ];
        assert_eq!(places, wanted.map(PathBuf::from));
    }
}
