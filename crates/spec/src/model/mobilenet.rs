//! MobileNet 1.0 (recipes.md section 4): 3x3 stem, 13 depthwise-separable blocks with ReLU, no
//! dropout, under timm's state-dict names (`mobilenetv1_100`).

use super::{BatchNorm, Conv, Layer, Shape, scaled};

/// Blocks by stage: (output channels, blocks, stride of the first).
const STAGES: [(u32, u32, u32); 5] = [
    (64, 1, 1),
    (128, 2, 2),
    (256, 2, 2),
    (512, 6, 2),
    (1024, 2, 2),
];

pub(super) fn layers(shape: &Shape) -> Vec<Layer> {
    let mut input = scaled(32, shape.width);
    let mut layers = conv_bn_relu("conv_stem", "bn1", [3, input], 3, 2, 1);
    for (stage, (channels, blocks, stride)) in STAGES.into_iter().enumerate() {
        let output = scaled(channels, shape.width);
        for block in 0..blocks {
            let at = |part: &str| format!("blocks.{stage}.{block}.{part}");
            let stride = if block == 0 { stride } else { 1 };
            layers.extend(conv_bn_relu(
                &at("conv_dw"),
                &at("bn1"),
                [input, input],
                3,
                stride,
                input,
            ));
            layers.extend(conv_bn_relu(
                &at("conv_pw"),
                &at("bn2"),
                [input, output],
                1,
                1,
                1,
            ));
            input = output;
        }
    }
    layers.push(Layer::GlobalAvgPool);
    if shape.dropout > 0.0 {
        layers.push(Layer::Dropout { p: shape.dropout });
    }
    layers.push(Layer::Linear {
        name: "classifier".into(),
        input,
        output: shape.classes,
    });
    layers
}

fn conv_bn_relu(
    conv: &str,
    bn: &str,
    [input, output]: [u32; 2],
    kernel: u32,
    stride: u32,
    groups: u32,
) -> Vec<Layer> {
    vec![
        Layer::Conv(Conv {
            name: conv.to_owned(),
            input,
            output,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: 1,
            groups,
            bias: false,
        }),
        Layer::BatchNorm(BatchNorm {
            name: bn.to_owned(),
            channels: output,
            eps: 1e-5,
            ends_branch: false,
        }),
        Layer::Relu,
    ]
}
