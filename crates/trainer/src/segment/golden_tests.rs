//! Both heads say, and the network learns, what PyTorch's does (bench/peers/pytorch_fcn.py).

use std::path::Path;

use rungs_spec::model::{Model, Shape as Backbone};
use rungs_spec::recipe::{Decay, Variant};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::fcn::{Fcn, Logits, Shape};
use super::step::Learner;
use crate::dropout::Dropout;
use crate::network::{Boundary, Norms, Pass, Role};
use crate::norm::{Replicas, RunningStats};
use crate::optimiser::{Optimiser, Settings};
use crate::parameters::{Arithmetic, Parameters};
use crate::test_support::formula;
use crate::weights;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/fcn.json")).expect("JSON")
}

fn shape(classes: u32, dropout: f64) -> Shape {
    Shape {
        classes,
        stride: 8,
        dropout,
        aux: true,
    }
}

/// The tensor of that name by the formula: `value` of its u, rounded to f32.
fn tensor(name: &str, shape: &[i64], value: impl Fn(f64) -> f64) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> = formula::uniform(name, count)
        .map(|u| value(u) as f32)
        .collect();
    Tensor::from_slice(&values).view(shape)
}

/// Fills parameters and running statistics; `value` of a parameter's role, name, shape and u.
fn fill(
    fcn: &Fcn,
    kind: Kind,
    value: impl Fn(Role, &str, &[i64], f64) -> f64,
    spread: [f64; 2],
) -> (Parameters, Replicas) {
    let network = &fcn.network;
    let mut parameters = Parameters::new(network, Arithmetic::Plain(kind), Device::Cpu);
    let replicas = Replicas::new(network, 1, kind, Device::Cpu);
    let _guard = tch::no_grad_guard();
    for (i, spec) in network.parameters.iter().enumerate() {
        let of = |u| value(spec.role, &spec.name, &spec.shape, u);
        parameters
            .view(&parameters.master, i)
            .copy_(&tensor(&spec.name, &spec.shape, of));
    }
    for (n, norm) in network.norms.iter().enumerate() {
        let (mean, var) = replicas.each()[0].of(n);
        let name = |part: &str| format!("{}.{part}", norm.name);
        let shape = [norm.channels];
        let [by_mean, by_var] = spread;
        mean.shallow_clone()
            .copy_(&tensor(&name("running_mean"), &shape, |u| by_mean * u));
        var.shallow_clone()
            .copy_(&tensor(&name("running_var"), &shape, |u| 1.0 + by_var * u));
    }
    parameters.refresh();
    (parameters, replicas)
}

/// FNV-1a over the lines "NAME [shape]" of the whole state dict.
fn digest(fcn: &Fcn, parameters: &Parameters, stats: &RunningStats) -> (usize, String) {
    let dict = weights::state_dict(&fcn.network, parameters, stats);
    let lines = dict
        .iter()
        .map(|(name, tensor)| format!("{name} {:?}\n", tensor.size()));
    let hash = formula::fnv(lines.flat_map(String::into_bytes));
    (dict.len(), format!("{hash:016x}"))
}

