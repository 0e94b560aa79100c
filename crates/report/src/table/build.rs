//! From a plan and what is known of its runs to a table.

use std::collections::{BTreeMap, HashMap};

use rungs_spec::experiment::{Column, Experiment, Row as SpecRow};
use rungs_spec::metric::{self, Direction, Metric};
use rungs_spec::plan::{Cell as PlanCell, Plan, PlannedRun};
use rungs_spec::result::{RunResult, RunState};
use rungs_spec::{RunKey, settle};

use super::cell::{self, CellRun};
use super::judge::{self, Evidence};
use super::value;
use super::{Cell, CellStatus, ColumnHead, MetricHead, Row, Select, Table, Value};
use crate::profile::profile_note;
use crate::stats::{holm::holm, mcnemar::mcnemar, mean::summary, paired::paired};

/// Builds the table of a plan. Runs that `results` does not know were never queued.
pub fn build(plan: &Plan, results: &BTreeMap<RunKey, RunResult>, select: Select) -> Table {
    let experiment = &*plan.experiment;
    let builder = Builder {
        plan,
        results,
        select,
        runs: plan.runs.iter().map(|r| (&r.key, r)).collect(),
    };
    let columns: Vec<&Column> = experiment
        .columns
        .iter()
        .filter(|c| builder.shows_column(c))
        .collect();
    let mut rows: Vec<Row> = experiment
        .rows
        .iter()
        .filter(|row| builder.shows_row(row))
        .map(|row| Row {
            id: row.id.clone(),
            label: row.label.clone(),
            on: row.on.clone(),
            add: row.add.iter().map(|a| a.id.clone()).collect(),
            cells: columns
                .iter()
                .map(|c| (c.id.clone(), builder.cell(row, c)))
                .collect(),
        })
        .collect();
    let metrics = heads(experiment);
    for head in &metrics {
        for column in &columns {
            builder.deltas(&mut rows, column, &head.name);
            mark_best(&mut rows, column, &head.name);
        }
        correct(&mut rows, &head.name);
        builder.judge(&mut rows, &columns, &head.name);
    }
    Table {
        experiment: experiment.name.clone(),
        title: experiment.title.clone(),
        profile: plan.profile.clone(),
        profile_note: profile_note(plan),
        select,
        paper: experiment.paper.clone(),
        tolerance: experiment.tolerance,
        seeds: plan.seeds,
        metrics,
        columns: columns
            .iter()
            .map(|c| ColumnHead {
                id: c.id.clone(),
                label: c.label.clone(),
                reference_only: c.reference_only,
            })
            .collect(),
        rows,
    }
}

fn heads(experiment: &Experiment) -> Vec<MetricHead> {
    experiment
        .metrics
        .iter()
        .map(|name| match metric::find(name) {
            Some(m) => MetricHead {
                name: name.clone(),
                title: m.title.into(),
                unit: m.unit.into(),
                digits: m.digits,
            },
            None => MetricHead {
                name: name.clone(),
                title: name.clone(),
                unit: String::new(),
                digits: 4,
            },
        })
        .collect()
}

struct Builder<'a> {
    plan: &'a Plan,
    results: &'a BTreeMap<RunKey, RunResult>,
    select: Select,
    runs: HashMap<&'a RunKey, &'a PlannedRun>,
}

impl<'a> Builder<'a> {
    /// Columns outside `--columns` are left out; those of the paper alone stay.
    fn shows_column(&self, column: &Column) -> bool {
        column.reference_only || self.plan.cells.iter().any(|c| c.column == column.id)
    }

    fn shows_row(&self, row: &SpecRow) -> bool {
        self.plan.cells.is_empty() || self.plan.cells.iter().any(|c| c.row == row.id)
    }

