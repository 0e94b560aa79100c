//! How a [`Model`]'s layer tree is computed on tensors. The only module that turns layers
//! into libtorch calls.
//!
//! Activations are (N, C, H, W) in channels-last memory, which oneDNN computes about 1.3 times as
//! fast as contiguous ones.

mod fold;

use rungs_spec::model::{Layer, Model};
use tch::{Kind, Tensor};

use crate::dropout::Dropout;
use crate::norm::{self, RunningStats};

/// What a parameter is for: decides its initial value, its decay and its precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weight of a convolution or linear layer.
    Weight,
    /// Bias of a convolution or linear layer.
    Bias,
    /// Scale of a BN; `ends_branch`: the last of a residual branch (zero-gamma).
    Gamma {
        /// Last BN of a residual branch.
        ends_branch: bool,
    },
    /// Shift of a BN.
    Beta,
}

/// A trainable tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// PyTorch's state-dict name.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<i64>,
    /// What it is for.
    pub role: Role,
}

/// A batch normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct NormSpec {
    /// State-dict prefix.
    pub name: String,
    /// Channels.
    pub channels: i64,
    /// Added to the variance.
    pub eps: f64,
    gamma: usize,
    beta: usize,
}

/// Layer trees with their parameters resolved to indices. A classifier is one tree; other networks
/// have several parts, between which other things happen, over one list of parameters.
#[derive(Debug, Clone)]
pub struct Network {
    parts: Vec<Vec<Operation>>,
    /// Trainable tensors in PyTorch's order.
    pub parameters: Vec<ParameterSpec>,
    /// Batch normalisations in order of execution.
    pub norms: Vec<NormSpec>,
    dropouts: usize,
}

#[derive(Debug, Clone)]
enum Operation {
    Conv {
        weight: usize,
        bias: Option<usize>,
        stride: [i64; 2],
        padding: [i64; 2],
        dilation: i64,
        groups: i64,
    },
    Norm(usize),
    Relu,
    MaxPool {
        kernel: i64,
        stride: i64,
        padding: i64,
    },
    AvgPool {
        kernel: i64,
        stride: i64,
        padding: i64,
        ceil: bool,
        count_include_pad: bool,
    },
    GlobalAvgPool,
    Dropout {
        layer: usize,
        p: f64,
    },
    Linear {
        weight: usize,
        bias: usize,
    },
    Residual {
        main: Vec<Operation>,
        shortcut: Vec<Operation>,
    },
    Branches(Vec<Vec<Operation>>),
}

/// What happens to values at layer boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Nothing.
    Exact,
    /// Values forward and gradients backward are rounded to this half kind, emulated on a CPU.
    Rounded(Kind),
    /// libtorch rounds what convolutions and linear layers read to FP16 (CUDA only).
    Autocast,
}

impl Boundary {
    /// The same op rounds the gradient: the derivative of a cast is the cast of the derivative.
    fn apply(self, x: Tensor) -> Tensor {
        match self {
            Boundary::Exact | Boundary::Autocast => x,
            Boundary::Rounded(kind) => {
                let rounded = x.to_kind(kind).to_kind(x.kind());
                #[cfg(test)]
                tests::BOUNDARIES.with_borrow_mut(|seen| seen.push((x, rounded.shallow_clone())));
                rounded
            }
        }
    }
}

