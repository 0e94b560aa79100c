//! Emulated half precision rounds where a PyTorch script rounds: golden traces of FP16 within FP64
//! (bench/peers/pytorch_golden.py), in which the order of sums decides no rounding. In FP32, as it trains, sums
//! differ in their last bits, so some values fall on the other side of a rounding, and those differences grow.

use std::path::Path;

use rungs_spec::Recipe;
use rungs_spec::protocol::{Arithmetic as Planned, DatasetRef, RunFile};
use rungs_spec::schedule::LrSchedule;
use tch::Kind;

use super::*;
use crate::test_support::formula;
use crate::{init, supported, weights};

fn run_of(recipe: &serde_json::Value) -> RunFile {
    let key = rungs_spec::runkey::of_json(recipe);
    let recipe: Recipe = serde_json::from_value(recipe.clone()).expect("a recipe");
    RunFile {
        v: rungs_spec::protocol::PROTOCOL_VERSION,
        run: key,
        seed: 1,
        numerics: rungs_spec::protocol::NUMERICS_VERSION,
        arithmetic: Planned::CpuEmulatedHalf,
        compute_threads: 1,
        devices: Vec::new(),
        timing: false,
        checkpoint_every_s: 30.0,
        dataset: DatasetRef {
            name: recipe.dataset.clone(),
            identity: String::new(),
            path: None,
            layout: None,
            known: None,
        },
        inputs: Default::default(),
        recipe,
    }
}

fn check(case: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{case}.json"));
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).expect("a golden file")).expect("JSON");
    let run = run_of(&golden["recipe"]);
    let mut settled = supported::settle(&run).expect("supported");
    let Arithmetic::EmulatedHalf { half, within } = &mut settled.arithmetic else {
        panic!("FP16 is emulated on a CPU")
    };
    assert_eq!((*half, *within), (Kind::Half, Kind::Float));
    *within = Kind::Double;

    let model = Model::of_recipe(&run.recipe, formula::CLASSES).expect("a model");
    let dict = formula::bytes(&formula::weights(&model, ""));
    let dict = weights::parse(&dict).expect("weights");
    let zero_gamma = settled.zero_gamma;
    let mut training = Training::new(&model, settled, None, None, 1);
    let Training {
        network,
        parameters,
        replicas,
        ..
    } = &mut training;
    weights::load(&dict, network, parameters, replicas).expect("weights of this model");
    if zero_gamma {
        init::zero_gamma(parameters, &network.parameters);
        parameters.refresh();
    }

    let data = formula::bytes(&formula::images(run.recipe.input_size as usize));
    let data = weights::parse(&data).expect("images");
    let images = data["images"].to_kind(Kind::Double);
    let images = images
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2]);
    let batch = i64::from(run.recipe.batch_size);
    let steps_per_epoch = formula::IMAGES as u64 / batch as u64;
    let schedule = LrSchedule::new(&run.recipe, steps_per_epoch);
    let losses = golden["trace"]["train/loss"].as_array().expect("losses");
    assert_eq!(losses.len() as u64, schedule.steps());
    for (step, expected) in losses.iter().enumerate() {
        let step = step as u64;
        let at = (step % steps_per_epoch) as i64 * batch;
        let part = |name: &str| match name {
            "images" => images.narrow(0, at, batch),
            _ => data[name].narrow(0, at, batch),
        };
        let loss = training.step(&part("images"), &part("labels"), step, schedule.lr(step));
        let got = loss.expect("a step").double_value(&[]);
        let expected = expected.as_f64().expect("a number");
        let error = (got - expected).abs() / expected;
        assert!(
            error <= 1e-9,
            "{case} at {step}: {got}, PyTorch {expected} (relative {error:e})"
        );
    }
    assert_eq!(training.optimiser.skipped.int64_value(&[]), 0);
}

#[test]
fn golden_fp16() {
    check("fp16");
}

#[test]
fn golden_fp16_stacked() {
    check("fp16-stacked");
}
