//! Which layers has the segmentation network? A fully convolutional network of stride 8 on a dilated
//! ResNet (recipes.md section 5, Table 9), in four parts over one list of parameters: the backbone
//! up to where the auxiliary head reads, the rest of it, the head, the auxiliary head.
//!
//! State-dict names are those of torchvision's `fcn_resnet50`: `backbone.*` before the backbone's own
//! names, `classifier.*`, `aux_classifier.*`.

use rungs_spec::model::{BatchNorm, Conv, Layer, Model};
use tch::Tensor;

use crate::backbone::{PREFIX as BACKBONE, stage_of, stride_of, width_of};
use crate::failure::Failure;
use crate::network::{Network, Pass};

/// Before the names of both heads' parameters.
const HEADS: [&str; 2] = ["classifier.", "aux_classifier."];

/// What varies between networks on one backbone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Classes.
    pub classes: u32,
    /// Input pixels per pixel of what the heads say, as a side.
    pub stride: u32,
    /// Dropout before the heads' classifiers.
    pub dropout: f64,
    /// Whether there is an auxiliary head.
    pub aux: bool,
}

/// The network.
#[derive(Debug, Clone)]
pub struct Fcn {
    /// Its parts.
    pub network: Network,
    /// Classes.
    pub classes: u32,
    aux: bool,
}

/// Logits of both heads at stride 8, (N, classes, h, w).
#[derive(Debug)]
pub struct Logits {
    /// What counts.
    pub main: Tensor,
    /// Of the auxiliary head, where there is one and it is asked.
    pub aux: Option<Tensor>,
}

impl Fcn {
    /// On the backbone of a classification network, which must be a ResNet of at least two stages.
    pub fn new(backbone: &Model, shape: Shape) -> Result<Fcn, Failure> {
        let [trunk, last, head, aux] = layers(backbone, shape)?;
        let parts: &[&[Layer]] = match shape.aux {
            true => &[&trunk, &last, &head, &aux],
            false => &[&trunk, &last, &head],
        };
        Ok(Fcn {
            network: Network::of_parts(parts),
            classes: shape.classes,
            aux: shape.aux,
        })
    }

    /// Logits of images (N, 3, H, W); those of the auxiliary head only in training, where they teach.
    pub fn forward(&self, images: &Tensor, pass: Pass, training: bool) -> Logits {
        let trunk = self.network.part(0, images, pass);
        let last = self.network.part(1, &trunk, pass);
        let main = self.network.part(2, &last, pass);
        let aux = (self.aux && training).then(|| self.network.part(3, &trunk, pass));
        Logits { main, aux }
    }

