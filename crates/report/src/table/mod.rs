//! A table: one experiment under one profile, paper and ours side by side.
//!
//! The types serialise to the JSON of `runner export --format json` and
//! `GET /api/v1/tables/{experiment}` (docs/schema/table.schema.json). `None` is `null`: undefined,
//! with the reason in `reason`.

mod attribution;
mod build;
mod cell;
mod compare;
mod fairness;
mod judge;
#[cfg(test)]
mod tests;
pub(crate) mod value;

pub use attribution::{Attribution, Estimate, Part};
pub use build::build;
pub(crate) use build::per_seed;
pub use cell::gpu_energy;
pub use fairness::Warning;
pub(crate) use judge::N_TOO_SMALL;

/// Why a cell in emulated half precision has no time and no throughput.
pub(crate) const EMULATED_SPEED: &str = "FP16 is emulated on this CPU: its speed says nothing";

use std::collections::BTreeMap;
use std::str::FromStr;

use rungs_spec::RunKey;
use rungs_spec::experiment::Paper;
use serde::{Deserialize, Serialize};

use crate::error::{ReportError, choose};

/// Which epoch's values are shown. Tests always use the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// Of each run its best validation epoch, as the paper reports: selected on val.
    #[default]
    Best,
    /// Of each run its last epoch.
    Last,
}

impl Select {
    /// The word in URLs, options and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Select::Best => "best",
            Select::Last => "last",
        }
    }
}

impl FromStr for Select {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose(
            "selection",
            word,
            &[("best", Select::Best), ("last", Select::Last)],
        )
    }
}

/// One experiment under one profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// File stem.
    pub experiment: String,
    /// One sentence.
    pub title: String,
    /// Profile in force; `None` = the file as written.
    pub profile: Option<String>,
    /// What the profile narrows, for people ([`crate::profile::profile_note`]).
    pub profile_note: String,
    /// Which epoch is shown.
    pub select: Select,
    /// Where the paper's numbers are printed.
    pub paper: Option<Paper>,
    /// Half-width of the verdict's equivalence interval, points.
    pub tolerance: f64,
    /// Seeds of every cell.
    pub seeds: u64,
    /// Metrics shown, in order.
    pub metrics: Vec<MetricHead>,
    /// Settings across.
    pub columns: Vec<ColumnHead>,
    /// Stacks of refinements, downwards.
    pub rows: Vec<Row>,
    /// What each refinement is worth, by column and metric of percent.
    pub attribution: Vec<Attribution>,
    /// Differences between compared rows that they do not declare.
    pub warnings: Vec<Warning>,
}

/// A metric of a table, from the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricHead {
    /// Name: `val/top1`.
    pub name: String,
    /// What people call it: `Top-1`.
    pub title: String,
    /// Unit; empty for plain numbers.
    pub unit: String,
    /// Decimals shown.
    pub digits: usize,
}

/// A column's heading.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnHead {
    /// Id.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Paper values only, no runs.
    pub reference_only: bool,
}

/// A stack of refinements with its cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Id.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Row that its delta speaks of: the one it stands on, or, of a row that leaves one refinement out, the
    /// one with all; `None` for a root, which has no delta.
    pub on: Option<String>,
    /// Refinements it adds.
    pub add: Vec<String>,
    /// Cells by column id.
    pub cells: BTreeMap<String, Cell>,
}

/// Row x column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Of its training runs together.
    pub status: CellStatus,
    /// Whether half precision is emulated in it.
    pub emulated: bool,
    /// Seeds of its runs.
    pub seeds: Vec<u64>,
    /// Its runs, in the order of `seeds`.
    pub runs: Vec<RunKey>,
    /// State of each run, in the order of `seeds`.
    pub states: Vec<&'static str>,
    /// How far its runs are.
    pub progress: CellProgress,
    /// What went wrong in its runs, one paragraph.
    pub message: Option<String>,
    /// What its finished runs took.
    pub cost: Option<Cost>,
    /// Values by metric name.
    pub metrics: BTreeMap<String, Value>,
}

/// Status of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellStatus {
    /// All runs are finished.
    Done,
    /// Some are, and nothing is on its way.
    Partial,
    /// One is being trained.
    Running,
    /// One waits for a slot.
    Queued,
    /// One waits for another run.
    Blocked,
    /// One was given up.
    Failed,
    /// One was taken off the queue by a person.
    Cancelled,
    /// Never queued.
    New,
    /// Paper values only.
    Reference,
}

