//! A table's column as curves: one per row, mean over its seeds.

use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::result::RunResult;

use super::{ChartSeries, ChartSpec, XKind, mean_and_band};
use crate::table::Table;

/// An evaluated metric by epoch, mean over those runs that have that epoch.
pub fn by_epoch(
    results: &BTreeMap<RunKey, RunResult>,
    runs: &[RunKey],
    metric: &str,
) -> Vec<(f64, f64)> {
    let mut epochs: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter_map(|key| results.get(key)) {
        for evaluation in &run.evaluations {
            if let Some(value) = evaluation.metrics.get(metric) {
                epochs.entry(evaluation.epoch).or_default().push(*value);
            }
        }
    }
    epochs
        .into_iter()
        .map(|(epoch, values)| {
            (
                epoch as f64,
                values.iter().sum::<f64>() / values.len() as f64,
            )
        })
        .collect()
}

/// Fills `spec` with one metric of one column by epoch: a curve per row with a band of one standard
/// deviation, in the row's colour (`colour` of its id). `points` counts those of all runs.
pub fn of_table(
    mut spec: ChartSpec,
    table: &Table,
    results: &BTreeMap<RunKey, RunResult>,
    column: &str,
    metric: &str,
    colour: impl Fn(&str) -> usize,
) -> ChartSpec {
    let mut points = 0;
    for row in &table.rows {
        let Some(cell) = row.cells.get(column) else {
            continue;
        };
        let curves: Vec<_> = cell
            .runs
            .iter()
            .map(|run| by_epoch(results, std::slice::from_ref(run), metric))
            .filter(|curve| !curve.is_empty())
            .collect();
        points += curves.iter().map(Vec::len).sum::<usize>();
        let (curve, band) = mean_and_band(&curves, colour(&row.id));
        if curve.is_empty() {
            continue;
        }
        spec.bands.push(band);
        spec.series.push(ChartSeries {
            label: row.label.clone(),
            colour: colour(&row.id),
            points: curve,
        });
        spec.runs += cell
            .runs
            .iter()
            .filter(|run| results.contains_key(run))
            .count();
    }
    let label = table.columns.iter().find(|c| c.id == column);
    spec.title = format!(
        "{}, {}",
        metric::find(metric).map_or(metric, |m| m.title),
        label.map_or(column, |c| c.label.as_str())
    );
    if spec.from.is_none() && spec.to.is_none() {
        spec.made_of = Some((points, points));
    }
    spec.x = XKind::Epoch;
    spec.y = metric.to_owned();
    spec
}
