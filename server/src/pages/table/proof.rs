//! "What the numbers prove": the table in words, so that no colour is needed to read it.

use rungs_report::format;
use rungs_report::table::{MetricHead, Row, Table, Value};

use super::capital;
use super::cell::better;

pub(super) struct Proof {
    pub(super) term: String,
    pub(super) lines: Vec<ProofLine>,
}

pub(super) struct ProofLine {
    pub(super) strong: bool,
    pub(super) verb: String,
    pub(super) rest: String,
}

/// One row in words: what is proved column by column, what is undecided in one line.
pub(super) fn proof(table: &Table, row: &Row, head: &MetricHead) -> Proof {
    let term = row.label.trim_start_matches("+ ").to_owned();
    let plain = |verb: &str, rest: String| ProofLine {
        strong: false,
        verb: verb.to_owned(),
        rest,
    };
    if row.on.is_none() {
        return Proof {
            term,
            lines: vec![plain("root of the stack", String::new())],
        };
    }
    let (mut lines, mut undecided, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for column in table.columns.iter().filter(|c| !c.reference_only) {
        let Some(value) = row
            .cells
            .get(&column.id)
            .and_then(|c| c.metrics.get(&head.name))
        else {
            continue;
        };
        match (value.delta, better(value, head)) {
            (None, _) => missing.push(column.label.clone()),
            (Some(_), None) => {
                let p = value.p_holm.map_or_else(String::new, |p| {
                    format!(" ({})", sentence(&format::p_value(p)))
                });
                undecided.push(format!("{}{p}", column.label));
            }
            (Some(delta), Some(up)) => lines.push(proved(value, delta, up, &column.label, head)),
        }
    }
    if !undecided.is_empty() {
        lines.push(plain(
            "undecided",
            format!(" at {}", undecided.join(" and ")),
        ));
    }
    if !missing.is_empty() {
        let place = if lines.is_empty() {
            String::new()
        } else {
            format!(" at {}", missing.join(" and "))
        };
        lines.push(plain("no step yet", place));
    }
    Proof { term, lines }
}

/// Every verdict beside the paper with its evidence, of one metric: `+ LR warmup at BS=256: n too small,
/// ...`.
pub(super) fn verdicts(table: &Table, head: &MetricHead) -> Vec<String> {
    let of_metric = table.values().filter(|(.., m, _)| m.name == head.name);
    let lines = of_metric.filter_map(|(row, column, .., value)| {
        let (verdict, reason) = (value.verdict?, value.reason.as_deref()?);
        Some(format!(
            "{} at {}: {verdict}. {}.",
            row.label,
            column.label,
            capital(reason)
        ))
    });
    lines.collect()
}

fn proved(value: &Value, delta: f64, up: bool, column: &str, head: &MetricHead) -> ProofLine {
    let models = value.test == Some("mcnemar");
    let verb = match (up, models) {
        (true, true) => "a better model",
        (false, true) => "a worse model",
        (true, false) => "helps",
        (false, false) => "hurts",
    };
    let paper = match (value.verdict, value.paper_delta) {
        (Some("same sign"), _) => ", as the paper says".to_owned(),
        (Some("opposite sign"), Some(theirs)) => format!(
            ", against the paper's {}",
            format::delta(&head.name, theirs)
        ),
        _ => String::new(),
    };
    let p = value.p_holm.map_or_else(String::new, |p| {
        format!(", {}", sentence(&format::p_value(p)))
    });
    ProofLine {
        strong: !models,
        verb: format!("{verb} at {column}"),
        rest: format!(": {}{p}{paper}", format::delta(&head.name, delta)),
    }
}

/// A short formula that a line does not break: `p = 0.03`.
fn sentence(formula: &str) -> String {
    formula.replace(' ', "\u{a0}")
}