    /// Whether a parameter belongs to a head.
    pub fn is_head(name: &str) -> bool {
        HEADS.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Factor of a parameter's learning rate: heads learn faster than the backbone.
    pub fn rate(name: &str, head_factor: f64) -> f64 {
        match Fcn::is_head(name) {
            true => head_factor,
            false => 1.0,
        }
    }
}

/// (N, C, h, w) to (N, C, height, width), bilinear with aligned corners, as MXNet's
/// `BilinearResize2D` of the time; torchvision's network does not align them.
pub fn resize(x: &Tensor, height: i64, width: i64) -> Tensor {
    if x.size()[2..] == [height, width] {
        return x.shallow_clone();
    }
    x.upsample_bilinear2d([height, width], true, None, None)
}

/// The four parts.
fn layers(backbone: &Model, shape: Shape) -> Result<[Vec<Layer>; 4], Failure> {
    let refuse = || {
        Failure::permanent(format!(
            "model = \"{}\" has no stages to dilate: segmentation stands on a ResNet of two to four stages; name one, \
             or more depths",
            backbone.name
        ))
    };
    let mut parts = [const { Vec::new() }; 2];
    let mut at = Reached {
        limit: shape.stride,
        stride: 1,
        dilation: 1,
    };
    let stages = backbone.layers.iter().filter_map(stage_of).max();
    let stages = stages.filter(|stages| *stages > 1).ok_or_else(refuse)?;
    let mut widths = [0; 2];
    for layer in &backbone.layers {
        // What is behind the last stage is the classifier.
        if matches!(layer, Layer::GlobalAvgPool) {
            break;
        }
        let part = usize::from(stage_of(layer) == Some(stages));
        let layer = at.dilated(layer);
        widths[part] = width_of(&layer).unwrap_or(widths[part]);
        parts[part].push(layer);
    }
    let [trunk, last] = parts;
    let [aux, main] = [(HEADS[1], widths[0]), (HEADS[0], widths[1])]
        .map(|(prefix, input)| head(prefix, input, shape));
    Ok([trunk, last, main, aux])
}

/// 3x3 to a quarter of the channels, BN, ReLU, dropout, 1x1 to the classes.
fn head(prefix: &str, input: u32, shape: Shape) -> Vec<Layer> {
    let inner = input / 4;
    let conv = |at: u32, input, output, kernel: u32, bias| {
        Layer::Conv(Conv {
            name: format!("{prefix}{at}"),
            input,
            output,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [kernel / 2; 2],
            dilation: 1,
            groups: 1,
            bias,
        })
    };
    vec![
        conv(0, input, inner, 3, false),
        Layer::BatchNorm(BatchNorm {
            name: format!("{prefix}1"),
            channels: inner,
            eps: 1e-5,
            ends_branch: false,
        }),
        Layer::Relu,
        Layer::Dropout { p: shape.dropout },
        conv(4, inner, shape.classes, 1, true),
    ]
}

/// How far down the network is.
#[derive(Debug)]
struct Reached {
    /// Largest stride: what would go beyond becomes dilation.
    limit: u32,
    /// Input pixels per pixel so far, as a side.
    stride: u32,
    /// Dilation of the blocks so far.
    dilation: u32,
}

impl Reached {
    /// A layer of the backbone as it is here: under its name here, and with dilation instead of a
    /// stride beyond the limit. The block that would have stridden keeps the dilation of the stage
    /// before; the pool of a D shortcut goes.
    fn dilated(&mut self, layer: &Layer) -> Layer {
        let own = stride_of(layer);
        let beyond = self.stride * own > self.limit;
        let changed = match layer {
            Layer::Residual {
                name,
                main,
                shortcut,
            } => {
                let change = |layers: &[Layer]| {
                    let kept = layers.iter().filter(|layer| {
                        !(beyond && matches!(layer, Layer::AvgPool { .. } | Layer::MaxPool { .. }))
                    });
                    kept.map(|layer| renamed(layer, self.dilation, beyond))
                        .collect()
                };
                Layer::Residual {
                    name: format!("{BACKBONE}{name}"),
                    main: change(main),
                    shortcut: change(shortcut),
                }
            }
            other => renamed(other, 1, false),
        };
        match beyond {
            true => self.dilation *= own,
            false => self.stride *= own,
        }
        changed
    }
}

/// A layer of the backbone under its name here; `dilation` is for kernels larger than 1x1.
fn renamed(layer: &Layer, dilation: u32, without_stride: bool) -> Layer {
    match layer {
        Layer::Conv(conv) => {
            let mut conv = conv.clone();
            conv.name = format!("{BACKBONE}{}", conv.name);
            if conv.kernel != [1; 2] && dilation > 1 {
                conv.dilation = dilation;
                conv.padding = conv.kernel.map(|side| dilation * (side / 2));
            }
            if without_stride {
                conv.stride = [1; 2];
            }
            Layer::Conv(conv)
        }
        Layer::BatchNorm(bn) => Layer::BatchNorm(BatchNorm {
            name: format!("{BACKBONE}{}", bn.name),
            ..bn.clone()
        }),
        other => other.clone(),
    }
}

#[cfg(test)]
#[path = "fcn_tests.rs"]
mod tests;
