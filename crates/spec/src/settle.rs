//! Settlement: which value of a recipe key wins, and why. Order, later wins: defaults < `[base]` <
//! `[profile.P]` < `column.set` < `[profile.P.column.ID]` < the refinements along the row's path <
//! `row.set` < `[profile.P.row.ID]` < `--set`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::error::SpecError;
use crate::experiment::{Added, Column, Experiment, Profile, Row};
use crate::keys::{self, KEYS, TABLES};
use crate::model::ModelInfo;
use crate::recipe::Recipe;
use crate::refinement::{self, Parameters, Refinement};
use crate::{model, recipe, transfer};

/// One settled key: its value and what set it, most recent last.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Settled {
    /// Dotted key.
    pub key: String,
    /// Value in force, on one line; `none` where absent.
    pub value: String,
    /// What set it: `default`, `[base]`, `refinement warmup (row warmup)`, ...
    pub from: String,
    /// Refinement that set it, if one did.
    pub refinement: Option<String>,
    /// What it overrode, oldest first: (value, from).
    pub overrode: Vec<(String, String)>,
}

/// A recipe with the story of each of its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The recipe.
    pub recipe: Recipe,
    /// Every key, in the order of [`KEYS`].
    pub keys: Vec<Settled>,
}

#[derive(Debug, Clone)]
struct Layer {
    value: Option<Value>,
    from: String,
    refinement: Option<String>,
}

