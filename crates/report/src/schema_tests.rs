//! What is written and read holds to docs/schema/.

use std::collections::BTreeMap;

use rungs_spec::protocol::{
    Arithmetic, DatasetRef, Event, EventKind, FailureClass, InputRef, KnownData, NUMERICS_VERSION,
    Num, PROTOCOL_VERSION, RunFile,
};
use rungs_spec::recipe::CheckpointRef;
use serde_json::{Value, json};

use crate::fixtures;
use crate::history::History;
use crate::plan::PlanReport;
use crate::table::{Select, build};

fn schema(name: &str) -> Value {
    let path = format!(
        "{}/../../docs/schema/{name}.schema.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn errors(name: &str, value: &Value) -> Vec<String> {
    let schema = schema(name);
    jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{name} is no schema: {e}"));
    let validator = jsonschema::draft202012::new(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
    validator
        .iter_errors(value)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect()
}

fn holds<T: serde::Serialize>(name: &str, value: &T) -> Value {
    let value = serde_json::to_value(value).unwrap();
    assert_eq!(errors(name, &value), Vec::<String>::new(), "{value:#}");
    value
}

fn run_file() -> RunFile {
    let plan = fixtures::plan("quick", 1);
    let run = plan.runs.last().unwrap();
    let input = InputRef {
        model: "resnet152d".into(),
        run_dir: Some("/home/me/results/runs/x".into()),
        checkpoint: Some(CheckpointRef::Best),
        file: None,
    };
    RunFile {
        v: PROTOCOL_VERSION,
        run: run.key.clone(),
        seed: 1,
        numerics: NUMERICS_VERSION,
        arithmetic: Arithmetic::CpuEmulatedHalf,
        compute_threads: 2,
        devices: Vec::new(),
        timing: false,
        checkpoint_every_s: 30.0,
        dataset: DatasetRef {
            name: "synthetic".into(),
            identity: "synthetic@1".into(),
            path: None,
            layout: Some("folder".into()),
            known: Some(KnownData {
                fingerprint: "ab".repeat(32),
                train_blake3: Some("cd".repeat(32)),
                val_blake3: None,
            }),
        },
        inputs: BTreeMap::from([("distill.teacher".to_owned(), input)]),
        recipe: run.recipe.clone(),
    }
}

#[test]
fn recipes_hold_and_nothing_may_be_added_or_left_out() {
    let good = holds("recipe", &run_file());
    let keys: Vec<String> = good["recipe"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for key in keys {
        let mut bad = good.clone();
        bad["recipe"].as_object_mut().unwrap().remove(&key);
        assert!(
            !errors("recipe", &bad).is_empty(),
            "a recipe without {key} passes"
        );
    }
    for (place, bad) in [
        ("batch_size", json!(-4)),
        ("precision", json!("fp8")),
        ("lr_decay", json!(1)),
    ] {
        let mut value = good.clone();
        value["recipe"][place] = bad;
        assert!(!errors("recipe", &value).is_empty(), "{place}");
    }
}

#[test]
fn other_forms_of_a_recipe_hold_too() {
    let mut file = run_file();
    for text in [
        r#"{"kind": "cosine"}"#,
        r#"{"kind": "poly", "power": 0.9}"#,
        r#"{"kind": "step", "milestones": [30, 60, 90], "gamma": 0.1}"#,
    ] {
        file.recipe.schedule = serde_json::from_str(text).unwrap();
        holds("recipe", &file);
    }
    let edge = r#"{"experiment": "teachers", "row": "mixup", "column": "c", "seed": "same", "checkpoint": "last"}"#;
    for text in [
        edge,
        r#"{"weights": "a.safetensors", "model": "resnet50"}"#,
        r#""msra""#,
    ] {
        file.recipe.init = serde_json::from_str(text).unwrap();
        holds("recipe", &file);
    }
    let distill =
        format!(r#"{{"teacher": {edge}, "temperature": 20, "soft_weight": 1, "hard_weight": 1}}"#);
    file.recipe.distill = Some(serde_json::from_str(&distill).unwrap());
    file.recipe.loss_scale = serde_json::from_str(r#""dynamic""#).unwrap();
    holds("recipe", &file);
}

fn events() -> Vec<EventKind> {
    let run = run_file().run;
    vec![
        EventKind::Started {
            run: run.clone(),
            step: 200,
            resumed_from: Some("checkpoints/1-last.safetensors".into()),
            steps_per_epoch: 200,
            steps: 800,
            environment: json!({"host": "h", "threads": 2}),
        },
        EventKind::Metrics {
            step0: 200,
            epoch0: 1,
            values: BTreeMap::from([(
                "train/loss".to_owned(),
                vec![Num(0.5), Num(f64::NAN), Num(f64::NEG_INFINITY)],
            )]),
        },
        EventKind::Evaluation {
            epoch: 1,
            step: 200,
            split: "val".into(),
            n: 8,
            metrics: BTreeMap::from([("val/top1".to_owned(), Num(62.5))]),
            top1_bits: Some("Hw==".into()),
            top5_bits: None,
        },
        EventKind::Checkpoint {
            epoch: 1,
            step: 200,
            file: "checkpoints/1-last.safetensors".into(),
            blake3: run.to_string(),
        },
        EventKind::Finished {
            weights_blake3: run.to_string(),
            best_epoch: 3,
            peak_bytes: 300 << 20,
            epoch_seconds: vec![7.5, 7.6],
        },
        EventKind::Failed {
            class: FailureClass::Permanent,
            message: "the training loss is NaN".into(),
        },
    ]
}

#[test]
fn events_hold_and_read_back() {
    for kind in events() {
        let event = Event {
            v: PROTOCOL_VERSION,
            t: "2026-01-02T03:04:05.678Z".into(),
            attempt: 2,
            kind,
        };
        let value = holds("event", &event);
        let text = value.to_string();
        assert_eq!(
            serde_json::from_str::<Event>(&text).unwrap().v,
            PROTOCOL_VERSION
        );
        let keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        for key in keys
            .iter()
            .filter(|k| !matches!(k.as_str(), "resumed_from" | "top1_bits" | "top5_bits"))
        {
            let mut bad = value.clone();
            bad.as_object_mut().unwrap().remove(key);
            assert!(
                !errors("event", &bad).is_empty(),
                "an event without {key} passes: {bad}"
            );
        }
    }
}

#[test]
fn tables_hold_in_every_state() {
    for (profile, seeds) in [("quick", 1), ("quick", 3), ("paper", 3)] {
        let plan = fixtures::plan(profile, seeds);
        for results in [
            BTreeMap::new(),
            fixtures::under_way(&plan),
            fixtures::finished(&plan),
        ] {
            for select in [Select::Best, Select::Last] {
                holds("table", &build(&plan, &results, select));
            }
        }
    }
    let plan = fixtures::plan("quick", 1);
    let mut bad = holds("table", &build(&plan, &BTreeMap::new(), Select::Best));
    bad["rows"][0]["cells"]["bs256"]["status"] = json!("busy");
    assert_eq!(errors("table", &bad).len(), 1);
}

#[test]
fn the_example_of_the_contract_holds() {
    let example = json!({"experiment": "table4", "profile": "quick", "select": "best",
      "paper": {"arxiv": "1812.01187", "table": "4"}, "columns": [{"id": "bs256", "label": "BS=256"}],
      "rows": [{"id": "warmup", "label": "+ LR warmup", "on": "linear-scaling",
        "cells": {"bs256": {"status": "done", "emulated": false, "seeds": [1], "runs": [run_file().run],
          "metrics": {"val/top1": {"paper": 76.03, "unverified": false, "n": 3, "mean": 91.2, "sd": 0.1,
             "ci95": [90.9, 91.5], "best_epoch": [4], "delta": 0.2, "delta_ci95": [0.1, 0.3], "test": "paired-t",
             "p": 0.04, "verdict": "undecided", "reason": "..."},
             "test/top1": {"paper": 57.18, "mean": null, "external": true}}}}}]});
    holds("table", &example);
}

#[test]
fn plans_series_and_errors_hold() {
    let plan = fixtures::plan("quick", 2);
    let results = fixtures::under_way(&plan);
    holds(
        "plan",
        &PlanReport::build(
            &[&plan],
            &fixtures::standings(&results),
            &History::of(results.values()),
        ),
    );
    let point = |value| rungs_spec::result::Point {
        step: 3,
        epoch: 0,
        value,
        attempt: 1,
        superseded: false,
    };
    let series = crate::series::Series::new(
        run_file().run,
        "train/loss",
        &[point(0.5), point(f64::INFINITY)],
    );
    holds("series", &series);
    holds(
        "error",
        &json!({"error_code": "no_such_run", "message": "No run begins with 12."}),
    );
    assert!(!errors("error", &json!({"message": "x"})).is_empty());
    jsonschema::meta::validate(&schema("show")).expect("show is a schema");
}

#[test]
fn pictures_hold_to_their_schema() {
    use rungs_spec::pictures::{Marks, Object, Picture, Pictures};
    let object = Object {
        at: [1.0, 2.0, 3.5, 4.0],
        class: 2,
        score: Some(0.5),
        difficult: true,
    };
    let mask = Marks::Mask {
        file: Pictures::png(3, 0, "truth"),
        classes: vec![0, 2],
    };
    let picture = Picture {
        name: "000001.jpg".into(),
        image: Pictures::png(3, 0, "image"),
        width: 10,
        height: 8,
        truth: mask,
        predicted: Marks::Boxes(vec![object]),
    };
    let mut value = holds(
        "pictures",
        &Pictures {
            v: PROTOCOL_VERSION,
            epoch: 1,
            classes: vec!["coat".into()],
            pictures: vec![picture],
        },
    );
    value["pictures"][0]["image"] = json!("../recipe.json");
    assert_eq!(errors("pictures", &value).len(), 1);
}
