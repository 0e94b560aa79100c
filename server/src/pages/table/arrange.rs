//! Which columns does the page show, and which way round? All of it stands in the address:
//! `columns=bs256` (settings shown), `hide=step,curve` (parts left out), `pivot=1` (settings downwards).

use rungs_report::table::{MetricHead, Table};

use super::cell::{CellView, CostView, RowView, cost};
use super::{Choice, Choices, Link};
use crate::error::Failure;
use crate::view::View;

/// Parts of a cell that can be left out, with what people read.
const PARTS: [(&str, &str); 4] = [
    ("paper", "Paper"),
    ("step", "Step"),
    ("curve", "Curve"),
    ("cost", "Cost"),
];

/// Parts that are shown.
#[derive(Clone, Copy)]
pub(super) struct Show {
    pub(super) paper: bool,
    pub(super) step: bool,
    pub(super) curve: bool,
    pub(super) cost: bool,
}

/// A heading over the parts of a setting (or, turned, of a row).
pub(super) struct Group {
    pub(super) label: String,
    pub(super) color: Option<usize>,
    pub(super) span: usize,
    pub(super) reference: bool,
}

/// A line of the table: a row, or, turned, a setting.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) color: Option<usize>,
    pub(super) label: String,
    pub(super) small: String,
    pub(super) cells: Vec<CellView>,
    pub(super) cost: CostView,
}

/// The table as the page lays it out.
pub(super) struct Arranged {
    pub(super) corner: &'static str,
    pub(super) show: Show,
    /// Headings of metrics shown beside the chosen one.
    pub(super) sides: Vec<String>,
    pub(super) groups: Vec<Group>,
    pub(super) lines: Vec<Line>,
}

/// What is known without training stands beside whatever metric is chosen: parameters, multiply-adds,
/// and the time of an epoch.
pub(super) fn sides<'a>(table: &'a Table, head: &MetricHead) -> Vec<&'a MetricHead> {
    table
        .metrics
        .iter()
        .filter(|m| m.name != head.name)
        .filter(|m| stands_beside(m))
        .collect()
}

pub(super) fn stands_beside(metric: &MetricHead) -> bool {
    metric.name.starts_with("model/") || metric.name.starts_with("time/")
}

impl Choices {
    pub(super) fn pivoted(&self) -> bool {
        self.pivot.as_deref() == Some("1")
    }

    /// Columns asked for, in the table's order; all of them without.
    pub(super) fn shown_columns(&self, table: &Table) -> Result<Vec<String>, Failure> {
        let all: Vec<String> = table.columns.iter().map(|c| c.id.clone()).collect();
        let Some(asked) = self.columns.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(all);
        };
        for id in asked.split(',') {
            if !all.iter().any(|known| known == id) {
                let near = rungs_spec::error::nearest(id, all.iter().map(String::as_str));
                return Err(Failure::bad_request(
                    "bad_columns",
                    format!("This table has no column {id:?}; {near}"),
                ));
            }
        }
        let asked: Vec<&str> = asked.split(',').collect();
        Ok(all
            .into_iter()
            .filter(|id| asked.contains(&id.as_str()))
            .collect())
    }

    pub(super) fn show(&self) -> Result<Show, Failure> {
        let hidden: Vec<&str> = self
            .hide
            .as_deref()
            .unwrap_or("")
            .split(',')
            .filter(|w| !w.is_empty())
            .collect();
        if let Some(bad) = hidden
            .iter()
            .find(|w| !PARTS.iter().any(|(id, _)| id == *w))
        {
            let near = rungs_spec::error::nearest(bad, PARTS.iter().map(|(id, _)| *id));
            return Err(Failure::bad_request(
                "bad_hide",
                format!("No part is called {bad:?}; {near}"),
            ));
        }
        let shown = |part| !hidden.contains(&part);
        Ok(Show {
            paper: shown("paper"),
            step: shown("step"),
            curve: shown("curve"),
            cost: shown("cost"),
        })
    }
}

