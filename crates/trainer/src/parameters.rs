//! The trainable tensors of a network, as views of flat buffers.
//!
//! Order in the buffers: weights of convolutions and linear layers, then their biases, then gamma
//! and beta of BN. So "no bias decay" (paper section 3.1) exempts everything behind one position,
//! and half precision (section 3.2; BN stays in FP32) rounds everything before another.
//! A convolution's weight lies in memory as (O, kh, kw, I), which is channels-last.

use tch::{Device, Kind, Tensor};

use crate::loss_scale::Scale;
use crate::network::{Network, ParameterSpec, Role};

/// Elements that small gradients are gathered up to.
const PIECE: i64 = 1 << 16;

/// Arithmetic of forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Everything in this kind: FP32 or FP64.
    Plain(Kind),
    /// Parameters and activations in this half kind (FP16 or BF16), BN and master weights in FP32.
    Half(Kind),
    /// As `Half` on a CPU: FP32 arithmetic on values rounded to that kind.
    EmulatedHalf {
        /// What values are rounded to.
        half: Kind,
        /// What computes. Always FP32 but in the test that compares the places of rounding with
        /// PyTorch's: there FP64, in which the order of sums decides no rounding.
        within: Kind,
    },
    /// FP32 parameters; libtorch's autocast rounds to FP16 what convolutions and linear layers read
    /// (CUDA only). It rounds where `Half` does, so that on a CPU `EmulatedHalf` stands for it too.
    Autocast,
}

impl Arithmetic {
    /// Kind of master weights, momentum, BN and the loss.
    pub fn master(self) -> Kind {
        match self {
            Arithmetic::Plain(kind) | Arithmetic::EmulatedHalf { within: kind, .. } => kind,
            Arithmetic::Half(_) | Arithmetic::Autocast => Kind::Float,
        }
    }

    /// Kind of images and activations.
    pub fn activations(self) -> Kind {
        match self {
            Arithmetic::Plain(kind) => kind,
            Arithmetic::Half(kind) => kind,
            Arithmetic::EmulatedHalf { within, .. } => within,
            Arithmetic::Autocast => Kind::Float,
        }
    }

    /// Whether the loss is scaled and overflowing steps are skipped.
    pub fn is_half(self) -> bool {
        !matches!(self, Arithmetic::Plain(_))
    }

    /// The half kind that copies of the parameters are rounded to, if there are such copies.
    fn rounds_to(self) -> Option<Kind> {
        match self {
            Arithmetic::Plain(_) | Arithmetic::Autocast => None,
            Arithmetic::Half(kind) | Arithmetic::EmulatedHalf { half: kind, .. } => Some(kind),
        }
    }
}

/// Parameters in master precision and, under half precision, their halved copies.
#[derive(Debug)]
pub struct Parameters {
    /// Flat master weights.
    pub master: Tensor,
    /// Elements that always decay: the first ones.
    pub weights: i64,
    /// Elements that half precision rounds: the first ones.
    halved: i64,
    arithmetic: Arithmetic,
    /// Where in the flat buffer each parameter starts, in the network's order.
    starts: Vec<i64>,
    /// Indices of parameters in flat order.
    order: Vec<usize>,
    specs: Vec<ParameterSpec>,
    /// Copies of the first `halved` elements, rounded.
    rounded: Option<Tensor>,
    leaves: Vec<Tensor>,
}

impl Parameters {
    /// All zero.
    pub fn new(network: &Network, arithmetic: Arithmetic, device: Device) -> Parameters {
        let specs = network.parameters.clone();
        let class = |spec: &ParameterSpec| match spec.role {
            Role::Weight => 0,
            Role::Bias => 1,
            Role::Gamma { .. } | Role::Beta => 2,
        };
        let mut order: Vec<usize> = (0..specs.len()).collect();
        order.sort_by_key(|i| class(&specs[*i]));
        let mut starts = vec![0; specs.len()];
        let mut ends = [0; 3];
        let mut total = 0;
        for i in &order {
            starts[*i] = total;
            total += specs[*i].shape.iter().product::<i64>();
            ends[class(&specs[*i])] = total;
        }
        let (weights, halved) = (ends[0], ends[1].max(ends[0]));
        let master = Tensor::zeros([total], (arithmetic.master(), device));
        let rounded = arithmetic
            .rounds_to()
            .map(|_| Tensor::zeros([halved], (arithmetic.activations(), device)));
        let mut parameters = Parameters {
            master,
            weights,
            halved,
            arithmetic,
            starts,
            order,
            specs,
            rounded,
            leaves: Vec::new(),
        };
        parameters.leaves = (0..parameters.specs.len())
            .map(|i| {
                let source = match &parameters.rounded {
                    Some(rounded) if parameters.starts[i] < halved => rounded,
                    _ => &parameters.master,
                };
                parameters.view(source, i).detach().set_requires_grad(true)
            })
            .collect();
        parameters
    }

