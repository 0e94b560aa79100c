//! `train/loss` of every step equals PyTorch's within 1e-9, relative, in FP64, through the very
//! program that trains everything else. Golden traces: tests/golden/, made by
//! bench/peers/pytorch_golden.py from the inputs of bench/peers/golden_inputs.py, whose formula is
//! written out here once more.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use rungs_spec::model::{Layer, Model};
use rungs_spec::protocol::EventKind;
use safetensors::tensor::{Dtype, TensorView};
use support::{Run, run_file};

const TOLERANCE: f64 = 1e-9;

fn hash(name: &str, i: u64) -> u64 {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |i| (hash(name, i) >> 40) as f64 * 2f64.powi(-23) - 1.0)
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>, Dtype)>;

fn put(tensors: &mut Tensors, name: &str, shape: &[usize], value: impl Fn(f64) -> f64) {
    let bytes = uniform(name, shape.iter().product())
        .flat_map(|u| (value(u) as f32).to_le_bytes())
        .collect();
    tensors.insert(name.to_owned(), (shape.to_vec(), bytes, Dtype::F32));
}

fn put_layers(tensors: &mut Tensors, layers: &[Layer]) {
    for layer in layers {
        match layer {
            Layer::Conv(conv) => {
                let [kh, kw] = conv.kernel.map(|side| side as usize);
                let shape = [conv.output as usize, conv.input as usize, kh, kw];
                let bound = (6.0 / ((shape[0] + shape[1]) * kh * kw) as f64).sqrt();
                put(tensors, &format!("{}.weight", conv.name), &shape, |u| {
                    bound * u
                });
            }
            Layer::BatchNorm(bn) => {
                let n = [bn.channels as usize];
                put(tensors, &format!("{}.weight", bn.name), &n, |u| {
                    1.0 + 0.1 * u
                });
                put(tensors, &format!("{}.bias", bn.name), &n, |u| 0.1 * u);
                put(tensors, &format!("{}.running_mean", bn.name), &n, |_| 0.0);
                put(tensors, &format!("{}.running_var", bn.name), &n, |_| 1.0);
            }
            Layer::Linear {
                name,
                input,
                output,
            } => {
                let shape = [*output as usize, *input as usize];
                let bound = (6.0 / (shape[0] + shape[1]) as f64).sqrt();
                put(tensors, &format!("{name}.weight"), &shape, |u| bound * u);
                put(tensors, &format!("{name}.bias"), &shape[..1], |u| 0.1 * u);
            }
            Layer::Residual { main, shortcut, .. } => {
                put_layers(tensors, main);
                put_layers(tensors, shortcut);
            }
            _ => {}
        }
    }
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (shape, bytes, dtype))| {
        (
            name.as_str(),
            TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"),
        )
    });
    std::fs::write(path, safetensors::serialize(views, None).expect("bytes")).expect("a file");
}

fn check(case: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{case}.json"));
    let text = std::fs::read_to_string(&golden).expect("a golden trace");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let dir = tempfile::tempdir().expect("a directory");
    let images = dir.path().join("images.safetensors");
    let init = dir.path().join("init.safetensors");
    let mut recipe = golden["recipe"].clone();
    recipe["dataset"] = format!("tensors:{}", images.display()).into();
    recipe["init"] = init.display().to_string().into();
    let file = run_file(recipe);

    let side = file.recipe.input_size as usize;
    let mut inputs = Tensors::new();
    put(&mut inputs, "images", &[64, 3, side, side], |u| 2.0 * u);
    let labels = (0..64)
        .flat_map(|i| ((hash("labels", i) % 10) as i64).to_le_bytes())
        .collect();
    inputs.insert("labels".to_owned(), (vec![64], labels, Dtype::I64));
    write(&images, &inputs);
    let mut weights = Tensors::new();
    put_layers(
        &mut weights,
        &Model::of_recipe(&file.recipe, 10).expect("a model").layers,
    );
    write(&init, &weights);

    let run = Run::create(dir.path(), case, &file);
    run.finish();
    let mut evaluations: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for event in run.events(1) {
        if let EventKind::Evaluation { metrics, .. } = event.kind {
            for name in ["val/loss", "val/top1"] {
                evaluations.entry(name).or_default().push(metrics[name].0);
            }
        }
    }
    for name in ["lr", "train/loss", "val/loss", "val/top1"] {
        let expected: Vec<f64> =
            serde_json::from_value(golden["trace"][name].clone()).expect("a trace");
        let got = evaluations
            .get(name)
            .cloned()
            .unwrap_or_else(|| run.series(1, name));
        assert_eq!(got.len(), expected.len(), "{case} {name}");
        assert!(
            !name.starts_with("train") || got.len() >= 12,
            "at least 12 steps"
        );
        for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let error = (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
            assert!(
                error <= TOLERANCE,
                "{case} {name} at {step}: {got}, PyTorch {expected} (relative {error:e})"
            );
        }
    }
}

#[test]
fn plain() {
    check("plain");
}

#[test]
fn warmup_and_linear_scaling() {
    check("warmup-linear-scaling");
}

#[test]
fn zero_gamma() {
    check("zero-gamma");
}

#[test]
fn no_bias_decay() {
    check("no-bias-decay");
}

#[test]
fn four_replicas() {
    check("replicas-4");
}

#[test]
fn all_stacked() {
    check("stacked");
}
