//! `trainer forward` and `trainer eval`: any weights, without a run.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use rungs_data::{EvalSet, Layout, LoaderConfig, Split};
use rungs_spec::model;
use rungs_spec::recipe::{Augment, Variant};
use serde::Serialize;
use tch::{Device, Kind};

use super::print;
use crate::cli::{EvalArgs, ForwardArgs};
use crate::evaluate::{self, Subject};
use crate::network::{Boundary, Network, Norms, Pass};
use crate::norm::Replicas;
use crate::parameters::{Arithmetic, Parameters};
use crate::weights;

struct Loaded {
    network: Network,
    parameters: Parameters,
    replicas: Replicas,
    classes: u32,
}

fn load(name: &str, file: &Path, kind: Kind) -> anyhow::Result<Loaded> {
    let place = || file.display().to_string();
    let dict = weights::read(file)?;
    let model = weights::model_of(name, &dict).with_context(place)?;
    let network = Network::new(&model);
    let mut parameters = Parameters::new(&network, Arithmetic::Plain(kind), Device::Cpu);
    let replicas = Replicas::new(&network, 1, kind, Device::Cpu);
    weights::load(&dict, &network, &mut parameters, &replicas).with_context(place)?;
    Ok(Loaded {
        network,
        parameters,
        replicas,
        classes: model.classes,
    })
}

pub fn forward(args: &ForwardArgs) -> anyhow::Result<()> {
    let inputs = weights::read(&args.input)?;
    let x = inputs
        .get("x")
        .with_context(|| format!("{}: has no tensor `x`", args.input.display()))?;
    let size = x.size();
    anyhow::ensure!(
        matches!(size.as_slice(), [_, 3, _, _]) && x.numel() > 0,
        "{}: `x` has the shape {size:?}, expected (N, 3, H, W)",
        args.input.display()
    );
    let kind = if x.kind() == Kind::Double {
        Kind::Double
    } else {
        Kind::Float
    };
    let Loaded {
        network,
        parameters,
        replicas,
        ..
    } = load(&args.model, &args.weights, kind)?;
    let _guard = tch::no_grad_guard();
    let stats = replicas.mean(&network);
    let norms = if args.train_mode {
        Norms::Batch
    } else {
        Norms::Running(&stats)
    };
    let pass = Pass {
        parameters: parameters.leaves(),
        norms,
        boundary: Boundary::Exact,
        dropout: None,
    };
    let x = x
        .to_kind(kind)
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2]);
    let y = network.forward(&x, pass);
    let bytes = weights::serialize(&weights::StateDict::from([("y".to_owned(), y)]), None)?;
    std::fs::write(&args.output, bytes)
        .with_context(|| format!("{}: cannot be written", args.output.display()))
}

#[derive(Debug, Serialize)]
struct Evaluation {
    model: String,
    dataset: String,
    classes: u32,
    n: u64,
    #[serde(rename = "val/loss")]
    loss: f64,
    #[serde(rename = "val/top1")]
    top1: f64,
    #[serde(rename = "val/top5")]
    top5: f64,
}

pub fn eval(args: &EvalArgs) -> anyhow::Result<()> {
    let info = model::find(&args.model)?;
    let input_size = args.input_size.unwrap_or(info.input_size);
    let resize_short = args
        .resize_short
        .unwrap_or((f64::from(input_size) / 0.875).ceil() as u32);
    let val = rungs_data::open(&args.dataset, args.data_path.as_deref(), Split::Val)?;
    let Loaded {
        network,
        parameters,
        replicas,
        classes,
    } = load(&args.model, &args.weights, Kind::Float)?;
    anyhow::ensure!(
        classes as usize >= val.classes(),
        "{}: has {classes} classes, {} has {}",
        args.weights.display(),
        args.dataset,
        val.classes()
    );
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    tch::set_num_threads(threads as i32);
    let config = LoaderConfig {
        seed: 0,
        batch_size: evaluate::BATCH,
        input_size,
        augment: Augment {
            resize_short,
            ..evaluation_only()
        },
        variant: Variant::Paper,
        max_corrupt: 0,
        layout: Layout::ChannelsLast,
        output: rungs_data::Output::Floats,
        workers: threads,
    };
    let mut set = EvalSet::new(val, &config, evaluate::BATCH)?;
    let stats = replicas.mean(&network);
    let subject = Subject {
        network: &network,
        parameters: parameters.leaves(),
        stats: &stats,
        arithmetic: Arithmetic::Plain(Kind::Float),
        device: Device::Cpu,
    };
    let found = evaluate::evaluate(subject, &mut set, &AtomicBool::new(false))
        .map_err(|failure| anyhow::anyhow!(failure.message))?
        .context("stopped before the end")?;
    let evaluation = Evaluation {
        model: args.model.clone(),
        dataset: args.dataset.clone(),
        classes,
        n: found.n,
        loss: found.loss,
        top1: found.top1_percent(),
        top5: found.top5_percent(),
    };
    if args.json {
        return print::json(&evaluation);
    }
    print::line(format_args!(
        "{} images of {}",
        evaluation.n, evaluation.dataset
    ))?;
    print::line(format_args!(
        "top-1 {:.2} %, top-5 {:.2} %, loss {:.4}",
        evaluation.top1, evaluation.top5, evaluation.loss
    ))?;
    Ok(())
}

/// Evaluation resizes and crops; the training-time keys are not used.
fn evaluation_only() -> Augment {
    Augment {
        crop_area: [1.0, 1.0],
        crop_ratio: [1.0, 1.0],
        flip: 0.0,
        hue: 0.0,
        saturation: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        pca_std: 0.0,
        antialias: false,
        resize_short: 1,
    }
}
