//! Inception-V3 without its auxiliary head (recipes.md section 4), input 299, BN eps 1e-3, under
//! torchvision's state-dict names.

use super::{BatchNorm, Conv, Layer, Shape, scaled};

pub(super) fn layers(shape: &Shape) -> Vec<Layer> {
    let net = Net { width: shape.width };
    let mut layers = Vec::new();
    let mut at = 3;
    for (name, output, kernel, stride, padding) in [
        ("1a_3x3", 32, 3, 2, 0),
        ("2a_3x3", 32, 3, 1, 0),
        ("2b_3x3", 64, 3, 1, 1),
    ] {
        at = net.push(
            &mut layers,
            &format!("Conv2d_{name}"),
            at,
            output,
            [kernel; 2],
            stride,
            [padding; 2],
        );
    }
    layers.push(Layer::MaxPool {
        kernel: 3,
        stride: 2,
        padding: 0,
    });
    at = net.push(&mut layers, "Conv2d_3b_1x1", at, 80, [1, 1], 1, [0, 0]);
    at = net.push(&mut layers, "Conv2d_4a_3x3", at, 192, [3, 3], 1, [0, 0]);
    layers.push(Layer::MaxPool {
        kernel: 3,
        stride: 2,
        padding: 0,
    });
    for (name, pool) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        at = net.a(&mut layers, name, at, pool);
    }
    at = net.b(&mut layers, "Mixed_6a", at);
    for (name, inner) in [
        ("Mixed_6b", 128),
        ("Mixed_6c", 160),
        ("Mixed_6d", 160),
        ("Mixed_6e", 192),
    ] {
        at = net.c(&mut layers, name, at, inner);
    }
    at = net.d(&mut layers, "Mixed_7a", at);
    for name in ["Mixed_7b", "Mixed_7c"] {
        at = net.e(&mut layers, name, at);
    }
    layers.push(Layer::GlobalAvgPool);
    if shape.dropout > 0.0 {
        layers.push(Layer::Dropout { p: shape.dropout });
    }
    layers.push(Layer::Linear {
        name: "fc".into(),
        input: at,
        output: shape.classes,
    });
    layers
}

