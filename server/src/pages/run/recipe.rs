//! The recipe of a run, with what each row of its stack changed.

use std::collections::BTreeMap;

use rungs_spec::result::RunResult;
use rungs_spec::settle::Settled;
use rungs_store::CellOf;

use super::super::table::color;
use crate::error::Failure;
use crate::view::View;

/// What one row of the stack changed.
pub(super) struct Change {
    pub(super) color: usize,
    pub(super) label: String,
    pub(super) lines: Vec<RecipeLine>,
}

pub(super) struct RecipeLine {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) from: String,
    pub(super) was: Option<String>,
    pub(super) color: Option<usize>,
}

/// Every key of the run's recipe with what set it, from the cell that asked for it.
pub(super) fn story<'a>(view: &'a View, cell: &CellOf) -> Option<(&'a View, Vec<Settled>)> {
    let row = view.experiment.row(&cell.row)?;
    let column = view.experiment.column(&cell.column)?;
    let profile = view.plan.profile.as_deref();
    let settled = view
        .experiment
        .settled_with(profile, row, column, &view.options.set)
        .ok()?;
    Some((view, settled.keys.clone()))
}

/// The row whose refinement (or `set`) gave a key its value.
fn row_of<'a>(view: &'a View, key: &Settled) -> Option<&'a rungs_spec::experiment::Row> {
    view.experiment.rows.iter().find(|row| {
        key.from == format!("row {}", row.id)
            || (key.refinement.is_some() && key.from.ends_with(&format!("(row {})", row.id)))
    })
}

pub(super) fn line(view: &View, key: &Settled) -> RecipeLine {
    RecipeLine {
        key: key.key.to_owned(),
        value: key.value.trim_matches('"').to_owned(),
        from: key.from.to_string(),
        was: key
            .overrode
            .last()
            .filter(|(was, _)| *was != key.value)
            .map(|(was, _)| was.trim_matches('"').to_owned()),
        color: row_of(view, key).map(|row| color(view, &row.id)),
    }
}

pub(super) fn changes(view: &View, keys: &[Settled]) -> Vec<Change> {
    let mut by_row: BTreeMap<usize, Change> = BTreeMap::new();
    for key in keys {
        let Some(row) = row_of(view, key) else {
            continue;
        };
        let place = view
            .experiment
            .rows
            .iter()
            .position(|r| r.id == row.id)
            .unwrap_or(0);
        let change = by_row.entry(place).or_insert_with(|| Change {
            color: color(view, &row.id),
            label: row.label.clone(),
            lines: Vec::new(),
        });
        change.lines.push(line(view, key));
    }
    by_row.into_values().collect()
}

pub(super) fn plain_recipe(result: &RunResult) -> Result<Vec<RecipeLine>, Failure> {
    let value = serde_json::to_value(&result.recipe)
        .map_err(|e| Failure::internal(format!("The recipe could not be written: {e}.")))?;
    let mut lines = Vec::new();
    flatten("", &value, &mut |key, value| {
        lines.push(RecipeLine {
            key,
            value,
            from: "recipe.json".to_owned(),
            was: None,
            color: None,
        });
    });
    Ok(lines)
}

/// Dotted keys of nested objects; arrays stay on one line.
pub(super) fn flatten(
    prefix: &str,
    value: &serde_json::Value,
    out: &mut impl FnMut(String, String),
) {
    let mut facts = serde_json::Map::new();
    rungs_report::compare::flatten(&mut facts, prefix, value);
    for (key, value) in &facts {
        out(key.clone(), text(value));
    }
}

/// A value as people read it.
pub(in crate::pages) fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
