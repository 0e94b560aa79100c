//! recipe.json: everything a trainer needs to know of a run, made from its plan and this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rungs_spec::home::Home;
use rungs_spec::plan::{Plan, PlannedRun};
use rungs_spec::protocol::{
    DatasetRef, InputRef, NUMERICS_VERSION, PROTOCOL_VERSION, RunFile, TrainerInfo,
};
use rungs_spec::recipe::{Init, Source};
use rungs_store::dataset::{Found, Registered};

use crate::{files, slots};

/// Seconds between checkpoints; there is one at every epoch too.
const CHECKPOINT_EVERY_S: f64 = 30.0;

/// The data of every dataset of a plan; an error names what is missing and the cure. Asked before
/// anything is queued.
pub fn datasets<'a>(
    home: &Home,
    runs: impl Iterator<Item = &'a PlannedRun>,
) -> anyhow::Result<BTreeMap<String, Found>> {
    let mut datasets = BTreeMap::new();
    for run in runs {
        let name = &run.recipe.dataset;
        if !datasets.contains_key(name) {
            let mut found = rungs_store::dataset::find(home, name)?;
            found.path = found.path.as_deref().map(absolute).transpose()?;
            datasets.insert(name.clone(), found);
        }
    }
    Ok(datasets)
}

/// A run's recipe.json. `datasets` is of [`datasets()`].
///
/// The threads of a recipe.json that is already there are kept: every attempt of a run computes
/// with the same number.
pub fn build(
    home: &Home,
    info: &TrainerInfo,
    plan: &Plan,
    run: &PlannedRun,
    datasets: &BTreeMap<String, Found>,
) -> anyhow::Result<RunFile> {
    let compute_threads = match existing(home, run)? {
        Some(file) => file.compute_threads,
        None => slots::compute_threads(info, &run.recipe, run.arithmetic),
    };
    let found = datasets
        .get(&run.recipe.dataset)
        .with_context(|| format!("nobody looked for the dataset {}", run.recipe.dataset))?;
    Ok(RunFile {
        v: PROTOCOL_VERSION,
        run: run.key.clone(),
        seed: run.seed,
        numerics: NUMERICS_VERSION,
        arithmetic: run.arithmetic,
        compute_threads,
        devices: Vec::new(),
        timing: run.timing,
        checkpoint_every_s: CHECKPOINT_EVERY_S,
        dataset: DatasetRef {
            name: run.recipe.dataset.clone(),
            identity: run.dataset_identity.clone(),
            path: found.path.clone(),
            layout: found.registered.as_ref().and_then(|r| r.layout.clone()),
            known: found.registered.as_ref().and_then(Registered::known),
        },
        inputs: inputs(home, plan, run)?,
        recipe: run.recipe.clone(),
    })
}

/// Writes a run's recipe.json, unless it says the same already.
pub fn write(home: &Home, file: &RunFile) -> anyhow::Result<()> {
    let path = home.run(&file.run).recipe();
    let text = serde_json::to_string_pretty(file)? + "\n";
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    files::write_atomically(&path, text.as_bytes())
}

fn existing(home: &Home, run: &PlannedRun) -> anyhow::Result<Option<RunFile>> {
    let path = home.run(&run.key).recipe();
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read(&path)?;
    let file = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is damaged; remove it and its directory to train that run anew",
            path.display()
        )
    })?;
    Ok(Some(file))
}

/// Weights from elsewhere, by the recipe key that names them.
fn inputs(
    home: &Home,
    plan: &Plan,
    run: &PlannedRun,
) -> anyhow::Result<BTreeMap<String, InputRef>> {
    let mut inputs = BTreeMap::new();
    match &run.recipe.init {
        Init::Source(source) => {
            inputs.insert("init".to_owned(), input(home, plan, run, "init", source)?);
        }
        Init::Name(name) if name == "xavier" || name == "msra" => {}
        Init::Name(file) => {
            let input = InputRef {
                model: run.recipe.model.clone(),
                run_dir: None,
                checkpoint: None,
                file: Some(absolute(Path::new(file))?),
            };
            inputs.insert("init".to_owned(), input);
        }
    }
    if let Some(lambdas) = &run.recipe.mixup_lambdas {
        let input = InputRef {
            model: run.recipe.model.clone(),
            run_dir: None,
            checkpoint: None,
            file: Some(absolute(Path::new(lambdas))?),
        };
        inputs.insert("mixup_lambdas".to_owned(), input);
    }
    if let Some(distill) = &run.recipe.distill {
        let key = "distill.teacher";
        inputs.insert(
            key.to_owned(),
            input(home, plan, run, key, &distill.teacher)?,
        );
    }
    Ok(inputs)
}

fn input(
    home: &Home,
    plan: &Plan,
    run: &PlannedRun,
    key: &str,
    source: &Source,
) -> anyhow::Result<InputRef> {
    match source {
        Source::Edge(edge) => {
            let Some(of) = run.depends_on.get(key).and_then(|of| plan.run(of)) else {
                bail!(
                    "the plan of run {} does not say which run its {key} is",
                    run.key.short()
                );
            };
            let runs = std::path::absolute(home.runs()).context("the current directory is gone")?;
            Ok(InputRef {
                model: of.recipe.model.clone(),
                run_dir: Some(runs.join(of.key.as_str())),
                checkpoint: Some(edge.checkpoint),
                file: None,
            })
        }
        Source::File(file) => Ok(InputRef {
            model: file.model.clone(),
            run_dir: None,
            checkpoint: None,
            file: Some(absolute(Path::new(&file.weights))?),
        }),
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}