/// One convolution of a branch: state-dict name, output channels, kernel (h, w), stride. Padding
/// keeps the size at stride 1 and is 0 at stride 2.
type Step = (&'static str, u32, [u32; 2], u32);

struct Net {
    width: f64,
}

impl Net {
    /// Convolution, BN, ReLU; returns its channels.
    #[expect(
        clippy::too_many_arguments,
        reason = "a convolution has this many numbers"
    )]
    fn push(
        &self,
        layers: &mut Vec<Layer>,
        name: &str,
        input: u32,
        output: u32,
        kernel: [u32; 2],
        stride: u32,
        padding: [u32; 2],
    ) -> u32 {
        let output = scaled(output, self.width);
        layers.push(Layer::Conv(Conv {
            name: format!("{name}.conv"),
            input,
            output,
            kernel,
            stride: [stride; 2],
            padding,
            dilation: 1,
            groups: 1,
            bias: false,
        }));
        layers.push(Layer::BatchNorm(BatchNorm {
            name: format!("{name}.bn"),
            channels: output,
            eps: 1e-3,
            ends_branch: false,
        }));
        layers.push(Layer::Relu);
        output
    }

    /// A chain of convolutions; returns it and its channels.
    fn chain(&self, block: &str, mut at: u32, steps: &[Step]) -> (Vec<Layer>, u32) {
        let mut layers = Vec::new();
        for (name, output, kernel, stride) in steps {
            let padding = if *stride == 1 {
                [kernel[0] / 2, kernel[1] / 2]
            } else {
                [0, 0]
            };
            at = self.push(
                &mut layers,
                &format!("{block}.{name}"),
                at,
                *output,
                *kernel,
                *stride,
                padding,
            );
        }
        (layers, at)
    }

    /// Average pooling that counts the padding, then a 1x1 convolution.
    fn pool(&self, block: &str, at: u32, output: u32) -> (Vec<Layer>, u32) {
        let mut layers = vec![Layer::AvgPool {
            kernel: 3,
            stride: 1,
            padding: 1,
            ceil: false,
            count_include_pad: true,
        }];
        let output = self.push(
            &mut layers,
            &format!("{block}.branch_pool"),
            at,
            output,
            [1, 1],
            1,
            [0, 0],
        );
        (layers, output)
    }

    fn concat(layers: &mut Vec<Layer>, name: &str, branches: Vec<(Vec<Layer>, u32)>) -> u32 {
        let channels = branches.iter().map(|(_, c)| c).sum();
        let branches = branches.into_iter().map(|(layers, _)| layers).collect();
        layers.push(Layer::Branches {
            name: name.to_owned(),
            branches,
        });
        channels
    }

    fn a(&self, layers: &mut Vec<Layer>, name: &str, at: u32, pool: u32) -> u32 {
        let branches = vec![
            self.chain(name, at, &[("branch1x1", 64, [1, 1], 1)]),
            self.chain(
                name,
                at,
                &[
                    ("branch5x5_1", 48, [1, 1], 1),
                    ("branch5x5_2", 64, [5, 5], 1),
                ],
            ),
            self.chain(
                name,
                at,
                &[
                    ("branch3x3dbl_1", 64, [1, 1], 1),
                    ("branch3x3dbl_2", 96, [3, 3], 1),
                    ("branch3x3dbl_3", 96, [3, 3], 1),
                ],
            ),
            self.pool(name, at, pool),
        ];
        Self::concat(layers, name, branches)
    }

    fn b(&self, layers: &mut Vec<Layer>, name: &str, at: u32) -> u32 {
        let branches = vec![
            self.chain(name, at, &[("branch3x3", 384, [3, 3], 2)]),
            self.chain(
                name,
                at,
                &[
                    ("branch3x3dbl_1", 64, [1, 1], 1),
                    ("branch3x3dbl_2", 96, [3, 3], 1),
                    ("branch3x3dbl_3", 96, [3, 3], 2),
                ],
            ),
            (
                vec![Layer::MaxPool {
                    kernel: 3,
                    stride: 2,
                    padding: 0,
                }],
                at,
            ),
        ];
        Self::concat(layers, name, branches)
    }

    fn c(&self, layers: &mut Vec<Layer>, name: &str, at: u32, inner: u32) -> u32 {
        let branches = vec![
            self.chain(name, at, &[("branch1x1", 192, [1, 1], 1)]),
            self.chain(
                name,
                at,
                &[
                    ("branch7x7_1", inner, [1, 1], 1),
                    ("branch7x7_2", inner, [1, 7], 1),
                    ("branch7x7_3", 192, [7, 1], 1),
                ],
            ),
            self.chain(
                name,
                at,
                &[
                    ("branch7x7dbl_1", inner, [1, 1], 1),
                    ("branch7x7dbl_2", inner, [7, 1], 1),
                    ("branch7x7dbl_3", inner, [1, 7], 1),
                    ("branch7x7dbl_4", inner, [7, 1], 1),
                    ("branch7x7dbl_5", 192, [1, 7], 1),
                ],
            ),
            self.pool(name, at, 192),
        ];
        Self::concat(layers, name, branches)
    }

    fn d(&self, layers: &mut Vec<Layer>, name: &str, at: u32) -> u32 {
        let branches = vec![
            self.chain(
                name,
                at,
                &[
                    ("branch3x3_1", 192, [1, 1], 1),
                    ("branch3x3_2", 320, [3, 3], 2),
                ],
            ),
            self.chain(
                name,
                at,
                &[
                    ("branch7x7x3_1", 192, [1, 1], 1),
                    ("branch7x7x3_2", 192, [1, 7], 1),
                    ("branch7x7x3_3", 192, [7, 1], 1),
                    ("branch7x7x3_4", 192, [3, 3], 2),
                ],
            ),
            (
                vec![Layer::MaxPool {
                    kernel: 3,
                    stride: 2,
                    padding: 0,
                }],
                at,
            ),
        ];
        Self::concat(layers, name, branches)
    }

    fn e(&self, layers: &mut Vec<Layer>, name: &str, at: u32) -> u32 {
        let branches = vec![
            self.chain(name, at, &[("branch1x1", 320, [1, 1], 1)]),
            self.forked(name, at, &[("branch3x3_1", 384, [1, 1], 1)], "branch3x3_2"),
            self.forked(
                name,
                at,
                &[
                    ("branch3x3dbl_1", 448, [1, 1], 1),
                    ("branch3x3dbl_2", 384, [3, 3], 1),
                ],
                "branch3x3dbl_3",
            ),
            self.pool(name, at, 192),
        ];
        Self::concat(layers, name, branches)
    }

    /// A chain that ends in a 1x3 and a 3x1 convolution side by side.
    fn forked(&self, block: &str, at: u32, steps: &[Step], end: &'static str) -> (Vec<Layer>, u32) {
        let (mut layers, inner) = self.chain(block, at, steps);
        let mut arms = Vec::new();
        for (letter, kernel) in [("a", [1, 3]), ("b", [3, 1])] {
            let mut arm = Vec::new();
            let padding = [kernel[0] / 2, kernel[1] / 2];
            let output = self.push(
                &mut arm,
                &format!("{block}.{end}{letter}"),
                inner,
                384,
                kernel,
                1,
                padding,
            );
            arms.push((arm, output));
        }
        let channels = Self::concat(&mut layers, &format!("{block}.{end}"), arms);
        (layers, channels)
    }
}
