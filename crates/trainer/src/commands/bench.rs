//! `trainer bench step`: how fast one training step is, on random images, with no loader.

use std::collections::BTreeMap;
use std::time::Instant;

use rungs_spec::model::Model;
use rungs_spec::protocol::{Arithmetic, DatasetRef, NUMERICS_VERSION, PROTOCOL_VERSION, RunFile};
use rungs_spec::{RunKey, dataset, runkey};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::{print, recipe_file};
use crate::cli::BenchStepArgs;
use crate::failure::Failure;
use crate::init::{self, Distribution};
use crate::training::Training;
use crate::{determinism, environment, supported};

/// Steps before the clock starts: oneDNN compiles its kernels at their first use.
const WARM_UP: u64 = 3;

#[derive(Debug, Serialize)]
struct Benched {
    model: String,
    batch_size: u32,
    input_size: u32,
    precision: String,
    replicas: u32,
    threads: u32,
    steps: u32,
    images_per_s: f64,
    ms_per_step: f64,
    /// CPU time of the process: what a busy machine does not change.
    cpu_ms_per_step: f64,
    peak_bytes: u64,
    cpu: String,
}

pub fn step(args: &BenchStepArgs) -> anyhow::Result<()> {
    let recipe = match &args.recipe {
        Some(file) => recipe_file::read(file)?.0,
        None => {
            let table = toml::Table::from_iter([
                ("batch_size".to_owned(), toml::Value::Integer(32)),
                ("replicas".to_owned(), toml::Value::Integer(1)),
            ]);
            rungs_spec::settle::complete(&table)?
        }
    };
    let run = RunFile {
        v: PROTOCOL_VERSION,
        run: any_key(),
        seed: 1,
        numerics: NUMERICS_VERSION,
        arithmetic: Arithmetic::Cpu,
        compute_threads: args.threads,
        checkpoint_every_s: f64::INFINITY,
        dataset: DatasetRef {
            name: recipe.dataset.clone(),
            identity: String::new(),
            path: None,
        },
        inputs: BTreeMap::new(),
        recipe,
    };
    let wrong = |failure: Failure| anyhow::anyhow!(failure.message);
    determinism::set_up(args.threads);
    let classes = dataset::find(&run.recipe.dataset).map_or(1000, |dataset| dataset.classes);
    let settled = supported::settle(&run).map_err(wrong)?;
    let mut training = Training::new(
        &Model::of_recipe(&run.recipe, classes)?,
        settled,
        1,
        Device::Cpu,
    );
    init::draw(
        &mut training.parameters,
        &training.network.parameters,
        Distribution::Xavier,
        1,
    );
    training.parameters.refresh();

    let (n, side) = (
        i64::from(run.recipe.batch_size),
        i64::from(run.recipe.input_size),
    );
    let kind = training.arithmetic().activations();
    tch::no_grad(|| determinism::seed_step(1, 0));
    let images = Tensor::randn([n, side, side, 3], (Kind::Float, Device::Cpu))
        .to_kind(kind)
        .permute([0, 3, 1, 2]);
    let labels = Tensor::randint(i64::from(classes), [n], (Kind::Int64, Device::Cpu));
    let mut begun = (Instant::now(), cpu_seconds());
    for step in 0..WARM_UP + u64::from(args.steps) {
        if step == WARM_UP {
            begun = (Instant::now(), cpu_seconds());
        }
        let _ = training.step(&images, &labels, step, 1e-3).map_err(wrong)?;
    }
    let (seconds, cpu_seconds) = (begun.0.elapsed().as_secs_f64(), cpu_seconds() - begun.1);
    let benched = Benched {
        model: run.recipe.model.clone(),
        batch_size: run.recipe.batch_size,
        input_size: run.recipe.input_size,
        precision: format!("{:?}", run.recipe.precision).to_lowercase(),
        replicas: run.recipe.replicas,
        threads: args.threads,
        steps: args.steps,
        images_per_s: f64::from(run.recipe.batch_size) * f64::from(args.steps) / seconds,
        ms_per_step: 1000.0 * seconds / f64::from(args.steps),
        cpu_ms_per_step: 1000.0 * cpu_seconds / f64::from(args.steps),
        peak_bytes: environment::peak_bytes(),
        cpu: environment::cpu_model(),
    };
    if args.json {
        return print::json(&benched);
    }
    print::line(format_args!(
        "{} at {} px, batch {}, {}: {:.1} images/s, {:.2} ms a step ({:.2} ms CPU) on {} threads of {}",
        benched.model,
        benched.input_size,
        benched.batch_size,
        benched.precision,
        benched.images_per_s,
        benched.ms_per_step,
        benched.cpu_ms_per_step,
        benched.threads,
        benched.cpu
    ))?;
    Ok(())
}

/// A run file needs a key; nothing here depends on which.
fn any_key() -> RunKey {
    runkey::of_json(&serde_json::Value::Null)
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
