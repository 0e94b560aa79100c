//! Golden traces and the inputs they were made from: the formula of bench/peers/golden_inputs.py,
//! written out here once more.

use std::collections::BTreeMap;
use std::path::Path;

use rungs_spec::model::{Layer, Model, Shape};
use rungs_spec::protocol::{EventKind, InputRef, RunFile};
use rungs_spec::recipe::Variant;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use super::{Run, run_file};

/// Images and classes of every golden trace.
const IMAGES: usize = 64;
const CLASSES: u32 = 10;

/// tests/golden/CASE.json.
pub fn golden(case: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{case}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// Writes every file that the golden recipe names into `dir`; the run file that uses them.
pub fn prepare(golden: &Value, dir: &Path) -> RunFile {
    let path = |name: &str| dir.join(name).display().to_string();
    let mut recipe = golden["recipe"].clone();
    recipe["dataset"] = format!("tensors:{}", path("images.safetensors")).into();
    recipe["init"] = path("init.safetensors").into();
    let mixed = !recipe["mixup_lambdas"].is_null();
    if mixed {
        recipe["mixup_lambdas"] = path("mixup.safetensors").into();
    }
    let taught = !recipe["distill"].is_null();
    if taught {
        recipe["distill"]["teacher"]["weights"] = path("teacher.safetensors").into();
    }
    let mut file = run_file(recipe);
    let recipe = &file.recipe;
    write(
        &dir.join("images.safetensors"),
        &images(recipe.input_size as usize),
    );
    let student = Model::of_recipe(recipe, CLASSES).expect("a model");
    write(&dir.join("init.safetensors"), &weights(&student, ""));
    if mixed {
        let batch = recipe.batch_size as usize;
        let steps = recipe.epochs as usize * (IMAGES / batch);
        write(&dir.join("mixup.safetensors"), &mixup(steps, batch));
    }
    if taught {
        let teacher = &golden["teacher"];
        let model = teacher["model"].as_str().expect("a name").to_owned();
        let shape = Shape {
            depths: serde_json::from_value(teacher["depths"].clone()).expect("depths"),
            width: teacher["width"].as_f64().expect("a width"),
            dropout: 0.0,
            variant: Variant::Paper,
            classes: CLASSES,
        };
        let teacher = Model::build(&model, &shape).expect("a model");
        write(
            &dir.join("teacher.safetensors"),
            &weights(&teacher, "teacher."),
        );
        let input = InputRef {
            model,
            run_dir: None,
            checkpoint: None,
            file: Some(dir.join("teacher.safetensors")),
        };
        file.inputs.insert("distill.teacher".to_owned(), input);
    }
    file
}

/// A metric's values in a run's first attempt: of every step, or of every evaluation.
pub fn values(run: &Run, name: &str) -> Vec<f64> {
    if !name.starts_with("val/") {
        return run.series(1, name);
    }
    let evaluations = run
        .events(1)
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Evaluation { metrics, .. } => Some(metrics[name].0),
            _ => None,
        });
    evaluations.collect()
}

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

/// Writes a safetensors file.
pub fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (shape, bytes, dtype))| {
        (
            name.as_str(),
            TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"),
        )
    });
    std::fs::write(path, safetensors::serialize(views, None).expect("bytes")).expect("a file");
}

/// Little-endian f32, rounded once.
pub fn f32_bytes(values: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.size_hint().0);
    for value in values {
        bytes.extend_from_slice(&(value as f32).to_le_bytes());
    }
    bytes
}

fn images(side: usize) -> Tensors {
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

fn mixup(steps: usize, batch: usize) -> Tensors {
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

/// What published files hold besides: `num_batches_tracked` of every BN and, of Inception-V3, the
/// auxiliary head for so many classes.
pub fn add_what_is_passed_over(tensors: &mut Tensors, classes: usize) {
    let norms: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix("running_mean"))
        .map(|norm| format!("{norm}num_batches_tracked"))
        .collect();
    let inception = tensors.contains_key("Mixed_7c.branch1x1.conv.weight");
    for name in norms {
        let count = 1_234_i64.to_le_bytes().to_vec();
        tensors.insert(name, (Vec::new(), count, Dtype::I64));
    }
    if !inception {
        return;
    }
    let mut add = |name: String, shape: &[usize], dtype: Dtype| {
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        tensors.insert(name, (shape.to_vec(), bytes, dtype));
    };
    for (conv, shape) in [("conv0", [128, 768, 1, 1]), ("conv1", [768, 128, 5, 5])] {
        add(format!("AuxLogits.{conv}.conv.weight"), &shape, Dtype::F32);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            add(
                format!("AuxLogits.{conv}.bn.{part}"),
                &shape[..1],
                Dtype::F32,
            );
        }
        let count = format!("AuxLogits.{conv}.bn.num_batches_tracked");
        add(count, &[], Dtype::I64);
    }
    add(
        "AuxLogits.fc.weight".to_owned(),
        &[classes, 768],
        Dtype::F32,
    );
    add("AuxLogits.fc.bias".to_owned(), &[classes], Dtype::F32);
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
