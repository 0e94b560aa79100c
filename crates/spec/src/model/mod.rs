//! Models as plain data: a tree of layers under PyTorch's state-dict names. The trainer interprets
//! it, the report draws it, and parameters and MACs are counted from it.

mod count;
mod fits;
mod inception;
mod mobilenet;
mod resnet;

pub use count::{Counts, LayerRow, counts, rows};
pub use fits::too_small;

use serde::{Deserialize, Serialize};

use crate::error::{SpecError, nearest};
use crate::recipe::{Recipe, Variant};

/// A network for square RGB images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name in [`MODELS`].
    pub name: String,
    /// Classes of the classifier.
    pub classes: u32,
    /// In order of execution.
    pub layers: Vec<Layer>,
}

/// A layer, or a block of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Layer {
    /// 2-d convolution.
    Conv(Conv),
    /// Batch normalisation with running statistics (momentum 0.1 in PyTorch's sense).
    BatchNorm(BatchNorm),
    /// max(x, 0).
    Relu,
    /// Max pooling.
    MaxPool {
        /// Side of the window.
        kernel: u32,
        /// Stride.
        stride: u32,
        /// Padding on each side.
        padding: u32,
    },
    /// Average pooling.
    AvgPool {
        /// Side of the window.
        kernel: u32,
        /// Stride.
        stride: u32,
        /// Padding on each side.
        padding: u32,
        /// Round the output size up.
        ceil: bool,
        /// Whether padding counts in the mean.
        count_include_pad: bool,
    },
    /// Mean over all positions: (N, C, H, W) to (N, C).
    GlobalAvgPool,
    /// Dropout while training.
    Dropout {
        /// Probability of a zero.
        p: f64,
    },
    /// Fully connected with bias.
    Linear {
        /// State-dict prefix.
        name: String,
        /// Input features.
        input: u32,
        /// Output features.
        output: u32,
    },
    /// relu(main(x) + shortcut(x)); an empty shortcut is the identity.
    Residual {
        /// State-dict prefix of the block.
        name: String,
        /// The residual branch.
        main: Vec<Layer>,
        /// The shortcut.
        shortcut: Vec<Layer>,
    },
    /// All branches on the same input, concatenated over channels.
    Branches {
        /// State-dict prefix of the block.
        name: String,
        /// The branches.
        branches: Vec<Vec<Layer>>,
    },
}

/// A 2-d convolution. Sizes are [height, width].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// State-dict prefix: `NAME.weight` (out, in / groups, kh, kw) and, with bias, `NAME.bias`.
    pub name: String,
    /// Input channels.
    pub input: u32,
    /// Output channels.
    pub output: u32,
    /// Kernel.
    pub kernel: [u32; 2],
    /// Stride.
    pub stride: [u32; 2],
    /// Padding on each side.
    pub padding: [u32; 2],
    /// Dilation.
    pub dilation: u32,
    /// Groups.
    pub groups: u32,
    /// Whether it has a bias.
    pub bias: bool,
}

/// Batch normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// State-dict prefix: `.weight`, `.bias`, `.running_mean`, `.running_var`.
    pub name: String,
    /// Channels.
    pub channels: u32,
    /// Added to the variance.
    pub eps: f64,
    /// Last BN of a residual branch: zero-gamma starts it at 0 (paper section 3.1).
    pub ends_branch: bool,
}

/// What is known of a model by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelInfo {
    /// Name in recipes.
    pub name: &'static str,
    /// Side of its input, pixels.
    pub input_size: u32,
    /// Blocks per stage; empty where the model has no stages.
    pub depths: &'static [u32],
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Whether it has residual branches, which zero-gamma needs.
    pub residual: bool,
    /// Where it is described.
    pub source: &'static str,
}

const fn resnet(name: &'static str, depths: &'static [u32], source: &'static str) -> ModelInfo {
    ModelInfo {
        name,
        input_size: 224,
        depths,
        dropout: 0.0,
        residual: true,
        source,
    }
}
const D50: &[u32] = &[3, 4, 6, 3];
const D101: &[u32] = &[3, 4, 23, 3];
const D152: &[u32] = &[3, 8, 36, 3];
const V1: &str = "stride 2 in the first 1x1 convolution of a block (Tables 2 to 4)";
const B: &str = "stride moved to the 3x3 convolution (paper section 4.1, ResNet-B)";
const C: &str = "ResNet-B with three 3x3 convolutions in the stem (section 4.1, ResNet-C)";
const D: &str = "ResNet-C with average pooling in the shortcut (section 4.1, ResNet-D)";

/// All models.
pub const MODELS: &[ModelInfo] = &[
    resnet("resnet50", D50, V1),
    resnet("resnet50b", D50, B),
    resnet("resnet50c", D50, C),
    resnet("resnet50d", D50, D),
    resnet("resnet101", D101, V1),
    resnet("resnet101b", D101, B),
    resnet("resnet101c", D101, C),
    resnet("resnet101d", D101, D),
    resnet("resnet152", D152, V1),
    resnet("resnet152b", D152, B),
    resnet("resnet152c", D152, C),
    resnet("resnet152d", D152, D),
    ModelInfo {
        name: "inception-v3",
        input_size: 299,
        depths: &[],
        dropout: 0.5,
        residual: false,
        source: "Inception-V3 without its auxiliary head (Table 2)",
    },
    ModelInfo {
        name: "mobilenet",
        input_size: 224,
        depths: &[],
        dropout: 0.0,
        residual: false,
        source: "MobileNet 1.0 with ReLU (Table 2)",
    },
];

/// The model of that name.
pub fn find(name: &str) -> Result<&'static ModelInfo, SpecError> {
    MODELS.iter().find(|m| m.name == name).ok_or_else(|| {
        SpecError::new(format!(
            "unknown model \"{name}\"; {}",
            nearest(name, MODELS.iter().map(|m| m.name))
        ))
    })
}

impl Model {
    /// The network of a recipe, for so many classes.
    pub fn of_recipe(recipe: &Recipe, classes: u32) -> Result<Model, SpecError> {
        let shape = Shape {
            depths: recipe.depths.clone().unwrap_or_default(),
            width: recipe.width,
            dropout: recipe.dropout,
            variant: recipe.variant,
            classes,
        };
        Model::build(&recipe.model, &shape)
    }

    /// The network of that name in that shape.
    pub fn build(name: &str, shape: &Shape) -> Result<Model, SpecError> {
        let info = find(name)?;
        let layers = match info.name {
            "inception-v3" => inception::layers(shape),
            "mobilenet" => mobilenet::layers(shape),
            _ => resnet::layers(info, shape)?,
        };
        Ok(Model {
            name: name.to_owned(),
            classes: shape.classes,
            layers,
        })
    }

    /// The published shape of that name with 1000 classes.
    pub fn published(name: &str, variant: Variant) -> Result<Model, SpecError> {
        let info = find(name)?;
        let shape = Shape {
            depths: info.depths.to_vec(),
            width: 1.0,
            dropout: info.dropout,
            variant,
            classes: 1000,
        };
        Model::build(name, &shape)
    }
}

/// What varies between networks of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Blocks per stage.
    pub depths: Vec<u32>,
    /// Share of the published channels.
    pub width: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Whether 1x1 convolutions have biases, as in the authors' v1.
    pub variant: Variant,
    /// Classes.
    pub classes: u32,
}

/// `channels` scaled by `width`, to the nearest multiple of 8, at least 8.
pub fn scaled(channels: u32, width: f64) -> u32 {
    let scaled = f64::from(channels) * width;
    (((scaled / 8.0).round() as u32) * 8).max(8)
}
