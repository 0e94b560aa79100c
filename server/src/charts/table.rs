//! `/charts/table`: one metric of one column of a table, a curve per row, mean over seeds, in the row's colour.

use rungs_report::Select;
use rungs_report::chart::{self, ChartSpec};
use rungs_spec::error::nearest;
use rungs_spec::plan::Options;

use super::Asked;
use crate::error::Failure;
use crate::pages::table::{color, seeds};
use crate::state::Dashboard;
use crate::view::View;

/// Evaluations of the runs of a column that have a metric: points of its curves.
pub(crate) fn points_of(view: &View, column: &str, metric: &str) -> usize {
    let rows = view.table.rows.iter();
    let runs = rows
        .filter_map(|row| row.cells.get(column))
        .flat_map(|cell| &cell.runs);
    runs.filter_map(|key| view.results.get(key))
        .flat_map(|run| &run.evaluations)
        .filter(|e| e.metrics.contains_key(metric))
        .count()
}

pub(super) async fn spec(dashboard: &Dashboard, asked: &Asked) -> Result<ChartSpec, Failure> {
    let name = asked
        .experiment
        .as_deref()
        .ok_or_else(|| Failure::bad_request("bad_chart", "experiment= names the table."))?;
    let options = Options {
        profile: asked.profile.clone(),
        seeds: seeds(asked.seeds.as_deref())?,
        ..Options::default()
    };
    let view = dashboard.view_with(name, &options, Select::Last).await?;
    spec_of(&view, asked)
}

/// Of the metric and column asked for. Without: the first metric that has points, of the last column that has
/// any; no counts, times and numbers of other runs, which no epoch has.
pub(super) fn spec_of(view: &View, asked: &Asked) -> Result<ChartSpec, Failure> {
    let (table, name) = (&view.table, &view.table.experiment);
    if let Some(id) = asked.column.as_deref()
        && !table.columns.iter().any(|c| c.id == id)
    {
        let near = nearest(id, table.columns.iter().map(|c| c.id.as_str()));
        let message = format!("{name} has no column {id:?}; {near}");
        return Err(Failure::bad_request("bad_chart", message));
    }
    let columns: Vec<&str> = match asked.column.as_deref() {
        Some(id) => vec![id],
        None => table.columns.iter().map(|c| c.id.as_str()).collect(),
    };
    let with_points = |metric: &str| {
        let last = columns.iter().rev();
        last.copied()
            .find(|column| points_of(view, column, metric) > 0)
    };
    let metric = match asked.metric {
        Some(_) => match asked.metrics()?[..] {
            [one] => one,
            ref several => {
                let message = format!(
                    "A chart of a table draws one metric for all its rows, not {}: {}.",
                    several.len(),
                    several.join(", ")
                );
                return Err(Failure::bad_request("bad_metric", message));
            }
        },
        None => {
            let names = || table.metrics.iter().map(|m| m.name.as_str());
            names()
                .find(|metric| with_points(metric).is_some())
                .or(names().next())
                .unwrap_or_default()
        }
    };
    let column = with_points(metric)
        .or(columns.last().copied())
        .ok_or_else(|| Failure::internal("the experiment has no columns"))?;
    let mut spec = chart::of_table(asked.spec()?, table, &view.results, column, metric, |row| {
        color(view, row)
    });
    if asked.band.as_deref() == Some("0") {
        spec.bands.clear();
    }
    Ok(spec)
}
