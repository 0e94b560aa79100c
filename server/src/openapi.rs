//! `/api/v1/openapi.json`: which addresses are there for programs, what do they take, what do they answer?
//!
//! docs/schema/openapi.json is this document, committed; a test holds the two and the router together.

use axum::Json;
use rungs_spec::result::RunState;
use rungs_store::SortBy;
use serde_json::{Map, Value, json};

use crate::listing;

/// Schemas of docs/schema that answers are held to.
const SCHEMAS: [(&str, &str); 3] = [
    ("error", include_str!("../../docs/schema/error.schema.json")),
    (
        "series",
        include_str!("../../docs/schema/series.schema.json"),
    ),
    ("table", include_str!("../../docs/schema/table.schema.json")),
];

/// `GET /api/v1/openapi.json`
pub async fn get() -> Json<Value> {
    Json(document())
}

/// The document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rungs",
            "version": "1",
            "summary": "What the dashboard of one home shows, for programs.",
            "description": "Fields may be added, none is renamed or removed. Errors from 400 on are {error_code, message}. \
                Every answer but a stream has an ETag; If-None-Match with it is answered 304. Where another machine can \
                reach the server, reading needs the home's token: Authorization: Bearer TOKEN. RUN is a run key or an \
                unambiguous prefix.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "HOME/server.token"}},
            "schemas": schemas(),
        },
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn parameter(place: &str, name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "description": description, "schema": schema})
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    parameter("query", name, description, schema)
}

fn text() -> Value {
    json!({"type": "string"})
}

fn run() -> Value {
    let prefix = json!({"type": "string", "pattern": "^[0-9a-f]{1,64}$"});
    parameter(
        "path",
        "run",
        "Run key, or an unambiguous prefix of it",
        prefix,
    )
}

/// The answers that say what is wrong, by their status.
fn errors() -> Map<String, Value> {
    let mut answers = Map::new();
    for (status, description) in [
        ("400", "A value that cannot be; the message names it"),
        ("401", "The home's token is needed"),
        ("403", "From a page of another site"),
        ("404", "Not there; the message names the nearest"),
        ("421", "Sent to another host's name"),
        ("422", "The experiment's file is refused"),
        (
            "503",
            "The database is locked, damaged, or of another version",
        ),
    ] {
        let content = json!({"application/json": {"schema": reference("error")}});
        answers.insert(
            status.to_owned(),
            json!({"description": description, "content": content}),
        );
    }
    answers
}

/// The POST of a request.
fn ask() -> Value {
    let mut answers = errors();
    let taken = json!({"description": "Taken; the scheduler carries it out", "content": {"application/json": {"schema": reference("request")}}});
    answers.insert("202".to_owned(), taken);
    let too_large = json!({"description": "More than a request has"});
    answers.insert("413".to_owned(), too_large);
    let body =
        json!({"required": true, "content": {"application/json": {"schema": reference("wish")}}});
    json!({
        "summary": "Ask the scheduler to change something", "security": [{"token": []}],
        "requestBody": body, "responses": answers,
    })
}

/// A GET: what it is for, its parameters, the media type and schema of its answer.
fn read(summary: &str, parameters: Vec<Value>, media: &str, schema: Value) -> Value {
    let mut answers = errors();
    let headers = json!({"ETag": {"description": "Digest of the content", "schema": text()}});
    answers.insert(
        "200".to_owned(),
        json!({"description": summary, "headers": headers, "content": {media: {"schema": schema}}}),
    );
    answers.insert(
        "304".to_owned(),
        json!({"description": "As in If-None-Match"}),
    );
    json!({"get": {"summary": summary, "parameters": parameters, "responses": answers}})
}

fn json_of(summary: &str, parameters: Vec<Value>, schema: Value) -> Value {
    read(summary, parameters, "application/json", schema)
}

