use rungs_spec::RunKey;

use super::*;
use crate::fixtures;
use crate::table::{Select, build};

fn table(seeds: u64) -> Table {
    let plan = fixtures::plan("quick", seeds);
    build(&plan, &fixtures::finished(&plan), Select::Best)
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
fn html_needs_no_other_file() {
    let text = export(&table(3), Format::Html).unwrap();
    for foreign in ["<script", "src=", "href=", "@import", "url("] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    assert!(text.contains("class=\"d up\""));
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
