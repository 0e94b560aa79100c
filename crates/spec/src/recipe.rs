//! The recipe: the fully resolved hyperparameters of one training. Plain data, no defaults left to
//! guess. Paper: section 2.1; the table of keys and defaults is DESIGN section 4.
//!
//! A reader of a recipe destructures it without `..`, so that a new field does not build until the
//! trainer, the run key and the documentation use it.

use serde::{Deserialize, Serialize};

pub use crate::transfer::{Detect, Evaluate, Segment};

/// Every hyperparameter of a training, settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What is learned.
    pub task: Task,
    /// Name in [`crate::model::MODELS`].
    pub model: String,
    /// Blocks per stage of a ResNet; `None` where the model has no stages.
    pub depths: Option<Vec<u32>>,
    /// Share of the model's channels, 1.0 = as published.
    pub width: f64,
    /// Dropout probability before the classifier.
    pub dropout: f64,
    /// Side of the square input, pixels; of a detection the short side, of a segmentation the crop.
    pub input_size: u32,
    /// Name in [`crate::dataset`], a registered name, or `tensors:FILE.safetensors`.
    pub dataset: String,
    /// First N images of a seeded class-balanced order; `None` = all.
    pub train_subset: Option<u64>,
    /// As `train_subset`, of the validation split.
    pub val_subset: Option<u64>,
    /// Passes over the training split.
    pub epochs: u32,
    /// Images per optimiser step, over all replicas.
    pub batch_size: u32,
    /// Element-wise gradient clipping, `None` = off.
    pub clip: Option<f64>,
    /// Slices of the batch with BN statistics of their own (GPUs in the paper).
    pub replicas: u32,
    /// Preprocessing of training images, and the evaluation resize.
    pub augment: Augment,
    /// Initial weights.
    pub init: Init,
    /// Where paper and released code disagree: which of the two (recipes.md section 8).
    pub variant: Variant,
    /// Learning rate at batch size 256 (or as it is, see `lr_scaling`).
    pub lr: f64,
    /// Whether `lr` is multiplied by batch_size / 256 (paper section 3.1).
    pub lr_scaling: LrScaling,
    /// Length of the linear warmup, epochs; may be fractional.
    pub warmup_epochs: f64,
    /// Where the warmup starts, share of the peak rate.
    pub warmup_from: f64,
    /// Decay of the rate after the warmup.
    pub schedule: Schedule,
    /// Momentum coefficient.
    pub momentum: f64,
    /// Nesterov's form (NAG) instead of heavy ball.
    pub nesterov: bool,
    /// L2 coefficient, coupled.
    pub weight_decay: f64,
    /// Which parameters decay (paper section 3.1, "no bias decay").
    pub decay: Decay,
    /// gamma = 0 in the last BN of each residual branch.
    pub zero_gamma: bool,
    /// epsilon of label smoothing, 0 = off.
    pub label_smoothing: f64,
    /// alpha of Beta(alpha, alpha) of mixup, 0 = off.
    pub mixup_alpha: f64,
    /// Verification only: file with the lambdas and partners of every step.
    pub mixup_lambdas: Option<String>,
    /// Knowledge distillation, `None` = off.
    pub distill: Option<Distill>,
    /// Arithmetic of forward and backward.
    pub precision: Precision,
    /// Multiplier of the loss under half precision.
    pub loss_scale: LossScale,
    /// Undecodable images tolerated before a run fails.
    pub max_corrupt: u32,
    /// Only of a detection. Left out of the JSON of other tasks, whose run keys know nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<Detect>,
    /// Only of a segmentation; as `detect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
}

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Image classification.
    Classify,
    /// Object detection (Table 8).
    Detect,
    /// Semantic segmentation (Table 9).
    Segment,
}

/// Training-time preprocessing (paper section 2.1) and the evaluation resize.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Share of the image's area that a crop may have, U[a, b].
    pub crop_area: [f64; 2],
    /// Aspect ratio (w/h) of a crop, log-uniform in [a, b].
    pub crop_ratio: [f64; 2],
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Hue coefficient drawn from U[1 - x, 1 + x].
    pub hue: f64,
    /// Saturation coefficient drawn from U[1 - x, 1 + x].
    pub saturation: f64,
    /// Brightness coefficient drawn from U[1 - x, 1 + x].
    pub brightness: f64,
    /// Contrast coefficient drawn from U[1 - x, 1 + x].
    pub contrast: f64,
    /// Standard deviation of the PCA noise coefficients.
    pub pca_std: f64,
    /// Antialiased resampling; the paper's is plain bilinear.
    pub antialias: bool,
    /// Short side that an evaluation image is resized to before the centre crop, pixels.
    pub resize_short: u32,
}

