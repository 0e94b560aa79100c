//! One row of the table: paper, ours, the step between, its curve, its cost.

use std::collections::BTreeSet;

use rungs_report::format;
use rungs_report::table::{Cell, CellStatus, MetricHead, Row, Value};
use rungs_spec::metric::{self, Direction};

use super::adds::what_it_adds;
use super::arrange::sides;
use super::color;
use crate::charts::{self, mean_curve};
use crate::human::{bytes, duration, percent, plural, rate};
use crate::view::View;

pub(super) struct RowView {
    pub(super) id: String,
    pub(super) color: usize,
    pub(super) label: String,
    pub(super) small: String,
    /// By column id.
    pub(super) cells: Vec<(String, CellView)>,
    pub(super) cost: CostView,
}

/// What a run of a row took, mean over its finished runs.
#[derive(Default)]
pub(super) struct CostView {
    pub(super) time: String,
    pub(super) seconds: Option<f64>,
    pub(super) epoch: String,
    pub(super) speed: String,
    pub(super) memory: String,
    pub(super) energy: String,
}

/// A metric beside the chosen one.
pub(super) struct SideView {
    pub(super) metric: String,
    pub(super) ours: String,
    pub(super) value: Option<f64>,
    pub(super) paper: String,
    pub(super) paper_value: Option<f64>,
    pub(super) title: String,
}

#[derive(Default)]
pub(super) struct CellView {
    pub(super) id: String,
    pub(super) runs: bool,
    pub(super) paper: String,
    pub(super) paper_value: Option<f64>,
    pub(super) paper_step: String,
    pub(super) unverified: bool,
    pub(super) status: &'static str,
    pub(super) ours: Option<String>,
    pub(super) value: Option<f64>,
    pub(super) n: Option<usize>,
    pub(super) href: Option<String>,
    pub(super) small: String,
    pub(super) title: String,
    pub(super) best: bool,
    pub(super) share: Option<u8>,
    /// What is proved of the value beside the paper's.
    pub(super) verdict: Option<&'static str>,
    pub(super) step: String,
    pub(super) step_class: &'static str,
    pub(super) step_small: String,
    pub(super) step_title: String,
    pub(super) delta_value: Option<f64>,
    pub(super) spark: String,
    pub(super) sides: Vec<SideView>,
    /// Places left empty beside a cell without runs.
    pub(super) fill: usize,
}

pub(super) fn row_view(view: &View, row: &Row, head: &MetricHead, shown: &[String]) -> RowView {
    RowView {
        id: row.id.clone(),
        color: color(view, &row.id),
        label: row.label.clone(),
        small: what_it_adds(view, row),
        cells: view
            .table
            .columns
            .iter()
            .filter_map(|c| {
                let cell = cell_view(view, row, &c.id, row.cells.get(&c.id)?, head);
                Some((c.id.clone(), cell))
            })
            .collect(),
        cost: cost(
            view,
            row.cells
                .iter()
                .filter(|(column, _)| shown.contains(column))
                .map(|(_, cell)| cell),
        ),
    }
}