/// Keys set so far, each with every layer that set it.
#[derive(Debug, Clone, Default)]
struct Draft(BTreeMap<&'static str, Vec<Layer>>);

impl Draft {
    fn set(
        &mut self,
        path: &str,
        value: &Value,
        from: &str,
        refinement: Option<&str>,
    ) -> Result<(), String> {
        let key = keys::find(path).ok_or_else(|| keys::unknown(path))?;
        let value = key.check(value)?;
        let layer = Layer {
            value,
            from: from.to_owned(),
            refinement: refinement.map(str::to_owned),
        };
        self.0.entry(key.path).or_default().push(layer);
        Ok(())
    }

    fn table(&mut self, table: &Table, from: &str) -> Result<(), String> {
        for (path, value) in flatten(table) {
            self.set(&path, &value, from, None)?;
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Option<&Value> {
        self.0
            .get(path)
            .and_then(|layers| layers.last())
            .and_then(|l| l.value.as_ref())
    }

    fn str(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }

    fn task(&self) -> recipe::Task {
        match self.str("task") {
            Some("detect") => recipe::Task::Detect,
            Some("segment") => recipe::Task::Segment,
            _ => recipe::Task::Classify,
        }
    }

    fn is_set(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

/// Dotted keys of a table of recipe keys; only [`TABLES`] are opened, all else is replaced whole.
pub fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) if TABLES.contains(&name.as_str()) => {
                out.extend(
                    inner
                        .iter()
                        .map(|(k, v)| (format!("{name}.{k}"), v.clone())),
                );
            }
            _ => out.push((name.clone(), value.clone())),
        }
    }
    out
}

/// Settles one cell.
pub fn cell(
    experiment: &Experiment,
    profile: Option<&str>,
    row: &Row,
    column: &Column,
    set: &[String],
) -> Result<Settlement, SpecError> {
    let place = |e: String| {
        SpecError::new(format!("row \"{}\", column \"{}\": {e}", row.id, column.id))
            .in_file(&experiment.file)
    };
    let none = Profile::default();
    let (p, p_name) = match profile {
        Some(name) => (experiment.profiles.get(name).unwrap_or(&none), name),
        None => (&none, ""),
    };
    let path = experiment.path(&row.id);
    let mut draft = Draft::default();
    draft.table(&experiment.base, "[base]").map_err(place)?;
    draft
        .table(&p.set, &format!("[profile.{p_name}]"))
        .map_err(place)?;
    draft
        .table(&column.set, &format!("column {}", column.id))
        .map_err(place)?;
    if let Some(table) = p.columns.get(&column.id) {
        draft
            .table(table, &format!("[profile.{p_name}.column.{}]", column.id))
            .map_err(place)?;
    }
    let mut skipped: Vec<&str> = Vec::new();
    let mut stack: Vec<&'static Refinement> = Vec::new();
    // What stands under all rows of a column is left out by any row of the path.
    let left_out = |id: &str| {
        let skips = path.iter().filter_map(|step| step.skip.get(&column.id));
        skips.flatten().any(|skip| skip == id)
    };
    for added in column.add.iter().filter(|a| !left_out(&a.id)) {
        apply(
            &mut draft,
            added,
            p,
            &mut stack,
            &format!("column {}", column.id),
        )
        .map_err(place)?;
    }
    for step in &path {
        skipped.extend(
            step.skip
                .get(&column.id)
                .into_iter()
                .flatten()
                .map(String::as_str),
        );
        for added in step
            .add
            .iter()
            .filter(|a| !skipped.contains(&a.id.as_str()))
        {
            apply(
                &mut draft,
                added,
                p,
                &mut stack,
                &format!("row {}", step.id),
            )
            .map_err(place)?;
        }
    }
    for step in &path {
        draft
            .table(&step.set, &format!("row {}", step.id))
            .map_err(place)?;
    }
    for step in &path {
        if let Some(table) = p.rows.get(&step.id) {
            draft
                .table(table, &format!("[profile.{p_name}.row.{}]", step.id))
                .map_err(place)?;
        }
    }
    for text in set {
        let (path, value) = parse_set(text)?;
        // A sub-table merges key by key, as in a file.
        let settings = match &value {
            Value::Table(_) => flatten(&Table::from_iter([(path, value.clone())])),
            _ => vec![(path, value)],
        };
        for (path, value) in settings {
            draft
                .set(&path, &value, "--set", None)
                .map_err(|e| SpecError::new(e).in_file("--set"))?;
        }
    }
    applicable(&draft, &stack).map_err(place)?;
    finish(draft).map_err(place)
}

/// Refinements are checked against the model that is trained in the end, wherever it was set.
fn applicable(draft: &Draft, stack: &[&'static Refinement]) -> Result<(), String> {
    let model = model::find(draft.str("model").unwrap_or("resnet50")).map_err(|e| e.message)?;
    let last = draft.0.get("model").and_then(|layers| layers.last());
    for refinement in stack {
        if !refinement.sets_model() {
            refuse_inapplicable(refinement, model)?;
        } else if let Some(layer) = last.filter(|layer| layer.refinement.is_none()) {
            return Err(format!(
                "refinement \"{}\" sets the model, and {} sets it again to {}; name the model in [base] or in the column instead",
                refinement.id, layer.from, model.name
            ));
        }
    }
    Ok(())
}

fn refuse_inapplicable(refinement: &Refinement, model: &ModelInfo) -> Result<(), String> {
    match (refinement.inapplicable)(model) {
        None => Ok(()),
        Some(reason) => Err(format!(
            "refinement \"{0}\" does not apply to {1}: {reason}. Leave it out there with row.skip = {{ COLUMN = [\"{0}\"] }}",
            refinement.id, model.name
        )),
    }
}

fn apply(
    draft: &mut Draft,
    added: &Added,
    profile: &Profile,
    stack: &mut Vec<&'static Refinement>,
    place: &str,
) -> Result<(), String> {
    let refinement = refinement::find(&added.id).ok_or_else(|| {
        format!(
            "unknown refinement \"{}\"; {}",
            added.id,
            known_refinements(&added.id)
        )
    })?;
    let name = draft.str("model").unwrap_or("resnet50");
    let model = model::find(name).map_err(|e| e.message)?;
    // Its keys depend on the model below it.
    if refinement.sets_model() {
        refuse_inapplicable(refinement, model)?;
    }
    if let Some(other) = stack.iter().find(|s| refinement.excludes.contains(&s.id)) {
        return Err(format!(
            "refinement \"{}\" cannot stand on \"{}\"",
            added.id, other.id
        ));
    }
    let mut values = refinement.defaults();
    values.extend(added.parameters.clone());
    values.extend(
        profile
            .refinements
            .get(&added.id)
            .cloned()
            .unwrap_or_default(),
    );
    if let Some(missing) = refinement.missing(&values) {
        return Err(missing);
    }
    let from = format!("refinement {} ({place})", added.id);
    for (path, value) in (refinement.sets)(&Parameters {
        values: &values,
        model,
    }) {
        draft.set(path, &value, &from, Some(refinement.id))?;
    }
    stack.push(refinement);
    Ok(())
}

pub(crate) fn known_refinements(given: &str) -> String {
    crate::error::nearest(given, refinement::REFINEMENTS.iter().map(|r| r.id))
}

/// `key=value`: the value as TOML, or as a plain word.
pub fn parse_set(text: &str) -> Result<(String, Value), SpecError> {
    let (path, value) = text.split_once('=').ok_or_else(|| {
        SpecError::new(format!(
            "\"{text}\" has no \"=\"; write --set key=value, for example --set epochs=2"
        ))
        .in_file("--set")
    })?;
    let (path, value) = (path.trim().to_owned(), value.trim());
    let parsed: Result<Table, _> = format!("x = {value}").parse();
    let value = match parsed {
        Ok(mut table) => table
            .remove("x")
            .unwrap_or_else(|| Value::String(value.to_owned())),
        Err(_) => Value::String(value.to_owned()),
    };
    let opened = TABLES.contains(&path.as_str()) && value.is_table();
    if keys::find(&path).is_none() && !opened {
        return Err(SpecError::new(keys::unknown(&path)).in_file("--set"));
    }
    Ok((path, value))
}

/// Completes a table with some recipe keys: the rest takes its defaults (DESIGN section 4).
pub fn complete(table: &Table) -> Result<Recipe, SpecError> {
    let mut draft = Draft::default();
    draft.table(table, "given").map_err(SpecError::new)?;
    finish(draft).map(|s| s.recipe).map_err(SpecError::new)
}

fn finish(mut draft: Draft) -> Result<Settlement, String> {
    fill_defaults(&mut draft)?;
    let recipe = to_recipe(&draft)?;
    check(&recipe)?;
    let keys = KEYS
        .iter()
        .filter_map(|key| {
            let layers = draft.0.get(key.path)?;
            let shown = |l: &Layer| {
                l.value
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), keys::shown)
            };
            let (last, before) = layers.split_last()?;
            Some(Settled {
                key: key.path.to_owned(),
                value: shown(last),
                from: last.from.clone(),
                refinement: last.refinement.clone(),
                overrode: before.iter().map(|l| (shown(l), l.from.clone())).collect(),
            })
        })
        .collect();
    Ok(Settlement { recipe, keys })
}

