//! Cells, runs and run keys of an experiment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Cell, Index, Options, Plan, PlannedRun, TIMING_EPOCHS, World, accepts};
use crate::error::{SpecError, nearest};
use crate::experiment::{Column, Experiment, Row};
use crate::protocol::{Arithmetic, NUMERICS_VERSION};
use crate::recipe::{Edge, Init, Precision, Recipe, SeedRef, Source, Task};
use crate::runkey::{RunKey, of_json};
use crate::settle::Settlement;
use crate::{dataset, metric, weights};

/// Plans an experiment: settles every cell, names every run, follows every edge.
pub fn build(
    experiment: Arc<Experiment>,
    options: &Options,
    world: &dyn World,
) -> Result<Plan, SpecError> {
    let profile = profile_in_force(&experiment, options.profile.as_deref())?;
    let seeds = seeds_of(&experiment, profile.as_deref(), options.seeds)?;
    let rows = chosen(
        options.rows.as_deref(),
        experiment.rows.iter().map(|r| r.id.as_str()),
        "--rows",
        "row",
    )?;
    let columns = chosen(
        options.columns.as_deref(),
        experiment.columns.iter().map(|c| c.id.as_str()),
        "--columns",
        "column",
    )?;
    let mut builder = Builder {
        world,
        runs: Vec::new(),
        at: HashMap::new(),
        settled: None,
        following: Vec::new(),
    };
    let timed = experiment.metrics.iter().any(|m| metric::is_timed(m));
    let mut cells = Vec::new();
    for row in experiment
        .rows
        .iter()
        .filter(|r| rows.contains(&r.id.as_str()))
    {
        for column in experiment
            .columns
            .iter()
            .filter(|c| !c.reference_only && columns.contains(&c.id.as_str()))
        {
            let (settled, profile) =
                builder.settle(&experiment, row, column, profile.as_deref(), &options.set)?;
            let profile = profile.as_deref();
            let mut runs = Vec::new();
            for seed in 1..=seeds {
                let run = builder.run(&settled.recipe, seed, profile);
                runs.push(run.map_err(|e| placed(e, &experiment, &settled))?);
            }
            let emulated =
                arithmetic(settled.recipe.precision, world.device()) == Arithmetic::CpuEmulatedHalf;
            let timing = (timed && !emulated)
                .then(|| builder.timing_run(&settled.recipe, profile))
                .transpose()
                .map_err(|e| placed(e, &experiment, &settled))?;
            cells.push(Cell {
                row: row.id.clone(),
                column: column.id.clone(),
                recipe: settled.recipe.clone(),
                emulated,
                runs,
                timing,
            });
        }
    }
    let runs = builder.runs;
    Ok(Plan {
        at: Index::of(&cells, &runs),
        experiment,
        profile,
        seeds,
        cells,
        runs,
    })
}

/// Gives a refusal of the world (an unknown dataset, a missing file) the place of the word that it
/// quotes: in the file, or in `--set`.
fn placed(error: SpecError, experiment: &Experiment, settled: &Settlement) -> SpecError {
    if error.file.is_some() {
        return error;
    }
    let quoted = settled.keys.iter().find(|k| {
        let word = k.value.trim_matches('"');
        k.from != "default" && word.len() > 2 && error.message.contains(word)
    });
    let Some(key) = quoted else {
        return error.in_file(&experiment.file);
    };
    if key.from == "--set" {
        return error.in_file("--set");
    }
    let word = key.value.trim_matches('"');
    let forms = [format!("\"{word}\""), format!("'{word}'")];
    match forms
        .iter()
        .find_map(|form| experiment.text.find(form.as_str()))
    {
        Some(offset) => error
            .at_offset(&experiment.text, offset)
            .in_file(&experiment.file),
        None => error.in_file(&experiment.file),
    }
}

/// The story of one cell's recipe: `plan --explain ROW/COLUMN`.
pub fn explain(
    experiment: &Experiment,
    options: &Options,
    row: &str,
    column: &str,
) -> Result<Arc<Settlement>, SpecError> {
    let profile = profile_in_force(experiment, options.profile.as_deref())?;
    let row = experiment.row(row).ok_or_else(|| {
        let known = nearest(row, experiment.rows.iter().map(|r| r.id.as_str()));
        SpecError::new(format!("{} has no row \"{row}\"; {known}", experiment.name))
    })?;
    let column = experiment.column(column).ok_or_else(|| {
        let known = nearest(column, experiment.columns.iter().map(|c| c.id.as_str()));
        SpecError::new(format!(
            "{} has no column \"{column}\"; {known}",
            experiment.name
        ))
    })?;
    experiment.settled_with(profile.as_deref(), row, column, &options.set)
}

