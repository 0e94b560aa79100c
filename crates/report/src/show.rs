//! The words and numbers of a table as every written form shows them: terminal, Markdown, LaTeX,
//! HTML and the pages say the same.

use rungs_spec::experiment::{Mode, Paper};
use rungs_spec::metric::{Direction, is_timed};

use crate::format::{delta, number, signed};
use crate::table::{
    Cell, CellStatus, EMULATED_SPEED, Estimate, MetricHead, Select, Table, Value, Warning,
};

/// What `†` stands for.
pub const UNVERIFIED: &str =
    "\u{2020} unverified: a number of the paper that no source was at hand for; never judged.";
/// How times and throughputs are measured.
pub const TIMES: &str = "Times and throughputs: training alone, without evaluation, of a short run of its own \
                         on a machine that trains nothing else; the median over its epochs. They are never judged.";

/// What the paper printed, at the metric's digits; `†` where no source was at hand.
pub fn paper(metric: &MetricHead, value: &Value) -> String {
    let mark = if value.unverified { "\u{2020}" } else { "" };
    value
        .paper
        .map_or_else(|| "\u{2013}".to_owned(), |v| number(&metric.name, v) + mark)
}

/// Our number; where there is none, why: the status of the cell with its progress, or `null`'s
/// short reason.
pub fn ours(metric: &MetricHead, cell: &Cell, value: &Value) -> String {
    match value.mean {
        Some(mean) => number(&metric.name, mean),
        None if value.external => "external".to_owned(),
        // The status speaks of training runs.
        None if is_timed(&metric.name) && cell.status != CellStatus::New => "\u{2013}".to_owned(),
        None => match cell.status {
            CellStatus::Done | CellStatus::Reference => "\u{2013}".to_owned(),
            CellStatus::Running => format!("running {:.0} %", 100.0 * cell.progress.share),
            CellStatus::Partial => "\u{2013}".to_owned(),
            other => other.word().to_owned(),
        },
    }
}

/// `±0.21`: half the 95 % interval of the mean; empty with one seed.
pub fn spread(metric: &MetricHead, value: &Value) -> String {
    value.ci95.map_or_else(String::new, |[low, high]| {
        format!("\u{b1}{}", number(&metric.name, (high - low) / 2.0))
    })
}

/// The step from the row below; `–` for a root or while one of the two is missing.
pub fn step(metric: &MetricHead, value: &Value) -> String {
    value
        .delta
        .map_or_else(|| "\u{2013}".to_owned(), |d| delta(&metric.name, d))
}

/// The step in what the paper printed.
pub fn paper_step(metric: &MetricHead, value: &Value) -> String {
    value
        .paper_delta
        .map_or_else(|| "\u{2013}".to_owned(), |d| delta(&metric.name, d))
}

/// `[−0.4, +1.3]`; empty where undefined.
pub fn interval(metric: &MetricHead, value: &Value) -> String {
    value.delta_ci95.map_or_else(String::new, |[low, high]| {
        format!(
            "[{}, {}]",
            delta(&metric.name, low),
            delta(&metric.name, high)
        )
    })
}

/// Whether the step is proven to help (`Some(true)`) or to hurt: significant over seeds, in the
/// metric's own direction. `None` where nothing is proven: only this may be coloured.
pub fn proven(metric: &MetricHead, value: &Value) -> Option<bool> {
    let step = value
        .test_delta
        .filter(|_| value.significant() && value.test == Some("paired-t"))?;
    match rungs_spec::metric::find(&metric.name)?.direction {
        Direction::Higher => Some(step > 0.0),
        Direction::Lower => Some(step < 0.0),
        Direction::None => None,
    }
}

/// `3`, or `2/3` while runs are missing; empty where nothing is measured.
pub fn n(metric: &MetricHead, cell: &Cell, value: &Value) -> String {
    match value.n {
        Some(n) if is_timed(&metric.name) => n.to_string(),
        Some(n) if n == cell.progress.runs => n.to_string(),
        Some(n) => format!("{n}/{}", cell.progress.runs),
        None => String::new(),
    }
}

/// `Top-1, %`
pub fn metric_title(metric: &MetricHead) -> String {
    if metric.unit.is_empty() {
        metric.title.clone()
    } else {
        format!("{}, {}", metric.title, metric.unit)
    }
}

