//! The chart beside a table: one metric of one column, a curve per row.

use rungs_report::format;
use rungs_report::table::MetricHead;

use super::Choices;
use crate::charts::{mean_curve, table::points_of};
use crate::pages::{ChartLink, Link, escape};
use crate::view::View;

pub(super) struct Curves {
    pub(super) title: String,
    pub(super) chart: ChartLink,
    pub(super) columns: Vec<Link>,
    /// The page with all of its epochs, where only a part is shown.
    pub(super) zoomed: Option<String>,
}

/// `None` before the first evaluated epoch.
pub(super) fn curves(view: &View, choices: &Choices, head: &MetricHead) -> Option<Curves> {
    let (table, name) = (&view.table, &view.table.experiment);
    let drawn = |column: &str| points_of(view, column, &head.name);
    let with_curves: Vec<_> = table.columns.iter().filter(|c| drawn(&c.id) > 0).collect();
    let asked = choices
        .column
        .as_deref()
        .and_then(|id| with_curves.iter().find(|c| c.id == id));
    let column = asked.or(with_curves.last())?;
    let points = drawn(&column.id);
    let mut query = format!(
        "experiment={}&column={}&metric={}",
        escape(name),
        escape(&column.id),
        escape(&head.name)
    );
    for (key, value) in [
        ("profile", &table.profile),
        ("from", &choices.from),
        ("to", &choices.to),
    ] {
        if let Some(value) = value.as_deref().filter(|v| !v.is_empty()) {
            query.push_str(&format!("&{key}={}", escape(value)));
        }
    }
    // As many as the cells stand for, whatever the home was applied with.
    query.push_str(&format!("&seeds={}&v={points}", table.seeds));
    let seeds = if table.seeds > 1 {
        format!(" · mean of {} seeds", table.seeds)
    } else {
        String::new()
    };
    let title = format!("{} by epoch, {}{seeds}", head.title, column.label);
    let ends: Vec<String> = table
        .rows
        .iter()
        .filter_map(|row| {
            let curve = mean_curve(view, &row.cells.get(&column.id)?.runs, &head.name);
            let (_, last) = curve.last()?;
            let last = format::number(&head.name, *last);
            Some(format!("{} ends at {last}", row.label))
        })
        .collect();
    let alt = format!("{title}, one curve per row: {}", ends.join("; "));
    Some(Curves {
        chart: ChartLink::new("table", &query, alt, (740, 340), true),
        title,
        columns: if with_curves.len() < 2 {
            Vec::new()
        } else {
            with_curves
                .iter()
                .map(|c| Link {
                    href: choices.href(name, |to| to.column = Some(c.id.clone())),
                    text: c.label.clone(),
                    current: c.id == column.id,
                })
                .collect()
        },
        zoomed: choices
            .zoomed()
            .then(|| choices.href(name, |to| (to.from, to.to) = (None, None))),
    })
}