impl CellStatus {
    /// The word in JSON and HTML.
    pub fn word(self) -> &'static str {
        match self {
            CellStatus::Done => "done",
            CellStatus::Partial => "partial",
            CellStatus::Running => "running",
            CellStatus::Queued => "queued",
            CellStatus::Blocked => "blocked",
            CellStatus::Failed => "failed",
            CellStatus::Cancelled => "cancelled",
            CellStatus::New => "new",
            CellStatus::Reference => "reference",
        }
    }
}

/// How far a cell's runs are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CellProgress {
    /// Finished runs.
    pub done: usize,
    /// Runs.
    pub runs: usize,
    /// Share of the work done, 0 to 1: the mean over runs of steps done / steps in all.
    pub share: f64,
}

/// What the finished runs of a cell took, mean over them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Seconds of all epochs of one run, evaluation included.
    pub seconds: f64,
    /// Training images per second, as training reported it beside whatever else ran: no timing.
    pub images_per_s: Option<f64>,
    /// Joules that the GPUs of one run took, whole cards; `None` where their driver did not tell it of every
    /// epoch.
    pub energy_j: Option<f64>,
}

/// One metric of one cell.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Value {
    /// What the paper printed.
    pub paper: Option<f64>,
    /// No source was at hand for the paper's number.
    pub unverified: bool,
    /// Values that the mean is over; `None` where nothing is measured (parameters, MACs); 1 for times
    /// and throughputs, which one timing run stands behind.
    pub n: Option<usize>,
    /// Mean over finished runs.
    pub mean: Option<f64>,
    /// Sample standard deviation over them.
    pub sd: Option<f64>,
    /// 95 % confidence interval of the mean (t).
    pub ci95: Option<[f64; 2]>,
    /// The value of each finished run, in the order of seeds.
    pub values: Vec<f64>,
    /// Best validation epoch of each finished run, in the order of seeds.
    pub best_epoch: Vec<u64>,
    /// Mean difference to the row this row stands on, over common seeds, of the shown values.
    pub delta: Option<f64>,
    /// 95 % confidence interval of `delta` (paired t).
    pub delta_ci95: Option<[f64; 2]>,
    /// The same difference in what the paper printed, rounded to two digits more than the metric has.
    pub paper_delta: Option<f64>,
    /// Test of the difference at the last epoch: `paired-t`, or `mcnemar` with one common seed,
    /// which compares two trained models, not two recipes.
    pub test: Option<&'static str>,
    /// Two-sided p of that test.
    pub p: Option<f64>,
    /// `p` after Holm's correction over this metric in this table.
    pub p_holm: Option<f64>,
    /// Mean difference at the last epoch, which `test` speaks of.
    pub test_delta: Option<f64>,
    /// Best mean of its column.
    pub best: bool,
    /// Labels are held elsewhere: only an external judge can tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// Judgement: `reproduced`, `off`, `undecided`, `n too small`, `same sign`, `opposite sign`.
    pub verdict: Option<&'static str>,
    /// Evidence for the verdict, or why there is no verdict or no value.
    pub reason: Option<String>,
}

impl Value {
    /// Whether the difference is significant at 5 % after Holm's correction.
    pub fn significant(&self) -> bool {
        self.p_holm.is_some_and(|p| p < 0.05)
    }
}

impl Table {
    /// The row of that id.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.id == id)
    }
    /// The cell of a row and column.
    pub fn cell(&self, row: &str, column: &str) -> Option<&Cell> {
        self.row(row)?.cells.get(column)
    }
    /// One metric of one cell.
    pub fn value(&self, row: &str, column: &str, metric: &str) -> Option<&Value> {
        self.cell(row, column)?.metrics.get(metric)
    }
    /// Every value with its place, row by row, column by column, metric by metric.
    pub fn values(&self) -> impl Iterator<Item = (&Row, &ColumnHead, &Cell, &MetricHead, &Value)> {
        self.rows.iter().flat_map(move |row| {
            self.columns
                .iter()
                .filter_map(move |column| Some((column, row.cells.get(&column.id)?)))
                .flat_map(move |(column, cell)| {
                    self.metrics.iter().filter_map(move |metric| {
                        Some((row, column, cell, metric, cell.metrics.get(&metric.name)?))
                    })
                })
        })
    }
    /// Verdicts that fail `--check`: `off`, and a significant wrong sign.
    pub fn contradictions(&self) -> Vec<String> {
        self.values()
            .filter(|(.., value)| matches!(value.verdict, Some(judge::OFF | judge::OPPOSITE)))
            .map(|(row, column, _, metric, value)| {
                let reason = value.reason.as_deref().unwrap_or("");
                format!(
                    "{} / {} / {}: {}: {reason}",
                    row.id,
                    column.id,
                    metric.name,
                    value.verdict.unwrap_or("")
                )
            })
            .collect()
    }
}
