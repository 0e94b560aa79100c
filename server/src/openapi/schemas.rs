//! What answers look like: the schemas of docs/schema, and of what has no file there.

use rungs_spec::result::RunState;
use serde_json::{Map, Value, json};

use super::text;

/// Schemas of docs/schema that answers are held to.
const SCHEMAS: [(&str, &str); 3] = [
    (
        "error",
        include_str!("../../../docs/schema/error.schema.json"),
    ),
    (
        "series",
        include_str!("../../../docs/schema/series.schema.json"),
    ),
    (
        "table",
        include_str!("../../../docs/schema/table.schema.json"),
    ),
];

pub(super) fn schemas() -> Map<String, Value> {
    let key = || json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let whole = || json!({"type": "integer"});
    let maybe = |kind: &str| json!({"type": [kind, "null"]});
    let states: Vec<&str> = RunState::ALL.iter().map(|s| s.word()).collect();
    let state = json!({"enum": states});
    let progress = json!({
        "type": "object", "required": ["step", "steps", "steps_per_epoch", "images_per_s"],
        "properties": {"step": whole(), "steps": whole(), "steps_per_epoch": whole(), "images_per_s": {"type": "number"}},
    });
    let run = json!({
        "type": "object",
        "required": ["run", "state", "seed", "recipe", "arithmetic", "attempts", "evaluations", "metrics", "cells"],
        "properties": {
            "run": key(), "state": state, "seed": whole(), "recipe": {"type": "object"}, "arithmetic": text(), "attempts": whole(),
            "progress": {"anyOf": [progress, {"type": "null"}]}, "weights_blake3": maybe("string"), "summary": maybe("object"),
            "failure": maybe("object"), "evaluations": {"type": "array", "items": {"type": "object"}},
            "metrics": {"type": "array", "items": text()}, "cells": {"type": "array", "items": {"type": "object"}},
        },
    });
    let listed = json!({
        "type": "object",
        "required": ["run", "state", "seed", "model", "dataset", "priority", "attempts", "progress", "waits_for"],
        "properties": {
            "run": key(), "state": state, "seed": whole(), "model": text(), "dataset": text(), "priority": whole(),
            "attempts": whole(), "progress": progress, "message": maybe("string"), "slot": maybe("string"),
            "waits_for": {"type": "array", "items": key()}, "queued_at_ms": maybe("integer"),
            "started_at_ms": maybe("integer"), "ended_at_ms": maybe("integer"),
        },
    });
    let mut all = Map::new();
    for (name, value) in [
        ("run", run),
        (
            "runs",
            json!({
                "type": "object", "required": ["runs", "next_cursor", "total"],
                "properties": {"runs": {"type": "array", "items": listed}, "next_cursor": maybe("string"), "total": whole()},
            }),
        ),
        (
            "status",
            json!({
                "type": "object", "required": ["scheduler", "paused", "states", "slots", "changes"],
                "properties": {
                    "scheduler": {"type": "boolean"}, "paused": {"type": "boolean"}, "changes": whole(),
                    "states": {"type": "object", "additionalProperties": whole()},
                    "slots": {"type": "array", "items": {"type": "object", "required": ["slot", "device", "threads"]}},
                },
            }),
        ),
        (
            "request",
            json!({
                "type": "object", "required": ["request", "asked", "state", "reason"],
                "properties": {"request": text(), "asked": text(), "state": {"enum": ["waiting", "done", "refused"]}, "reason": maybe("string")},
            }),
        ),
        ("comparison", comparison()),
        ("wish", wish()),
        ("figure", figure()),
        (
            "experiment",
            json!({
                "type": "object", "required": ["experiment"], "properties": {"experiment": text(), "title": text(), "cells": {"type": "object"}},
            }),
        ),
        (
            "claim",
            json!({
                "type": "object", "required": ["id", "text", "experiment", "verdict", "n", "reason"],
                "properties": {"id": text(), "text": text(), "experiment": text(), "n": whole(), "p": maybe("number"), "reason": text()},
            }),
        ),
    ] {
        all.insert(name.to_owned(), value);
    }
    for (name, file) in SCHEMAS {
        // Built in; a test parses each.
        let mut schema: Value = serde_json::from_str(file).unwrap_or_default();
        if let Some(map) = schema.as_object_mut() {
            map.remove("$schema");
            map.remove("$id");
        }
        relocate(&mut schema, name);
        all.insert(name.to_owned(), schema);
    }
    all
}

