//! What has become of an experiment since it was last applied in this home: cells that are as before, new,
//! stale (another recipe, so another run) or no longer needed. Said before anything is queued.

use std::collections::{BTreeMap, BTreeSet};

use rungs_spec::RunKey;
use rungs_spec::home::{CellRun, Home, JournalEntry, JournalLine};
use rungs_spec::plan::Plan;
use rungs_spec::protocol::RunFile;
use rungs_store::journal;
use serde_json::{Map, Value};

use rungs_report::compare::flatten;

/// As `row/column`, with what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Changes {
    /// When it was applied before, RFC 3339.
    since: String,
    unchanged: usize,
    new: Vec<String>,
    stale: Vec<String>,
    dropped: Vec<String>,
}

/// How an experiment was applied with a profile before.
struct Before {
    /// Newest time.
    t: String,
    /// The newest runs of each cell: rows and columns may have been picked at one time and not at another.
    cells: BTreeMap<Cell, Vec<RunKey>>,
    /// Cells of the newest text.
    newest: BTreeSet<Cell>,
}

/// Row and column.
type Cell = (String, String);

/// Compares plans with what the journal says was wanted before, for people; empty if that is nothing, or the
/// same. `set`: the `--set` options, which make an experiment another one.
pub(super) fn text(home: &Home, plans: &[Plan], set: &[String]) -> anyhow::Result<String> {
    let applied = journal::applications(&home.journal())?;
    let mut text = String::new();
    for plan in plans {
        let Some(before) = before(&applied, plan, set) else {
            continue;
        };
        let changes = compare(&before, plan, &|old, new| difference(home, plan, old, new));
        if !changes.new.is_empty() || !changes.stale.is_empty() || !changes.dropped.is_empty() {
            text += &changes.text(&plan.experiment.name);
        }
    }
    Ok(text)
}

fn before(applied: &[JournalLine], plan: &Plan, set: &[String]) -> Option<Before> {
    let mut hashes: BTreeMap<Cell, String> = BTreeMap::new();
    let mut cells: BTreeMap<Cell, Vec<RunKey>> = BTreeMap::new();
    let mut newest = None;
    for line in applied {
        let JournalEntry::Applied {
            experiment,
            hash,
            profile,
            set: with,
            cells: wanted,
            ..
        } = &line.entry
        else {
            continue;
        };
        let this = (&plan.experiment.name, &plan.profile);
        if (experiment, profile) != this || with != set {
            continue;
        }
        for CellRun {
            row,
            column,
            seed,
            run,
        } in wanted
        {
            let cell = (row.clone(), column.clone());
            hashes.insert(cell.clone(), hash.clone());
            let runs = cells.entry(cell).or_default();
            if *seed == 1 {
                runs.clear();
            }
            runs.push(run.clone());
        }
        newest = Some((line.t.clone(), hash));
    }
    newest.map(|(t, newest)| Before {
        t,
        cells,
        newest: hashes
            .into_iter()
            .filter(|(_, hash)| hash == newest)
            .map(|(cell, _)| cell)
            .collect(),
    })
}

/// `difference`: what is another between two runs, in words.
fn compare(
    before: &Before,
    plan: &Plan,
    difference: &dyn Fn(&RunKey, &RunKey) -> String,
) -> Changes {
    let mut changes = Changes {
        since: before.t.clone(),
        ..Changes::default()
    };
    for cell in &plan.cells {
        let name = format!("{}/{}", cell.row, cell.column);
        let Some(old) = before.cells.get(&(cell.row.clone(), cell.column.clone())) else {
            changes.new.push(name);
            continue;
        };
        // More seeds are new runs of the same cell, fewer leave some of its runs unused.
        match (old.first(), cell.runs.first()) {
            (Some(was), Some(is)) if was != is => changes.stale.push(name + &difference(was, is)),
            _ => changes.unchanged += 1,
        }
    }
    let experiment = &plan.experiment;
    for (row, column) in &before.newest {
        let is_there = experiment.rows.iter().any(|r| r.id == *row)
            && experiment.columns.iter().any(|c| c.id == *column);
        if !is_there {
            changes.dropped.push(format!("{row}/{column}"));
        }
    }
    changes
}