/// Puts a `default` layer under every key, so that the story of a key starts at its default.
fn fill_defaults(draft: &mut Draft) -> Result<(), String> {
    let distilled = draft.get("distill.teacher").is_some();
    let task = draft.task();
    let gluoncv = draft.str("variant") == Some("gluoncv");
    for key in KEYS {
        if let Some((owner, word)) = transfer::owner(key.path)
            && owner != task
        {
            if draft.is_set(key.path) {
                return Err(format!(
                    "{} is set, but task = \"{}\"; set task = \"{word}\", or take it out",
                    key.path,
                    draft.str("task").unwrap_or("classify")
                ));
            }
            continue;
        }
        if key.path.starts_with("distill.") && !distilled {
            if draft.get(key.path).is_some() {
                return Err(format!(
                    "{} is set, but distill.teacher is not: name the teacher",
                    key.path
                ));
            }
            continue;
        }
        let value = match (transfer::default(task, key.path, gluoncv), key.default) {
            (Some(text), _) => key.value_of(text),
            (None, keys::Default::Is(_)) => key.default_value(),
            (None, keys::Default::Absent) => None,
            (None, keys::Default::Derived) => derived(key.path, draft)?,
        };
        if value.is_none() && draft.is_set(key.path) {
            continue;
        }
        let layer = Layer {
            value,
            from: "default".to_owned(),
            refinement: None,
        };
        draft.0.entry(key.path).or_default().insert(0, layer);
    }
    Ok(())
}

