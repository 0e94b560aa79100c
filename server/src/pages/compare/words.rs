//! The sentences at the top of a comparison, and its numbers as people read them.

use rungs_report::compare::{Comparison, Over};
use rungs_report::format;
use rungs_report::stats::mcnemar::COMPARES;
use rungs_report::table::Select;
use rungs_spec::metric;

use crate::human::grouped;

/// Sides that get a sentence.
const TOLD: usize = 4;

/// A sentence that begins with what it is about.
pub(super) struct Line {
    pub(super) strong: String,
    pub(super) rest: String,
}

/// What a reader should know first: how far the sides are apart, and on which images.
pub(super) fn lead(comparison: &Comparison, drawn: &str) -> Vec<Line> {
    let Some((first, others)) = comparison.sides.split_first() else {
        return Vec::new();
    };
    let judged = rungs_report::compare::JUDGED_BY.into_iter();
    let has = |name: &&str| comparison.metrics.iter().any(|head| head.name == *name);
    let Some(name) = [drawn].into_iter().chain(judged).find(has) else {
        return Vec::new();
    };
    let title = metric::find(name).map_or(name, |m| m.title);
    let mut lines = Vec::new();
    for side in others.iter().take(TOLD) {
        let at = |side: &rungs_report::compare::Side| {
            side.values.get(name).map(|v| v.at(Select::Last)).cloned()
        };
        let (Some(base), Some(ours)) = (at(first), at(side)) else {
            continue;
        };
        let Some(delta) = ours.delta else { continue };
        let interval = ours.delta_ci95.map_or_else(String::new, |[low, high]| {
            let (low, high) = (format::delta(name, low), format::delta(name, high));
            format!(" [{low}, {high}]")
        });
        let evidence = match ours.p {
            Some(p) => format!("over common seeds, {}", format::p_value(p)),
            None => format!("n {} and {}", ours.n, base.n),
        };
        lines.push(Line {
            strong: format!("{}: {}{interval}", side.label, format::delta(name, delta)),
            rest: format!(
                "{title} at the last epoch, {} against {} of {}; {evidence}.",
                shown(name, &ours),
                shown(name, &base),
                first.label,
            ),
        });
    }
    if let [pair] = comparison.agreement.as_slice()
        && let Some(of) = pair.images
    {
        lines.push(Line {
            strong: format!(
                "{} images against {}",
                grouped(of.only_b),
                grouped(of.only_a)
            ),
            rest: format!(
                "of {} are right in one of the two alone, {}. McNemar's exact test {COMPARES}.",
                grouped(of.n),
                format::p_value(of.p),
            ),
        });
    }
    lines
}

/// The mean; `NaN` where a value is none; a dash without a value.
pub(super) fn shown(name: &str, over: &Over) -> String {
    match over.mean {
        Some(mean) => format::number(name, mean),
        None if over.n > 0 => "NaN".to_owned(),
        None => "–".to_owned(),
    }
}

/// The second line of a number: the difference to the first side, else what qualifies it.
pub(super) fn step(name: &str, over: &Over, select: Select) -> String {
    let mut words = Vec::new();
    words.extend(over.delta.map(|d| format::delta(name, d)));
    match (over.n, over.epochs.as_slice()) {
        (0, _) => {}
        (1, [epoch]) if select == Select::Best => words.push(format!("epoch {epoch}")),
        (1, _) if over.delta.is_some() => {}
        (n, _) => words.push(format!("n {n}")),
    }
    words.join(" · ")
}

/// What the number rests on, in full.
pub(super) fn title(name: &str, over: &Over) -> String {
    let mut words = Vec::new();
    if let Some(sd) = over.sd {
        words.push(format!("sd {}", format::number(name, sd)));
    }
    if let Some([low, high]) = over.ci95 {
        words.push(format!(
            "95 % CI of the mean {} to {}",
            format::number(name, low),
            format::number(name, high)
        ));
    }
    if let Some([low, high]) = over.delta_ci95 {
        words.push(format!(
            "95 % CI of the difference {} to {}",
            format::delta(name, low),
            format::delta(name, high)
        ));
    }
    if let Some(p) = over.p {
        words.push(format!("paired t test over seeds: {}", format::p_value(p)));
    }
    if over.n > 0 {
        let epochs: Vec<String> = over.epochs.iter().map(u64::to_string).collect();
        words.push(format!("n {}, epoch {}", over.n, epochs.join(", ")));
    }
    words.join(". ")
}
