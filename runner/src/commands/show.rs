//! `runner show`: everything about one run.

use rungs_spec::result::{Evaluation, RunResult};
use rungs_store::{AttemptRow, CellOf};
use serde_json::{Map, Value, json};

use crate::cli::RunArgs;
use crate::context::Context;
use crate::output;

pub(super) async fn run(context: &Context, args: &RunArgs) -> anyhow::Result<()> {
    let store = context.must_read().await?;
    let run = store.find_run(&args.run).await?;
    let file = store.run_file(&run).await?;
    let result = store
        .results(std::slice::from_ref(&run))
        .await?
        .remove(&run);
    let attempts = store.attempts(&run).await?;
    let cells = store.cells_of(&run).await?;
    let metrics = store.metrics_of(&run).await?;
    let result = result.unwrap_or_else(|| RunResult::new(&file));
    let value = json!({
        "run": run,
        "state": result.state,
        "seed": result.seed,
        "emulated": result.emulated,
        "directory": context.home.run(&run).dir(),
        "cells": cells.iter().map(cell).collect::<Vec<_>>(),
        "recipe": file.recipe,
        "compute_threads": file.compute_threads,
        "dataset": file.dataset,
        "progress": result.progress,
        "weights_blake3": result.finished.as_ref().map(|f| &f.weights_blake3),
        "summary": summary(&result),
        "evaluations": result.evaluations.iter().map(evaluation).collect::<Vec<_>>(),
        "finished": result.finished,
        "failure": result.failure,
        "attempts": attempts.iter().map(attempt).collect::<Vec<_>>(),
        "series": metrics,
    });
    if context.json {
        output::print_json(&value)
    } else {
        output::print(&text(&value))
    }
}

fn cell(cell: &CellOf) -> Value {
    let CellOf {
        experiment,
        profile,
        row,
        column,
        seed,
    } = cell;
    json!({"experiment": experiment, "profile": profile, "row": row, "column": column, "seed": seed})
}

/// A non-finite number is a string, as in events.
fn number(value: f64) -> Value {
    json!(rungs_spec::protocol::Num(value))
}

fn metrics(evaluation: &Evaluation) -> Map<String, Value> {
    evaluation
        .metrics
        .iter()
        .map(|(name, value)| (name.clone(), number(*value)))
        .collect()
}

fn evaluation(e: &Evaluation) -> Value {
    json!({
        "attempt": e.attempt, "epoch": e.epoch, "step": e.step, "split": e.split, "n": e.n,
        "metrics": metrics(e),
    })
}

/// The values of the best and of the last validation epoch.
fn summary(result: &RunResult) -> Value {
    let of_val: Vec<&Evaluation> = result
        .evaluations
        .iter()
        .filter(|e| e.split == "val")
        .collect();
    let Some(last) = of_val.last() else {
        return Value::Null;
    };
    let best_epoch = result
        .finished
        .as_ref()
        .map_or(last.epoch, |f| f.best_epoch);
    let best = of_val
        .iter()
        .find(|e| e.epoch == best_epoch)
        .unwrap_or(last);
    json!({
        "best": {"epoch": best.epoch, "metrics": metrics(best)},
        "last": {"epoch": last.epoch, "metrics": metrics(last)},
    })
}

fn attempt(a: &AttemptRow) -> Value {
    json!({
        "attempt": a.attempt, "attempt_id": a.attempt_id, "state": a.state.word(),
        "started_at_ms": a.started_at_ms, "last_event_ms": a.last_event_ms, "step0": a.step0,
        "next_step": a.next_step, "resumed_from": a.resumed_from, "slot": a.slot, "pid": a.pid,
        "images_per_s": a.images_per_s, "environment": a.environment,
        "failure": a.failure.as_ref().map(|(class, message)| json!({"class": class, "message": message})),
    })
}

/// The same, one value a line; environments are left to --json.
fn text(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, "", value);
    out
}

fn write(out: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key == "environment" {
                    continue;
                }
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                write(out, &path, value);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in (1..).zip(items) {
                write(out, &format!("{path}.{i}"), item);
            }
        }
        Value::String(text) => *out += &format!("{path:32}  {text}\n"),
        Value::Null => {}
        other => *out += &format!("{path:32}  {other}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_value_a_line() {
        let value = json!({"a": {"b": [1, 2], "c": "x"}, "d": [{"e": 1.5}], "f": null});
        let lines: Vec<String> = text(&value)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines, ["a.b [1,2]", "a.c x", "d.1.e 1.5"]);
    }
}
