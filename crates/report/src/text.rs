//! A table on a terminal: paper and ours side by side, the step under each, notes below.

use crate::show;
use crate::stats::verdict::SEEDS_FOR_VERDICT;
use crate::table::{Cell, CellStatus, ColumnHead, MetricHead, N_TOO_SMALL, Table, Value};

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";
/// Between two columns of numbers, and before each setting.
const GAP: usize = 2;
const GROUP_GAP: usize = 3;

/// How much a cell says, from all to the least that still compares.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Detail {
    Intervals,
    Spread,
    Numbers,
}

/// Renders for a terminal of `width` characters; `colour` adds ANSI colours, which repeat what the
/// signs and words say.
pub fn render(table: &Table, width: usize, colour: bool) -> String {
    let pen = Pen { colour };
    let width = width.max(40);
    let mut out = pen.paint(BOLD, &table.title);
    let reference = show::paper_reference(table.paper.as_ref());
    if !reference.is_empty() {
        out.push_str(&pen.paint(DIM, &format!("  ({reference})")));
    }
    out.push('\n');
    if table.metrics.is_empty() {
        // A block diagram: nothing is measured.
        return out + &pen.paint(DIM, &wrap(&table.profile_note, width)) + "\n";
    }
    for metric in &table.metrics {
        out.push('\n');
        block(table, metric, width, &pen, &mut out);
    }
    out.push('\n');
    let mut notes = show::notes(table);
    let counts = verdict_counts(table);
    if !counts.is_empty() {
        notes.push(counts);
    }
    notes.push("* best of its column.".to_owned());
    for note in notes {
        out.push_str(&pen.paint(DIM, &wrap(&note, width)));
        out.push('\n');
    }
    for line in table.contradictions() {
        out.push_str(&pen.paint(RED, &wrap(&line, width)));
        out.push('\n');
    }
    out
}

/// `Verdicts: 2 same sign, 4 need more seeds (--seeds 3).`
fn verdict_counts(table: &Table) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for verdict in table.values().filter_map(|(.., v)| v.verdict) {
        match counts.iter_mut().find(|(word, _)| *word == verdict) {
            Some((_, n)) => *n += 1,
            None => counts.push((verdict, 1)),
        }
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(word, n)| match (*word, n) {
            (N_TOO_SMALL, 1) => format!("1 needs more seeds (--seeds {SEEDS_FOR_VERDICT})"),
            (N_TOO_SMALL, _) => format!("{n} need more seeds (--seeds {SEEDS_FOR_VERDICT})"),
            _ => format!("{n} {word}"),
        })
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!("Verdicts: {}.", words.join(", "))
    }
}

struct Pen {
    colour: bool,
}

impl Pen {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("{code}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }
}

/// One setting: heading and, per row, the text of each of its columns of numbers.
struct Group<'a> {
    head: &'a ColumnHead,
    titles: Vec<&'static str>,
    cells: Vec<Option<(Vec<String>, &'a Value)>>,
    widths: Vec<usize>,
}

impl Group<'_> {
    fn width(&self) -> usize {
        self.widths.iter().sum::<usize>() + GAP * (self.widths.len() - 1)
    }
}

fn block(table: &Table, metric: &MetricHead, width: usize, pen: &Pen, out: &mut String) {
    let title = show::metric_title(metric);
    let label = table
        .rows
        .iter()
        .map(|r| len(&r.label))
        .chain([len(&title)])
        .max()
        .unwrap_or(0)
        .min(width / 3);
    let fits = |groups: &[Group<'_>]| {
        label + groups.iter().map(|g| GROUP_GAP + g.width()).sum::<usize>() <= width
    };
    let groups = [Detail::Intervals, Detail::Spread, Detail::Numbers]
        .into_iter()
        .map(|detail| {
            table
                .columns
                .iter()
                .map(|c| group(table, c, metric, detail))
                .collect::<Vec<_>>()
        })
        .enumerate()
        .find(|(i, groups)| *i == 2 || fits(groups))
        .map(|(_, groups)| groups)
        .unwrap_or_default();
    // Settings that still do not fit go into a block of their own below.
    let mut rest = groups.as_slice();
    while !rest.is_empty() {
        let mut used = label;
        let taken = rest.iter().take_while(|g| {
            used += GROUP_GAP + g.width();
            used <= width
        });
        let (now, later) = rest.split_at(taken.count().max(1));
        lines(table, metric, label, now, pen, out);
        rest = later;
        if !rest.is_empty() {
            out.push('\n');
        }
    }
}

fn group<'a>(
    table: &'a Table,
    head: &'a ColumnHead,
    metric: &MetricHead,
    detail: Detail,
) -> Group<'a> {
    let mut titles = vec!["paper"];
    if !head.reference_only {
        titles.push("ours");
        if detail <= Detail::Spread {
            titles.push("");
        }
        titles.push("step");
        if detail <= Detail::Intervals {
            titles.push("");
        }
        titles.push("n");
    }
    let cells: Vec<_> = table
        .rows
        .iter()
        .map(|row| {
            let cell = row.cells.get(&head.id)?;
            let value = cell.metrics.get(&metric.name)?;
            Some((
                texts(cell, metric, value, head.reference_only, detail),
                value,
            ))
        })
        .collect();
    let mut widths: Vec<usize> = titles.iter().map(|t| len(t)).collect();
    for (texts, _) in cells.iter().flatten() {
        for (width, text) in widths.iter_mut().zip(texts) {
            *width = (*width).max(len(text));
        }
    }
    // A column of nothing takes no room: no spread with one seed.
    let empty: Vec<bool> = widths.iter().map(|w| *w == 0).collect();
    let keep = |i: &usize| !empty[*i];
    let pick = |texts: Vec<String>| {
        texts
            .into_iter()
            .enumerate()
            .filter(|(i, _)| keep(i))
            .map(|(_, t)| t)
            .collect()
    };
    let mut group = Group {
        head,
        titles: titles
            .iter()
            .enumerate()
            .filter(|(i, _)| keep(i))
            .map(|(_, t)| *t)
            .collect(),
        cells: cells
            .into_iter()
            .map(|c| c.map(|(texts, value)| (pick(texts), value)))
            .collect(),
        widths: widths.iter().copied().filter(|w| *w > 0).collect(),
    };
    // The heading of the setting may be wider than its numbers.
    let missing = len(&head.label).saturating_sub(group.width());
    if let Some(last) = group.widths.last_mut() {
        *last += missing;
    }
    group
}

