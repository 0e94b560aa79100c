//! One self-contained page: no script, no other file, light and dark. Numbers, curves, recipes, and what it
//! was all made with.

use askama::Template;

use super::Source;
use super::provenance::{self, Cost, Made, RunLine};
use super::stack::{self, Recipe, RowChanges};
use crate::chart::diagram::Diagram;
use crate::chart::{self, ChartSpec, Theme};
use crate::error::ReportError;
use crate::show;
use crate::table::{Cell, MetricHead, Table, Value};

/// Bytes of all curves together: a report can be sent by mail.
const MOST_CURVES: usize = 1_200_000;
/// Row colours there are; a row's is its place in the file, as on the pages.
const COLOURS: usize = chart::ROW_COLOURS.len();

#[derive(Template)]
#[template(path = "table.html")]
struct Page<'a> {
    table: &'a Table,
    reference: String,
    notes: Vec<String>,
    verdicts: Vec<String>,
    diagram: Option<String>,
    curves: Vec<String>,
    left_out: usize,
    changes: Vec<RowChanges>,
    roots: Vec<Recipe>,
    made: Vec<Made>,
    cost: Cost,
    command: String,
    file: String,
    runs: Vec<RunLine>,
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

pub(super) fn render(source: &Source<'_>) -> Result<String, ReportError> {
    let table = source.table;
    let (curves, left_out) = curves(source, MOST_CURVES)?;
    let experiment = &source.plan.experiment;
    let page = Page {
        table,
        reference: show::paper_reference(table.paper.as_ref()),
        // What the profile narrows stands above the numbers.
        notes: show::notes(table)
            .into_iter()
            .filter(|note| table.profile_note.is_empty() || !note.ends_with(&table.profile_note))
            .collect(),
        verdicts: show::verdicts(table),
        diagram: diagram(source)?,
        curves,
        left_out,
        changes: stack::changes(source.plan, source.set),
        roots: stack::roots(source.plan, source.set),
        made: provenance::made(source),
        cost: provenance::cost(source),
        command: provenance::command(source),
        file: format!("{}.toml, BLAKE3 {}", experiment.name, experiment.hash),
        runs: provenance::runs(source),
    };
    page.render().map_err(|e| ReportError::Write {
        format: "html",
        message: e.to_string(),
    })
}

/// The block diagram of a figure that names models.
fn diagram(source: &Source<'_>) -> Result<Option<String>, ReportError> {
    let figure = source.plan.experiment.figure.as_ref();
    let Some(models) = figure.map(|f| &f.models).filter(|m| !m.is_empty()) else {
        return Ok(None);
    };
    let diagram = Diagram::new(models).map_err(|e| ReportError::Chart(e.to_string()))?;
    Ok(Some(diagram.svg(1200, Theme::Auto)))
}

/// A picture of every metric that runs evaluated, by epoch, for every column; and how many there was no
/// room for.
fn curves(source: &Source<'_>, most: usize) -> Result<(Vec<String>, usize), ReportError> {
    let table = source.table;
    let place = |id: &str| {
        let rows = &source.plan.experiment.rows;
        rows.iter().position(|row| row.id == id).unwrap_or(0) % COLOURS
    };
    let (mut pictures, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for metric in &table.metrics {
        for column in &table.columns {
            let spec = ChartSpec {
                theme: Theme::Auto,
                width: 560,
                height: 320,
                ..ChartSpec::default()
            };
            let spec =
                chart::of_table(spec, table, source.results, &column.id, &metric.name, place);
            if spec.series.is_empty() {
                continue;
            }
            let svg = chart::line(&spec)?;
            if bytes + svg.len() > most {
                left_out += 1;
                continue;
            }
            bytes += svg.len();
            pictures.push(svg);
        }
    }
    Ok((pictures, left_out))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixtures;
    use crate::table::{Select, build};

    #[test]
    fn curves_that_find_no_room_are_counted() {
        let plan = fixtures::plan("quick", 1);
        let results = fixtures::finished(&plan);
        let table = build(&plan, &results, Select::Best);
        let source = Source {
            table: &table,
            plan: &plan,
            results: &results,
            set: &[],
        };
        let (all, none) = curves(&source, MOST_CURVES).unwrap();
        assert_eq!((all.len(), none), (4, 0), "two metrics, two columns");
        let room = all[0].len() + 1;
        let (some, left_out) = curves(&source, room).unwrap();
        assert_eq!((some.len(), left_out), (1, 3));
    }

    #[test]
    fn a_figure_of_models_is_its_diagram() {
        let text = "title = \"Tweaks\"\n[figure]\nmodels = [\"resnet50\", \"resnet50b\"]";
        let plan = fixtures::plan_of(text, None, 1);
        let results = BTreeMap::new();
        let table = build(&plan, &results, Select::Best);
        let source = Source {
            table: &table,
            plan: &plan,
            results: &results,
            set: &[],
        };
        let html = render(&source).unwrap();
        assert!(html.contains("was stride 2"));
        assert!(!html.contains("<table"), "there is nothing to tabulate");
        let csv = super::super::export(&source, super::super::Format::Csv, Default::default());
        let said = csv.unwrap_err().to_string();
        assert!(
            said.contains("`--format csv`") && said.contains("block diagram"),
            "{said}"
        );
    }
}