/// The profile asked for, else the file's default, else none.
pub fn profile_in_force(
    experiment: &Experiment,
    asked: Option<&str>,
) -> Result<Option<String>, SpecError> {
    match asked {
        None => Ok(experiment.default_profile.clone()),
        // A figure has no profiles of its own: its series are refused where they lack this one.
        Some(name) if experiment.figure.is_some() => Ok(Some(name.to_owned())),
        Some(name) if experiment.profiles.contains_key(name) => Ok(Some(name.to_owned())),
        Some(name) => {
            let known = nearest(name, experiment.profiles.keys().map(String::as_str));
            Err(SpecError::new(format!(
                "{} has no profile \"{name}\"; {known}",
                experiment.name
            )))
        }
    }
}

fn seeds_of(
    experiment: &Experiment,
    profile: Option<&str>,
    asked: Option<u64>,
) -> Result<u64, SpecError> {
    let of_profile = profile
        .and_then(|p| experiment.profiles.get(p))
        .and_then(|p| p.seeds);
    match asked {
        Some(n) if (1..=10_000).contains(&n) => Ok(n),
        Some(n) => Err(SpecError::new(format!(
            "--seeds {n}: must be a whole number from 1 to 10000"
        ))),
        None => Ok(of_profile.unwrap_or(experiment.seeds)),
    }
}

fn chosen<'a>(
    asked: Option<&[String]>,
    known: impl Iterator<Item = &'a str>,
    flag: &str,
    what: &str,
) -> Result<Vec<&'a str>, SpecError> {
    let known: Vec<&str> = known.collect();
    let Some(asked) = asked else { return Ok(known) };
    for name in asked {
        if !known.contains(&name.as_str()) {
            return Err(SpecError::new(format!(
                "{flag}: no {what} \"{name}\"; {}",
                nearest(name, known.iter().copied())
            )));
        }
    }
    Ok(known
        .into_iter()
        .filter(|k| asked.iter().any(|a| a == k))
        .collect())
}

/// The arithmetic of a precision on a device. Half precision on a CPU is emulated.
pub(crate) fn arithmetic(precision: Precision, device: Arithmetic) -> Arithmetic {
    match (precision, device) {
        (
            Precision::Fp16 | Precision::Bf16 | Precision::Mixed,
            Arithmetic::Cpu | Arithmetic::CpuEmulatedHalf,
        ) => Arithmetic::CpuEmulatedHalf,
        (Precision::Fp32 | Precision::Fp64, Arithmetic::CpuEmulatedHalf) => Arithmetic::Cpu,
        (_, device) => device,
    }
}

/// What of a recipe enters a run key, whatever the seed.
#[derive(Clone)]
struct Identity {
    recipe: Value,
    dataset: String,
}

struct Builder<'w> {
    world: &'w dyn World,
    runs: Vec<PlannedRun>,
    /// Where a run stands in `runs`.
    at: HashMap<RunKey, usize>,
    /// What the seeds of a cell have in common: the recipe last checked, and what of it enters the key.
    settled: Option<(Recipe, Identity)>,
    /// Edges being followed, to find cycles between experiments.
    following: Vec<String>,
}