fn texts(
    cell: &Cell,
    metric: &MetricHead,
    value: &Value,
    reference_only: bool,
    detail: Detail,
) -> Vec<String> {
    let mut out = vec![show::paper(metric, value)];
    if reference_only {
        return out;
    }
    let best = if value.best { "*" } else { "" };
    out.push(show::ours(metric, cell, value) + best);
    if detail <= Detail::Spread {
        out.push(show::spread(metric, value));
    }
    out.push(show::step(metric, value));
    if detail <= Detail::Intervals {
        out.push(show::interval(metric, value));
    }
    // Every shown number carries n, however narrow the terminal.
    let failed = matches!(cell.status, CellStatus::Failed) && value.mean.is_some();
    out.push(show::n(metric, cell, value) + if failed { " failed" } else { "" });
    out
}

fn lines(
    table: &Table,
    metric: &MetricHead,
    label: usize,
    groups: &[Group<'_>],
    pen: &Pen,
    out: &mut String,
) {
    let mut head = pad(&show::metric_title(metric), label, false);
    let mut under = " ".repeat(label);
    let mut rule = "\u{2500}".repeat(label);
    for group in groups {
        head.push_str(&" ".repeat(GROUP_GAP));
        head.push_str(&pad(&group.head.label, group.width(), false));
        under.push_str(&" ".repeat(GROUP_GAP));
        let titles: Vec<String> = group
            .titles
            .iter()
            .zip(&group.widths)
            .map(|(t, w)| pad(t, *w, true))
            .collect();
        under.push_str(&titles.join(&" ".repeat(GAP)));
        rule.push_str(&" ".repeat(GROUP_GAP));
        rule.push_str(&"\u{2500}".repeat(group.width()));
    }
    out.push_str(&pen.paint(BOLD, head.trim_end()));
    out.push('\n');
    out.push_str(&pen.paint(DIM, under.trim_end()));
    out.push('\n');
    out.push_str(&pen.paint(DIM, &rule));
    out.push('\n');
    for (i, row) in table.rows.iter().enumerate() {
        let mut line = pad(&cut(&row.label, label), label, false);
        for group in groups {
            line.push_str(&" ".repeat(GROUP_GAP));
            let Some((texts, value)) = &group.cells[i] else {
                line.push_str(&" ".repeat(group.width()));
                continue;
            };
            let parts: Vec<String> = texts
                .iter()
                .zip(&group.widths)
                .zip(&group.titles)
                .map(|((text, width), title)| {
                    colour(pen, metric, title, &pad(text, *width, true), value)
                })
                .collect();
            line.push_str(&parts.join(&" ".repeat(GAP)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Colour only where the evidence is there.
fn colour(pen: &Pen, metric: &MetricHead, title: &str, text: &str, value: &Value) -> String {
    match (title, show::proven(metric, value)) {
        ("paper", _) => pen.paint(DIM, text),
        ("ours", _) if value.best => pen.paint(BOLD, text),
        ("step", Some(true)) => pen.paint(GREEN, text),
        ("step", Some(false)) => pen.paint(RED, text),
        _ => text.to_owned(),
    }
}

fn len(text: &str) -> usize {
    text.chars().count()
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let fill = " ".repeat(width.saturating_sub(len(text)));
    if right {
        fill + text
    } else {
        text.to_owned() + &fill
    }
}

fn cut(text: &str, width: usize) -> String {
    if len(text) <= width {
        return text.to_owned();
    }
    text.chars()
        .take(width.saturating_sub(1))
        .chain(['\u{2026}'])
        .collect()
}

/// Breaks at spaces; a word longer than a line stays whole.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        if used > 0 && used + 1 + len(word) > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += len(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::table::{Select, build};

    fn table(seeds: u64) -> Table {
        let plan = fixtures::plan("quick", seeds);
        build(&plan, &fixtures::finished(&plan), Select::Best)
    }

    #[test]
    fn wide_terminals_get_intervals() {
        insta::assert_snapshot!(render(&table(3), 120, false));
    }

    #[test]
    fn one_seed_has_no_spread() {
        insta::assert_snapshot!(render(&table(1), 100, false));
    }

    #[test]
    fn while_it_trains() {
        let plan = fixtures::plan("quick", 1);
        insta::assert_snapshot!(render(
            &build(&plan, &fixtures::under_way(&plan), Select::Best),
            100,
            false
        ));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 60, 80, 100, 120, 200] {
            for line in render(&table(3), width, false).lines().skip(1) {
                assert!(len(line) <= width, "{} > {width}: {line}", len(line));
            }
        }
    }

    #[test]
    fn colours_change_no_letter() {
        let coloured = render(&table(3), 100, true);
        assert!(coloured.contains(GREEN));
        let plain: String = [BOLD, DIM, GREEN, RED, PLAIN]
            .iter()
            .fold(coloured, |t, code| t.replace(code, ""));
        assert_eq!(plain, render(&table(3), 100, false));
    }
}
