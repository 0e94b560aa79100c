//! Cells against each other and against the paper: steps, tests, correction, verdicts.

use std::collections::BTreeMap;

use rungs_spec::experiment::Column;
use rungs_spec::metric::{self, Direction};
use rungs_spec::plan::Cell as PlanCell;
use rungs_spec::recipe::Recipe;
use rungs_spec::result::RunResult;

use super::build::Builder;
use super::judge::{self, Evidence};
use super::value;
use super::{Row, Select, Value};
use crate::stats::{holm::holm, mcnemar::mcnemar, paired::paired};

impl Builder<'_> {
    /// Fills delta, its interval, and the test against the row each row stands on.
    pub fn deltas(&self, rows: &mut [Row], column: &Column, name: &str) {
        for i in 0..rows.len() {
            let Some(on) = rows[i].on.clone() else {
                continue;
            };
            let under = rows
                .iter()
                .find(|r| r.id == on)
                .and_then(|r| r.cells.get(&column.id));
            let under = under
                .and_then(|c| c.metrics.get(name))
                .map(|v| (v.paper, v.mean, v.n));
            let here = rows[i].id.clone();
            let Some(value) = rows[i]
                .cells
                .get_mut(&column.id)
                .and_then(|c| c.metrics.get_mut(name))
            else {
                continue;
            };
            let Some((paper, mean, n)) = under else {
                continue;
            };
            value.paper_delta = value.paper.zip(paper).map(|(a, b)| rounded(a - b, name));
            let (Some(above), Some(below)) = (
                self.plan.cell(&here, &column.id),
                self.plan.cell(&on, &column.id),
            ) else {
                continue;
            };
            if value.n.is_none() && n.is_none() {
                // Counted, not measured: the difference is exact.
                value.delta = value.mean.zip(mean).map(|(a, b)| a - b);
                continue;
            }
            if metric::is_timed(name) {
                // One timing run each: a difference, and nothing to test it with.
                value.delta = value.mean.zip(mean).map(|(a, b)| a - b);
                continue;
            }
            self.delta(value, above, below, name);
        }
    }

    fn delta(&self, value: &mut Value, above: &PlanCell, below: &PlanCell, name: &str) {
        let differences = |select| -> Vec<f64> {
            let base = self.per_seed(below, name, select);
            let ours = self.per_seed(above, name, select);
            ours.iter()
                .filter_map(|(seed, v)| Some(v - base.get(seed)?))
                .collect()
        };
        if let Some(shown) = paired(&differences(self.select)) {
            (value.delta, value.delta_ci95) = (Some(shown.delta), shown.ci95);
        }
        let Some(last) = paired(&differences(Select::Last)) else {
            return;
        };
        value.test_delta = Some(last.delta);
        if last.n >= 2 {
            value.test = Some("paired-t");
            value.p = last.p;
            return;
        }
        let base: BTreeMap<u64, &RunResult> = self.finished(below).into_iter().collect();
        let common = self
            .finished(above)
            .into_iter()
            .find_map(|(seed, run)| Some((run, *base.get(&seed)?)));
        let Some((ours, base)) = common else { return };
        let (Some((a, n_a)), Some((b, n_b))) =
            (value::last_bits(ours, name), value::last_bits(base, name))
        else {
            return;
        };
        if let Some(found) = (n_a == n_b).then(|| mcnemar(a, b, n_a)).flatten() {
            value.test = Some("mcnemar");
            value.p = Some(found.p);
        }
    }

    /// Fills verdict and reason of one metric in every cell.
    pub fn judge(&self, rows: &mut [Row], columns: &[&Column], name: &str) {
        let Some(metric) = metric::find(name) else {
            return;
        };
        for row in rows {
            for column in columns {
                let Some(planned) = self.plan.cell(&row.id, &column.id) else {
                    continue;
                };
                let as_the_paper = self.as_the_paper(planned, &row.id, column);
                let Some(value) = row
                    .cells
                    .get_mut(&column.id)
                    .and_then(|c| c.metrics.get_mut(name))
                else {
                    continue;
                };
                let evidence = Evidence {
                    metric,
                    profile: self.plan.profile.as_deref(),
                    as_the_paper,
                    emulated: planned.emulated,
                    tolerance: self.plan.experiment.tolerance,
                };
                judge::judge(value, &evidence);
            }
        }
    }

    /// Whether a cell trains what the paper trained: profile `paper` (or the file as written), which
    /// leaves model, data and length of training as the file says them, and nothing changed by `--set`.
    fn as_the_paper(&self, planned: &PlanCell, row: &str, column: &Column) -> bool {
        let experiment = &*self.plan.experiment;
        let profile = self.plan.profile.as_deref();
        let Some(row) = experiment
            .row(row)
            .filter(|_| profile.is_none_or(|p| p == "paper"))
        else {
            return false;
        };
        let written = experiment.settled(None, row, column);
        let meant = experiment.settled(profile, row, column);
        let (Ok(written), Ok(meant)) = (written, meant) else {
            return false;
        };
        meant.recipe == planned.recipe && same_experiment(&written.recipe, &planned.recipe)
    }
}

/// Whether two recipes train the same model on the same data for as long. A profile called `paper`
/// may still say how: on how many replicas, with which learning rate.
fn same_experiment(a: &Recipe, b: &Recipe) -> bool {
    (&a.model, &a.depths, a.width, a.input_size) == (&b.model, &b.depths, b.width, b.input_size)
        && (&a.dataset, a.train_subset, a.val_subset) == (&b.dataset, b.train_subset, b.val_subset)
        && (a.epochs, a.batch_size) == (b.epochs, b.batch_size)
}

/// Rounded to what two printed numbers can differ by, and two digits more: 76.03 - 75.87 is 0.16.
fn rounded(difference: f64, name: &str) -> f64 {
    let digits = metric::find(name).map_or(4, |m| m.digits) + 2;
    let scale = 10f64.powi(digits as i32);
    (difference * scale).round() / scale
}

/// Marks the best mean of a column (ties all), where at least two rows have one.
pub(super) fn mark_best(rows: &mut [Row], column: &Column, name: &str) {
    let Some(direction) = metric::find(name).map(|m| m.direction) else {
        return;
    };
    let means: Vec<f64> = rows
        .iter()
        .filter_map(|r| r.cells.get(&column.id)?.metrics.get(name)?.mean)
        .collect();
    let best = match direction {
        Direction::Higher => means.iter().copied().reduce(f64::max),
        Direction::Lower => means.iter().copied().reduce(f64::min),
        Direction::None => None,
    };
    if means.len() < 2 {
        return;
    }
    for row in rows {
        if let Some(value) = row
            .cells
            .get_mut(&column.id)
            .and_then(|c| c.metrics.get_mut(name))
        {
            value.best = value.mean.is_some() && value.mean == best;
        }
    }
}

/// Holm over one metric in one table.
pub(super) fn correct(rows: &mut [Row], name: &str) {
    let mut tested: Vec<&mut Value> = rows
        .iter_mut()
        .flat_map(|row| row.cells.values_mut())
        .filter_map(|cell| cell.metrics.get_mut(name))
        .filter(|value| value.p.is_some())
        .collect();
    let p: Vec<f64> = tested.iter().filter_map(|v| v.p).collect();
    for (value, adjusted) in tested.iter_mut().zip(holm(&p)) {
        value.p_holm = Some(adjusted);
    }
}
