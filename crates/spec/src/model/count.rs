//! Parameters and multiply-accumulates, counted from the layers (conv and fc, as the paper counts).

use serde::Serialize;

use super::{Layer, Model};

/// Exact counts of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Trainable parameters.
    pub parameters: u64,
    /// Those that always decay: weights of convolutions and linear layers.
    pub decayed: u64,
    /// Those that "no bias decay" exempts: BN gamma and beta, biases.
    pub exempt: u64,
    /// Multiply-accumulates of convolutions and linear layers for one image.
    pub macs: u64,
}

/// One layer of the list that `trainer inspect` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRow {
    /// State-dict prefix, or the block's name and the operation.
    pub name: String,
    /// `conv`, `batch_norm`, ...
    pub kind: &'static str,
    /// Output [channels, height, width].
    pub output: [u32; 3],
    /// Parameters of it.
    pub parameters: u64,
    /// MACs of it.
    pub macs: u64,
}

/// Counts at an input of `size` x `size`.
pub fn counts(model: &Model, size: u32) -> Counts {
    let mut counter = Counter::default();
    counter.sequence(&model.layers, [3, size, size], "");
    counter.total
}

/// Every layer in order of execution, at an input of `size` x `size`.
pub fn rows(model: &Model, size: u32) -> Vec<LayerRow> {
    let mut counter = Counter::default();
    counter.sequence(&model.layers, [3, size, size], "");
    counter.rows
}

#[derive(Default)]
struct Counter {
    total: Counts,
    rows: Vec<LayerRow>,
}

impl Counter {
    fn sequence(&mut self, layers: &[Layer], mut at: [u32; 3], block: &str) -> [u32; 3] {
        for layer in layers {
            at = self.layer(layer, at, block);
        }
        at
    }

    fn push(
        &mut self,
        name: String,
        kind: &'static str,
        output: [u32; 3],
        decayed: u64,
        exempt: u64,
        macs: u64,
    ) {
        self.total.parameters += decayed + exempt;
        self.total.decayed += decayed;
        self.total.exempt += exempt;
        self.total.macs += macs;
        self.rows.push(LayerRow {
            name,
            kind,
            output,
            parameters: decayed + exempt,
            macs,
        });
    }

    fn layer(&mut self, layer: &Layer, [c, h, w]: [u32; 3], block: &str) -> [u32; 3] {
        match layer {
            Layer::Conv(conv) => {
                let size = |n: u32, i: usize| {
                    (n + 2 * conv.padding[i] - conv.dilation * (conv.kernel[i] - 1) - 1)
                        / conv.stride[i]
                        + 1
                };
                let out = [conv.output, size(h, 0), size(w, 1)];
                let weights = u64::from(conv.output)
                    * u64::from(conv.input / conv.groups)
                    * u64::from(conv.kernel[0])
                    * u64::from(conv.kernel[1]);
                let bias = if conv.bias { u64::from(conv.output) } else { 0 };
                self.push(
                    conv.name.clone(),
                    "conv",
                    out,
                    weights,
                    bias,
                    weights * u64::from(out[1]) * u64::from(out[2]),
                );
                out
            }
            Layer::BatchNorm(bn) => {
                self.push(
                    bn.name.clone(),
                    "batch_norm",
                    [c, h, w],
                    0,
                    2 * u64::from(bn.channels),
                    0,
                );
                [c, h, w]
            }
            Layer::Relu => {
                self.push(op(block, "relu"), "relu", [c, h, w], 0, 0, 0);
                [c, h, w]
            }
            Layer::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let size = |n: u32| (n + 2 * padding - kernel) / stride + 1;
                let out = [c, size(h), size(w)];
                self.push(op(block, "maxpool"), "max_pool", out, 0, 0, 0);
                out
            }
            Layer::AvgPool {
                kernel,
                stride,
                padding,
                ceil,
                count_include_pad: _,
            } => {
                let size = |n: u32| {
                    let span = n + 2 * padding - kernel;
                    if *ceil {
                        span.div_ceil(*stride) + 1
                    } else {
                        span / stride + 1
                    }
                };
                let out = [c, size(h), size(w)];
                self.push(op(block, "avgpool"), "avg_pool", out, 0, 0, 0);
                out
            }
            Layer::GlobalAvgPool => {
                self.push(op(block, "avgpool"), "global_avg_pool", [c, 1, 1], 0, 0, 0);
                [c, 1, 1]
            }
            Layer::Dropout { p: _ } => {
                self.push(op(block, "dropout"), "dropout", [c, h, w], 0, 0, 0);
                [c, h, w]
            }
            Layer::Linear {
                name,
                input,
                output,
            } => {
                let weights = u64::from(*input) * u64::from(*output);
                self.push(
                    name.clone(),
                    "linear",
                    [*output, 1, 1],
                    weights,
                    u64::from(*output),
                    weights,
                );
                [*output, 1, 1]
            }
            Layer::Residual {
                name,
                main,
                shortcut,
            } => {
                let out = self.sequence(main, [c, h, w], name);
                self.sequence(shortcut, [c, h, w], name);
                self.push(op(name, "add"), "add", out, 0, 0, 0);
                self.push(op(name, "relu"), "relu", out, 0, 0, 0);
                out
            }
            Layer::Branches { name, branches } => {
                let mut out = [0, h, w];
                for branch in branches {
                    let o = self.sequence(branch, [c, h, w], name);
                    out = [out[0] + o[0], o[1], o[2]];
                }
                self.push(op(name, "concat"), "concat", out, 0, 0, 0);
                out
            }
        }
    }
}