/// `arXiv 1812.01187, Table 4`; empty without a paper.
pub fn paper_reference(paper: Option<&Paper>) -> String {
    let Some(paper) = paper else {
        return String::new();
    };
    let parts = [
        paper.arxiv.as_ref().map(|a| format!("arXiv {a}")),
        paper.table.as_ref().map(|t| format!("Table {t}")),
        paper.figure.as_ref().map(|f| format!("Figure {f}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `profile quick`, or that the file stands as written.
pub fn profile(table: &Table) -> String {
    table.profile.as_ref().map_or_else(
        || "the file as written".to_owned(),
        |p| format!("profile {p}"),
    )
}

/// What selection of epochs means for the shown numbers.
pub fn selection(select: Select) -> &'static str {
    match select {
        Select::Best => "each run's best epoch, selected on val, as the paper reports",
        Select::Last => "each run's last epoch",
    }
}

/// The lines under every written table: what profile, what selection, how to read it.
pub fn notes(table: &Table) -> Vec<String> {
    let mut notes = attributions(table);
    notes.push(format!(
        "{}: {}",
        capital(&profile(table)),
        table.profile_note
    ));
    notes.push(format!(
        "Values: {}; tests use the last epoch. step = difference to the row it stands on, paired by seed; \
         brackets and \u{b1} = 95 % confidence interval over n seeds.",
        selection(table.select)
    ));
    if table.values().any(|(.., v)| v.test == Some("mcnemar")) {
        notes.push(format!(
            "With one seed a step is tested by McNemar on the same images, which {}.",
            crate::stats::mcnemar::COMPARES
        ));
    }
    if table.values().any(|(.., v)| v.unverified) {
        notes.push(UNVERIFIED.to_owned());
    }
    let mut held = table.values().filter(|(.., v)| v.external);
    if let Some(why) = held.find_map(|(.., v)| v.reason.as_ref()) {
        notes.push(format!("External: {why}."));
    }
    let timed: Vec<&Value> = table
        .values()
        .filter(|(_, column, _, metric, _)| is_timed(&metric.name) && !column.reference_only)
        .map(|(.., value)| value)
        .collect();
    if !timed.is_empty() {
        notes.push(TIMES.to_owned());
    }
    if timed
        .iter()
        .any(|v| v.reason.as_deref() == Some(EMULATED_SPEED))
    {
        notes.push(format!("{EMULATED_SPEED}."));
    }
    notes.extend(
        table
            .warnings
            .iter()
            .map(|warning| warning_note(table, warning)),
    );
    for row in &table.rows {
        for column in &table.columns {
            if let Some(message) = row.cells.get(&column.id).and_then(|c| c.message.as_ref()) {
                notes.push(format!("{} / {}: {message}", row.label, column.label));
            }
        }
    }
    notes
}

/// Every unfair difference in the table, one line each.
pub fn warnings(table: &Table) -> Vec<String> {
    table
        .warnings
        .iter()
        .map(|warning| warning_note(table, warning))
        .collect()
}

/// `Fairness: epochs 200 against 120 ...: + Mixup (ResNet-50-D, MobileNet).`
fn warning_note(table: &Table, warning: &Warning) -> String {
    let mut places: Vec<(&str, Vec<&str>)> = Vec::new();
    for [row, column] in &warning.cells {
        let row = table.row(row).map_or(row.as_str(), |r| r.label.trim());
        let column = table.columns.iter().find(|c| c.id == *column);
        let column = column.map_or("", |c| c.label.as_str());
        match places.iter_mut().find(|(known, _)| *known == row) {
            Some((_, columns)) => columns.push(column),
            None => places.push((row, vec![column])),
        }
    }
    let places: Vec<String> = places
        .into_iter()
        .map(|(row, columns)| format!("{row} ({})", columns.join(", ")))
        .collect();
    format!("Fairness: {}: {}.", warning.text, places.join("; "))
}

/// The lines that attribute the total gain of a generated table to its refinements.
fn attributions(table: &Table) -> Vec<String> {
    let generated = table.attribution.iter().filter(|a| a.mode != Mode::Stacked);
    generated
        .map(|a| {
            let digits = rungs_spec::metric::find(&a.metric).map_or(2, |m| m.digits);
            let shown = |e: &Estimate| {
                let ci = e.ci95.map_or_else(String::new, |[low, high]| {
                    format!(" [{}, {}]", signed(low, digits), signed(high, digits))
                });
                format!("{}{ci}", signed(e.delta, digits))
            };
            let parts: Vec<String> = a
                .parts
                .iter()
                .map(|part| format!("{} {}", part.label, shown(&part.estimate)))
                .collect();
            let how = match a.mode {
                Mode::Stacked => "steps of the stack",
                Mode::LeaveOneOut => "lost without it",
                Mode::OneAtATime => "gained alone",
                Mode::AllSubsets => "Shapley value",
            };
            let column = table.columns.iter().find(|c| c.id == a.column);
            let column = column.map_or(a.column.as_str(), |c| c.label.as_str());
            let metric = table.metrics.iter().find(|m| m.name == a.metric);
            let metric = metric.map_or(a.metric.as_str(), |m| m.title.as_str());
            let total = a.total.as_ref().map_or_else(
                || "total not known yet".to_owned(),
                |total| format!("total {} (n = {})", shown(total), total.n),
            );
            let rest = a.interaction.map_or_else(String::new, |x| {
                format!("; interaction {}", signed(x, digits))
            });
            format!(
                "{column}, {metric}: {total} = {} ({how}){rest}.",
                parts.join(", ")
            )
        })
        .collect()
}

/// Every verdict with its place and evidence, one line each.
pub fn verdicts(table: &Table) -> Vec<String> {
    table
        .values()
        .filter_map(|(row, column, _, metric, value)| {
            let (verdict, reason) = (value.verdict?, value.reason.as_deref().unwrap_or(""));
            Some(format!(
                "{}, {}, {}: {verdict} ({reason})",
                row.label, column.label, metric.title
            ))
        })
        .collect()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
