//! `/api/v1/`: what pages show, for programs. Errors are `{error_code, message}`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use rungs_report::export::Format;
use rungs_report::series::Series;
use rungs_spec::metric;
use rungs_spec::result::{Progress, RunState};
use rungs_store::{RunFilter, RunRow};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Failure;
use crate::export;
use crate::human::chain;
use crate::pages::table::Choices;
use crate::state::Dashboard;

/// `GET /healthz`: the process answers, and the database opens where there is one.
pub async fn health(State(dashboard): State<Dashboard>) -> Result<Json<Value>, Failure> {
    let database = dashboard.store().await?.is_some();
    Ok(Json(
        json!({"status": "ok", "database": database, "scheduler": dashboard.scheduler_is_here()}),
    ))
}

/// `GET /api/v1/experiments`
pub async fn experiments(State(dashboard): State<Dashboard>) -> Result<Json<Value>, Failure> {
    let mut list = Vec::new();
    for name in dashboard.experiments().await? {
        list.push(match dashboard.view(&name, None, rungs_report::Select::default()).await {
            Ok(view) => {
                let cells = || view.table.rows.iter().flat_map(|r| r.cells.values());
                let mut states = serde_json::Map::new();
                for cell in cells() {
                    let count = states.get(cell.status.word()).and_then(Value::as_u64).unwrap_or(0);
                    states.insert(cell.status.word().to_owned(), json!(count + 1));
                }
                json!({
                    "experiment": name, "title": view.table.title, "paper": view.table.paper, "profile": view.table.profile,
                    "profiles": view.experiment.profiles.keys().collect::<Vec<_>>(), "cells": states,
                })
            }
            Err(failure) => json!({"experiment": name, "error_code": failure.code, "message": failure.message}),
        });
    }
    Ok(Json(json!({ "experiments": list })))
}

/// `GET /api/v1/tables/{experiment}?profile=&select=`
pub async fn table(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    Query(choices): Query<Choices>,
) -> Result<Response, Failure> {
    let view = dashboard
        .view(&name, choices.profile.as_deref(), choices.select()?)
        .await?;
    export::response(&view, Format::Json)
}

/// `GET /api/v1/claims?profile=`
pub async fn claims(
    State(dashboard): State<Dashboard>,
    Query(choice): Query<crate::pages::claims::Choice>,
) -> Result<Json<Value>, Failure> {
    let claims = dashboard.claims(choice.profile.as_deref()).await?;
    Ok(Json(json!({ "claims": claims })))
}

/// Query of the list of runs.
#[derive(Debug, Default, serde::Deserialize)]
pub struct RunsQuery {
    /// Only this state.
    state: Option<String>,
}

/// A run in a list.
#[derive(Serialize)]
struct RunView<'a> {
    run: &'a str,
    state: &'static str,
    seed: u64,
    model: &'a str,
    dataset: &'a str,
    priority: i64,
    attempts: u32,
    progress: Progress,
    message: Option<&'a str>,
    waits_for: Vec<&'a str>,
    slot: Option<&'a str>,
    queued_at_ms: Option<i64>,
    started_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
}

impl<'a> From<&'a RunRow> for RunView<'a> {
    fn from(row: &'a RunRow) -> Self {
        RunView {
            run: row.key.as_str(),
            state: row.state.word(),
            seed: row.seed,
            model: &row.model,
            dataset: &row.dataset,
            priority: row.priority,
            attempts: row.attempts,
            progress: row.progress,
            message: row.message.as_deref(),
            waits_for: row
                .waits_for
                .iter()
                .map(rungs_spec::RunKey::as_str)
                .collect(),
            slot: row.slot.as_deref(),
            queued_at_ms: row.queued_at_ms,
            started_at_ms: row.started_at_ms,
            ended_at_ms: row.ended_at_ms,
        }
    }
}

