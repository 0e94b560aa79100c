//! Which colour stands for a side?

use rungs_report::compare::Side;
use rungs_spec::plan::World as _;
use rungs_store::Store;
use rungs_store::world::HomeWorld;

use super::super::table::{COLORS, color_of};
use crate::error::Failure;

/// For each side its row's colour, as on the page of its table; where two sides would have the same, or a
/// run is no table's any more, colours by place.
pub(super) async fn colours(
    store: &Store,
    world: &HomeWorld,
    sides: &[Side],
) -> Result<Vec<usize>, Failure> {
    let by_place = || (0..sides.len()).map(|i| i % COLORS).collect();
    let mut colours = Vec::new();
    for side in sides {
        let Some(run) = side.runs.first() else {
            return Ok(by_place());
        };
        // The cell that the side is called by.
        let cells = store.cells_of(run).await?;
        let colour = cells.first().and_then(|cell| {
            let experiment = world.experiment(&cell.experiment).ok()?;
            color_of(&experiment, &cell.row)
        });
        match colour {
            Some(colour) if !colours.contains(&colour) => colours.push(colour),
            _ => return Ok(by_place()),
        }
    }
    Ok(colours)
}
