//! Hand-made plans and results, for the tests of this crate and of others (feature `fixtures`).
//!
//! Numbers are made from row, column, seed and epoch: stable, plausible, and of no meaning.

use std::collections::BTreeMap;
use std::sync::Arc;

use rungs_spec::experiment::Experiment;
use rungs_spec::plan::{self, Options, Plan, PlannedRun, World};
use rungs_spec::protocol::{Arithmetic, FailureClass};
use rungs_spec::result::{
    Evaluation, Failure, FinishedRun, Progress, RunResult, RunState, Standing,
};
use rungs_spec::{RunKey, SpecError, dataset};

/// An experiment file with the shape of Table 4: a root, a step that helps, one that hurts little.
pub const EXPERIMENT: &str = r#"
title = "Efficient-training heuristics on ResNet-50"
paper = { arxiv = "1812.01187", table = "4" }
metrics = ["val/top1", "val/top5"]
seeds = 1
default_profile = "quick"
[base]
model = "resnet50"
dataset = "imagenet"
[[column]]
id = "bs256"
label = "BS=256"
set = { batch_size = 256 }
[[column]]
id = "bs1024"
label = "BS=1024"
set = { batch_size = 1024 }
[[row]]
id = "linear-scaling"
label = "Linear scaling"
add = ["linear-scaling"]
paper.bs256 = { "val/top1" = 75.87, "val/top5" = 92.70 }
paper.bs1024 = { "val/top1" = 75.17, "val/top5" = 92.54 }
[[row]]
id = "warmup"
label = "+ LR warmup"
add = ["warmup"]
paper.bs256 = { "val/top1" = 76.03, "val/top5" = 92.81 }
paper.bs1024 = { "val/top1" = 75.93, "val/top5" = 92.84 }
[[row]]
id = "no-bias-decay"
label = "+ No bias decay"
add = ["no-bias-decay"]
paper.bs256 = { "val/top1" = 76.16, "val/top5" = 92.97 }
paper.bs1024 = { "val/top1" = 76.03, "val/top5" = { value = 92.86, unverified = true } }
[[row]]
id = "fp16"
label = "+ FP16"
add = ["fp16"]
paper.bs256 = { "val/top1" = 76.15, "val/top5" = 93.09 }
paper.bs1024 = { "val/top1" = 76.21, "val/top5" = 92.97 }
[profile.paper]
epochs = 120
[profile.quick]
dataset = "fashion-mnist"
train_subset = 12800
input_size = 28
depths = [1, 1, 1, 1]
width = 0.25
epochs = 4
replicas = 1
lr = 0.4
schedule = { kind = "step", milestones = [2, 3], gamma = 0.1 }
augment = { crop_area = [0.4, 1.0] }
[profile.quick.column.bs256]
batch_size = 64
[profile.quick.column.bs1024]
batch_size = 256
[profile.quick.refinement.warmup]
epochs = 1
"#;

/// Images that each evaluation speaks of.
pub const IMAGES: u64 = 1000;

/// A world of names: catalogue datasets, a CPU, files that differ when their paths do, no other experiments.
pub struct Bare;

impl World for Bare {
    fn device(&self) -> Arithmetic {
        Arithmetic::Cpu
    }
    fn dataset_identity(&self, name: &str) -> Result<String, SpecError> {
        let d = dataset::find(name).ok_or_else(|| SpecError::new(format!("no dataset {name}")))?;
        Ok(format!("{}@{}", d.name, d.version))
    }
    fn file_digest(&self, path: &str) -> Result<String, SpecError> {
        Ok(format!("digest of {path}"))
    }
    fn experiment(&self, name: &str) -> Result<Arc<Experiment>, SpecError> {
        Err(SpecError::new(format!("no experiment {name}")))
    }
}

/// The plan of [`EXPERIMENT`] under a profile.
pub fn plan(profile: &str, seeds: u64) -> Plan {
    plan_of(EXPERIMENT, Some(profile), seeds)
}

/// The plan of any experiment text that needs no files.
pub fn plan_of(text: &str, profile: Option<&str>, seeds: u64) -> Plan {
    let experiment = Experiment::parse("table4", "table4.toml", text).expect("the fixture parses");
    let profile = profile.map(str::to_owned);
    let options = Options {
        profile,
        seeds: Some(seeds),
        ..Options::default()
    };
    plan::build(Arc::new(experiment), &options, &Bare).expect("the fixture plans")
}

/// All runs of a plan, finished. Rows differ by a few tenths, seeds by less.
pub fn finished(plan: &Plan) -> BTreeMap<RunKey, RunResult> {
    let level = [0.0, 3.0, 2.6, 2.8];
    let mut results = BTreeMap::new();
    for cell in &plan.cells {
        let row = plan
            .experiment
            .rows
            .iter()
            .position(|r| r.id == cell.row)
            .expect("row");
        let column = plan
            .experiment
            .columns
            .iter()
            .position(|c| c.id == cell.column)
            .expect("column");
        for key in &cell.runs {
            let run = plan.run(key).expect("run");
            let top1 = 78.0 - 4.0 * column as f64 + level[row % level.len()] * (1 + column) as f64;
            results.insert(key.clone(), done(run, top1));
        }
    }
    results
}

