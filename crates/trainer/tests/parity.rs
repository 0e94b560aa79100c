//! `train/loss` of every step equals PyTorch's within 1e-9, relative, in FP64, through the very
//! program that trains everything else: 14 steps on shallow nets, 3 of MobileNet and Inception-V3.
//! Golden traces: tests/golden/, made by bench/peers/pytorch_golden.py.

mod support;

use support::Run;
use support::golden::{golden, prepare, values};

const TOLERANCE: f64 = 1e-9;

fn check(case: &str) {
    let golden = golden(case);
    let dir = tempfile::tempdir().expect("a directory");
    let file = prepare(&golden, dir.path());
    let run = Run::create(dir.path(), case, &file);
    run.finish();
    let steps = golden["trace"]["train/loss"].as_array().expect("losses");
    let shallow = file.recipe.depths.is_some();
    assert_eq!(steps.len(), if shallow { 14 } else { 3 }, "{case}");
    for name in ["lr", "train/loss", "val/loss", "val/top1"] {
        let expected: Vec<f64> =
            serde_json::from_value(golden["trace"][name].clone()).expect("a trace");
        let got = values(&run, name);
        assert_eq!(got.len(), expected.len(), "{case} {name}");
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
fn table_4_stacked() {
    check("stacked");
}

#[test]
fn resnet_b() {
    check("resnet-b");
}

#[test]
fn resnet_c() {
    check("resnet-c");
}

#[test]
fn resnet_d_at_odd_sides() {
    check("resnet-d");
}

#[test]
fn cosine() {
    check("cosine");
}

#[test]
fn label_smoothing() {
    check("label-smoothing");
}

#[test]
fn mobilenet() {
    check("mobilenet");
}

#[test]
fn inception_v3() {
    check("inception-v3");
}
#[test]
fn mixup() {
    check("mixup");
}

#[test]
fn mixup_of_smoothed_labels_over_two_replicas() {
    check("mixup-smoothed-replicas-2");
}

#[test]
fn distillation() {
    check("distillation");
}

#[test]
fn distillation_at_half_weights() {
    check("distillation-half-weights");
}

#[test]
fn table_6_stacked() {
    check("table6-stacked");
}
