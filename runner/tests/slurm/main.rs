//! `--executor slurm` against a real Slurm of one node.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod life;
mod troubles;

use std::path::Path;

use common::Bench;
use serde_json::Value;

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
    let local: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|a| *a != "--executor" && *a != "slurm")
        .collect();
    common::undisturbed(&local)
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
