//! A table as a file: csv, json, markdown, latex, html. Each names profile, dataset, what the
//! profile narrows, n, selection and where the paper printed its numbers; html also curves, recipes and what
//! the runs were made with.

mod csv;
mod html;
mod latex;
mod markdown;
mod provenance;
mod stack;
#[cfg(test)]
mod tests;

pub use csv::HEADER as CSV_HEADER;

use std::collections::BTreeMap;
use std::str::FromStr;

use rungs_spec::RunKey;
use rungs_spec::plan::Plan;
use rungs_spec::result::RunResult;

use crate::error::{ReportError, choose};
use crate::table::Table;

/// What a file is written from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The table.
    pub table: &'a Table,
    /// Its cells and runs.
    pub plan: &'a Plan,
    /// What is known of them.
    pub results: &'a BTreeMap<RunKey, RunResult>,
    /// Recipe keys changed by `--set`.
    pub set: &'a [String],
}

/// How our numbers are rounded in LaTeX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Round {
    /// At the metric's digits, as the paper prints: 76.15.
    #[default]
    Digits,
    /// At the first significant digit of the standard deviation over seeds, as siunitx writes it: 76.1(2).
    Sd,
}

impl FromStr for Round {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose(
            "rounding",
            word,
            &[("digits", Round::Digits), ("sd", Round::Sd)],
        )
    }
}

/// Formats of `runner export --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One line per row, column and metric.
    Csv,
    /// As the API.
    Json,
    /// A GitHub table.
    Markdown,
    /// A document that compiles as it is; the float between its marks can be copied.
    Latex,
    /// One self-contained page.
    Html,
    /// Predictions for an external judge; no table of metrics has one.
    Submission,
}

/// Formats by word, the long ones of the command line and the file endings of the pages.
const FORMATS: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("markdown", Format::Markdown),
    ("latex", Format::Latex),
    ("html", Format::Html),
    ("submission", Format::Submission),
    ("md", Format::Markdown),
    ("tex", Format::Latex),
];

impl FromStr for Format {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose("format", word, FORMATS)
    }
}

impl Format {
    /// Media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Json => "application/json",
            Format::Markdown => "text/markdown; charset=utf-8",
            Format::Latex => "application/x-tex; charset=utf-8",
            Format::Html => "text/html; charset=utf-8",
            Format::Submission => "text/plain; charset=utf-8",
        }
    }

    /// File ending without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Markdown => "md",
            Format::Latex => "tex",
            Format::Html => "html",
            Format::Submission => "txt",
        }
    }
}

fn word(format: Format) -> &'static str {
    FORMATS
        .iter()
        .find(|(_, known)| *known == format)
        .map_or("", |(word, _)| word)
}

/// The table in a format, ending with a line break. `round` speaks of LaTeX alone.
pub fn export(source: &Source<'_>, format: Format, round: Round) -> Result<String, ReportError> {
    let table = source.table;
    let figure = source.plan.experiment.figure.as_ref();
    if figure.is_some_and(|f| !f.models.is_empty())
        && !matches!(format, Format::Json | Format::Html)
    {
        return Err(ReportError::NotForThisTable {
            format: word(format).to_owned(),
            why: format!(
                "{} is a block diagram, which has no rows. Use --format svg, png, html or json",
                table.experiment
            ),
        });
    }
    match format {
        Format::Csv => csv::render(table),
        Format::Json => serde_json::to_string_pretty(table)
            .map(|text| text + "\n")
            .map_err(|e| ReportError::Write {
                format: "json",
                message: e.to_string(),
            }),
        Format::Markdown => Ok(markdown::render(table)),
        Format::Latex => Ok(latex::render(table, round)),
        Format::Html => html::render(source),
        Format::Submission => Err(ReportError::NotForThisTable {
            format: "submission".to_owned(),
            why: if table.metrics.iter().any(|m| m.name.starts_with("test/")) {
                format!(
                    "it holds predictions, which a trainer makes: `runner export {} --format submission`",
                    table.experiment
                )
            } else {
                format!(
                    "it holds predictions for a test set whose labels are held elsewhere, and every metric of {} is \
                     computed here. Use csv, json, markdown, latex or html",
                    table.experiment
                )
            },
        }),
    }
}
