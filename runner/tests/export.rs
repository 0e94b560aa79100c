//! `runner export`: the one-file report against the JSON of the same home, and LaTeX that compiles.

mod common;

use std::path::Path;
use std::process::Command;

use common::golden::Golden;
use serde_json::Value;

/// The text between a name and its closing quote.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = element.split_once(&format!("data-{name}=\""))?;
    rest.split('"').next()
}

#[test]
fn the_report_is_one_file_with_the_jsons_numbers() {
    let golden = Golden::new();
    let file = golden.dir.path().join("golden.html");
    let path = file.to_str().unwrap();
    golden.run(&["export", "golden", "--format", "html", "-o", path]);
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    for foreign in ["<script", "src=", "href=", "url(", "@import", "http-equiv"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let hosts = html.matches("://").count();
    assert_eq!(
        hosts,
        html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
    );
    let table = golden.json(&["export", "golden", "--format", "json"]);
    let mut seen = 0;
    for tag in html.split("<td ").filter_map(|e| e.split('>').next()) {
        let Some((row, column)) = attribute(tag, "cell").and_then(|c| c.split_once('/')) else {
            continue;
        };
        let rows = table["rows"].as_array().unwrap();
        let of = rows.iter().find(|r| r["id"] == row).unwrap();
        let value = &of["cells"][column]["metrics"][attribute(tag, "metric").unwrap()];
        for (name, key) in [
            ("paper", "paper"),
            ("value", "mean"),
            ("delta", "delta"),
            ("n", "n"),
        ] {
            if let Some(text) = attribute(tag, name) {
                assert_eq!(text.parse().ok(), value[key].as_f64(), "{tag}");
                seen += 1;
            }
        }
    }
    let mut wanted = 0;
    for cell in table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r["cells"].as_object().unwrap())
    {
        for value in cell.1["metrics"].as_object().unwrap().values() {
            let keys: &[&str] = if cell.1["status"] == "reference" {
                &["paper"]
            } else {
                &["paper", "mean", "delta", "n"]
            };
            wanted += keys.iter().filter(|key| !value[**key].is_null()).count();
        }
    }
    assert_eq!(seen, wanted, "numbers of the JSON that the report lacks");
    // What the runs were made with, as their attempts said.
    let environment = golden.home().join("runs");
    let run = std::fs::read_dir(environment)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(run.join("environment.json")).unwrap();
    let environment: Value = serde_json::from_str(&text).unwrap();
    for fact in ["commit", "libtorch", "trainer", "cpu"] {
        let value = environment[fact].as_str().unwrap();
        assert!(html.contains(value), "{fact} {value} is missing");
    }
    assert!(
        html.contains("runner reproduce golden --profile quick --seeds 2"),
        "{html}"
    );
    assert!(html.contains("warmup_epochs"), "what warmup changes");
}

#[test]
fn rounding_by_the_deviation_is_latexs_alone() {
    let golden = Golden::new();
    let latex = golden.run(&["export", "golden", "--format", "latex", "--round", "sd"]);
    assert!(
        latex.contains("\\usepackage{siunitx}") && latex.contains("\\num{"),
        "{latex}"
    );
    assert!(latex.contains(" & 75.87 & "), "{latex}");
    let plain = golden.run(&["export", "golden", "--format", "latex"]);
    assert!(!plain.contains("siunitx"));
    let refused = golden.output(&["export", "golden", "--format", "csv", "--round", "sd"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--round sd is for --format latex"), "{said}");
}

/// Whether pdflatex is here with siunitx.
fn latex_is_here() -> bool {
    let found = Command::new("kpsewhich")
        .args(["siunitx.sty", "booktabs.sty"])
        .output();
    found.is_ok_and(|out| {
        out.stdout
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .count()
            == 2
    }) && Command::new("pdflatex").arg("--version").output().is_ok()
}

fn compile(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(format!("{name}.tex")), text).unwrap();
    let out = Command::new("pdflatex")
        .args([
            "-halt-on-error",
            "-interaction=nonstopmode",
            &format!("{name}.tex"),
        ])
        .current_dir(dir)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{name}: {log}");
    // A letter that the font lacks is a warning for LaTeX, and a hole in the paper for us.
    assert!(!log.contains("Missing character"), "{name}: {log}");
    assert!(
        dir.join(format!("{name}.pdf")).metadata().unwrap().len() > 5_000,
        "{name}"
    );
}

/// Every built-in table, and one with deviations, both ways of rounding.
#[test]
#[ignore = "long: pdflatex"]
fn every_table_compiles() {
    if !latex_is_here() {
        eprintln!("SKIPPED: no pdflatex with siunitx and booktabs here (scripts/setup-test-tools)");
        return;
    }
    let golden = Golden::new();
    let dir = tempfile::tempdir().unwrap();
    let listed = golden.json(&["list"]);
    let mut names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["experiment"].as_str())
        .collect();
    names.push("golden");
    names.sort_unstable();
    names.dedup();
    assert!(names.contains(&"table4") && names.len() > 10, "{names:?}");
    for name in names {
        // Block diagrams have no rows.
        if ["figure1", "figure2"].contains(&name) {
            continue;
        }
        for round in ["digits", "sd"] {
            let text = golden.run(&["export", name, "--format", "latex", "--round", round]);
            compile(dir.path(), &format!("{name}-{round}"), &text);
        }
    }
}

#[test]
fn charts_for_a_paper_are_files_without_a_server() {
    let golden = Golden::new();
    let file = |name: &str| golden.dir.path().join(name);
    let drawn = |rest: &[&str]| {
        let path = file("chart.svg");
        let path = path.to_str().unwrap();
        golden.run(&[&["export"], rest, &["--format", "svg", "-o", path]].concat());
        let svg = std::fs::read_to_string(path).unwrap();
        assert!(svg.starts_with("<svg"), "{svg}");
        svg
    };
    assert!(drawn(&["figure1"]).contains("Architecture of ResNet-50"));
    // What the table's page draws: a curve a row that has points, of every epoch of every run.
    let svg = drawn(&["golden"]);
    assert!(svg.contains("4 runs, 24 of 24 points"), "{svg}");
    assert!(svg.contains("Top-1"), "{svg}");
    assert!(drawn(&["golden", "--metric", "val/top5"]).contains("Top-5"));
    for experiment in ["figure2", "golden"] {
        let path = file("chart.png");
        let path = path.to_str().unwrap();
        golden.run(&["export", experiment, "--format", "png", "-o", path]);
        assert!(std::fs::read(path).unwrap().starts_with(b"\x89PNG"));
    }
}
