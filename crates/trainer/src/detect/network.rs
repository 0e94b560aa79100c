//! Which layers has the detector? Faster-RCNN, C4 (recipes.md section 5, Table 8): all but the last
//! stage of a ResNet gives features, the RPN reads them, and the last stage reads what is pooled of
//! them; over one list of parameters.
//!
//! State-dict names are torchvision's: `backbone.*` before the backbone's own names (its last stage
//! too), `rpn.head.*`, `roi_heads.box_predictor.*`. Classes count the background; boxes are told for
//! every class but it.

use rungs_spec::model::{Conv, Layer, Model};
use rungs_spec::recipe::Detect;
use tch::{Device, Kind, Tensor};

use super::coding::Deltas;
use super::elements;
use crate::backbone::{self, prefixed, stage_of, stride_of, width_of};
use crate::failure::Failure;
use crate::network::{Network, ParameterSpec, Pass, Role};

const RPN: &str = "rpn.head.";
const PREDICTOR: &str = "roi_heads.box_predictor.";

/// Numbers of the network's parts.
const FEATURES: usize = 0;
const RPN_CONV: usize = 1;
const RPN_SCORES: usize = 2;
const RPN_DELTAS: usize = 3;
const HEAD: usize = 4;
const SCORES: usize = 5;
const DELTAS: usize = 6;

/// What varies between detectors on one backbone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Classes, without the background.
    pub classes: u32,
    /// Channels of the RPN's 3x3 convolution.
    pub rpn_channels: u32,
    /// Anchors of a position.
    pub anchors: u32,
    /// Parts of the backbone that are not trained: 1 = the stem, 2 = also layer1.
    pub frozen: u32,
    /// BN is not trained.
    pub freeze_bn: bool,
}