fn op(block: &str, kind: &str) -> String {
    if block.is_empty() {
        kind.to_owned()
    } else {
        format!("{block}.{kind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Variant;

    /// recipes.md section 7, trap 3, with the counts of section 4: name, variant, parameters, decayed, exempt, MACs at 224.
    #[test]
    fn trap_3_models_have_the_published_counts() {
        for (name, variant, parameters, decayed, exempt, macs) in [
            (
                "resnet50",
                Variant::Paper,
                25_557_032,
                25_502_912,
                54_120,
                3_857_973_248,
            ),
            (
                "resnet50",
                Variant::Gluoncv,
                25_575_912,
                25_502_912,
                73_000,
                3_857_973_248,
            ),
            (
                "resnet50b",
                Variant::Paper,
                25_557_032,
                25_502_912,
                54_120,
                4_089_184_256,
            ),
            (
                "resnet50c",
                Variant::Paper,
                25_576_264,
                25_522_016,
                54_248,
                4_328_824_832_u64,
            ),
            (
                "resnet50d",
                Variant::Paper,
                25_576_264,
                25_522_016,
                54_248,
                4_328_824_832,
            ),
            (
                "inception-v3",
                Variant::Paper,
                23_834_568,
                23_799_136,
                35_432,
                5_713_216_096,
            ),
            (
                "mobilenet",
                Variant::Paper,
                4_231_976,
                4_209_088,
                22_888,
                568_740_352,
            ),
            (
                "resnet152d",
                Variant::Paper,
                60_212_040,
                60_059_488,
                152_552,
                11_753_267_200,
            ),
        ] {
            let model = Model::published(name, variant).expect("known model");
            let got = counts(
                &model,
                super::super::find(name).expect("known model").input_size,
            );
            assert_eq!(
                got,
                Counts {
                    parameters,
                    decayed,
                    exempt,
                    macs
                },
                "{name} {variant:?}"
            );
        }
    }

    /// recipes.md section 7, trap 2: the first convolution of stage 2 makes 28x28 maps in v1, 56x56 in B.
    #[test]
    fn trap_2_the_second_stage_of_v1_begins_with_28x28_and_of_b_with_56x56() {
        for (name, side) in [("resnet50", 28), ("resnet50b", 56), ("resnet50d", 56)] {
            let model = Model::published(name, Variant::Paper).expect("known model");
            let rows = rows(&model, 224);
            let first = rows.iter().find(|row| row.name == "layer2.0.conv1");
            assert_eq!(first.expect("a layer").output, [128, side, side], "{name}");
        }
    }
}