/// Defaults that depend on other keys: the model's, the input size's, the variant's (recipes.md
/// section 8). Keys come in the order of [`KEYS`], so `model` is there already; `variant` may not be.
fn derived(path: &str, draft: &Draft) -> Result<Option<Value>, String> {
    let info = model::find(draft.str("model").unwrap_or("resnet50")).map_err(|e| e.message)?;
    let gluoncv = draft.str("variant") == Some("gluoncv");
    Ok(match path {
        "depths" if info.depths.is_empty() => None,
        "depths" => Some(Value::Array(
            info.depths
                .iter()
                .map(|d| Value::Integer(i64::from(*d)))
                .collect(),
        )),
        "dropout" => Some(Value::Float(info.dropout)),
        // Images of a detection or segmentation have a size of the task's own. Its sub-table's default
        // comes after this key in the order of KEYS.
        "input_size" | "augment.resize_short" if draft.task() != recipe::Task::Classify => {
            let path = match draft.task() {
                recipe::Task::Detect => "detect.short_side",
                _ => "segment.crop_size",
            };
            let own = draft.get(path).cloned();
            own.or_else(|| keys::find(path)?.default_value())
        }
        "input_size" => Some(Value::Integer(i64::from(info.input_size))),
        "augment.resize_short" => {
            let size = draft
                .get("input_size")
                .and_then(Value::as_integer)
                .unwrap_or(224);
            Some(Value::Integer((size as f64 / 0.875).ceil() as i64))
        }
        "augment.hue" => Some(Value::Float(if gluoncv { 0.0 } else { 0.4 })),
        "augment.contrast" => Some(Value::Float(if gluoncv { 0.4 } else { 0.0 })),
        "init" => Some(Value::String(
            if gluoncv { "msra" } else { "xavier" }.to_owned(),
        )),
        "distill.soft_weight" | "distill.hard_weight" => {
            Some(Value::Float(if gluoncv { 0.5 } else { 1.0 }))
        }
        _ => None,
    })
}

fn to_recipe(draft: &Draft) -> Result<Recipe, String> {
    let mut table = Table::new();
    for key in KEYS {
        let Some(value) = draft.get(key.path) else {
            continue;
        };
        match key.path.split_once('.') {
            None => {
                table.insert(key.path.to_owned(), value.clone());
            }
            Some((outer, inner)) => {
                let entry = table
                    .entry(outer.to_owned())
                    .or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(t) = entry {
                    t.insert(inner.to_owned(), value.clone());
                }
            }
        }
    }
    Value::Table(table)
        .try_into::<Recipe>()
        .map_err(|e| e.message().to_owned())
}

/// What single keys cannot tell.
fn check(r: &Recipe) -> Result<(), String> {
    if !r.batch_size.is_multiple_of(r.replicas) {
        return Err(format!(
            "batch_size = {} cannot be cut into replicas = {} equal slices; choose a multiple",
            r.batch_size, r.replicas
        ));
    }
    if r.warmup_epochs > f64::from(r.epochs) {
        return Err(format!(
            "warmup_epochs = {} is longer than epochs = {}; a profile with fewer epochs sets [profile.P.refinement.warmup] epochs",
            r.warmup_epochs, r.epochs
        ));
    }
    if let Some(n) = r.train_subset
        && n < u64::from(r.batch_size)
    {
        return Err(format!(
            "train_subset = {n} is smaller than one batch of {}",
            r.batch_size
        ));
    }
    if r.augment.resize_short < r.input_size {
        return Err(format!(
            "augment.resize_short = {} is smaller than input_size = {}; the centre crop would not fit",
            r.augment.resize_short, r.input_size
        ));
    }
    if r.depths.is_some() && model::find(&r.model).is_ok_and(|m| m.depths.is_empty()) {
        return Err(format!(
            "depths is set, but {} has no stages; leave it out",
            r.model
        ));
    }
    model::Model::of_recipe(r, 2).map_err(|e| e.message)?;
    transfer::check(r)
}
