//! Settlement: which value of a recipe key wins, and why. Order, later wins: defaults < `[base]` <
//! `[profile.P]` < `column.set` < `[profile.P.column.ID]` < the refinements along the row's path <
//! `row.set` < `[profile.P.row.ID]` < `--set`.

mod draft;
mod finish;
mod kept;

use std::borrow::Cow;

use toml::{Table, Value};

use crate::error::SpecError;
use crate::experiment::{Added, Column, Experiment, Profile, Row};
use crate::keys::{self, TABLES};
use crate::model;
use crate::model::ModelInfo;
use crate::recipe::Recipe;
use crate::refinement::{self, Parameters, Refinement};
use draft::Draft;
use finish::finish;
pub use kept::Kept;

/// One settled key: its value and what set it, most recent last.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Settled {
    /// Dotted key.
    pub key: &'static str,
    /// Value in force, on one line; `none` where absent.
    pub value: String,
    /// What set it: `default`, `[base]`, `refinement warmup (row warmup)`, ...
    pub from: Cow<'static, str>,
    /// Refinement that set it, if one did.
    pub refinement: Option<&'static str>,
    /// What it overrode, oldest first: (value, from).
    pub overrode: Vec<(String, Cow<'static, str>)>,
}

/// A recipe with the story of each of its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The recipe.
    pub recipe: Recipe,
    /// Every key, in the order of [`keys::KEYS`].
    pub keys: Vec<Settled>,
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

/// Settles one cell, anew each time: [`Experiment::settled`] keeps what it found.
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
