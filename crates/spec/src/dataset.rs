//! The one catalogue of datasets: what planning needs to know without the data.

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
        source: "image-net.org, needs an account",
    },
    Dataset {
        name: "fashion-mnist",
        version: "1",
        title: "Fashion-MNIST",
        classes: 10,
        train: 60_000,
        val: 10_000,
        source: "Zalando Research, MIT licence; Debian package dataset-fashion-mnist",
    },
    Dataset {
        name: "synthetic",
        version: "1",
        title: "Synthetic (test double)",
        classes: 10,
        train: 2_048,
        val: 512,
        source: "made from a seed; for tests, never a substitute for real data",
    },
];

/// The dataset of that name.
pub fn find(name: &str) -> Option<&'static Dataset> {
    DATASETS.iter().find(|d| d.name == name)
}