fn figure() -> Value {
    let list = |of: Value| json!({"type": "array", "items": of});
    let whole = || json!({"type": "integer"});
    // Not finite: "NaN", "Infinity", "-Infinity".
    let places = list(list(json!({"type": ["number", "string"]})));
    let series = json!({
        "type": "object", "required": ["label", "experiment", "row", "column", "runs", "n", "points", "band"],
        "properties": {
            "label": text(), "experiment": text(), "row": text(), "column": text(), "runs": list(text()), "n": whole(),
            "points": places, "band": places,
        },
    });
    let panel = json!({
        "type": "object", "required": ["x", "y", "series"],
        "properties": {"x": {"enum": ["epoch", "step", "time"]}, "y": text(), "series": list(series)},
    });
    let network = json!({
        "type": "object", "required": ["model", "title", "input_size", "parameters", "macs", "parts"],
        "properties": {
            "model": text(), "title": text(), "input_size": whole(), "parameters": whole(), "macs": whole(),
            "parts": list(json!({"type": "object", "required": ["title", "output", "blocks"]})),
        },
    });
    json!({
        "type": "object", "required": ["experiment", "title", "profile", "profiles", "panels", "networks", "changes"],
        "properties": {
            "experiment": text(), "title": text(), "paper": {"type": ["object", "null"]},
            "profile": {"type": ["string", "null"]}, "profiles": list(text()), "panels": list(panel),
            "networks": list(network),
            "changes": list(json!({"type": "object", "required": ["model", "beside", "differences"]})),
        },
    })
}

/// Runs beside each other ([`rungs_report::compare::Comparison`]).
fn comparison() -> Value {
    let key = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let list = |items: Value| json!({"type": "array", "items": items});
    let maybe = |kind: &str| json!({"type": [kind, "null"]});
    let pair = json!({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2});
    let over = json!({
        "type": "object", "required": ["n", "mean", "values", "epochs", "delta"],
        "properties": {
            "n": {"type": "integer"}, "mean": maybe("number"), "sd": maybe("number"), "ci95": pair,
            "values": list(json!({"type": ["number", "string"]})), "epochs": list(json!({"type": "integer"})),
            "delta": maybe("number"), "delta_ci95": pair, "p": maybe("number"),
        },
    });
    let shown = json!({"type": "object", "required": ["best", "last"], "properties": {"best": over, "last": over}});
    let side = json!({
        "type": "object", "required": ["label", "runs", "seeds", "states", "seconds", "peak_bytes", "values"],
        "properties": {
            "label": text(), "runs": list(key.clone()), "seeds": list(json!({"type": "integer"})), "states": list(text()),
            "weights_blake3": list(maybe("string")), "seconds": maybe("number"), "peak_bytes": maybe("integer"),
            "values": {"type": "object", "additionalProperties": shown},
        },
    });
    let count = || json!({"type": "integer", "minimum": 0});
    let images = json!({
        "type": ["object", "null"], "required": ["n", "both", "only_a", "only_b", "neither", "p"],
        "properties": {"n": count(), "both": count(), "only_a": count(), "only_b": count(), "neither": count(), "p": {"type": "number"}},
    });
    let agreement = json!({
        "type": "object", "required": ["a", "b", "metric", "images", "reason"],
        "properties": {"a": key, "b": key, "metric": text(), "images": images, "reason": maybe("string")},
    });
    let line = json!({
        "type": "object", "required": ["key", "differs", "values"],
        "properties": {"key": text(), "differs": {"type": "boolean"}, "values": list(json!({}))},
    });
    json!({
        "type": "object", "required": ["by", "sides", "metrics", "recipe", "agreement"],
        "properties": {
            "by": {"enum": ["run", "cell"]}, "sides": list(side), "metrics": list(json!({"type": "object", "required": ["name", "title"]})),
            "recipe": list(line), "agreement": list(agreement),
        },
    })
}

/// What can be asked for ([`crate::control::Wish`]).
fn wish() -> Value {
    let kind = |kind: &str, fields: Value, required: &[&str]| {
        let mut properties = fields;
        properties["kind"] = json!({"const": kind});
        let required: Vec<&str> = ["kind"].iter().chain(required).copied().collect();
        json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
    };
    json!({"oneOf": [
        kind("cancel", json!({"run": text()}), &["run"]),
        kind("retry", json!({"run": text()}), &["run"]),
        kind("priority", json!({"run": text(), "priority": {"type": "integer"}}), &["run", "priority"]),
        kind("pause", json!({}), &[]),
        kind("resume", json!({}), &[]),
        kind(
            "seeds",
            json!({"experiment": text(), "profile": {"type": ["string", "null"]}, "add": {"type": "integer", "minimum": 1}}),
            &["experiment", "add"],
        ),
    ]})
}

/// Points the references inside a schema file to where it stands in this document.
fn relocate(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(to) if key == "$ref" => {
                        if let Some(rest) = to.strip_prefix('#') {
                            *to = format!("#/components/schemas/{name}{rest}");
                        }
                    }
                    other => relocate(other, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, name)),
        _ => {}
    }
}
