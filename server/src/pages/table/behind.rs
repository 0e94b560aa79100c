//! Which runs stand behind each cell, and which other tables share them?

use std::collections::BTreeSet;

use rungs_report::compare::By;
use rungs_report::table::{CellStatus, Row};
use rungs_spec::RunKey;
use rungs_store::Store;
use rungs_store::world::HomeWorld;

use super::color;
use crate::charts::MOST_RUNS;
use crate::error::Failure;
use crate::pages::{Link, compare, escape};
use crate::view::View;

/// Runs of which the other tables are looked up; a larger table lists its runs without.
const SHARED_UP_TO: usize = 120;

pub(super) struct Behind {
    pub(super) color: usize,
    pub(super) row: String,
    pub(super) column: String,
    pub(super) runs: Vec<RunLink>,
    pub(super) shared: Vec<Shared>,
    pub(super) compare: Option<Link>,
}

pub(super) struct RunLink {
    pub(super) href: String,
    pub(super) text: String,
    pub(super) state: &'static str,
}

pub(super) struct Shared {
    pub(super) href: String,
    pub(super) text: String,
}

/// Every cell with runs of this home, row by row.
pub(super) async fn behind(
    view: &View,
    store: Option<&Store>,
    world: &HomeWorld,
) -> Result<Vec<Behind>, Failure> {
    let Some(store) = store else {
        return Ok(Vec::new());
    };
    let look_up = view.plan.runs.len() <= SHARED_UP_TO;
    let mut list = Vec::new();
    for row in &view.table.rows {
        for column in view.table.columns.iter().filter(|c| !c.reference_only) {
            let Some(cell) = row.cells.get(&column.id) else {
                continue;
            };
            if matches!(cell.status, CellStatus::New | CellStatus::Reference) {
                continue;
            }
            let known = cell
                .runs
                .iter()
                .zip(&cell.states)
                .zip(&cell.seeds)
                .filter(|((run, _), _)| view.results.contains_key(*run));
            let (mut runs, mut shared) = (Vec::new(), BTreeSet::new());
            for ((run, state), seed) in known {
                runs.push(RunLink {
                    href: format!("/runs/{run}"),
                    text: format!("seed {seed}"),
                    state,
                });
                if look_up {
                    shared.extend(
                        store
                            .cells_of(run)
                            .await?
                            .into_iter()
                            .filter(|of| of.experiment != view.table.experiment)
                            .map(|of| (of.experiment, of.profile)),
                    );
                }
            }
            list.push(Behind {
                compare: against(view, row, &column.id),
                color: color(view, &row.id),
                row: row.label.clone(),
                column: column.label.clone(),
                runs,
                shared: shared
                    .into_iter()
                    .map(|(experiment, profile)| Shared {
                        href: format!(
                            "/tables/{}{}",
                            escape(&experiment),
                            profile.map_or(String::new(), |p| format!("?profile={}", escape(&p)))
                        ),
                        text: title(world, experiment),
                    })
                    .collect(),
            });
        }
    }
    Ok(list)
}

/// Where a cell's runs are laid beside those of the row that it stands on.
fn against(view: &View, row: &Row, column: &str) -> Option<Link> {
    let known = |row: &Row| -> Vec<RunKey> {
        let runs = row.cells.get(column).map_or(&[][..], |cell| &cell.runs);
        let known = runs.iter().filter(|run| view.results.contains_key(*run));
        known.take(MOST_RUNS / 2).cloned().collect()
    };
    let (on, ours) = (view.table.row(row.on.as_deref()?)?, known(row));
    let base = known(on);
    if base.is_empty() || ours.is_empty() || base == ours {
        return None;
    }
    let by = if ours.len() > 1 || base.len() > 1 {
        By::Cell
    } else {
        By::Run
    };
    Some(Link {
        href: compare::address(base.iter().chain(&ours), by),
        text: format!("with {}", on.label.trim()),
        current: false,
    })
}

/// `Table 6` where the paper numbers it, else the experiment's name.
fn title(world: &HomeWorld, experiment: String) -> String {
    use rungs_spec::plan::World;
    let number = world
        .experiment(&experiment)
        .ok()
        .and_then(|e| e.paper.as_ref()?.table.clone());
    number.map_or(experiment, |n| format!("Table {n}"))
}
