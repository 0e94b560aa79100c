//! The golden home (tests/golden-home): its files hold to docs/schema/, the database is rebuilt from
//! them, and what the commands print of it holds to docs/schema/ too.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn valid(schema: &str, value: &Value, what: &str) {
    eprintln!("{schema}: {what}");
    common::conforms(schema, value);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the golden home with a database made from its files.
struct Golden {
    dir: TempDir,
}

impl Golden {
    fn new() -> Golden {
        let golden = Golden {
            dir: TempDir::new().unwrap(),
        };
        copy(&root().join("tests/golden-home"), &golden.home());
        golden.run(&["reindex"]);
        golden
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("results")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let out = Command::new(env!("CARGO_BIN_EXE_runner"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("RUNGS_HOME")
            .env_remove("RUNGS_DB")
            // The home is of a CPU, on whatever machine this is.
            .env("RUNGS_TRAINER", "/nowhere/trainer")
            .output()
            .unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        assert!(out.status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout.into_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
    }
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
