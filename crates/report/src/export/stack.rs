//! What did each row change in the recipe of the row it stands on, column by column? And the root's whole
//! recipe.

use std::collections::BTreeMap;

use rungs_spec::experiment::{Column, Experiment, Row};
use rungs_spec::plan::Plan;
use rungs_spec::refinement;
use rungs_spec::settle::Settled;

/// One row of a table.
pub(super) struct RowChanges {
    pub label: String,
    /// Label of the row it is compared with; `None` of a root, which is compared with the defaults.
    pub on: Option<String>,
    /// `LR warmup (section 3.1): the learning rate rises from 0 ...`
    pub refinements: Vec<String>,
    pub changes: Vec<Change>,
}

/// A key of the recipe that a row changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub key: String,
    pub was: String,
    pub value: String,
    /// What set it.
    pub from: String,
    /// Columns in which it does so.
    pub columns: Vec<String>,
    /// Columns that the row has.
    pub of: usize,
}

impl Change {
    /// `BS=256, BS=1024`; `every column`.
    pub(super) fn places(&self) -> String {
        if self.of > 1 && self.columns.len() == self.of {
            "every column".to_owned()
        } else {
            self.columns.join(", ")
        }
    }
}

/// The whole recipe of one cell.
pub(super) struct Recipe {
    pub title: String,
    /// (key, value, what set it)
    pub keys: Vec<(String, String, String)>,
}

/// Every row with what it changes, in the order of the table.
pub(super) fn changes(plan: &Plan, set: &[String]) -> Vec<RowChanges> {
    let experiment = &*plan.experiment;
    let rows = experiment
        .rows
        .iter()
        .filter(|row| plan.cells.iter().any(|c| c.row == row.id));
    rows.map(|row| {
        let on = row
            .on
            .as_deref()
            .or(row.against.as_deref())
            .and_then(|id| experiment.row(id));
        let mut changes: Vec<Change> = Vec::new();
        for column in planned_columns(plan, row) {
            for change in of_cell(plan, set, row, on, column) {
                let same = |known: &&mut Change| {
                    (&known.key, &known.was, &known.value)
                        == (&change.key, &change.was, &change.value)
                };
                match changes.iter_mut().find(same) {
                    Some(known) => known.columns.push(column.label.clone()),
                    None => changes.push(Change {
                        columns: vec![column.label.clone()],
                        ..change
                    }),
                }
            }
        }
        RowChanges {
            label: row.label.clone(),
            on: on.map(|r| r.label.clone()),
            refinements: row.add.iter().map(|added| told(&added.id)).collect(),
            changes,
        }
    })
    .collect()
}

/// The recipe of every column of the roots: what the changes are changes of.
pub(super) fn roots(plan: &Plan, set: &[String]) -> Vec<Recipe> {
    let experiment = &*plan.experiment;
    let mut recipes = Vec::new();
    for row in experiment.rows.iter().filter(|r| r.on.is_none()) {
        for column in planned_columns(plan, row) {
            let keys = settled(plan, set, row, column);
            if !keys.is_empty() {
                recipes.push(Recipe {
                    title: format!("{}, {}", row.label, column.label),
                    keys: keys
                        .into_iter()
                        .map(|k| (k.key.to_owned(), plain(&k.value), k.from.into_owned()))
                        .collect(),
                });
            }
        }
    }
    recipes
}

fn told(id: &str) -> String {
    refinement::find(id).map_or_else(
        || id.to_owned(),
        |r| format!("{} ({}): {}", r.title, r.section, r.what),
    )
}

fn planned_columns<'a>(plan: &'a Plan, row: &Row) -> Vec<&'a Column> {
    let experiment: &Experiment = &plan.experiment;
    experiment
        .columns
        .iter()
        .filter(|c| plan.cell(&row.id, &c.id).is_some())
        .collect()
}

/// Every key of a cell's recipe; none of a figure's series, whose recipe is another table's.
fn settled(plan: &Plan, set: &[String], row: &Row, column: &Column) -> Vec<Settled> {
    if plan.experiment.figure.is_some() {
        return Vec::new();
    }
    plan.experiment
        .settled_with(plan.profile.as_deref(), row, column, set)
        .map(|settlement| settlement.keys.clone())
        .unwrap_or_default()
}

fn of_cell(
    plan: &Plan,
    set: &[String],
    row: &Row,
    on: Option<&Row>,
    column: &Column,
) -> Vec<Change> {
    let before: BTreeMap<&str, String> = on
        .map(|on| settled(plan, set, on, column))
        .unwrap_or_default()
        .into_iter()
        .map(|key| (key.key, key.value))
        .collect();
    let keys = settled(plan, set, row, column).into_iter();
    keys.filter_map(|key| {
        let was = match on {
            Some(_) => before.get(key.key).cloned(),
            None => key.overrode.first().map(|(value, _)| value.clone()),
        }?;
        (was != key.value).then(|| Change {
            was: plain(&was),
            value: plain(&key.value),
            from: key.from.into_owned(),
            key: key.key.to_owned(),
            columns: Vec::new(),
            of: planned_columns(plan, row).len(),
        })
    })
    .collect()
}

fn plain(value: &str) -> String {
    value.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn each_row_names_what_it_changes_and_where() {
        let rows = changes(&fixtures::plan("quick", 1), &[]);
        let warmup = &rows[1];
        assert_eq!(warmup.on.as_deref(), Some("Linear scaling"));
        assert!(
            warmup.refinements[0].contains("warmup"),
            "{:?}",
            warmup.refinements
        );
        let epochs = warmup
            .changes
            .iter()
            .find(|c| c.key == "warmup_epochs")
            .unwrap();
        assert_eq!((epochs.was.as_str(), epochs.value.as_str()), ("0", "1"));
        assert_eq!(epochs.columns, ["BS=256", "BS=1024"]);
        assert_eq!(epochs.places(), "every column");
        let decay = rows[2].changes.iter().find(|c| c.key == "decay").unwrap();
        assert_eq!(
            (decay.was.as_str(), decay.value.as_str()),
            ("all", "weights")
        );
        assert!(
            rows[2].changes.iter().all(|c| c.key != "warmup_epochs"),
            "only its own"
        );
    }

    #[test]
    fn a_root_has_its_whole_recipe() {
        let roots = roots(&fixtures::plan("quick", 1), &[]);
        assert_eq!(roots.len(), 2, "one root, two columns");
        let keys = &roots[1].keys;
        assert!(keys.len() > 20);
        assert!(
            keys.iter()
                .any(|(key, value, _)| key == "batch_size" && value == "256")
        );
    }
}