impl Builder<'_> {
    /// The recipe of a cell, and the profile that its edges carry along. A figure's series is a cell
    /// of another experiment, in the profile that is asked of the figure.
    fn settle(
        &self,
        experiment: &Experiment,
        row: &Row,
        column: &Column,
        profile: Option<&str>,
        set: &[String],
    ) -> Result<(Arc<Settlement>, Option<String>), SpecError> {
        let Some(series) = experiment.series(&row.id) else {
            let settled = experiment.settled_with(profile, row, column, set)?;
            return Ok((settled, profile.map(str::to_owned)));
        };
        let of = self.world.experiment(&series.experiment)?;
        let profile = profile_in_force(&of, profile)?;
        let options = Options {
            profile: profile.clone(),
            set: set.to_vec(),
            ..Options::default()
        };
        Ok((
            explain(&of, &options, &series.row, &series.column)?,
            profile,
        ))
    }

    /// Plans the timing run of a recipe: what is learned does not matter, so one seed stands for all.
    fn timing_run(&mut self, recipe: &Recipe, profile: Option<&str>) -> Result<RunKey, SpecError> {
        let mut recipe = recipe.clone();
        recipe.epochs = TIMING_EPOCHS;
        recipe.warmup_epochs = recipe.warmup_epochs.min(f64::from(TIMING_EPOCHS));
        self.plan(&recipe, 1, profile, true)
    }

    /// Plans a run and everything it depends on; equal runs are planned once.
    fn run(
        &mut self,
        recipe: &Recipe,
        seed: u64,
        profile: Option<&str>,
    ) -> Result<RunKey, SpecError> {
        self.plan(recipe, seed, profile, false)
    }

    fn plan(
        &mut self,
        recipe: &Recipe,
        seed: u64,
        profile: Option<&str>,
        timing: bool,
    ) -> Result<RunKey, SpecError> {
        let identity = self.identity(recipe)?;
        let mut depends_on = BTreeMap::new();
        if let Init::Source(Source::Edge(edge)) = &recipe.init {
            let source = self.edge(edge, seed, profile)?;
            if let Some(run) = self.runs.iter().find(|run| run.key == source) {
                accepts::as_backbone(&run.recipe, recipe)?;
            }
            depends_on.insert("init".to_owned(), source);
        }
        if let Some(distill) = &recipe.distill
            && let Source::Edge(edge) = &distill.teacher
        {
            let teacher = self.edge(edge, seed, profile)?;
            self.fits(recipe, edge, &teacher)?;
            depends_on.insert("distill.teacher".to_owned(), teacher);
        }
        let arithmetic = arithmetic(recipe.precision, self.world.device());
        let dataset_identity = identity.dataset;
        let mut identity = json!({
            "recipe": identity.recipe,
            "dataset": dataset_identity,
            "seed": seed,
            "arithmetic": arithmetic,
            "numerics": NUMERICS_VERSION,
            "depends_on": depends_on,
        });
        if timing {
            identity["timing"] = json!(true);
        }
        let key = of_json(&identity);
        if !self.at.contains_key(&key) {
            self.at.insert(key.clone(), self.runs.len());
            let recipe = recipe.clone();
            self.runs.push(PlannedRun {
                key: key.clone(),
                seed,
                timing,
                recipe,
                arithmetic,
                dataset_identity,
                depends_on,
            });
        }
        Ok(key)
    }

    /// Checks a recipe and says what of it enters the key; remembers the last, because a cell asks once for
    /// every seed.
    fn identity(&mut self, recipe: &Recipe) -> Result<Identity, SpecError> {
        if let Some((of, identity)) = &self.settled
            && of == recipe
        {
            return Ok(identity.clone());
        }
        accepts::dataset(recipe)?;
        self.files_fit(recipe)?;
        accepts::images(recipe)?;
        let identity = Identity {
            recipe: self.normalised(recipe)?,
            dataset: match recipe.tensors_file() {
                Some(file) => format!("blake3:{}", self.world.file_digest(file)?),
                None => self.world.dataset_identity(&recipe.dataset)?,
            },
        };
        self.settled = Some((recipe.clone(), identity.clone()));
        Ok(identity)
    }

    /// The run that an edge names. Edges carry the profile along, `--set` does not.
    fn edge(&mut self, edge: &Edge, seed: u64, profile: Option<&str>) -> Result<RunKey, SpecError> {
        let place = format!("{}: {}/{}", edge.experiment, edge.row, edge.column);
        if self.following.contains(&place) {
            let cycle = self.following.join(" -> ");
            return Err(SpecError::new(format!(
                "a cycle between runs: {cycle} -> {place}; a teacher cannot learn from its student"
            )));
        }
        let experiment = self.world.experiment(&edge.experiment)?;
        let profile = match profile {
            Some(p) => profile_in_force(&experiment, Some(p))?,
            None => None,
        };
        let options = Options {
            profile: profile.clone(),
            ..Options::default()
        };
        let settled = match profile {
            Some(_) => explain(&experiment, &options, &edge.row, &edge.column)?,
            None => {
                let row = experiment.row(&edge.row);
                let column = experiment.column(&edge.column);
                match (row, column) {
                    (Some(row), Some(column)) => experiment.settled(None, row, column)?,
                    _ => return Err(SpecError::new(format!("{place}: no such cell"))),
                }
            }
        };
        let seed = match edge.seed {
            SeedRef::Number(n) => n,
            SeedRef::Word(_) => seed,
        };
        self.following.push(place);
        let key = self.run(&settled.recipe, seed, profile.as_deref());
        self.following.pop();
        key
    }

    /// Files of weights hold what they are said to hold.
    fn files_fit(&self, recipe: &Recipe) -> Result<(), SpecError> {
        // A backbone's classifier is left behind.
        let classifies = recipe.task == Task::Classify;
        let classes = dataset::find(&recipe.dataset)
            .filter(|_| classifies)
            .map(|d| d.classes);
        let check = |key: &str, path: &str, model: &str| {
            let Some(shapes) = self.world.weights(path)? else {
                return Ok(());
            };
            let found = weights::classes(model, &shapes).map_err(|e| {
                SpecError::new(format!(
                    "{key} = \"{path}\": {e}; name the model that it belongs to"
                ))
            })?;
            match classes {
                Some(classes) if classes != found => Err(SpecError::new(format!(
                    "{key} = \"{path}\": it has {found} classes, {} has {classes}; choose weights of the same classes",
                    recipe.dataset
                ))),
                _ => Ok(()),
            }
        };
        match &recipe.init {
            Init::Name(name) if name == "xavier" || name == "msra" => {}
            Init::Name(file) => check("init", file, &recipe.model)?,
            Init::Source(Source::File(file)) => check("init", &file.weights, &file.model)?,
            Init::Source(Source::Edge(_)) => {}
        }
        if let Some(distill) = &recipe.distill
            && let Source::File(file) = &distill.teacher
        {
            check("distill.teacher", &file.weights, &file.model)?;
        }
        Ok(())
    }

    /// A teacher accepts the student's images and speaks about the student's classes. (Classes of
    /// datasets that the catalogue does not know are compared by the trainer.)
    fn fits(&self, student: &Recipe, edge: &Edge, teacher: &RunKey) -> Result<(), SpecError> {
        let Some(teacher) = self.at.get(teacher).and_then(|at| self.runs.get(*at)) else {
            return Ok(());
        };
        accepts::as_teacher(&teacher.recipe, student)?;
        let classes = |name: &str| dataset::find(name).map(|d| d.classes);
        let (ours, theirs) = (classes(&student.dataset), classes(&teacher.recipe.dataset));
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
        {
            return Err(SpecError::new(format!(
                "distill.teacher: {}: {}/{} is trained on {} with {theirs} classes, its student on {} with {ours}; \
                 choose a teacher of the same classes",
                edge.experiment, edge.row, edge.column, teacher.recipe.dataset, student.dataset
            )));
        }
        Ok(())
    }

    /// What enters the key: `lr` becomes the effective peak rate and `lr_scaling` goes; files enter
    /// by their content, edges by the key of the run they name; the dataset enters by its identity.
    fn normalised(&self, recipe: &Recipe) -> Result<Value, SpecError> {
        let mut value =
            serde_json::to_value(recipe).map_err(|e| SpecError::new(format!("recipe: {e}")))?;
        let Some(map) = value.as_object_mut() else {
            return Err(SpecError::new("recipe: not an object"));
        };
        map.insert("lr".into(), json!(recipe.peak_lr()));
        map.remove("lr_scaling");
        map.remove("dataset");
        let source = |source: &Source| -> Result<Value, SpecError> {
            Ok(match source {
                Source::Edge(edge) => json!({ "checkpoint": edge.checkpoint }),
                Source::File(file) => {
                    json!({ "blake3": self.world.file_digest(&file.weights)?, "model": file.model })
                }
            })
        };
        match &recipe.init {
            Init::Name(name) if name == "xavier" || name == "msra" => {}
            Init::Name(file) => {
                map.insert(
                    "init".into(),
                    json!({ "blake3": self.world.file_digest(file)? }),
                );
            }
            Init::Source(s) => {
                map.insert("init".into(), source(s)?);
            }
        }
        if let Some(distill) = &recipe.distill {
            map["distill"]["teacher"] = source(&distill.teacher)?;
        }
        if let Some(file) = &recipe.mixup_lambdas {
            map.insert(
                "mixup_lambdas".into(),
                json!({ "blake3": self.world.file_digest(file)? }),
            );
        }
        Ok(value)
    }
}