/// ` (lr 0.1 -> 0.2)`; empty where the old run's recipe cannot be read.
fn difference(home: &Home, plan: &Plan, old: &RunKey, new: &RunKey) -> String {
    let recipe = std::fs::read(home.run(old).recipe()).ok();
    let file = recipe.and_then(|text| serde_json::from_slice::<RunFile>(&text).ok());
    let run = plan.runs.iter().find(|run| run.key == *new);
    let (Some(file), Some(run)) = (file, run) else {
        return String::new();
    };
    let flat = |recipe| {
        let mut facts = Map::new();
        flatten(
            &mut facts,
            "",
            &serde_json::to_value(recipe).unwrap_or_default(),
        );
        facts
    };
    let (was, is) = (flat(&file.recipe), flat(&run.recipe));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let shown = |value: Option<&Value>| value.map_or("none".to_owned(), ToString::to_string);
    let mut words: Vec<String> = names
        .into_iter()
        .filter(|name| was.get(*name) != is.get(*name))
        .map(|name| format!("{name} {} -> {}", shown(was.get(name)), shown(is.get(name))))
        .collect();
    if words.is_empty() {
        // The key also covers these.
        words.push("the data, the trainer's numerics, or a run that it starts from".to_owned());
    }
    format!(" ({})", words.join(", "))
}

impl Changes {
    /// For people, several lines.
    fn text(&self, experiment: &str) -> String {
        let day = self.since.get(..10).unwrap_or(&self.since);
        let mut text = format!("{experiment} has changed since it was last applied here, {day}:\n");
        let mut line = |cells: &[String], one: &str, several: &str| {
            let what = match cells.len() {
                0 => return,
                1 => one,
                _ => several,
            };
            let shown: Vec<&str> = cells.iter().take(8).map(String::as_str).collect();
            let more = match cells.len().saturating_sub(8) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            text += &format!("  {} {what}: {}{more}\n", cells.len(), shown.join(", "));
        };
        line(
            &self.stale,
            "stale cell, whose run is of another recipe and stays in the home",
            "stale cells, whose runs are of other recipes and stay in the home",
        );
        line(&self.new, "new cell", "new cells");
        line(
            &self.dropped,
            "cell no longer needed; what it has trained stays in the home",
            "cells no longer needed; what they have trained stays in the home",
        );
        text + &format!("  {} as before\n", self.unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_plan::plan;

    fn applied(plan: &Plan) -> Before {
        let cells = plan.cells.iter();
        let cells = cells.map(|c| ((c.row.clone(), c.column.clone()), c.runs.clone()));
        let cells: BTreeMap<Cell, Vec<RunKey>> = cells.collect();
        Before {
            t: "2026-01-02T03:04:05Z".to_owned(),
            newest: cells.keys().cloned().collect(),
            cells,
        }
    }

    const OLD: &str =
        "[[row]]\nid = \"a\"\n[[row]]\nid = \"b\"\nset = { lr = 0.2 }\n[[row]]\nid = \"gone\"\n";

    #[test]
    fn a_changed_file_is_told_cell_by_cell() {
        let old = plan(OLD, 1);
        let new = plan(
            "[[row]]\nid = \"a\"\n[[row]]\nid = \"b\"\nset = { lr = 0.3 }\n[[row]]\nid = \"more\"\n",
            1,
        );
        let changes = compare(&applied(&old), &new, &|_, _| " (lr 0.2 -> 0.3)".to_owned());
        let text = changes.text("t");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "t has changed since it was last applied here, 2026-01-02:",
                "  1 stale cell, whose run is of another recipe and stays in the home: b/c (lr 0.2 -> 0.3)",
                "  1 new cell: more/c",
                "  1 cell no longer needed; what it has trained stays in the home: gone/c",
                "  1 as before",
            ]
        );
    }

    #[test]
    fn more_or_fewer_seeds_make_no_cell_stale() {
        for (was, is) in [(1, 3), (3, 1)] {
            let changes = compare(&applied(&plan(OLD, was)), &plan(OLD, is), &|_, _| {
                String::new()
            });
            assert_eq!(changes.unchanged, 3);
            assert_eq!(
                (changes.new, changes.stale, changes.dropped),
                Default::default()
            );
        }
    }
}