/// Initial weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Init {
    /// Another run's weights, or a file with the model it belongs to.
    Source(Source),
    /// `"xavier"`, `"msra"`, or the path of a safetensors file.
    Name(String),
}

/// Weights that come from elsewhere: an edge between runs, or a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A run of a table.
    Edge(Edge),
    /// A file of weights.
    File(WeightsFile),
}

/// An edge between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Experiment (file stem).
    pub experiment: String,
    /// Row id.
    pub row: String,
    /// Column id.
    pub column: String,
    /// Seed of the source run.
    #[serde(default)]
    pub seed: SeedRef,
    /// Which checkpoint of it.
    #[serde(default)]
    pub checkpoint: CheckpointRef,
}

/// Seed of an edge's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SeedRef {
    /// This seed.
    Number(u64),
    /// The seed of the run that uses it.
    Word(SameSeed),
}
/// The word `"same"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSeed {
    /// The seed of the run that uses it.
    Same,
}
impl Default for SeedRef {
    fn default() -> Self {
        SeedRef::Number(1)
    }
}

/// Which checkpoint of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointRef {
    /// Of the best validation epoch.
    #[default]
    Best,
    /// Of the last epoch.
    Last,
}

/// A safetensors file and the model whose state dict it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsFile {
    /// Path.
    pub weights: String,
    /// Model name.
    pub model: String,
}

/// Paper text or the authors' released code, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// As the paper says.
    Paper,
    /// As the released code does.
    Gluoncv,
}

/// How `lr` relates to the batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrScaling {
    /// `lr` as it is.
    None,
    /// `lr * batch_size / 256`.
    Linear,
}

/// Decay of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// Multiplied by `gamma` at each milestone; milestones count epochs from the start of training.
    Step {
        /// Epochs at which the rate drops.
        milestones: Vec<f64>,
        /// Factor of each drop.
        gamma: f64,
    },
    /// Half a cosine from the peak to zero, after the warmup.
    Cosine,
    /// `(1 - t/T)^power`, after the warmup.
    Poly {
        /// Exponent.
        power: f64,
    },
}

/// Which parameters weight decay applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// All of them.
    All,
    /// Weights of convolutions and linear layers only.
    Weights,
}

/// Knowledge distillation (paper section 5.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// The teacher's weights.
    pub teacher: Source,
    /// T.
    pub temperature: f64,
    /// Weight of T^2 times the soft cross entropy.
    pub soft_weight: f64,
    /// Weight of the cross entropy with the labels.
    pub hard_weight: f64,
}

/// Arithmetic of forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single.
    Fp32,
    /// Parameters and activations in half, FP32 master weights, BN in FP32 (paper section 3.2).
    Fp16,
    /// As `Fp16` in bfloat16.
    Bf16,
    /// Autocast.
    Mixed,
    /// Double, for verification.
    Fp64,
}

/// Multiplier of the loss under half precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LossScale {
    /// Fixed.
    Static(f64),
    /// Adjusted on overflow.
    Dynamic(DynamicWord),
}
/// The word `"dynamic"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DynamicWord {
    /// Adjusted on overflow.
    Dynamic,
}

impl Task {
    /// What an image must come with.
    pub fn learned_from(self) -> &'static str {
        match self {
            Task::Classify => "labels",
            Task::Detect => "boxes",
            Task::Segment => "masks",
        }
    }
}

impl Recipe {
    /// The peak learning rate: `lr`, or `lr * batch_size / 256` under linear scaling (section 3.1).
    pub fn peak_lr(&self) -> f64 {
        match self.lr_scaling {
            LrScaling::None => self.lr,
            LrScaling::Linear => self.lr * f64::from(self.batch_size) / 256.0,
        }
    }

    /// Steps of one epoch over `images` training images: drop-last, `tensors:` included.
    pub fn steps_per_epoch(&self, images: u64) -> u64 {
        images / u64::from(self.batch_size.max(1))
    }

    /// The file of a `tensors:` dataset.
    pub fn tensors_file(&self) -> Option<&str> {
        self.dataset.strip_prefix("tensors:")
    }
}
