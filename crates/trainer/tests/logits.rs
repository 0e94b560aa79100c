//! `trainer forward` says what torchvision's and timm's own networks say: the same logits within
//! 1e-4 of the largest, for the same weights, with running and with batch statistics; and the files
//! those networks write are read as they are. Golden values: tests/golden/logits.*, made by
//! bench/peers/pytorch_logits.py.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use rungs_spec::model::Model;
use rungs_spec::recipe::Variant;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;
use support::Run;
use support::golden::{
    Part, Tensors, add_what_is_passed_over, f32_bytes, filled, fnv, golden, prepare, uniform,
    values, weights, write,
};

const TOLERANCE: f64 = 1e-4;

fn trainer(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(args)
        .output()
        .expect("the trainer starts");
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The weights of pytorch_logits.py: with running statistics that show, and activations that keep
/// their size through a hundred layers.
fn public_weights(model: &Model) -> Tensors {
    let mut tensors = filled(model, "", |name, part, shape, u| match part {
        Part::Weight => (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt() * u,
        Part::Bias | Part::Mean => 0.1 * u,
        Part::Variance => 1.0 + 0.2 * u,
        Part::Gamma => {
            let ends_branch = name.starts_with("layer") && name.ends_with(".bn3.weight");
            (if ends_branch { 0.3 } else { 1.0 }) * (1.0 + 0.1 * u)
        }
    });
    add_what_is_passed_over(&mut tensors, 1000);
    tensors
}

/// FNV-1a over the lines "NAME [shape]".
fn digest(tensors: &Tensors) -> String {
    let lines = tensors
        .iter()
        .map(|(name, (shape, ..))| format!("{name} {shape:?}\n"));
    let hash = fnv(lines.flat_map(String::into_bytes));
    format!("{hash:016x}")
}

fn logits(bytes: &[u8], name: &str) -> Vec<f64> {
    let file = SafeTensors::deserialize(bytes).expect("safetensors");
    let tensor = file.tensor(name).expect("logits");
    assert_eq!(tensor.shape(), [2, 1000], "{name}");
    let floats = tensor.data().chunks_exact(4);
    floats
        .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        .collect()
}

fn check(name: &str) {
    let model = Model::published(name, Variant::Paper).expect("a known model");
    let facts: Value = golden("logits")["models"][name].clone();
    let tensors = public_weights(&model);
    assert_eq!(
        tensors.len() as u64,
        facts["names"].as_u64().expect("names")
    );
    assert_eq!(
        digest(&tensors),
        facts["digest"].as_str().expect("a digest"),
        "names and shapes of {name} are those of {}",
        facts["network"]
    );
    let dir = tempfile::tempdir().expect("a directory");
    let [w, x, y] = ["w", "x", "y"].map(|part| dir.path().join(format!("{part}.safetensors")));
    write(&w, &tensors);
    drop(tensors);
    let side = facts["side"].as_u64().expect("a side") as usize;
    let shape = vec![2, 3, side, side];
    let images = f32_bytes(uniform("x", shape.iter().product()).map(|u| 2.0 * u));
    write(
        &x,
        &Tensors::from([("x".to_owned(), (shape, images, Dtype::F32))]),
    );
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits.safetensors");
    let golden = std::fs::read(golden).expect("golden logits");
    for (mode, flag) in [("eval", None), ("train", Some("--train-mode"))] {
        let mut args = vec!["forward", "--model", name, "--weights", text(&w)];
        args.extend(["--input", text(&x), "--output", text(&y)]);
        args.extend(flag);
        trainer(&args);
        let got = logits(&std::fs::read(&y).expect("y"), "y");
        let expected = logits(&golden, &format!("{name}.{mode}"));
        let largest = expected.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
        let error = got
            .iter()
            .zip(&expected)
            .fold(0.0_f64, |max, (got, expected)| {
                max.max((got - expected).abs())
            });
        assert!(
            error <= TOLERANCE * largest,
            "{name} in {mode} mode: off by {error:e} where the largest logit is {largest}"
        );
    }
}

#[test]
fn resnet50_v1() {
    check("resnet50");
}

#[test]
fn resnet50_b() {
    check("resnet50b");
}

#[test]
fn resnet50_c() {
    check("resnet50c");
}

#[test]
fn resnet50_d_at_an_odd_side() {
    check("resnet50d");
}

#[test]
fn resnet152_d() {
    check("resnet152d");
}

#[test]
fn inception_v3() {
    check("inception-v3");
}

#[test]
fn mobilenet() {
    check("mobilenet");
}

/// `init =` and `trainer eval` read a public file as it is: counters of batches and the auxiliary
/// head are passed over, and what is trained from it is what is trained without them.
#[test]
fn what_public_files_hold_besides_is_passed_over_by_init_and_eval() {
    let golden = golden("inception-v3");
    let dir = tempfile::tempdir().expect("a directory");
    let file = prepare(&golden, dir.path());
    let init = dir.path().join("init.safetensors");
    let model = Model::of_recipe(&file.recipe, 10).expect("a model");
    let mut tensors = weights(&model, "");
    let own = tensors.len();
    add_what_is_passed_over(&mut tensors, 10);
    assert!(tensors.contains_key("AuxLogits.fc.bias") && tensors.len() > own + 94);
    write(&init, &tensors);
    let run = Run::create(dir.path(), "run", &file);
    run.finish();
    let got = values(&run, "train/loss")[0];
    let expected = golden["trace"]["train/loss"][0].as_f64().expect("a loss");
    assert!(
        (got - expected).abs() <= 1e-9 * expected,
        "{got} {expected}"
    );

    let images = format!(
        "tensors:{}",
        dir.path().join("images.safetensors").display()
    );
    let side = file.recipe.input_size.to_string();
    let args = [
        "eval",
        "--model",
        "inception-v3",
        "--weights",
        text(&init),
        "--dataset",
        &images,
    ];
    let output = trainer(&[args.as_slice(), &["--input-size", &side, "--json"]].concat());
    let evaluated: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(evaluated["n"], 64);
    assert_eq!(evaluated["classes"], 10);
    assert!(evaluated["val/loss"].as_f64().is_some_and(f64::is_finite));
}
