//! `--executor slurm` against a real Slurm of one node.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod life;
mod troubles;

use std::path::Path;

use common::Bench;
use serde_json::Value;

/// A student of a cell of `tiny`.
const STUDENT: &str = r#"
title = "A student and its teacher"
metrics = ["val/top1"]
[base]
model = "resnet50"
dataset = "synthetic"
depths = [1, 1, 1, 1]
width = 0.25
input_size = 32
epochs = 4
batch_size = 32
replicas = 1
schedule = { kind = "cosine" }
[[column]]
id = "small"
set = { lr = 0.1 }
[[row]]
id = "student"
add = [{ id = "distillation", teacher = { experiment = "tiny", row = "plain", column = "small" } }]
"#;

const SLURM: [&str; 4] = ["reproduce", "tiny", "--executor", "slurm"];

/// `reproduce` of one run.
const ONE: [&str; 8] = [
    "reproduce",
    "tiny",
    "--executor",
    "slurm",
    "--rows",
    "plain",
    "--columns",
    "small",
];

/// What an undisturbed local home ends with.
fn undisturbed(arguments: &[&str]) -> Vec<(String, String)> {
    let bench = Bench::new();
    let local: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|a| *a != "--executor" && *a != "slurm")
        .collect();
    bench.run(&local).ok();
    bench.weights()
}

fn of_kind(bench: &Bench, run_dir: &Path, kind: &str) -> Vec<Value> {
    let mut events = bench.events(run_dir);
    events.retain(|event| event["kind"] == kind);
    events
}

/// Numbers of the jobs that ever worked on a run, in order, one per start.
fn starts(run_dir: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(run_dir.join("log.txt")).unwrap_or_default();
    log.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["job", number, "on", _, "attempt", _] => Some((*number).to_owned()),
                _ => None,
            }
        })
        .collect()
}

/// Every step is in the series once, and nothing that had a checkpoint was trained again.
#[track_caller]
fn nothing_lost_or_doubled(bench: &Bench) {
    for dir in bench.run_dirs() {
        let mut reached = 0;
        for event in bench.events(&dir) {
            let step = event["step"].as_u64().unwrap_or(0);
            match event["kind"].as_str().unwrap() {
                "checkpoint" => reached = step,
                "started" => assert_eq!(step, reached, "{}", dir.display()),
                _ => {}
            }
        }
        let run = dir.file_name().unwrap().to_str().unwrap();
        let said = bench.run(&["series", run, "train/loss", "--json"]).ok();
        let points = said.json()["points"].as_array().unwrap().clone();
        let steps: Vec<u64> = points.iter().map(|p| p[0].as_u64().unwrap()).collect();
        assert_eq!(steps, (0..20).collect::<Vec<_>>());
    }
}