    /// Parameter i as a view of a flat tensor, in PyTorch's shape.
    pub fn view(&self, flat: &Tensor, i: usize) -> Tensor {
        let shape = &self.specs[i].shape;
        let part = flat.narrow(0, self.starts[i], shape.iter().product());
        match shape.as_slice() {
            [o, i, h, w] => part.view([*o, *h, *w, *i]).permute([0, 3, 1, 2]),
            other => part.view(other),
        }
    }

    /// A number for each parameter, as runs over the flat buffers: where a run ends, and the number of
    /// all elements in it.
    pub fn runs(&self, of: impl Fn(&ParameterSpec) -> f64) -> Vec<(i64, f64)> {
        let mut runs: Vec<(i64, f64)> = Vec::new();
        for i in &self.order {
            let spec = &self.specs[*i];
            let (end, number) = (
                self.starts[*i] + spec.shape.iter().product::<i64>(),
                of(spec),
            );
            match runs.last_mut() {
                Some(last) if last.1 == number => last.0 = end,
                _ => runs.push((end, number)),
            }
        }
        runs
    }

    /// How forward computes with them.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The values of another copy of them, on any device.
    pub fn copy_from(&mut self, other: &Parameters) {
        let _guard = tch::no_grad_guard();
        self.master.copy_(&other.master);
        self.refresh();
    }

    /// What forward computes with, in the network's order; gradients flow to these.
    pub fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }

    /// Brings the rounded copies up to date with the master weights.
    pub fn refresh(&mut self) {
        if let (Some(rounded), Some(kind)) = (&mut self.rounded, self.arithmetic.rounds_to()) {
            let _guard = tch::no_grad_guard();
            rounded.copy_(&self.master.narrow(0, 0, self.halved).to_kind(kind));
        }
    }

    /// Gradients of the leaves as one flat tensor in master precision, without the loss scale.
    /// Under half precision the gradients of halved parameters are half values before.
    pub fn flatten(&self, gradients: &[Tensor], scale: &Scale) -> Tensor {
        let all = |part: &[usize]| {
            let parts: Vec<Tensor> = part.iter().map(|i| flat(&gradients[*i])).collect();
            Tensor::cat(&parts, 0)
        };
        match self.arithmetic {
            Arithmetic::Plain(_) => all(&self.order),
            Arithmetic::Autocast => scale.remove(all(&self.order)),
            Arithmetic::EmulatedHalf { half, .. } => {
                let gradient = all(&self.order);
                let mut halved = gradient.narrow(0, 0, self.halved);
                let rounded = halved.to_kind(half);
                halved.copy_(&rounded);
                scale.remove(gradient)
            }
            Arithmetic::Half(_) => {
                let (halved, exact) = self.order.split_at(self.halved_parameters());
                let mut parts = vec![all(halved).to_kind(Kind::Float)];
                if !exact.is_empty() {
                    parts.push(all(exact));
                }
                scale.remove(Tensor::cat(&parts, 0))
            }
        }
    }

    /// The same in pieces that follow each other from the first element on: what the optimiser reads.
    /// On a CPU in plain arithmetic a large gradient is a piece of its own, as it lies there, and
    /// only small ones are gathered: a flat copy of all of them would be one more write and read of
    /// memory as large as the network, and adds to the peak. Elsewhere one piece.
    pub fn pieces(&self, gradients: &[Tensor], scale: &Scale) -> Vec<Tensor> {
        let plain = matches!(self.arithmetic, Arithmetic::Plain(_));
        if !plain || self.master.device() != Device::Cpu {
            return vec![self.flatten(gradients, scale)];
        }
        let mut pieces = Vec::new();
        let (mut gathered, mut elements) = (Vec::new(), 0);
        for i in &self.order {
            let gradient = flat(&gradients[*i]);
            let size = gradient.size()[0];
            if elements + size > PIECE && !gathered.is_empty() {
                pieces.push(joined(&mut gathered));
                elements = 0;
            }
            gathered.push(gradient);
            elements += size;
        }
        if !gathered.is_empty() {
            pieces.push(joined(&mut gathered));
        }
        pieces
    }

    /// How many of `order` are kept in half.
    fn halved_parameters(&self) -> usize {
        self.order
            .partition_point(|i| self.starts[*i] < self.halved)
    }
}

/// A gradient in the order of the flat buffers; a view wherever it lies so already.
fn flat(gradient: &Tensor) -> Tensor {
    match gradient.dim() {
        4 => gradient.permute([0, 2, 3, 1]).reshape([-1]),
        _ => gradient.reshape([-1]),
    }
}

/// One tensor of what was gathered, and nothing gathered any more.
fn joined(gathered: &mut Vec<Tensor>) -> Tensor {
    let joined = match gathered.as_slice() {
        [one] => one.shallow_clone(),
        many => Tensor::cat(many, 0),
    };
    gathered.clear();
    joined
}