/// `GET /api/v1/runs?state=`
pub async fn runs(
    State(dashboard): State<Dashboard>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Value>, Failure> {
    let states = match query.state.as_deref().filter(|s| !s.is_empty()) {
        None => Vec::new(),
        Some(word) => vec![RunState::from_word(word).ok_or_else(|| {
            Failure::bad_request(
                "bad_state",
                format!(
                    "There is no state {word:?}; {}",
                    rungs_spec::error::nearest(
                        word,
                        [
                            "new",
                            "blocked",
                            "queued",
                            "running",
                            "done",
                            "failed",
                            "cancelled"
                        ]
                    )
                ),
            )
        })?],
    };
    let rows = match dashboard.store().await? {
        Some(store) => {
            store
                .runs(&RunFilter {
                    states,
                    ..RunFilter::default()
                })
                .await?
        }
        None => Vec::new(),
    };
    Ok(Json(
        json!({ "runs": rows.iter().map(RunView::from).collect::<Vec<_>>() }),
    ))
}

/// `GET /api/v1/runs/{run}`: RUN is a key or an unambiguous prefix.
pub async fn run(
    State(dashboard): State<Dashboard>,
    Path(prefix): Path<String>,
) -> Result<Json<Value>, Failure> {
    let store = dashboard.some_store().await?;
    let key = store.find_run(&prefix).await?;
    let file = store.run_file(&key).await?;
    let result = store
        .results(std::slice::from_ref(&key))
        .await?
        .remove(&key);
    let cells = store.cells_of(&key).await?;
    let evaluations: Vec<Value> = result
        .iter()
        .flat_map(|r| &r.evaluations)
        .map(|e| {
            let metrics: serde_json::Map<String, Value> =
                e.metrics.iter().map(|(name, value)| (name.clone(), json!(rungs_spec::protocol::Num(*value)))).collect();
            json!({"epoch": e.epoch, "step": e.step, "split": e.split, "n": e.n, "metrics": metrics})
        })
        .collect();
    let finished = result.as_ref().and_then(|r| r.finished.as_ref());
    Ok(Json(json!({
        "run": key,
        "state": result.as_ref().map_or("new", |r| r.state.word()),
        "seed": file.seed,
        "recipe": file.recipe,
        "arithmetic": file.arithmetic,
        "attempts": result.as_ref().map_or(0, |r| r.attempts),
        "progress": result.as_ref().map(|r| r.progress),
        "weights_blake3": finished.map(|f| f.weights_blake3.as_str()),
        "summary": finished,
        "failure": result.as_ref().and_then(|r| r.failure.as_ref()),
        "evaluations": evaluations,
        "metrics": store.metrics_of(&key).await?,
        "cells": cells.iter().map(|c| json!({"experiment": c.experiment, "profile": c.profile, "row": c.row, "column": c.column, "seed": c.seed})).collect::<Vec<_>>(),
    })))
}

/// Query of a series.
#[derive(Debug, Default, serde::Deserialize)]
pub struct SeriesQuery {
    /// `true`: also points that a later attempt superseded.
    #[serde(default)]
    superseded: bool,
}

/// `GET /api/v1/runs/{run}/series/{metric}`: every point, exact.
pub async fn series(
    State(dashboard): State<Dashboard>,
    Path((prefix, name)): Path<(String, String)>,
    Query(query): Query<SeriesQuery>,
) -> Result<Response, Failure> {
    let store = dashboard.some_store().await?;
    let key = store.find_run(&prefix).await?;
    if metric::find(&name).is_none() && !store.metrics_of(&key).await?.contains(&name) {
        let near = rungs_spec::error::nearest(&name, metric::METRICS.iter().map(|m| m.name));
        return Err(Failure::not_found(
            "no_such_metric",
            format!("There is no metric {name:?}; {near}"),
        ));
    }
    let points = store.points(&key, &name, query.superseded).await?;
    Ok(Json(Series::new(key, name, &points)).into_response())
}

/// What no route matches.
pub async fn nowhere(uri: axum::http::Uri) -> Failure {
    Failure::not_found(
        "no_such_page",
        format!("There is nothing at {}.", uri.path()),
    )
}

/// An answer that took a panic to make.
pub fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let what = cause
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| cause.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let error = std::io::Error::other(what.to_owned());
    Failure::internal(format!(
        "This is a bug of the dashboard: {}.",
        chain(&error)
    ))
    .into_response()
}
