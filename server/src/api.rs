//! `/api/v1/`: what pages show, for programs. Errors are `{error_code, message}`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rungs_report::export::{Format, Round};
use rungs_report::series::Series;
use rungs_spec::metric;
use rungs_store::RunFilter;
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
    let options = choices.options()?;
    let view = dashboard
        .view_with(&name, &options, choices.select()?)
        .await?;
    export::response(&view, Format::Json, Round::default())
}

/// `GET /api/v1/figures/{experiment}?profile=`: every point of every panel, mean over the seeds; or the
/// networks of a block diagram with every step.
pub async fn figure(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    Query(choices): Query<crate::pages::figure::Choices>,
) -> Result<Json<Value>, Failure> {
    let figure = crate::figure::load(&dashboard, &name, choices.profile.as_deref()).await?;
    let number = |v: f64| json!(rungs_spec::protocol::Num(v));
    let mut panels = Vec::new();
    for (at, panel) in figure.figure.panels.iter().enumerate() {
        let mut spec = rungs_report::chart::ChartSpec::default();
        let filled = crate::charts::figure::fill(&dashboard, &figure, at, &mut spec).await?;
        let drawn = filled.iter().zip(spec.series.iter().zip(&spec.bands));
        let series: Vec<Value> = drawn
            .map(|(of, (curve, band))| {
                let points: Vec<Value> = curve.points.iter().map(|(x, y)| json!([x, number(*y)])).collect();
                let band: Vec<Value> =
                    band.points.iter().map(|(x, low, high)| json!([x, number(*low), number(*high)])).collect();
                let of = &figure.curves[*of];
                let (cell, runs) = (&of.series, &of.runs);
                json!({
                    "label": of.label, "experiment": cell.experiment, "row": cell.row, "column": cell.column,
                    "runs": runs, "n": runs.len(), "points": points, "band": band,
                })
            })
            .collect();
        panels.push(json!({"x": panel.x, "y": panel.y, "series": series}));
    }
    Ok(Json(json!({
        "experiment": name, "title": figure.experiment.title, "paper": figure.experiment.paper,
        "profile": figure.profile, "profiles": figure.profiles, "panels": panels,
        "networks": figure.diagram.as_ref().map_or(&[][..], |d| d.networks.as_slice()),
        "changes": figure.diagram.as_ref().map_or(&[][..], |d| d.changes.as_slice()),
    })))
}

/// `GET /api/v1/claims?profile=`
pub async fn claims(
    State(dashboard): State<Dashboard>,
    Query(choice): Query<crate::pages::claims::Choice>,
) -> Result<Json<Value>, Failure> {
    let claims = dashboard.claims(choice.profile.as_deref()).await?;
    Ok(Json(json!({ "claims": claims })))
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

/// `GET /api/v1/status`: how many runs of each state, whether somebody schedules, what is on the slots.
pub async fn status(State(dashboard): State<Dashboard>) -> Result<Json<Value>, Failure> {
    let (mut states, mut slots, mut paused) = (serde_json::Map::new(), Vec::new(), false);
    if let Some(store) = dashboard.store().await? {
        for (state, n) in store.count_states(&RunFilter::default()).await? {
            states.insert(state.word().to_owned(), json!(n));
        }
        paused = store.paused().await?;
        slots.extend(store.slots().await?.into_iter().map(|s| {
            json!({"slot": s.slot, "device": s.device, "threads": s.threads, "run": s.run, "attempt": s.attempt})
        }));
    }
    Ok(Json(json!({
        "scheduler": dashboard.scheduler_is_here(), "paused": paused, "states": states, "slots": slots,
        "changes": dashboard.change_counter().await?,
    })))
}

/// What is refused before one of our handlers sees it (a query that is none, a method that a route does not
/// have) is told in the API's form too.
pub async fn in_form(request: axum::extract::Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    // A page of ours says what is wrong itself: the token's.
    let is_page = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/html");
    let told = status.is_success()
        || status.is_redirection()
        || response.extensions().get::<Failure>().is_some()
        || response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(is_page);
    if told {
        return response;
    }
    let code = match status {
        StatusCode::METHOD_NOT_ALLOWED => "wrong_method",
        StatusCode::GATEWAY_TIMEOUT => "too_slow",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        _ => "bad_request",
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let body = axum::body::to_bytes(response.into_body(), 4096).await;
    let text = body.map_or_else(
        |_| String::new(),
        |b| String::from_utf8_lossy(&b).into_owned(),
    );
    let message = match text.trim() {
        "" if status == StatusCode::GATEWAY_TIMEOUT => {
            "The answer took too long to make: the machine or the disk of the home is busy. Try again in a moment."
                .to_owned()
        }
        "" => format!("The request was refused: {status}."),
        said => said.to_owned(),
    };
    let failure = Failure {
        status,
        code,
        message,
    };
    let mut response = failure.into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
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
