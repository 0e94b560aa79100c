//! Tidy CSV: one line per row x column x metric, in the order of the table.

use crate::error::ReportError;
use crate::show;
use crate::table::Table;

/// Columns. Empty = undefined. `*_low`, `*_high`: ends of 95 % intervals. `best_epoch`, `seeds` and
/// `runs` hold one entry per run, separated by spaces. `mean`, `sd` and deltas are unrounded, in the
/// metric's unit. A label that a spreadsheet would read as a formula starts with a space.
pub const HEADER: &[&str] = &[
    "experiment",
    "profile",
    "select",
    "row",
    "row_label",
    "on",
    "column",
    "column_label",
    "metric",
    "unit",
    "status",
    "emulated",
    "paper",
    "unverified",
    "n",
    "mean",
    "sd",
    "ci95_low",
    "ci95_high",
    "best_epoch",
    "delta",
    "delta_ci95_low",
    "delta_ci95_high",
    "paper_delta",
    "test",
    "p",
    "p_holm",
    "verdict",
    "reason",
    "external",
    "seeds",
    "runs",
    "paper_reference",
    "profile_note",
];

pub(super) fn render(table: &Table) -> Result<String, ReportError> {
    let failed = |e: String| ReportError::Write {
        format: "csv",
        message: e,
    };
    let mut writer = ::csv::WriterBuilder::new()
        .terminator(::csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer
        .write_record(HEADER)
        .map_err(|e| failed(e.to_string()))?;
    let reference = show::paper_reference(table.paper.as_ref());
    for (row, column, cell, metric, v) in table.values() {
        let [ci_low, ci_high] = ends(v.ci95);
        let [delta_low, delta_high] = ends(v.delta_ci95);
        let record = [
            table.experiment.clone(),
            table.profile.clone().unwrap_or_default(),
            table.select.word().to_owned(),
            row.id.clone(),
            plain(&row.label),
            row.on.clone().unwrap_or_default(),
            column.id.clone(),
            plain(&column.label),
            metric.name.clone(),
            metric.unit.clone(),
            cell.status.word().to_owned(),
            cell.emulated.to_string(),
            number(v.paper),
            v.unverified.to_string(),
            v.n.map_or_else(String::new, |n| n.to_string()),
            number(v.mean),
            number(v.sd),
            ci_low,
            ci_high,
            spaced(&v.best_epoch),
            number(v.delta),
            delta_low,
            delta_high,
            number(v.paper_delta),
            v.test.unwrap_or_default().to_owned(),
            number(v.p),
            number(v.p_holm),
            v.verdict.unwrap_or_default().to_owned(),
            plain(v.reason.as_deref().unwrap_or_default()),
            v.external.to_string(),
            spaced(&cell.seeds),
            spaced(&cell.runs),
            reference.clone(),
            table.profile_note.clone(),
        ];
        writer
            .write_record(&record)
            .map_err(|e| failed(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

fn ends(interval: Option<[f64; 2]>) -> [String; 2] {
    interval.map_or_else(Default::default, |ends| ends.map(|v| v.to_string()))
}

fn spaced<T: ToString>(values: &[T]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Text that no spreadsheet takes for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@']) {
        format!(" {text}")
    } else {
        text.to_owned()
    }
}