    /// A cell's runs with their seeds.
    fn cell_runs(&self, cell: &PlanCell) -> Vec<CellRun<'a>> {
        cell.runs
            .iter()
            .zip(1u64..)
            .map(|(key, i)| {
                (
                    self.runs.get(key).map_or(i, |r| r.seed),
                    self.results.get(key),
                )
            })
            .collect()
    }

    fn finished(&self, cell: &PlanCell) -> Vec<(u64, &'a RunResult)> {
        let runs = self.cell_runs(cell).into_iter();
        runs.filter_map(|(seed, run)| Some((seed, run.filter(|r| r.state == RunState::Done)?)))
            .collect()
    }

    fn cell(&self, row: &SpecRow, column: &Column) -> Cell {
        let planned = self.plan.cell(&row.id, &column.id);
        let runs = planned.map(|c| self.cell_runs(c)).unwrap_or_default();
        let names = &self.plan.experiment.metrics;
        Cell {
            status: match planned {
                Some(_) => cell::status(&runs),
                None if column.reference_only => CellStatus::Reference,
                None => CellStatus::New,
            },
            emulated: planned.is_some_and(|c| c.emulated),
            seeds: runs.iter().map(|(seed, _)| *seed).collect(),
            runs: planned.map(|c| c.runs.clone()).unwrap_or_default(),
            states: cell::states(&runs),
            progress: cell::progress(&runs),
            message: cell::message(&runs),
            cost: cell::cost(&runs),
            metrics: names
                .iter()
                .map(|name| (name.clone(), self.value(row, column, planned, name)))
                .collect(),
        }
    }

    fn value(
        &self,
        row: &SpecRow,
        column: &Column,
        planned: Option<&PlanCell>,
        name: &str,
    ) -> Value {
        let printed = row.paper.get(&column.id).and_then(|p| p.get(name));
        let mut value = Value {
            paper: printed.map(|p| p.value),
            unverified: printed.is_some_and(|p| p.unverified),
            ..Value::default()
        };
        let Some(planned) = planned else { return value };
        let Some(metric) = metric::find(name) else {
            value.reason = Some(format!("\"{name}\" is not in the catalogue of metrics"));
            return value;
        };
        match source(metric) {
            Source::Counted => match value::counted(&planned.recipe, metric) {
                Ok(count) => value.mean = Some(count),
                Err(why) => value.reason = Some(why),
            },
            Source::Timing => value.reason = Some(no_timing(planned.emulated)),
            Source::NotKept => {
                value.reason = Some("kept as a series of each run, not as one number".into())
            }
            Source::Evaluated => self.evaluate(&mut value, planned, name),
        }
        value
    }

    fn evaluate(&self, value: &mut Value, planned: &PlanCell, name: &str) {
        let finished = self.finished(planned);
        let evaluated = finished
            .iter()
            .any(|(_, r)| r.evaluations.iter().any(|e| e.split == "test"));
        if name.starts_with("test/") && !evaluated {
            value.external = true;
            value.reason = Some("the labels of this split are held elsewhere".into());
            return;
        }
        let shown: Vec<f64> = self
            .per_seed(planned, name, self.select)
            .into_values()
            .collect();
        value.n = Some(shown.len());
        value.best_epoch = finished
            .iter()
            .filter_map(|(_, r)| value::shown_epoch(r, Select::Best))
            .collect();
        if let Some(s) = summary(&shown) {
            (value.mean, value.sd, value.ci95) = (Some(s.mean), s.sd, s.ci95);
            value.values = shown;
        } else if !shown.is_empty() {
            value.reason = Some(
                "a run ended with a value that is not a number; it is not averaged away".into(),
            );
        }
    }

    /// The value of every finished run by seed.
    fn per_seed(&self, planned: &PlanCell, name: &str, select: Select) -> BTreeMap<u64, f64> {
        let finished = self.finished(planned).into_iter();
        match name.strip_prefix("backbone/") {
            None => finished
                .filter_map(|(seed, run)| Some((seed, value::evaluated(run, name, select)?)))
                .collect(),
            Some(inner) => finished
                .filter_map(|(seed, run)| {
                    let source = self.runs.get(&run.key)?.depends_on.get("init")?;
                    Some((
                        seed,
                        value::evaluated(self.results.get(source)?, inner, select)?,
                    ))
                })
                .collect(),
        }
    }

    /// Fills delta, its interval, and the test against the row each row stands on.
    fn deltas(&self, rows: &mut [Row], column: &Column, name: &str) {
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
            value.paper_delta = value.paper.zip(paper).map(|(a, b)| a - b);
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

    fn judge(&self, rows: &mut [Row], columns: &[&Column], name: &str) {
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
                    tolerance: self.plan.experiment.tolerance,
                };
                judge::judge(value, &evidence);
            }
        }
    }

    /// Whether a cell trains what the paper trained: profile `paper` (or the file as written), its
    /// dataset whole, and nothing changed by `--set`.
    fn as_the_paper(&self, planned: &PlanCell, row: &str, column: &Column) -> bool {
        let experiment = &*self.plan.experiment;
        let profile = self.plan.profile.as_deref();
        let Some(row) = experiment
            .row(row)
            .filter(|_| profile.is_none_or(|p| p == "paper"))
        else {
            return false;
        };
        let written = settle::cell(experiment, None, row, column, &[]);
        let meant = settle::cell(experiment, profile, row, column, &[]);
        let (Ok(written), Ok(meant)) = (written, meant) else {
            return false;
        };
        let (written, ours) = (&written.recipe, &planned.recipe);
        meant.recipe == *ours
            && (&written.dataset, written.train_subset, written.val_subset)
                == (&ours.dataset, ours.train_subset, ours.val_subset)
    }
}

/// Where a metric's numbers come from.
enum Source {
    Counted,
    Timing,
    Evaluated,
    NotKept,
}

fn source(metric: &Metric) -> Source {
    match metric.name.split('/').next() {
        Some("model") => Source::Counted,
        Some("time" | "speed") => Source::Timing,
        Some("val" | "test" | "backbone") => Source::Evaluated,
        _ => Source::NotKept,
    }
}

fn no_timing(emulated: bool) -> String {
    if emulated {
        "half precision is emulated here: its speed would say nothing about the paper's".into()
    } else {
        "no timing run: speed is measured by a run of its own, alone on the machine".into()
    }
}

/// Marks the best mean of a column (ties all), where at least two rows have one.
fn mark_best(rows: &mut [Row], column: &Column, name: &str) {
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
fn correct(rows: &mut [Row], name: &str) {
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