/// A finished run whose last epoch has about `top1` percent; its best is the epoch before.
pub fn done(run: &PlannedRun, top1: f64) -> RunResult {
    let epochs = u64::from(run.recipe.epochs);
    let mut result = planned(run, RunState::Done);
    result.progress.step = result.progress.steps;
    result.progress.images_per_s = 2100.0;
    result.attempts = 1;
    let per_epoch = result.progress.steps_per_epoch;
    result.evaluations = (1..=epochs)
        .map(|e| evaluation(run, e, epochs, e * per_epoch, top1))
        .collect();
    result.finished = Some(FinishedRun {
        weights_blake3: run.key.as_str().to_owned(),
        best_epoch: epochs.saturating_sub(1).max(1),
        peak_bytes: 300 << 20,
        epoch_seconds: vec![7.75; epochs as usize],
    });
    result
}

/// A run in a state, nothing trained yet.
pub fn planned(run: &PlannedRun, state: RunState) -> RunResult {
    let images = run
        .recipe
        .train_subset
        .or(dataset::find(&run.recipe.dataset).map(|d| d.train))
        .unwrap_or(0);
    let steps_per_epoch = run.recipe.steps_per_epoch(images);
    RunResult {
        key: run.key.clone(),
        seed: run.seed,
        state,
        recipe: run.recipe.clone(),
        emulated: run.arithmetic == Arithmetic::CpuEmulatedHalf,
        attempts: 0,
        progress: Progress {
            step: 0,
            steps: steps_per_epoch * u64::from(run.recipe.epochs),
            steps_per_epoch,
            images_per_s: 0.0,
        },
        evaluations: Vec::new(),
        finished: None,
        failure: None,
        provenance: None,
    }
}

/// A run that was given up because its loss was not a number.
pub fn failed(run: &PlannedRun) -> RunResult {
    let mut result = planned(run, RunState::Failed);
    result.failure = Some(Failure {
        class: FailureClass::Permanent,
        message: "the training loss is NaN at step 212".to_owned(),
    });
    result
}

/// What a plan asks of these results.
pub fn standings(results: &BTreeMap<RunKey, RunResult>) -> BTreeMap<RunKey, Standing> {
    results
        .iter()
        .map(|(key, run)| (key.clone(), Standing::from(run)))
        .collect()
}

/// Every state once: the cells of a table while it is being trained.
pub fn under_way(plan: &Plan) -> BTreeMap<RunKey, RunResult> {
    let mut results = finished(plan);
    for (i, run) in plan.runs.iter().enumerate() {
        let other = match i {
            0 | 1 => continue,
            2 => {
                let mut running = planned(run, RunState::Running);
                running.progress.step = running.progress.steps * 43 / 100;
                running
            }
            3 => failed(run),
            4 => planned(run, RunState::Queued),
            5 => planned(run, RunState::Blocked),
            6 => planned(run, RunState::Cancelled),
            _ => {
                results.remove(&run.key);
                continue;
            }
        };
        results.insert(run.key.clone(), other);
    }
    results
}

fn evaluation(run: &PlannedRun, epoch: u64, epochs: u64, step: u64, top1: f64) -> Evaluation {
    let learned = 1.0 - 0.5 * (-6.0 * (epoch as f64) / (epochs as f64)).exp();
    let wobble = if epoch + 1 == epochs { 2.0 } else { 0.0 };
    let level = (top1 * learned / (1.0 - 0.5 * (-6.0f64).exp()) + wobble).min(99.0);
    let salt = run
        .key
        .as_str()
        .bytes()
        .fold(run.seed, |h, b| noise(h ^ u64::from(b)));
    let bits = |level: f64, salt: u64| -> Vec<u8> {
        let mut bits = vec![0u8; IMAGES.div_ceil(8) as usize];
        for i in 0..IMAGES {
            // An image is about as hard for every run; the rest is luck of this run's own.
            let hard = noise(i) % 1000;
            let own = noise(salt ^ i) % 40;
            if hard as f64 + own as f64 - 20.0 < level * 10.0 {
                bits[(i / 8) as usize] |= 1 << (i % 8);
            }
        }
        bits
    };
    let top1_bits = bits(level, salt);
    let top5_bits = bits((level + 100.0 * 3.0) / 4.0, salt);
    let percent = |bits: &[u8]| {
        bits.iter().map(|b| f64::from(b.count_ones())).sum::<f64>() * 100.0 / IMAGES as f64
    };
    Evaluation {
        attempt: 1,
        epoch,
        step,
        split: "val".to_owned(),
        n: IMAGES,
        metrics: BTreeMap::from([
            ("val/loss".to_owned(), 2.0 - level / 60.0),
            ("val/top1".to_owned(), percent(&top1_bits)),
            ("val/top5".to_owned(), percent(&top5_bits)),
        ]),
        top1_bits,
        top5_bits,
    }
}

/// splitmix64.
fn noise(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
