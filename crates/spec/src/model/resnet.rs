//! Bottleneck ResNets: v1, B, C, D (paper section 4, Figures 1 and 2), under the state-dict names of
//! torchvision (v1, B) and timm (C, D).

use super::{BatchNorm, Conv, Layer, ModelInfo, Shape, scaled};
use crate::error::SpecError;
use crate::recipe::Variant;

const EXPANSION: u32 = 4;

/// Which of the paper's tweaks a name asks for.
struct Tweaks {
    /// B: stride in the 3x3 instead of the first 1x1.
    stride_in_3x3: bool,
    /// C: three 3x3 convolutions in the stem instead of one 7x7.
    deep_stem: bool,
    /// D: average pooling in the shortcut.
    avg_shortcut: bool,
    /// The authors' v1 code leaves biases in the 1x1 convolutions of a block.
    bias_in_1x1: bool,
}

impl Tweaks {
    fn of(name: &str, variant: Variant) -> Self {
        let letter = name.chars().last().unwrap_or(' ');
        Tweaks {
            stride_in_3x3: matches!(letter, 'b' | 'c' | 'd'),
            deep_stem: matches!(letter, 'c' | 'd'),
            avg_shortcut: letter == 'd',
            bias_in_1x1: variant == Variant::Gluoncv && letter.is_ascii_digit(),
        }
    }
}

pub(super) fn layers(info: &ModelInfo, shape: &Shape) -> Result<Vec<Layer>, SpecError> {
    if shape.depths.is_empty() || shape.depths.len() > 4 || shape.depths.contains(&0) {
        return Err(SpecError::new(format!(
            "depths = {:?}: {} has one to four stages of at least one block each, for example {:?}",
            shape.depths, info.name, info.depths
        )));
    }
    let tweaks = Tweaks::of(info.name, shape.variant);
    let stem = scaled(64, shape.width);
    let mut layers = stem_layers(&tweaks, stem, shape.width);
    layers.push(Layer::MaxPool {
        kernel: 3,
        stride: 2,
        padding: 1,
    });
    let mut input = stem;
    for (stage, blocks) in shape.depths.iter().enumerate() {
        let planes = scaled(64 << stage, shape.width);
        for block in 0..*blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            layers.push(bottleneck(&tweaks, name, input, planes, stride));
            input = planes * EXPANSION;
        }
    }
    layers.push(Layer::GlobalAvgPool);
    if shape.dropout > 0.0 {
        layers.push(Layer::Dropout { p: shape.dropout });
    }
    layers.push(Layer::Linear {
        name: "fc".into(),
        input,
        output: shape.classes,
    });
    Ok(layers)
}

fn stem_layers(tweaks: &Tweaks, stem: u32, width: f64) -> Vec<Layer> {
    if !tweaks.deep_stem {
        return vec![
            conv("conv1", 3, stem, 7, 2, false),
            bn("bn1", stem, false),
            Layer::Relu,
        ];
    }
    let half = scaled(32, width);
    vec![
        conv("conv1.0", 3, half, 3, 2, false),
        bn("conv1.1", half, false),
        Layer::Relu,
        conv("conv1.3", half, half, 3, 1, false),
        bn("conv1.4", half, false),
        Layer::Relu,
        conv("conv1.6", half, stem, 3, 1, false),
        bn("bn1", stem, false),
        Layer::Relu,
    ]
}

fn bottleneck(tweaks: &Tweaks, name: String, input: u32, planes: u32, stride: u32) -> Layer {
    let output = planes * EXPANSION;
    let (first, second) = if tweaks.stride_in_3x3 {
        (1, stride)
    } else {
        (stride, 1)
    };
    let at = |part: &str| format!("{name}.{part}");
    let main = vec![
        conv(&at("conv1"), input, planes, 1, first, tweaks.bias_in_1x1),
        bn(&at("bn1"), planes, false),
        Layer::Relu,
        conv(&at("conv2"), planes, planes, 3, second, false),
        bn(&at("bn2"), planes, false),
        Layer::Relu,
        conv(&at("conv3"), planes, output, 1, 1, tweaks.bias_in_1x1),
        bn(&at("bn3"), output, true),
    ];
    let shortcut = if stride == 1 && input == output {
        Vec::new()
    } else if tweaks.avg_shortcut {
        let mut layers = Vec::new();
        if stride > 1 {
            // ceil: at odd sizes the convolution beside it rounds up too (recipes.md, trap 8).
            layers.push(Layer::AvgPool {
                kernel: stride,
                stride,
                padding: 0,
                ceil: true,
                count_include_pad: false,
            });
        }
        layers.push(conv(&at("downsample.1"), input, output, 1, 1, false));
        layers.push(bn(&at("downsample.2"), output, false));
        layers
    } else {
        vec![
            conv(&at("downsample.0"), input, output, 1, stride, false),
            bn(&at("downsample.1"), output, false),
        ]
    };
    Layer::Residual {
        name,
        main,
        shortcut,
    }
}

fn conv(name: &str, input: u32, output: u32, kernel: u32, stride: u32, bias: bool) -> Layer {
    Layer::Conv(Conv {
        name: name.to_owned(),
        input,
        output,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        dilation: 1,
        groups: 1,
        bias,
    })
}

fn bn(name: &str, channels: u32, ends_branch: bool) -> Layer {
    Layer::BatchNorm(BatchNorm {
        name: name.to_owned(),
        channels,
        eps: 1e-5,
        ends_branch,
    })
}
