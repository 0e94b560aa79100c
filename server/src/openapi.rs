//! `/api/v1/openapi.json`: which addresses are there for programs, what do they take, what do they answer?
//!
//! docs/schema/openapi.json is this document, committed; a test holds the two and the router together.

mod schemas;

use axum::Json;
use rungs_spec::result::RunState;
use rungs_store::SortBy;
use serde_json::{Map, Value, json};

use self::schemas::schemas;
use crate::listing;

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