/// Of the finished runs of these cells; a dash where none is, or where they train different networks, of
/// whose times a mean would say nothing.
pub(super) fn cost<'a>(view: &View, cells: impl Iterator<Item = &'a Cell> + Clone) -> CostView {
    let mean = |values: Vec<f64>| {
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let models: BTreeSet<&str> = cells
        .clone()
        .flat_map(|c| &c.runs)
        .filter_map(|run| view.results.get(run))
        .filter(|run| run.finished.is_some())
        .map(|run| run.recipe.model.as_str())
        .collect();
    if models.len() > 1 {
        return CostView {
            time: "–".to_owned(),
            epoch: plural(models.len(), "network"),
            speed: "–".to_owned(),
            ..CostView::default()
        };
    }
    let costs: Vec<_> = cells.clone().filter_map(|c| c.cost).collect();
    let seconds = mean(costs.iter().map(|c| c.seconds).collect());
    let speed = mean(costs.iter().filter_map(|c| c.images_per_s).collect());
    let energy = mean(costs.iter().filter_map(|c| c.energy_j).collect());
    let finished: Vec<_> = cells
        .flat_map(|c| &c.runs)
        .filter_map(|run| view.results.get(run)?.finished.as_ref())
        .collect();
    let epoch = mean(
        finished
            .iter()
            .flat_map(|f| f.epoch_seconds.iter().copied())
            .collect(),
    );
    let memory = finished
        .iter()
        .map(|f| f.peak_bytes)
        .max()
        .filter(|b| *b > 0);
    CostView {
        time: seconds.map_or_else(|| "–".to_owned(), duration),
        seconds,
        epoch: epoch.map_or_else(String::new, |s| format!("{} an epoch", duration(s))),
        speed: speed.map_or_else(|| "–".to_owned(), rate),
        memory: memory.map_or_else(String::new, bytes),
        energy: energy.map_or_else(String::new, rungs_report::format::energy),
    }
}

fn side_view(cell: &Cell, side: &MetricHead) -> SideView {
    let empty = Value::default();
    let value = cell.metrics.get(&side.name).unwrap_or(&empty);
    let number = |x| format::number(&side.name, x);
    SideView {
        metric: side.name.clone(),
        ours: match value.mean {
            Some(mean) => number(mean),
            None if metric::is_timed(&side.name) && cell.emulated => "emulated".to_owned(),
            None => "–".to_owned(),
        },
        value: value.mean,
        paper: value
            .paper
            .map_or_else(String::new, |x| format!("paper {}", number(x))),
        paper_value: value.paper,
        title: value.reason.clone().unwrap_or_default(),
    }
}

fn cell_view(view: &View, row: &Row, column: &str, cell: &Cell, head: &MetricHead) -> CellView {
    let empty = Value::default();
    let value = cell.metrics.get(&head.name).unwrap_or(&empty);
    let number = |x| format::number(&head.name, x);
    let timed = metric::is_timed(&head.name);
    let live = live(view, cell);
    let profile = view.plan.profile.as_deref();
    let in_the_papers_setting = profile.is_none_or(|p| p == "paper");
    let (step, step_class, step_small, step_title) = step(value, head);
    CellView {
        id: format!("{}/{column}", row.id),
        runs: cell.status != CellStatus::Reference,
        paper: value.paper.map_or_else(|| "–".to_owned(), number),
        paper_value: value.paper,
        paper_step: value
            .paper_delta
            .map_or_else(String::new, |d| format::delta(&head.name, d)),
        unverified: value.unverified,
        status: cell.status.word(),
        ours: value.mean.map(number),
        value: value.mean,
        n: value.n,
        href: match timed {
            true => timing_run(view, row, column).filter(|_| value.mean.is_some()),
            false => shown_run(view, cell),
        }
        .map(|key| format!("/runs/{key}")),
        // Elsewhere only the sign of a step is judged, which the chip beside it shows.
        verdict: value.verdict.filter(|_| in_the_papers_setting),
        small: match value.n {
            // The status speaks of training runs.
            Some(n) if timed => format!("n {n}"),
            None if timed && cell.emulated => "emulated".to_owned(),
            None if timed => {
                match timing_run(view, row, column).and_then(|run| view.results.get(run)) {
                    Some(run) => format!("timing {}", run.state.word()),
                    None => "not timed".to_owned(),
                }
            }
            _ if value.external => "labels held by the server".to_owned(),
            _ => small(value, cell, head, &live),
        },
        title: title(value, cell, head),
        best: value.best && value.mean.is_some(),
        share: (!timed && cell.status == CellStatus::Running).then(|| percent(cell.progress.share)),
        step,
        step_class,
        step_small,
        step_title,
        delta_value: value.delta,
        spark: charts::spark(&mean_curve(view, &cell.runs, &head.name), head),
        sides: sides(&view.table, head)
            .into_iter()
            .map(|side| side_view(cell, side))
            .collect(),
        fill: 0,
    }
}

/// The run behind a cell's times and throughputs.
fn timing_run<'a>(view: &'a View, row: &Row, column: &str) -> Option<&'a rungs_spec::RunKey> {
    view.plan.cell(&row.id, column)?.timing.as_ref()
}

/// The run that a cell's number leads to: the one that needs a look, else the first that was queued.
fn shown_run<'a>(view: &View, cell: &'a Cell) -> Option<&'a rungs_spec::RunKey> {
    let wanted = match cell.status {
        CellStatus::Failed => "failed",
        CellStatus::Running => "running",
        _ => "",
    };
    let of_state = cell
        .runs
        .iter()
        .zip(&cell.states)
        .find(|(_, state)| **state == wanted)
        .map(|(run, _)| run);
    of_state.or_else(|| cell.runs.iter().find(|run| view.results.contains_key(run)))
}

