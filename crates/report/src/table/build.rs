//! From a plan and what is known of its runs to a table.

use std::collections::{BTreeMap, HashMap};

use rungs_spec::RunKey;
use rungs_spec::experiment::{Column, Experiment, Row as SpecRow};
use rungs_spec::metric::{self, Metric};
use rungs_spec::plan::{Cell as PlanCell, Plan, PlannedRun};
use rungs_spec::result::{RunResult, RunState};

use super::cell::{self, CellRun};
use super::compare::{correct, mark_best};
use super::value;
use super::{Cell, CellStatus, ColumnHead, EMULATED_SPEED, MetricHead, Row, Select, Table, Value};
use crate::profile::profile_note;
use crate::stats::mean::summary;

/// Builds the table of a plan. Runs that `results` does not know were never queued.
pub fn build(plan: &Plan, results: &BTreeMap<RunKey, RunResult>, select: Select) -> Table {
    let experiment = &*plan.experiment;
    let builder = Builder::new(plan, results, select);
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
            on: row.against.clone(),
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
    let percent = metrics
        .iter()
        .filter(|m| metric::find(&m.name).is_some_and(Metric::is_percent));
    let attribution = percent
        .flat_map(|m| {
            columns
                .iter()
                .filter_map(|c| builder.attribution(c, &m.name))
        })
        .collect();
    let warnings = builder.warnings(&columns);
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
        attribution,
        warnings,
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

/// What a table is made from.
pub(super) struct Builder<'a> {
    pub plan: &'a Plan,
    pub results: &'a BTreeMap<RunKey, RunResult>,
    pub select: Select,
    runs: HashMap<&'a RunKey, &'a PlannedRun>,
}

/// The value of every finished run of a cell by seed; empty where there is no such cell.
pub(crate) fn per_seed(
    plan: &Plan,
    results: &BTreeMap<RunKey, RunResult>,
    row: &str,
    column: &str,
    metric: &str,
    select: Select,
) -> BTreeMap<u64, f64> {
    let builder = Builder::new(plan, results, select);
    let cell = plan.cell(row, column);
    cell.map(|cell| builder.per_seed(cell, metric, select))
        .unwrap_or_default()
}

impl<'a> Builder<'a> {
    fn new(plan: &'a Plan, results: &'a BTreeMap<RunKey, RunResult>, select: Select) -> Self {
        Builder {
            plan,
            results,
            select,
            runs: plan.runs.iter().map(|r| (&r.key, r)).collect(),
        }
    }

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

    /// A cell's finished runs with their seeds.
    pub fn finished(&self, cell: &PlanCell) -> Vec<(u64, &'a RunResult)> {
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
            Source::Timing => self.time(&mut value, planned, name),
            Source::NotKept => {
                value.reason = Some("kept as a series of each run, not as one number".into())
            }
            Source::Evaluated => self.evaluate(&mut value, planned, name),
        }
        value
    }

    /// From the cell's timing run alone: training runs share the machine, so their speed is none.
    fn time(&self, value: &mut Value, planned: &PlanCell, name: &str) {
        let run = planned
            .timing
            .as_ref()
            .and_then(|key| self.results.get(key));
        let timed = match run {
            _ if planned.emulated => Err(EMULATED_SPEED.to_owned()),
            Some(run) if run.state == RunState::Done => value::timed(run, name).ok_or_else(|| {
                "the timing run says no speed: it was interrupted in each of its epochs".to_owned()
            }),
            Some(run) => Err(match &run.failure {
                Some(failure) => format!("the timing run failed: {}", failure.message),
                None => format!("the timing run is {}", run.state.word()),
            }),
            None => Err(
                "no timing run yet: speed is measured by a run of its own, alone on the machine"
                    .into(),
            ),
        };
        match timed {
            Ok(timed) => {
                (value.mean, value.n) = (Some(timed), Some(1));
                value.values = vec![timed];
            }
            Err(why) => value.reason = Some(why),
        }
    }

    fn evaluate(&self, value: &mut Value, planned: &PlanCell, name: &str) {
        let finished = self.finished(planned);
        let evaluated = finished
            .iter()
            .any(|(_, r)| r.evaluations.iter().any(|e| e.split == "test"));
        if name.starts_with("test/") && !evaluated {
            value.external = true;
            value.reason = Some(held(&planned.recipe.dataset, &self.plan.experiment.name));
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
    pub fn per_seed(&self, planned: &PlanCell, name: &str, select: Select) -> BTreeMap<u64, f64> {
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
        _ if metric::is_timed(metric.name) => Source::Timing,
        Some("model") => Source::Counted,
        Some("val" | "test" | "backbone") => Source::Evaluated,
        _ => Source::NotKept,
    }
}

/// Why a test cell has no value: Table 7's labels are the Places server's.
fn held(dataset: &str, experiment: &str) -> String {
    if dataset.contains("places365") {
        format!(
            "labels held by the server: `runner export {experiment} --format submission` writes the file that it judges"
        )
    } else {
        format!(
            "labels held by the server, of another dataset than this profile's {dataset}, which has no test split"
        )
    }
}
