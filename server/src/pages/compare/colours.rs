//! Which colour stands for a side?

use std::collections::BTreeSet;

use rungs_report::compare::Side;
use rungs_spec::plan::Options;
use rungs_store::world::HomeWorld;
use rungs_store::{CellOf, Store};

use super::super::table::{COLORS, color_of};
use crate::error::Failure;
use crate::state::Dashboard;
use crate::view;

/// A table under a profile.
type Of = (String, Option<String>);

/// For each side its row's colour, as on the page of a table that has them all, or else of the first table that
/// has it; where two sides would look the same, or no table has one, colours by place.
pub(super) async fn colours(
    dashboard: &Dashboard,
    store: &Store,
    sides: &[Side],
) -> Result<Vec<usize>, Failure> {
    let world = dashboard.world()?;
    let mut cells: Vec<Vec<CellOf>> = Vec::new();
    for run in sides.iter().filter_map(|side| side.runs.first()) {
        cells.push(store.cells_of(run).await?);
    }
    let tables = |cells: &Vec<CellOf>| -> BTreeSet<Of> {
        let of = |c: &CellOf| (c.experiment.clone(), c.profile.clone());
        cells.iter().map(of).collect()
    };
    let all = cells.iter().map(tables);
    let common = all.reduce(|a, b| a.intersection(&b).cloned().collect());
    for table in common.unwrap_or_default() {
        let of_table = |c: &&CellOf| (&c.experiment, &c.profile) == (&table.0, &table.1);
        let of: Vec<_> = cells
            .iter()
            .map(|cells| cells.iter().find(of_table))
            .collect();
        if let Some(colours) = different(dashboard, store, &world, &of).await? {
            return Ok(colours);
        }
    }
    let of: Vec<_> = cells.iter().map(|cells| cells.first()).collect();
    let found = different(dashboard, store, &world, &of).await?;
    let by_place = || (0..sides.len()).map(|i| i % COLORS).collect();
    Ok(found.unwrap_or_else(by_place))
}

/// The colours of those cells' rows, if all have one and all are different.
async fn different(
    dashboard: &Dashboard,
    store: &Store,
    world: &HomeWorld,
    cells: &[Option<&CellOf>],
) -> Result<Option<Vec<usize>>, Failure> {
    let mut colours = Vec::new();
    for cell in cells {
        let Some(cell) = cell else { return Ok(None) };
        let options = Options {
            profile: cell.profile.clone(),
            ..Options::default()
        };
        // The text that was applied, as the table's page shows it.
        let found = view::choose(
            Some(store),
            dashboard.home(),
            world,
            &cell.experiment,
            &options,
        );
        let Ok((experiment, _)) = found.await else {
            return Ok(None);
        };
        match color_of(&experiment, &cell.row) {
            Some(colour) if !colours.contains(&colour) => colours.push(colour),
            _ => return Ok(None),
        }
    }
    Ok(Some(colours))
}