/// Links that turn the table, and add or leave out a column.
pub(super) fn choices(table: &Table, now: &Choices) -> Result<Vec<Choice>, Failure> {
    let name = &table.experiment;
    let columns = now.shown_columns(table)?;
    let hidden = now.hide.clone().unwrap_or_default();
    let toggled = |list: Vec<String>, item: &str| -> Vec<String> {
        if list.iter().any(|x| x == item) {
            list.into_iter().filter(|x| x != item).collect()
        } else {
            list.into_iter().chain([item.to_owned()]).collect()
        }
    };
    let parts = PARTS
        .iter()
        .map(|(id, text)| {
            let list: Vec<String> = hidden
                .split(',')
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect();
            let current = !list.iter().any(|w| w == id);
            let next = toggled(list, id).join(",");
            Link {
                href: now.href(name, |c| c.hide = (!next.is_empty()).then_some(next)),
                text: (*text).to_owned(),
                current,
            }
        })
        .collect();
    let settings = table
        .columns
        .iter()
        .map(|column| {
            let next = toggled(columns.clone(), &column.id);
            // All, or none at all: the plain address.
            let plain = next.is_empty() || next.len() == table.columns.len();
            Link {
                href: now.href(name, |c| c.columns = (!plain).then(|| next.join(","))),
                text: column.label.clone(),
                current: columns.contains(&column.id),
            }
        })
        .collect::<Vec<_>>();
    let turn = [("rows down", false), ("rows across", true)]
        .into_iter()
        .map(|(text, pivot)| Link {
            href: now.href(name, |c| c.pivot = pivot.then(|| "1".to_owned())),
            text: text.to_owned(),
            current: now.pivoted() == pivot,
        })
        .collect();
    Ok([
        ("Settings shown", settings),
        ("Parts shown", parts),
        ("Which way round", turn),
    ]
    .into_iter()
    .filter(|(_, links)| links.len() > 1)
    .map(|(label, links)| Choice { label, links })
    .collect())
}

/// Rows with all their cells, laid out as the choices say.
pub(super) fn arrange(
    view: &View,
    rows: Vec<RowView>,
    choices: &Choices,
    head: &MetricHead,
) -> Result<Arranged, Failure> {
    let table = &view.table;
    let show = choices.show()?;
    let wanted = choices.shown_columns(table)?;
    let sides = sides(table, head);
    let full = usize::from(show.paper)
        + 1
        + sides.len()
        + usize::from(show.step)
        + usize::from(show.curve);
    let columns: Vec<_> = table
        .columns
        .iter()
        .filter(|c| wanted.contains(&c.id))
        .collect();
    let side_titles = sides.iter().map(|m| m.title.clone()).collect();
    if !choices.pivoted() {
        let lines = rows
            .into_iter()
            .map(|row| Line {
                id: row.id,
                color: Some(row.color),
                label: row.label,
                small: row.small,
                cells: row
                    .cells
                    .into_iter()
                    .filter(|(id, _)| wanted.contains(id))
                    .map(|(_, c)| c)
                    .collect(),
                cost: row.cost,
            })
            .collect();
        return Ok(Arranged {
            corner: "Refinement",
            show,
            sides: side_titles,
            groups: columns
                .iter()
                .map(|c| Group {
                    label: c.label.clone(),
                    color: None,
                    span: if c.reference_only { 1 } else { full },
                    reference: c.reference_only,
                })
                .collect(),
            lines,
        });
    }
    let groups = rows
        .iter()
        .map(|row| Group {
            label: row.label.clone(),
            color: Some(row.color),
            span: full,
            reference: false,
        })
        .collect();
    let mut lines: Vec<Line> = columns
        .iter()
        .map(|column| Line {
            id: column.id.clone(),
            color: None,
            label: column.label.clone(),
            small: String::new(),
            cells: Vec::new(),
            cost: cost(
                view,
                table.rows.iter().filter_map(|r| r.cells.get(&column.id)),
            ),
        })
        .collect();
    for row in rows {
        for (id, mut cell) in row.cells {
            if let Some(line) = lines.iter_mut().find(|line| line.id == id) {
                // A cell of the paper alone takes one place of its group; the rest stays empty.
                cell.fill = full - 1;
                line.cells.push(cell);
            }
        }
    }
    Ok(Arranged {
        corner: "Setting",
        show,
        sides: side_titles,
        groups,
        lines,
    })
}
