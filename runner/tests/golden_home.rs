//! The golden home (tests/golden-home): its files hold to docs/schema/, the database is rebuilt from
//! them, and what the commands print of it holds to docs/schema/ too.

mod common;

use common::golden::{Golden, root};
use serde_json::Value;

fn valid(schema: &str, value: &Value, what: &str) {
    eprintln!("{schema}: {what}");
    common::conforms(schema, value);
}

#[test]
fn its_recipes_and_events_hold_to_the_schemas() {
    let (mut recipes, mut kinds) = (0, std::collections::BTreeSet::new());
    for run in std::fs::read_dir(root().join("tests/golden-home/runs")).unwrap() {
        for file in std::fs::read_dir(run.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let read = || std::fs::read_to_string(&path).unwrap();
            if name == "recipe.json" {
                valid("recipe", &serde_json::from_str(&read()).unwrap(), &name);
                recipes += 1;
            } else if name.ends_with(".jsonl") {
                // A killed attempt may end in a torn line; whole lines must hold.
                for line in read().split_inclusive('\n').filter(|l| l.ends_with('\n')) {
                    let event: Value = serde_json::from_str(line).unwrap();
                    valid("event", &event, line);
                    kinds.insert(event["kind"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(recipes, 4);
    let kinds: Vec<_> = kinds.iter().map(String::as_str).collect();
    assert_eq!(
        kinds,
        ["checkpoint", "evaluation", "finished", "metrics", "started"]
    );
}

#[test]
fn its_table_is_read_from_the_files_alone() {
    let golden = Golden::new();
    let table = golden.json(&["export", "golden", "--format", "json"]);
    valid("table", &table, "table");
    let cell = &table["rows"][1]["cells"]["bs256"];
    assert_eq!(cell["status"], "done");
    assert_eq!(cell["metrics"]["val/top1"]["n"], 2);
    assert_eq!(
        table["rows"][0]["cells"]["published"]["status"],
        "reference"
    );
    insta::assert_json_snapshot!(table);
}

#[test]
fn its_plan_runs_and_series_hold_to_the_schemas() {
    let golden = Golden::new();
    let plan = golden.json(&["plan", "golden"]);
    valid("plan", &plan, "plan");
    assert!(
        plan["runs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|r| r["state"] == "done"),
        "{plan}"
    );
    for run in plan["runs"].as_array().unwrap() {
        let key = run["key"].as_str().unwrap();
        valid("show", &golden.json(&["show", key]), "show");
        let series = golden.json(&["series", key, "train/loss"]);
        valid("series", &series, "series");
        let steps: Vec<u64> = series["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p[0].as_u64().unwrap())
            .collect();
        // One live point a step, the resumed run's superseded ones left out.
        assert_eq!(steps, (0..96).collect::<Vec<u64>>(), "{key}");
    }
}
