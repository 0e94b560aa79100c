//! One self-contained page: no script, no other file, light and dark.

use askama::Template;

use crate::error::ReportError;
use crate::show;
use crate::table::{Cell, MetricHead, Table, Value};

#[derive(Template)]
#[template(path = "table.html")]
struct Page<'a> {
    table: &'a Table,
    reference: String,
    notes: Vec<String>,
    verdicts: Vec<String>,
}

impl Page<'_> {
    fn profile(&self) -> String {
        show::profile(self.table)
    }
    fn title(&self, metric: &MetricHead) -> String {
        show::metric_title(metric)
    }
    fn paper(&self, metric: &MetricHead, value: &Value) -> String {
        show::paper(metric, value)
    }
    fn paper_step(&self, metric: &MetricHead, value: &Value) -> String {
        show::paper_step(metric, value)
    }
    fn ours(&self, metric: &MetricHead, cell: &Cell, value: &Value) -> String {
        show::ours(metric, cell, value)
    }
    /// `±0.21 · n 3`
    fn qualifier(&self, metric: &MetricHead, cell: &Cell, value: &Value) -> String {
        let n = show::n(metric, cell, value);
        let n = if n.is_empty() { n } else { format!("n {n}") };
        let parts = [show::spread(metric, value), n];
        parts
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect::<Vec<_>>()
            .join(" \u{b7} ")
    }
    fn step(&self, metric: &MetricHead, value: &Value) -> String {
        show::step(metric, value)
    }
    fn interval(&self, metric: &MetricHead, value: &Value) -> String {
        show::interval(metric, value)
    }
    /// Colour only where the evidence is there.
    fn chip(&self, metric: &MetricHead, value: &Value) -> &'static str {
        match show::proven(metric, value) {
            _ if value.delta.is_none() => "none",
            Some(true) => "up",
            Some(false) => "down",
            None => "flat",
        }
    }
    fn cell<'b>(
        &self,
        row: &'b crate::table::Row,
        column: &str,
        metric: &str,
    ) -> Option<(&'b Cell, &'b Value)> {
        let cell = row.cells.get(column)?;
        Some((cell, cell.metrics.get(metric)?))
    }
}

pub(super) fn render(table: &Table) -> Result<String, ReportError> {
    let page = Page {
        table,
        reference: show::paper_reference(table.paper.as_ref()),
        notes: show::notes(table),
        verdicts: show::verdicts(table),
    };
    page.render().map_err(|e| ReportError::Write {
        format: "html",
        message: e.to_string(),
    })
}