/// Every address under /api/v1, and what else is for programs.
fn paths() -> Value {
    let profile = || {
        query(
            "profile",
            "Profile; the experiment's default where left out",
            text(),
        )
    };
    let experiment = || {
        parameter(
            "path",
            "experiment",
            "File stem of the experiment",
            json!({"type": "string", "minLength": 1}),
        )
    };
    let select = query(
        "select",
        "Which evaluation counts",
        json!({"enum": ["best", "last"]}),
    );
    let seeds = query(
        "seeds",
        "Seeds of every cell, the first so many; as many as the table was applied with without",
        json!({"type": "integer", "minimum": 1, "maximum": 1000}),
    );
    let object_of = |name: &str, of: &str| json!({"type": "object", "required": [name], "properties": {name: {"type": "array", "items": reference(of)}}});
    let sorts: Vec<String> = SortBy::ALL
        .iter()
        .flat_map(|by| [by.word().to_owned(), format!("-{}", by.word())])
        .collect();
    let states: Vec<&str> = RunState::ALL.iter().map(|s| s.word()).collect();
    let list = vec![
        query(
            "state",
            "Only these states, separated by commas",
            json!({"type": "string", "examples": states}),
        ),
        query(
            "experiment",
            "Only runs that a cell of this experiment wants",
            text(),
        ),
        query("profile", "Only runs wanted under this profile", text()),
        query("model", "Only this model", text()),
        query("dataset", "Only this dataset", text()),
        query(
            "seed",
            "Only this seed",
            json!({"type": "integer", "minimum": 0, "maximum": i64::MAX}),
        ),
        query("run", "Only keys that begin so", text()),
        query(
            "sort",
            "Order; a leading minus for highest first",
            json!({"enum": sorts, "default": "-updated"}),
        ),
        query(
            "limit",
            "Runs of a page",
            json!({"type": "integer", "minimum": 1, "maximum": listing::MOST, "default": listing::USUAL}),
        ),
        query(
            "cursor",
            "next_cursor of the page before, under the same filter and sort",
            text(),
        ),
    ];
    let compared = vec![
        json!({
            "name": "runs", "in": "query", "required": true, "schema": text(),
            "description": "Run keys or unambiguous prefixes, separated by commas; differences are to the first",
        }),
        query(
            "by",
            "What is laid side by side: every run, or the seeds of a recipe together",
            json!({"enum": ["run", "cell"], "default": "run"}),
        ),
    ];
    let superseded = query(
        "superseded",
        "Also points that a later attempt superseded",
        json!({"type": "boolean", "default": false}),
    );
    let metric = parameter(
        "path",
        "metric",
        "Metric, such as train/loss; its slash may stand as it is",
        json!({"type": "string", "minLength": 1}),
    );
    let from = query(
        "from",
        "Byte after the last one that is known",
        json!({"type": "integer", "minimum": 0, "maximum": i64::MAX}),
    );
    let stream = query(
        "cursor",
        "The change counter last seen: nothing is sent before it has grown",
        json!({"type": "integer", "minimum": 0, "maximum": i64::MAX}),
    );
    json!({
        "/api/v1/openapi.json": json_of("This document", vec![], json!({"type": "object"})),
        "/api/v1/status": json_of("How many runs of each state, who schedules, what is on the slots", vec![], reference("status")),
        "/api/v1/experiments": json_of("Every experiment with its cells by state", vec![], object_of("experiments", "experiment")),
        "/api/v1/tables/{experiment}": json_of("Paper and ours, side by side", vec![experiment(), profile(), select, seeds], reference("table")),
        "/api/v1/figures/{experiment}": json_of("Curves of a figure, every point, mean over seeds; or the networks of a block diagram", vec![experiment(), profile()], reference("figure")),
        "/api/v1/claims": json_of("Every claim of the paper, judged", vec![profile()], object_of("claims", "claim")),
        "/api/v1/compare": json_of("Runs beside each other: numbers, recipes, images", compared, reference("comparison")),
        "/api/v1/runs": json_of("A page of the list of runs", list, reference("runs")),
        "/api/v1/runs/{run}": json_of("One run", vec![run()], reference("run")),
        "/api/v1/runs/{run}/series/{metric}": json_of("Every point of a metric, exact", vec![run(), metric, superseded], reference("series")),
        "/api/v1/events": read("A stream: the change counter at once, then after every change", vec![stream], "text/event-stream", text()),
        "/api/v1/requests": json!({"post": ask()}),
        "/api/v1/requests/{id}": json_of("What became of a request", vec![parameter("path", "id", "As the answer to the request names it", text())], reference("request")),
        "/api/v1/runs/{run}/log": read("A stream: the log as it grows, JSON strings of whole lines", vec![run(), from], "text/event-stream", text()),
        "/healthz": json_of("The process answers", vec![], json!({"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}})),
        "/metrics": read("Figures for Prometheus", vec![], "text/plain", text()),
    })
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

fn schemas() -> Map<String, Value> {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_served_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/openapi.json");
        let served = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("RUNGS_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &served).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == served,
            "docs/schema/openapi.json is another document; RUNGS_WRITE_OPENAPI=1 writes it anew"
        );
    }

    #[test]
    fn every_route_for_programs_is_in_it() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let routes: Vec<String> = include_str!("lib.rs")
            .split(".route(")
            .skip(1)
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .filter(|route| route.starts_with("/api/") || ["/healthz", "/metrics"].contains(route))
            .map(|route| route.replace("{*", "{"))
            .collect();
        assert!(routes.len() >= 10, "{routes:?}");
        for route in &routes {
            assert!(paths.contains_key(route), "{route} is not in the document");
        }
        assert_eq!(
            routes.len(),
            paths.len(),
            "the document has more than the router"
        );
    }

    #[test]
    fn references_lead_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(map) => {
                    for (key, inner) in map {
                        match inner {
                            Value::String(to) if key == "$ref" => {
                                let place = to.strip_prefix('#').unwrap();
                                assert!(document.pointer(place).is_some(), "{to}");
                            }
                            other => walk(other, document),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
                _ => {}
            }
        }
        walk(&document(), &document());
    }
}
