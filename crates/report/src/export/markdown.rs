//! A GitHub table per metric, notes and verdicts under it.

use crate::show;
use crate::table::{MetricHead, Table};

pub(super) fn render(table: &Table) -> String {
    let mut out = format!("## {}\n\n", escape(&table.title));
    let reference = show::paper_reference(table.paper.as_ref());
    if !reference.is_empty() {
        out.push_str(&format!("{reference}; {}.\n\n", show::profile(table)));
    }
    for metric in &table.metrics {
        block(table, metric, &mut out);
    }
    for note in show::notes(table) {
        out.push_str(&format!("- {}\n", escape(&note)));
    }
    let verdicts = show::verdicts(table);
    if !verdicts.is_empty() {
        out.push_str("\n**What the numbers prove**\n\n");
        for line in verdicts {
            out.push_str(&format!("- {}\n", escape(&line)));
        }
    }
    out
}

fn block(table: &Table, metric: &MetricHead, out: &mut String) {
    out.push_str(&format!("| {} |", escape(&show::metric_title(metric))));
    let mut rule = String::from("|:--|");
    for column in &table.columns {
        let label = escape(&column.label);
        out.push_str(&format!(" {label} paper |"));
        rule.push_str("--:|");
        if !column.reference_only {
            out.push_str(&format!(" {label} ours | step | n |"));
            rule.push_str("--:|--:|--:|");
        }
    }
    out.push_str(&format!("\n{rule}\n"));
    for row in &table.rows {
        out.push_str(&format!("| {} |", escape(&row.label)));
        for column in &table.columns {
            let found = row
                .cells
                .get(&column.id)
                .and_then(|c| Some((c, c.metrics.get(&metric.name)?)));
            let Some((cell, value)) = found else {
                out.push_str(if column.reference_only {
                    "  |"
                } else {
                    "  |  |  |  |"
                });
                continue;
            };
            out.push_str(&format!(" {} |", show::paper(metric, value)));
            if column.reference_only {
                continue;
            }
            let ours = [show::ours(metric, cell, value), show::spread(metric, value)].join(" ");
            let ours = if value.best {
                format!("**{}**", ours.trim())
            } else {
                ours.trim().to_owned()
            };
            let step = [show::step(metric, value), show::interval(metric, value)].join(" ");
            out.push_str(&format!(
                " {ours} | {} | {} |",
                step.trim(),
                show::n(metric, cell, value)
            ));
        }
        out.push('\n');
    }
    out.push('\n');
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
