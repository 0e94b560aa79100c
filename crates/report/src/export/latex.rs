//! A LaTeX document (booktabs) that compiles as it is; each float between its marks can be copied.

use super::Round;
use crate::show;
use crate::table::{MetricHead, Table, Value};

/// `round` = [`Round::Sd`] writes means with their uncertainty, through siunitx.
pub(super) fn render(table: &Table, round: Round) -> String {
    let mut out = String::from(
        "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs}\n\
         \\usepackage{graphicx}\n",
    );
    if round == Round::Sd {
        // Else siunitx would set the best of a column as thin as the rest.
        out.push_str("\\usepackage{siunitx}\n\\sisetup{detect-all}\n");
    }
    out.push_str("\\begin{document}\n");
    for metric in &table.metrics {
        float(table, metric, round, &mut out);
    }
    out.push_str("\\end{document}\n");
    out
}

fn float(table: &Table, metric: &MetricHead, round: Round, out: &mut String) {
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
            let uncertain = uncertain(value).filter(|_| round == Round::Sd);
            let ours = uncertain.unwrap_or_else(|| {
                escape(
                    [show::ours(metric, cell, value), show::spread(metric, value)]
                        .join(" ")
                        .trim(),
                )
            });
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
    if round == Round::Sd && table.values().any(|(.., v)| uncertain(v).is_some()) {
        out.push_str(SD_NOTE);
    }
    out.push_str(&format!(
        "\n\\end{{minipage}}\n\\end{{table}}\n% end {}\n",
        metric.name
    ));
}

/// How `--round sd` is to be read.
const SD_NOTE: &str =
    "\n\nParentheses: the sample standard deviation over seeds, in units of the last digit.";

/// `\num{76.1(2)}`: the mean and the standard deviation, both at the first significant digit of the latter.
/// `None` where there is no deviation.
fn uncertain(value: &Value) -> Option<String> {
    let (mean, sd) = (value.mean?, value.sd?);
    if !(mean.is_finite() && sd.is_finite() && sd > 0.0) {
        return None;
    }
    // Rounding may carry into the next digit: 0.096 is 0.1.
    let mut place = sd.log10().floor() as i32;
    if (sd / 10f64.powi(place)).round() >= 10.0 {
        place += 1;
    }
    if place > 0 {
        let unit = 10f64.powi(place);
        let (mean, sd) = ((mean / unit).round() * unit, (sd / unit).round() * unit);
        return Some(format!("\\num{{{mean:.0}({sd:.0})}}"));
    }
    let digits = usize::try_from(-place).unwrap_or(0);
    let units = (sd / 10f64.powi(place)).round();
    Some(format!("\\num{{{mean:.digits$}({units:.0})}}"))
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
    fn a_mean_is_rounded_at_the_first_digit_of_its_deviation() {
        let shown = |mean, sd| {
            uncertain(&Value {
                mean: Some(mean),
                sd,
                ..Value::default()
            })
        };
        for (mean, sd, wanted) in [
            (76.1487, 0.2131, "\\num{76.1(2)}"),
            (76.1487, 0.0213, "\\num{76.15(2)}"),
            (76.1487, 0.0961, "\\num{76.1(1)}"),
            (76.1487, 1.49, "\\num{76(1)}"),
            (76.1487, 12.9, "\\num{80(10)}"),
            (-0.344, 0.36, "\\num{-0.3(4)}"),
        ] {
            assert_eq!(
                shown(mean, Some(sd)).as_deref(),
                Some(wanted),
                "{mean} {sd}"
            );
        }
        for sd in [None, Some(0.0), Some(f64::NAN)] {
            assert_eq!(shown(76.0, sd), None, "{sd:?}");
        }
    }

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
