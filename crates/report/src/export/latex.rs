//! A LaTeX document (booktabs) that compiles as it is; each float between its marks can be copied.

use crate::show;
use crate::table::{MetricHead, Table};

pub(super) fn render(table: &Table) -> String {
    let mut out = String::from(
        "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs}\n\
         \\usepackage{graphicx}\n\\begin{document}\n",
    );
    for metric in &table.metrics {
        float(table, metric, &mut out);
    }
    out.push_str("\\end{document}\n");
    out
}

fn float(table: &Table, metric: &MetricHead, out: &mut String) {
    let (mut spec, mut heads, mut rules, mut titles) = (
        String::from("l"),
        String::new(),
        String::new(),
        String::new(),
    );
    let mut at = 2;
    for column in &table.columns {
        let wide = if column.reference_only { 1 } else { 4 };
        spec.push_str(&"r".repeat(wide));
        heads.push_str(&format!(
            " & \\multicolumn{{{wide}}}{{c}}{{{}}}",
            escape(&column.label)
        ));
        rules.push_str(&format!("\\cmidrule(lr){{{at}-{}}}", at + wide - 1));
        titles.push_str(if column.reference_only {
            " & Paper"
        } else {
            " & Paper & Ours & Step & $n$"
        });
        at += wide;
    }
    let title = escape(&show::metric_title(metric));
    out.push_str(&format!(
        "% begin {}\n\\begin{{table}}[htbp]\n\\centering\n",
        metric.name
    ));
    out.push_str(&format!(
        "\\caption{{{}: {title}.}}\n",
        escape(table.title.trim_end_matches('.'))
    ));
    // A table wider than the text is made smaller, never larger.
    out.push_str("\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n");
    out.push_str(&format!("\\begin{{tabular}}{{{spec}}}\n\\toprule\n{heads} \\\\\n{rules}\n{title}{titles} \\\\\n\\midrule\n"));
    for row in &table.rows {
        out.push_str(&escape(&row.label));
        for column in &table.columns {
            let found = row
                .cells
                .get(&column.id)
                .and_then(|c| Some((c, c.metrics.get(&metric.name)?)));
            let Some((cell, value)) = found else {
                out.push_str(if column.reference_only {
                    " &"
                } else {
                    " & & & &"
                });
                continue;
            };
            out.push_str(&format!(" & {}", escape(&show::paper(metric, value))));
            if column.reference_only {
                continue;
            }
            let ours = escape(
                [show::ours(metric, cell, value), show::spread(metric, value)]
                    .join(" ")
                    .trim(),
            );
            let ours = if value.best {
                format!("\\textbf{{{ours}}}")
            } else {
                ours
            };
            let step = [show::step(metric, value), show::interval(metric, value)].join(" ");
            out.push_str(&format!(
                " & {ours} & {} & {}",
                escape(step.trim()),
                show::n(metric, cell, value)
            ));
        }
        out.push_str(" \\\\\n");
    }
    out.push_str("\\bottomrule\n\\end{tabular}}\n\n\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\n");
    let reference = show::paper_reference(table.paper.as_ref());
    if !reference.is_empty() {
        out.push_str(&format!("Paper: {}. ", escape(&reference)));
    }
    out.push_str(
        &show::notes(table)
            .iter()
            .map(|n| escape(n))
            .collect::<Vec<_>>()
            .join("\n\n"),
    );
    out.push_str(&format!(
        "\n\\end{{minipage}}\n\\end{{table}}\n% end {}\n",
        metric.name
    ));
}

/// Text as LaTeX: specials escaped, and what pdflatex has no letter for as mathematics.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let known = match c {
            '&' => "\\&",
            '%' => "\\%",
            '$' => "\\$",
            '#' => "\\#",
            '_' => "\\_",
            '{' => "\\{",
            '}' => "\\}",
            '~' => "\\textasciitilde{}",
            '^' => "\\textasciicircum{}",
            '\\' => "\\textbackslash{}",
            '<' => "$<$",
            '>' => "$>$",
            '|' => "$|$",
            '"' => "''",
            '\u{2212}' => "$-$",
            '\u{b1}' => "$\\pm$",
            '\u{d7}' => "$\\times$",
            '\u{2013}' => "--",
            '\u{2014}' => "---",
            '\u{2020}' => "\\dag{}",
            '\u{2026}' => "\\dots{}",
            '\u{2192}' => "$\\rightarrow$",
            '\u{bc}' => "$\\frac14$",
            '\u{bd}' => "$\\frac12$",
            '\u{3b1}' => "$\\alpha$",
            '\u{3b2}' => "$\\beta$",
            '\u{3b3}' => "$\\gamma$",
            '\u{3b5}' => "$\\epsilon$",
            '\u{3bb}' => "$\\lambda$",
            '\u{b7}' => "$\\cdot$",
            '\u{2019}' => "'",
            '\u{201c}' => "``",
            '\u{201d}' => "''",
            c if c.is_ascii() || ('\u{c0}'..='\u{17f}').contains(&c) => {
                out.push(c);
                continue;
            }
            c => {
                // Named, not lost: T1 has no letter for it.
                out.push_str(&format!("[U+{:04X}]", u32::from(c)));
                continue;
            }
        };
        out.push_str(known);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specials_are_escaped() {
        assert_eq!(
            escape("50 % of a_b & {c} \\ #1"),
            "50 \\% of a\\_b \\& \\{c\\} \\textbackslash{} \\#1"
        );
        assert_eq!(escape(&crate::format::signed(-0.34, 2)), "$-$0.34");
        assert_eq!(escape("\u{4e2d}"), "[U+4E2D]");
    }
}