impl Shape {
    /// Of a recipe.
    pub fn of_recipe(detect: &Detect, classes: u32) -> Shape {
        Shape {
            classes,
            rpn_channels: detect.rpn_channels,
            anchors: (detect.anchor_ratios.len() * detect.anchor_scales.len()) as u32,
            frozen: detect.frozen,
            freeze_bn: detect.freeze_bn,
        }
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Detector {
    /// Its parts.
    pub network: Network,
    /// Classes, without the background.
    pub classes: usize,
    /// Pixels of the image by positions of the features.
    pub stride: u32,
    /// BN is not trained, and normalises with running statistics in training too.
    pub freeze_bn: bool,
    /// Parameters of the features and the RPN that are trained.
    pub before_pooling: Vec<usize>,
    /// Parameters of the head that are trained.
    pub behind_pooling: Vec<usize>,
}

/// What the RPN says of images.
#[derive(Debug)]
pub struct Proposed {
    /// (N, anchors of the map): logits.
    pub scores: Tensor,
    /// (N, anchors of the map, 4): changes of the anchors.
    pub deltas: Tensor,
}

impl Proposed {
    /// Hands the number of each image, its scores and its changes to `read`, on the host.
    pub fn on_host(&self, mut read: impl FnMut(usize, &[f32], &[Deltas])) {
        let host = |tensor: &Tensor| {
            let tensor = tensor.detach().to_device(Device::Cpu);
            tensor.to_kind(Kind::Float).contiguous()
        };
        let each = self.scores.size()[1] as usize;
        elements::read(&host(&self.scores), |scores| {
            elements::read(&host(&self.deltas), |deltas| {
                let deltas = deltas.as_chunks().0;
                let of_images = scores.chunks(each.max(1)).zip(deltas.chunks(each.max(1)));
                for (i, (scores, deltas)) in of_images.enumerate() {
                    read(i, scores, deltas);
                }
            });
        });
    }
}

/// What the head says of boxes.
#[derive(Debug)]
pub struct Judged {
    /// (R, 1 + classes): logits, the background first.
    pub scores: Tensor,
    /// (R, classes, 4): changes of the boxes, for each class.
    pub deltas: Tensor,
}

impl Detector {
    /// On the backbone of a classification network, which must be a ResNet of at least two stages.
    pub fn new(model: &Model, shape: Shape) -> Result<Detector, Failure> {
        let stages = model.layers.iter().filter_map(stage_of).max();
        let last = stages.filter(|stages| *stages > 1).ok_or_else(|| {
            Failure::permanent(format!(
                "model = \"{}\" has no stage to be the head: detection stands on a ResNet of two to four stages; \
                 name one, or more depths",
                model.name
            ))
        })?;
        let body: Vec<&Layer> = model
            .layers
            .iter()
            .take_while(|layer| !matches!(layer, Layer::GlobalAvgPool))
            .collect();
        let (head, features): (Vec<&Layer>, Vec<&Layer>) = body
            .into_iter()
            .partition(|layer| stage_of(layer) == Some(last));
        let width = |layers: &[&Layer]| layers.iter().rev().find_map(|layer| width_of(layer));
        let (Some(input), Some(output)) = (width(&features), width(&head)) else {
            return Err(Failure::permanent("a stage without a convolution"));
        };
        let stride = features.iter().map(|layer| stride_of(layer)).product();
        let all = |layers: &[&Layer]| layers.iter().map(|layer| prefixed(layer)).collect();
        let (features, mut head): (Vec<Layer>, Vec<Layer>) = (all(&features), all(&head));
        head.push(Layer::GlobalAvgPool);
        let [conv, scores, deltas] = rpn(input, shape);
        let linear = |name: &str, outputs| Layer::Linear {
            name: format!("{PREDICTOR}{name}"),
            input: output,
            output: outputs,
        };
        let network = Network::of_parts(&[
            &features,
            &conv,
            &scores,
            &deltas,
            &head,
            &[linear("cls_score", shape.classes + 1)],
            &[linear("bbox_pred", shape.classes * 4)],
        ]);
        let trained = |spec: &ParameterSpec| is_trained(spec, shape);
        let is_behind = |spec: &ParameterSpec| {
            spec.name.starts_with(PREDICTOR) || backbone::stage_in(&spec.name) == Some(last)
        };
        let of = |behind: bool| -> Vec<usize> {
            let specs = network.parameters.iter().enumerate();
            specs
                .filter(|(_, spec)| trained(spec) && is_behind(spec) == behind)
                .map(|(i, _)| i)
                .collect()
        };
        Ok(Detector {
            before_pooling: of(false),
            behind_pooling: of(true),
            network,
            classes: shape.classes as usize,
            stride,
            freeze_bn: shape.freeze_bn,
        })
    }

    /// Features (N, C, h, w) of images (N, 3, H, W).
    pub fn features(&self, images: &Tensor, pass: Pass) -> Tensor {
        self.network.part(FEATURES, images, pass)
    }

    /// What the RPN says of features.
    pub fn propose(&self, features: &Tensor, pass: Pass) -> Proposed {
        let read = self.network.part(RPN_CONV, features, pass);
        let n = features.size()[0];
        // (N, A, h, w) to position by position: no copy, for channels lie side by side.
        let flat = |part| self.network.part(part, &read, pass).permute([0, 2, 3, 1]);
        Proposed {
            scores: flat(RPN_SCORES).reshape([n, -1]),
            deltas: flat(RPN_DELTAS).reshape([n, -1, 4]),
        }
    }

    /// What the head says of pooled features (R, C, side, side).
    pub fn judge(&self, pooled: &Tensor, pass: Pass) -> Judged {
        let read = self.network.part(HEAD, pooled, pass);
        let r = pooled.size()[0];
        let deltas = self.network.part(DELTAS, &read, pass);
        Judged {
            scores: self.network.part(SCORES, &read, pass),
            deltas: deltas.view([r, self.classes as i64, 4]),
        }
    }

    /// Whether a parameter is none of the backbone's.
    pub fn is_own(name: &str) -> bool {
        [RPN, PREDICTOR]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    }

    /// Standard deviation that a weight is drawn with; `None`: of the backbone.
    pub fn spread(name: &str) -> Option<f64> {
        match name.strip_prefix(PREDICTOR) {
            Some("bbox_pred.weight") => Some(0.001),
            _ => Detector::is_own(name).then_some(0.01),
        }
    }

    /// Factor of a parameter's learning rate: 0 leaves it as it is.
    pub fn rate(&self, name: &str) -> f64 {
        let specs = &self.network.parameters;
        let i = specs.iter().position(|spec| spec.name == name);
        f64::from(u8::from(i.is_some_and(|i| self.trains(i))))
    }

    /// Whether parameter i is trained.
    pub fn trains(&self, i: usize) -> bool {
        self.before_pooling.contains(&i) || self.behind_pooling.contains(&i)
    }
}

fn is_trained(spec: &ParameterSpec, shape: Shape) -> bool {
    if Detector::is_own(&spec.name) {
        return true;
    }
    let is_norm = matches!(spec.role, Role::Gamma { .. } | Role::Beta);
    // The stem is number 0.
    let part = backbone::stage_in(&spec.name).unwrap_or(0);
    part >= shape.frozen && !(is_norm && shape.freeze_bn)
}

/// 3x3 and ReLU, then two 1x1: a score and a change of each anchor.
fn rpn(input: u32, shape: Shape) -> [Vec<Layer>; 3] {
    let conv = |name: &str, input, output, kernel: u32| {
        Layer::Conv(Conv {
            name: format!("{RPN}{name}"),
            input,
            output,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [kernel / 2; 2],
            dilation: 1,
            groups: 1,
            bias: true,
        })
    };
    let channels = shape.rpn_channels;
    [
        vec![conv("conv.0.0", input, channels, 3), Layer::Relu],
        vec![conv("cls_logits", channels, shape.anchors, 1)],
        vec![conv("bbox_pred", channels, shape.anchors * 4, 1)],
    ]
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