/// What a running cell is doing now: `epoch 2 of 4`.
fn live(view: &View, cell: &Cell) -> String {
    let running = cell
        .runs
        .iter()
        .zip(&cell.states)
        .find(|(_, state)| **state == "running");
    let Some(run) = running.and_then(|(key, _)| view.results.get(key)) else {
        return String::new();
    };
    let p = run.progress;
    if p.steps_per_epoch == 0 {
        return "starting".to_owned();
    }
    let epoch = (p.step / p.steps_per_epoch + 1).min(u64::from(run.recipe.epochs));
    format!("epoch {epoch} of {}", run.recipe.epochs)
}

fn small(value: &Value, cell: &Cell, head: &MetricHead, live: &str) -> String {
    if cell.status == CellStatus::Running {
        return live.to_owned();
    }
    let mut words = Vec::new();
    if let Some(sd) = value.sd {
        words.push(format!("sd {}", format::number(&head.name, sd)));
    }
    if let Some(n) = value.n.filter(|n| *n > 0) {
        words.push(format!("n {n}"));
    }
    match cell.status {
        CellStatus::New if value.mean.is_none() => words.push("not run".to_owned()),
        CellStatus::Done | CellStatus::New | CellStatus::Reference | CellStatus::Running => {}
        other if cell.runs.len() > 1 => words.push(format!(
            "{} of {} done, {}",
            cell.progress.done,
            cell.runs.len(),
            other.word()
        )),
        other if value.mean.is_some() => words.push(other.word().to_owned()),
        _ => {}
    }
    words.join(" · ")
}

fn title(value: &Value, cell: &Cell, head: &MetricHead) -> String {
    let mut words = Vec::new();
    if let Some([low, high]) = value.ci95 {
        words.push(format!(
            "95 % CI of the mean {} to {}",
            format::number(&head.name, low),
            format::number(&head.name, high)
        ));
    }
    if !value.best_epoch.is_empty() {
        let epochs: Vec<String> = value.best_epoch.iter().map(u64::to_string).collect();
        words.push(format!("best epoch {}", epochs.join(", ")));
    }
    words.extend(cell.message.clone());
    words.extend(value.reason.clone());
    words.join(". ")
}

/// Chip, class, second line, explanation of a step. Colour only where a test found a difference in
/// the direction that is shown; outlined where the test speaks of two models only.
fn step(value: &Value, head: &MetricHead) -> (String, &'static str, String, String) {
    let Some(delta) = value.delta else {
        return ("–".to_owned(), "none", String::new(), String::new());
    };
    let text = format::delta(&head.name, delta);
    let class = match (better(value, head), value.test) {
        (Some(true), Some("mcnemar")) => "up models",
        (Some(false), Some("mcnemar")) => "down models",
        (Some(true), _) => "up",
        (Some(false), _) => "down",
        (None, _) => "flat",
    };
    let small = match (value.delta_ci95, value.test, value.p_holm) {
        (Some([low, high]), ..) => format!(
            "[{}, {}]",
            format::delta(&head.name, low),
            format::delta(&head.name, high)
        ),
        (None, Some("mcnemar"), Some(p)) => format!("2 models, {}", format::p_value(p)),
        _ => String::new(),
    };
    let test = match (value.test, value.p_holm) {
        (Some("mcnemar"), Some(p)) => format!(
            "McNemar's test of two trained models at the last epoch, {} after Holm",
            format::p_value(p)
        ),
        (Some(test), Some(p)) => format!(
            "{test} over seeds at the last epoch, {} after Holm",
            format::p_value(p)
        ),
        _ => String::new(),
    };
    (text, class, small, test)
}

/// Whether a significant step went the better way; `None` where nothing is proved.
pub fn better(value: &Value, head: &MetricHead) -> Option<bool> {
    let direction = metric::find(&head.name).map_or(Direction::None, |m| m.direction);
    let (delta, tested) = (value.delta?, value.test_delta?);
    if !value.significant() || (delta > 0.0) != (tested > 0.0) {
        return None;
    }
    match direction {
        Direction::Higher => Some(delta > 0.0),
        Direction::Lower => Some(delta < 0.0),
        Direction::None => None,
    }
}