fn check_logits(name: &str) {
    let facts = golden()["models"][name].clone();
    let model = Model::published(name, Variant::Paper).expect("a known model");
    let fcn = Fcn::new(&model, shape(21, 0.1)).expect("a network");
    let value = |role, name: &str, shape: &[i64], u: f64| match role {
        Role::Weight => (6.0 / shape[1..].iter().product::<i64>() as f64).sqrt() * u,
        Role::Bias | Role::Beta => 0.1 * u,
        Role::Gamma { ends_branch } => {
            assert_eq!(ends_branch, name.ends_with(".bn3.weight"), "{name}");
            (if ends_branch { 0.3 } else { 1.0 }) * (1.0 + 0.1 * u)
        }
    };
    let (parameters, replicas) = fill(&fcn, Kind::Float, value, [0.1, 0.2]);
    let stats = &replicas.each()[0];
    let (names, digest) = digest(&fcn, &parameters, stats);
    assert_eq!(Value::from(names), facts["names"]);
    assert_eq!(Value::from(digest), facts["digest"], "{}", facts["network"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fcn.safetensors");
    let expected = weights::read(&path).expect("golden logits");
    let x = tensor("x", &[1, 3, 65, 49], |u| 2.0 * u);
    let folded = fcn.network.fold(parameters.leaves(), stats);
    for (mode, norms) in [
        ("eval", Norms::Running(stats)),
        ("eval", Norms::Folded(&folded)),
        ("train", Norms::Batch),
    ] {
        let pass = Pass {
            parameters: parameters.leaves(),
            norms,
            boundary: Boundary::Exact,
            dropout: None,
        };
        let Logits { main, aux } = fcn.forward(&x, pass, true);
        for (head, got) in [("main", main), ("aux", aux.expect("an auxiliary head"))] {
            let expected = &expected[&format!("{name}.{mode}.{head}")];
            let largest = expected.abs().max().double_value(&[]);
            let error = (got - expected).abs().max().double_value(&[]);
            assert!(
                error <= 1e-4 * largest,
                "{name} {mode} {head}: off by {error:e} of {largest}"
            );
        }
    }
}

#[test]
fn golden_logits_of_torchvisions_network_on_a_b() {
    check_logits("resnet50b");
}

#[test]
fn golden_logits_on_a_d() {
    check_logits("resnet50d");
}

fn check_trace(case: &str) {
    let golden = golden();
    let (network, recipe) = (&golden["network"], &golden["traces"][case]);
    let number = |value: &Value| value.as_f64().expect("a number");
    let whole = |value: &Value| value.as_i64().expect("a whole number");
    let model = Model::build(
        network["model"].as_str().expect("a name"),
        &Backbone {
            depths: serde_json::from_value(network["depths"].clone()).expect("depths"),
            width: number(&network["width"]),
            dropout: 0.0,
            variant: Variant::Paper,
            classes: 1,
        },
    );
    let classes = whole(&network["classes"]) as u32;
    let fcn = Fcn::new(&model.expect("a model"), shape(classes, 0.0)).expect("a network");
    let value = |role, _: &str, shape: &[i64], u: f64| match role {
        Role::Weight => {
            let area: i64 = shape[2..].iter().product();
            (6.0 / ((shape[0] + shape[1]) * area) as f64).sqrt() * u
        }
        Role::Bias | Role::Beta => 0.1 * u,
        Role::Gamma { .. } => 1.0 + 0.1 * u,
    };
    let (mut parameters, replicas) = fill(&fcn, Kind::Double, value, [0.0, 0.0]);
    let (side, images, batch) = (
        whole(&network["side"]),
        whole(&golden["images"]),
        whole(&golden["batch"]),
    );
    let x = tensor("images", &[images, 3, side, side], |u| 2.0 * u).to_kind(Kind::Double);
    let masks: Vec<i64> = (0..(images * side * side) as u64)
        .map(|i| (formula::hash("masks", i) % u64::from(classes + 1)) as i64 - 1)
        .collect();
    let masks = Tensor::from_slice(&masks).view([images, side, side]);
    let settings = Settings {
        momentum: 0.9,
        nesterov: false,
        weight_decay: number(&recipe["weight_decay"]),
        decay: Decay::All,
        clip: None,
        skip_overflow: false,
    };
    let mut optimiser = Optimiser::new(&parameters, settings);
    optimiser.set_rates(&parameters, |spec| Fcn::rate(&spec.name, 10.0));
    let mut learner = Learner {
        fcn: &fcn,
        parameters: &mut parameters,
        stats: replicas.each(),
        optimiser: &mut optimiser,
        aux_weight: number(&recipe["aux_weight"]),
    };
    let losses = recipe["train/loss"].as_array().expect("losses");
    for (step, expected) in losses.iter().enumerate() {
        let at = step as i64 * batch % images;
        let lr = number(&recipe["lr"]) * (1.0 - step as f64 / losses.len() as f64).powf(0.9);
        let dropout = Dropout {
            seed: 1,
            step: step as u64,
            first_replica: 0,
            replicas: 1,
        };
        let part = |x: &Tensor| x.narrow(0, at, batch);
        let loss = learner.step(&part(&x), &part(&masks), dropout, lr);
        let (got, expected) = (loss.expect("a step").double_value(&[]), number(expected));
        let error = (got - expected).abs() / expected;
        assert!(
            error <= 1e-9,
            "{case} at {step}: {got}, PyTorch {expected} ({error:e})"
        );
    }
}

/// Loss, schedule's rates in two groups, decay, momentum and BN as PyTorch has them, to 1e-9 in FP64.
#[test]
fn golden_trace_of_the_nominal_recipe() {
    check_trace("nominal");
}

/// What the released code effectively does.
#[test]
fn golden_trace_of_the_effective_gradient() {
    check_trace("gluoncv");
}
