//! The last evaluation and the outcome of a run, as numbers.

use rungs_report::compare::JUDGED_BY;
use rungs_report::format;
use rungs_spec::metric;
use rungs_spec::result::RunResult;

use crate::human::{bytes, grouped};

/// A number with what qualifies it.
pub(super) struct Figure {
    pub(super) label: String,
    pub(super) text: String,
    pub(super) small: String,
    pub(super) metric: Option<String>,
    pub(super) value: f64,
}

/// The last evaluation and the outcome, as numbers.
pub(super) fn figures(result: &RunResult) -> Vec<Figure> {
    let mut figures = Vec::new();
    for split in ["val", "test"] {
        let Some(last) = result
            .evaluations
            .iter()
            .filter(|e| e.split == split)
            .max_by_key(|e| e.epoch)
        else {
            continue;
        };
        // Those of the system have charts, and say nothing of what was learnt.
        let learnt = last.metrics.iter().filter(|m| !m.0.starts_with("system/"));
        for (name, value) in learnt {
            let Some(known) = metric::find(name) else {
                continue;
            };
            figures.push(Figure {
                label: known.title.to_owned(),
                text: format!("{}{}", format::number(name, *value), unit(known)),
                small: format!("epoch {} · {} images", last.epoch, grouped(last.n)),
                metric: Some(name.clone()),
                value: *value,
            });
        }
    }
    if let Some(done) = &result.finished {
        let plain = |label: &str, text: String, small: &str| Figure {
            label: label.to_owned(),
            text,
            small: small.to_owned(),
            metric: None,
            value: 0.0,
        };
        figures.push(plain(
            "Best epoch",
            done.best_epoch.to_string(),
            &chosen_by(result),
        ));
        figures.push(plain(
            "Peak memory",
            bytes(done.peak_bytes),
            "of the trainer",
        ));
        figures.push(plain(
            "Weights",
            done.weights_blake3
                .get(..12)
                .unwrap_or(&done.weights_blake3)
                .to_owned(),
            "BLAKE3, first digits",
        ));
    }
    figures
}

/// `by mean IoU on val`: what the task is judged by.
fn chosen_by(result: &RunResult) -> String {
    let has = |name: &&str| {
        let mut evaluations = result.evaluations.iter();
        evaluations.any(|e| e.split == "val" && e.metrics.contains_key(*name))
    };
    let name = JUDGED_BY.into_iter().find(has).unwrap_or(JUDGED_BY[0]);
    format!("by {} on val", metric::find(name).map_or(name, |m| m.title))
}

fn unit(metric: &metric::Metric) -> String {
    if metric.unit.is_empty() {
        String::new()
    } else {
        format!("\u{a0}{}", metric.unit)
    }
}
