//! The one catalogue of datasets: what planning needs to know without the data.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A dataset that Rungs knows by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dataset {
    /// Name in recipes.
    pub name: &'static str,
    /// Version: enters the run key as `NAME@VERSION`.
    pub version: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Classes.
    pub classes: u32,
    /// Images of the training split.
    pub train: u64,
    /// Images of the validation split.
    pub val: u64,
    /// Fewest and most training images that a class has.
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
        classes: 365,
        train: 8_026_628,
        val: 36_500,
        train_per_class: [3068, 40_000],
        val_per_class: [100, 100],
        side: None,
        source: "places2.csail.mit.edu (Zhou et al. 2017), research and education only",
    },
    Dataset {
        name: "synthetic",
        version: "1",
        title: "Synthetic (test double)",
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