/// Where the statistics of batch normalisation come from.
#[derive(Debug, Clone, Copy)]
pub enum Norms<'a> {
    /// The batch, in slices; running statistics are updated.
    Train(&'a [RunningStats]),
    /// The whole batch; nothing is updated.
    Batch,
    /// Running statistics.
    Running(&'a RunningStats),
    /// Running statistics, multiplied into the convolution before ([`Network::fold`]).
    Folded(&'a [(Tensor, Tensor)]),
}

/// One evaluation of a network: its parameters and how to treat BN, dropout and boundaries.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// In the order of [`Network::parameters`].
    pub parameters: &'a [Tensor],
    /// BN.
    pub norms: Norms<'a>,
    /// Layer boundaries.
    pub boundary: Boundary,
    /// What dropout drops, `None` = nothing.
    pub dropout: Option<Dropout>,
}

impl Network {
    /// Resolves the names of a model: one part.
    pub fn new(model: &Model) -> Network {
        Network::of_parts(&[&model.layers])
    }

    /// Resolves the names of several parts.
    pub fn of_parts(parts: &[&[Layer]]) -> Network {
        let mut network = Network {
            parts: Vec::new(),
            parameters: Vec::new(),
            norms: Vec::new(),
            dropouts: 0,
        };
        for layers in parts {
            let part = network.resolve(layers);
            network.parts.push(part);
        }
        network
    }

    fn parameter(&mut self, name: String, shape: Vec<i64>, role: Role) -> usize {
        self.parameters.push(ParameterSpec { name, shape, role });
        self.parameters.len() - 1
    }

    fn resolve(&mut self, layers: &[Layer]) -> Vec<Operation> {
        layers.iter().map(|layer| self.resolve_one(layer)).collect()
    }

    fn resolve_one(&mut self, layer: &Layer) -> Operation {
        let pair = |v: [u32; 2]| v.map(i64::from);
        match layer {
            Layer::Conv(conv) => {
                let [kh, kw] = pair(conv.kernel);
                let shape = vec![
                    i64::from(conv.output),
                    i64::from(conv.input / conv.groups),
                    kh,
                    kw,
                ];
                let weight = self.parameter(format!("{}.weight", conv.name), shape, Role::Weight);
                let bias = conv.bias.then(|| {
                    self.parameter(
                        format!("{}.bias", conv.name),
                        vec![i64::from(conv.output)],
                        Role::Bias,
                    )
                });
                Operation::Conv {
                    weight,
                    bias,
                    stride: pair(conv.stride),
                    padding: pair(conv.padding),
                    dilation: i64::from(conv.dilation),
                    groups: i64::from(conv.groups),
                }
            }
            Layer::BatchNorm(bn) => {
                let channels = i64::from(bn.channels);
                let role = Role::Gamma {
                    ends_branch: bn.ends_branch,
                };
                let gamma = self.parameter(format!("{}.weight", bn.name), vec![channels], role);
                let beta = self.parameter(format!("{}.bias", bn.name), vec![channels], Role::Beta);
                self.norms.push(NormSpec {
                    name: bn.name.clone(),
                    channels,
                    eps: bn.eps,
                    gamma,
                    beta,
                });
                Operation::Norm(self.norms.len() - 1)
            }
            Layer::Relu => Operation::Relu,
            Layer::MaxPool {
                kernel,
                stride,
                padding,
            } => Operation::MaxPool {
                kernel: (*kernel).into(),
                stride: (*stride).into(),
                padding: (*padding).into(),
            },
            Layer::AvgPool {
                kernel,
                stride,
                padding,
                ceil,
                count_include_pad,
            } => Operation::AvgPool {
                kernel: (*kernel).into(),
                stride: (*stride).into(),
                padding: (*padding).into(),
                ceil: *ceil,
                count_include_pad: *count_include_pad,
            },
            Layer::GlobalAvgPool => Operation::GlobalAvgPool,
            Layer::Dropout { p } => {
                self.dropouts += 1;
                Operation::Dropout {
                    layer: self.dropouts - 1,
                    p: *p,
                }
            }
            Layer::Linear {
                name,
                input,
                output,
            } => {
                let shape = vec![i64::from(*output), i64::from(*input)];
                let weight = self.parameter(format!("{name}.weight"), shape, Role::Weight);
                let bias =
                    self.parameter(format!("{name}.bias"), vec![i64::from(*output)], Role::Bias);
                Operation::Linear { weight, bias }
            }
            Layer::Residual {
                name: _,
                main,
                shortcut,
            } => Operation::Residual {
                main: self.resolve(main),
                shortcut: self.resolve(shortcut),
            },
            Layer::Branches { name: _, branches } => {
                Operation::Branches(branches.iter().map(|branch| self.resolve(branch)).collect())
            }
        }
    }

    /// Logits (N, classes) of images (N, 3, H, W): the first part.
    pub fn forward(&self, images: &Tensor, pass: Pass) -> Tensor {
        self.part(0, images, pass)
    }

    /// What a part makes of its input. The input may be read elsewhere too: no part may begin with a
    /// ReLU, which works in place.
    pub fn part(&self, part: usize, input: &Tensor, pass: Pass) -> Tensor {
        let input = pass.boundary.apply(input.shallow_clone());
        let run = || self.sequence(&self.parts[part], input, pass);
        match pass.boundary {
            Boundary::Autocast => tch::autocast(true, run),
            Boundary::Exact | Boundary::Rounded(_) => run(),
        }
    }

    fn sequence(&self, operations: &[Operation], mut x: Tensor, pass: Pass) -> Tensor {
        let mut i = 0;
        while i < operations.len() {
            let next = operations.get(i + 1);
            if let (
                Operation::Conv {
                    stride,
                    padding,
                    dilation,
                    groups,
                    ..
                },
                Some(Operation::Norm(n)),
                Norms::Folded(f),
            ) = (&operations[i], next, pass.norms)
            {
                let (weight, bias) = &f[*n];
                x = x.conv2d(weight, Some(bias), stride, padding, [*dilation; 2], *groups);
                i += 2;
                continue;
            }
            let out = self.operation(&operations[i], x, pass);
            // relu(round(x)) = round(relu(x)), values and gradients both: one rounding serves BN + ReLU.
            let fused = matches!(
                (&operations[i], next),
                (Operation::Norm(_), Some(Operation::Relu))
            );
            x = if fused { out } else { pass.boundary.apply(out) };
            i += 1;
        }
        x
    }

    fn operation(&self, operation: &Operation, mut x: Tensor, pass: Pass) -> Tensor {
        match operation {
            Operation::Conv {
                weight,
                bias,
                stride,
                padding,
                dilation,
                groups,
            } => {
                let bias = bias.map(|b| &pass.parameters[b]);
                x.conv2d(
                    &pass.parameters[*weight],
                    bias,
                    stride,
                    padding,
                    [*dilation; 2],
                    *groups,
                )
            }
            Operation::Norm(n) => self.norm(*n, &x, pass),
            // BN keeps its input for the backward pass, not its output; ReLU its output: in place is safe.
            Operation::Relu => x.relu_(),
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => x.max_pool2d([*kernel; 2], [*stride; 2], [*padding; 2], [1, 1], false),
            Operation::AvgPool {
                kernel,
                stride,
                padding,
                ceil,
                count_include_pad,
            } => x.avg_pool2d(
                [*kernel; 2],
                [*stride; 2],
                [*padding; 2],
                *ceil,
                *count_include_pad,
                None,
            ),
            Operation::GlobalAvgPool => x.mean_dim([2, 3].as_slice(), false, None),
            Operation::Dropout { layer, p } => match pass.dropout {
                Some(dropout) => dropout.apply(*layer, *p, &x),
                None => x,
            },
            Operation::Linear { weight, bias } => {
                x.linear(&pass.parameters[*weight], Some(&pass.parameters[*bias]))
            }
            Operation::Residual { main, shortcut } => {
                let mut residual = self.sequence(main, x.shallow_clone(), pass);
                let shortcut = self.sequence(shortcut, x, pass);
                // Nothing keeps the output of a branch's last BN either; tests look at rounded ones.
                let is_free = matches!(main.last(), Some(Operation::Norm(_)))
                    && !matches!(pass.boundary, Boundary::Rounded(_));
                let mut sum = match is_free && residual.kind() == shortcut.kind() {
                    true => residual.g_add_(&shortcut),
                    false => residual.g_add(&shortcut),
                };
                sum.relu_()
            }
            Operation::Branches(branches) => {
                let outputs: Vec<Tensor> = branches
                    .iter()
                    .map(|branch| self.sequence(branch, x.shallow_clone(), pass))
                    .collect();
                Tensor::cat(&outputs, 1)
            }
        }
    }

    fn norm(&self, n: usize, x: &Tensor, pass: Pass) -> Tensor {
        let spec = &self.norms[n];
        let affine = norm::Affine {
            gamma: &pass.parameters[spec.gamma],
            beta: &pass.parameters[spec.beta],
            eps: spec.eps,
        };
        match pass.norms {
            Norms::Train(replicas) => norm::of_slices(replicas, n, x, affine),
            Norms::Batch => norm::of_batch(x, affine),
            Norms::Running(stats) => norm::of_running(x, stats.of(n), affine),
            Norms::Folded(folded) => {
                // Only where no convolution stands before: x * w + b per channel.
                let (weight, bias) = &folded[n];
                x * weight.view([1, -1, 1, 1]) + bias.view([1, -1, 1, 1])
            }
        }
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
