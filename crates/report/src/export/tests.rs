use rungs_spec::RunKey;

use super::{export as write, *};
use crate::fixtures;
use crate::table::{Select, build};

/// The fixture's table in a format, as the paper rounds.
fn export(of: &Made, format: Format) -> Result<String, ReportError> {
    write(&of.source(), format, Round::Digits)
}

/// A table with what it was made from.
struct Made {
    table: Table,
    plan: Plan,
    results: BTreeMap<RunKey, RunResult>,
}

impl Made {
    fn source(&self) -> Source<'_> {
        Source {
            table: &self.table,
            plan: &self.plan,
            results: &self.results,
            set: &[],
        }
    }
}

fn table(seeds: u64) -> Made {
    let plan = fixtures::plan("quick", seeds);
    let results = fixtures::finished(&plan);
    Made {
        table: build(&plan, &results, Select::Best),
        plan,
        results,
    }
}

/// Run keys change with the numerics version; exports are read without them.
fn keyless(text: &str) -> String {
    text.split_inclusive(|c: char| !c.is_ascii_hexdigit())
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
            if RunKey::parse(bare).is_some() {
                word.replace(bare, "KEY")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[test]
fn every_format_names_what_its_numbers_mean() {
    for format in [
        Format::Csv,
        Format::Json,
        Format::Markdown,
        Format::Latex,
        Format::Html,
    ] {
        let text = export(&table(3), format).unwrap();
        for wanted in ["12,800 images", "1812.01187", "quick", "best", "75.87"] {
            assert!(text.contains(wanted), "{format:?} does not say {wanted}");
        }
    }
}

#[test]
fn csv_has_one_line_per_row_column_and_metric() {
    let text = export(&table(3), Format::Csv).unwrap();
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), CSV_HEADER);
    let records: Vec<::csv::StringRecord> = reader.records().map(|r| r.unwrap()).collect();
    assert_eq!(records.len(), 4 * 2 * 2);
    assert!(
        records
            .iter()
            .flatten()
            .all(|f| !f.starts_with(['=', '+', '@'])),
        "a spreadsheet would compute a label"
    );
    insta::assert_snapshot!(keyless(
        text.lines().take(3).collect::<Vec<_>>().join("\n").as_str()
    ));
}

#[test]
fn json_is_the_contract() {
    let table = table(3);
    let json: serde_json::Value =
        serde_json::from_str(&export(&table, Format::Json).unwrap()).unwrap();
    let cell = &json["rows"][1]["cells"]["bs256"];
    insta::assert_snapshot!(keyless(&serde_json::to_string_pretty(cell).unwrap()));
    assert_eq!(json["columns"][0]["id"], "bs256");
    assert_eq!(json["rows"][1]["on"], "linear-scaling");
    assert_eq!(json["rows"][0]["on"], serde_json::Value::Null);
}

#[test]
fn markdown_reads_well() {
    insta::assert_snapshot!(export(&table(3), Format::Markdown).unwrap());
}

#[test]
fn latex_is_a_whole_document_with_two_decimals() {
    insta::assert_snapshot!(export(&table(1), Format::Latex).unwrap());
}

#[test]
fn latex_with_uncertainties_asks_for_siunitx() {
    let text = write(&table(3).source(), Format::Latex, Round::Sd).unwrap();
    assert!(text.contains("\\usepackage{siunitx}"));
    assert!(
        text.contains("& \\textbf{\\num{") || text.contains("& \\num{"),
        "{text}"
    );
    assert!(text.contains("in units of the last digit"));
    assert!(
        text.contains(" & 75.87"),
        "the paper's number stays as it was printed"
    );
    // One seed has no deviation: nothing is made up.
    let one = write(&table(1).source(), Format::Latex, Round::Sd).unwrap();
    assert!(!one.contains("\\num{"));
}

/// Tables, curves, recipes and provenance in one file that opens anywhere.
#[test]
fn html_needs_no_other_file() {
    let text = export(&table(3), Format::Html).unwrap();
    for foreign in [
        "<script", "src=", "href=", "@import", "url(", "<link", "<iframe", "<object",
    ] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    // The one address in it names the SVG language and is never asked.
    let addresses = text.matches("://").count();
    assert_eq!(
        addresses,
        text.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
    );
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
    assert!(text.contains("class=\"d up\""));
    assert_eq!(
        text.matches("<svg class=\"rungs-chart\"").count(),
        4,
        "two metrics, two columns"
    );
    for wanted in [
        "runner reproduce table4 --profile quick --seeds 3",
        "What each row changes",
        "<td class=\"mono\">warmup_epochs</td><td>0</td><td><b>1</b></td>",
        "Whole recipe: Linear scaling, BS=1024",
        "What it was made with",
        "24 of 24 finished",
        "Every run (24)",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing");
    }
}

/// Every number of the report's tables is the JSON export's, and what people read is that number.
#[test]
fn every_number_of_the_report_is_the_jsons() {
    let made = table(3);
    let html = export(&made, Format::Html).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&export(&made, Format::Json).unwrap()).unwrap();
    let attribute = |element: &str, name: &str| -> Option<String> {
        let (_, rest) = element.split_once(&format!("data-{name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let mut seen = 0;
    for element in html.split("<td").filter(|e| e.contains("data-cell=")) {
        let tag = element.split('>').next().unwrap();
        let (row, column) = attribute(tag, "cell")
            .and_then(|c| c.split_once('/').map(|(r, c)| (r.to_owned(), c.to_owned())))
            .unwrap();
        let metric = attribute(tag, "metric").unwrap();
        let rows = json["rows"].as_array().unwrap();
        let of_row = rows.iter().find(|r| r["id"] == row.as_str()).unwrap();
        let value = &of_row["cells"][&column]["metrics"][&metric];
        for (name, key) in [
            ("paper", "paper"),
            ("value", "mean"),
            ("delta", "delta"),
            ("n", "n"),
        ] {
            let Some(text) = attribute(tag, name) else {
                continue;
            };
            let number: f64 = text.parse().unwrap();
            assert_eq!(
                Some(number),
                value[key].as_f64(),
                "{row}/{column} {metric} {key}"
            );
            let shown = match name {
                "delta" => crate::format::delta(&metric, number),
                "n" => format!("n {number}"),
                _ => crate::format::number(&metric, number),
            };
            assert!(
                element.contains(&shown),
                "{row}/{column} {metric} {key}: {shown} in {element}"
            );
            seen += 1;
        }
    }
    // 4 rows, 2 columns, 2 metrics: paper, ours and n everywhere, a step above the root.
    assert_eq!(seen, 4 * 2 * 2 * 3 + 3 * 2 * 2);
}

#[test]
fn a_submission_is_not_for_this_table() {
    let error = export(&table(1), Format::Submission)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`--format submission` is not for this table"),
        "{error}"
    );
    assert!(
        "pdf"
            .parse::<Format>()
            .unwrap_err()
            .to_string()
            .contains("known: csv, json, markdown")
    );
}
