//! The inputs of the golden traces: the formula of bench/peers/golden_inputs.py, written out here once
//! more. Also of unit tests (src/half_golden_tests.rs), so nothing here needs the program.

use std::collections::BTreeMap;

use rungs_spec::model::{Layer, Model};
use safetensors::tensor::{Dtype, TensorView};

/// Images and classes of every golden trace.
pub const IMAGES: usize = 64;
pub const CLASSES: u32 = 10;

/// FNV-1a of the name, then SplitMix64: 64 bits for element `i` of a tensor.
pub fn hash(name: &str, i: u64) -> u64 {
    mix(fnv(name.bytes()), i)
}

/// FNV-1a, 64 bits.
pub fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xCBF2_9CE4_8422_2325, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn mix(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// In [-1, 1), exact in f32.
pub fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let seed = fnv(name.bytes());
    (0..count as u64).map(move |i| (mix(seed, i) >> 40) as f64 * 2f64.powi(-23) - 1.0)
}

/// Tensors of a safetensors file: shape, bytes, kind.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>, Dtype)>;

/// Little-endian f32, rounded once.
pub fn f32_bytes(values: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.size_hint().0);
    for value in values {
        bytes.extend_from_slice(&(value as f32).to_le_bytes());
    }
    bytes
}

/// The bytes of a safetensors file.
pub fn bytes(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, (shape, bytes, dtype))| {
        (
            name.as_str(),
            TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"),
        )
    });
    safetensors::serialize(views, None).expect("bytes")
}

/// `images` (64, 3, side, side) and `labels`.
pub fn images(side: usize) -> Tensors {
    let shape = vec![IMAGES, 3, side, side];
    let images = f32_bytes(uniform("images", shape.iter().product()).map(|u| 2.0 * u));
    let labels = (0..IMAGES as u64)
        .flat_map(|i| ((hash("labels", i) % u64::from(CLASSES)) as i64).to_le_bytes())
        .collect();
    Tensors::from([
        ("images".to_owned(), (shape, images, Dtype::F32)),
        ("labels".to_owned(), (vec![IMAGES], labels, Dtype::I64)),
    ])
}

/// `lambda` and `partner` of every step.
pub fn mixup(steps: usize, batch: usize) -> Tensors {
    let lambda = uniform("lambda", steps)
        .flat_map(|u| (0.5 * (1.0 + u)).to_le_bytes())
        .collect();
    let mut partner = Vec::new();
    for step in 0..steps {
        let mut indices: Vec<usize> = (0..batch).collect();
        indices.sort_by_key(|i| hash("partner", (step * batch + i) as u64));
        partner.extend(indices.iter().flat_map(|i| (*i as i64).to_le_bytes()));
    }
    Tensors::from([
        ("lambda".to_owned(), (vec![steps], lambda, Dtype::F64)),
        (
            "partner".to_owned(),
            (vec![steps, batch], partner, Dtype::I64),
        ),
    ])
}

/// A network's weights; the prefix of the names enters the formula only, and marks a teacher, whose
/// running statistics are not those of a fresh network.
pub fn weights(model: &Model, prefix: &str) -> Tensors {
    filled(model, prefix, |_, part, shape, u| match part {
        Part::Weight => (6.0 / fans(shape)).sqrt() * u,
        Part::Gamma => 1.0 + 0.1 * u,
        Part::Bias => 0.1 * u,
        Part::Mean if prefix.is_empty() => 0.0,
        Part::Mean => 0.1 * u,
        Part::Variance if prefix.is_empty() => 1.0,
        Part::Variance => 1.0 + 0.1 * u,
    })
}

/// A network's state dict, each element from its name, part, the tensor's shape and u.
pub fn filled(
    model: &Model,
    prefix: &str,
    value: impl Fn(&str, Part, &[usize], f64) -> f64,
) -> Tensors {
    let mut tensors = Tensors::new();
    each_tensor(&model.layers, &mut |name, part, shape| {
        let us = uniform(&format!("{prefix}{name}"), shape.iter().product());
        let bytes = f32_bytes(us.map(|u| value(name, part, shape, u)));
        tensors.insert(name.to_owned(), (shape.to_vec(), bytes, Dtype::F32));
    });
    tensors
}

/// Fan in plus fan out of a weight (out, in / groups, ...), each times the kernel's area.
fn fans(shape: &[usize]) -> f64 {
    let inputs = shape.get(1).unwrap_or(&0);
    ((shape[0] + inputs) * shape.iter().skip(2).product::<usize>()) as f64
}

/// What a tensor of a state dict is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of a convolution or linear layer.
    Weight,
    /// Of a convolution, linear layer or BN.
    Bias,
    /// Scale of a BN.
    Gamma,
    /// Running mean of a BN.
    Mean,
    /// Running variance of a BN.
    Variance,
}

/// Calls `each` with name, part and shape of every tensor of a network's state dict.
pub fn each_tensor(layers: &[Layer], each: &mut impl FnMut(&str, Part, &[usize])) {
    for layer in layers {
        match layer {
            Layer::Conv(conv) => {
                let [kh, kw] = conv.kernel.map(|side| side as usize);
                let inputs = (conv.input / conv.groups) as usize;
                let outputs = conv.output as usize;
                let shape = [outputs, inputs, kh, kw];
                each(&format!("{}.weight", conv.name), Part::Weight, &shape);
                if conv.bias {
                    each(&format!("{}.bias", conv.name), Part::Bias, &[outputs]);
                }
            }
            Layer::BatchNorm(bn) => {
                for (name, part) in [
                    ("weight", Part::Gamma),
                    ("bias", Part::Bias),
                    ("running_mean", Part::Mean),
                    ("running_var", Part::Variance),
                ] {
                    let shape = [bn.channels as usize];
                    each(&format!("{}.{name}", bn.name), part, &shape);
                }
            }
            Layer::Linear {
                name,
                input,
                output,
            } => {
                let shape = [*output as usize, *input as usize];
                each(&format!("{name}.weight"), Part::Weight, &shape);
                each(&format!("{name}.bias"), Part::Bias, &shape[..1]);
            }
            Layer::Residual { main, shortcut, .. } => {
                each_tensor(main, each);
                each_tensor(shortcut, each);
            }
            Layer::Branches { branches, .. } => {
                for branch in branches {
                    each_tensor(branch, each);
                }
            }
            Layer::Relu
            | Layer::MaxPool { .. }
            | Layer::AvgPool { .. }
            | Layer::GlobalAvgPool
            | Layer::Dropout { .. } => {}
        }
    }
}
