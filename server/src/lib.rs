//! The dashboard and the JSON API over one home. Pages, charts and exports come from `rungs_report` over
//! what `rungs_store` tells; what a button asks for becomes a request file for the scheduler.
//!
//! | question | module |
//! |---|---|
//! | which address shows what? | [`app`] |
//! | what is on a page? | [`pages`], with templates/ |
//! | curves as SVG? | [`charts`] |
//! | which runs are compared, and what is known of them? | [`mod@compare`] |
//! | JSON? downloads? | [`api`], [`listing`], [`openapi`], [`export`] |
//! | figures of this server for Prometheus? | [`metrics`] |
//! | how does an open page learn of news? | [`events`], with static/rungs.js |
//! | an experiment, its plan and results in one? | [`view`] (the runner prints the same) |
//! | a figure, and the runs behind its curves? | [`figure`] |
//! | who may read, and who may change? | [`guard`], [`token`] |
//! | what does a button do? | [`control`] |
//! | the files of a run? its log as it grows? | [`files`] |
//! | what is kept from one request to the next? | [`remember`] |
//! | what is a visitor told when it fails? | [`error`] |
//!
//! Architecture invariants: the database is opened for reading only; all state of a page is in its
//! address; nothing is loaded from another host.
#![warn(missing_docs)]

pub mod api;
mod assets;
mod caching;
pub mod charts;
pub mod compare;
pub mod control;
pub mod error;
pub mod events;
pub mod export;
pub mod figure;
pub mod files;
mod gpu;
pub mod guard;
mod human;
pub mod listing;
pub mod metrics;
pub mod openapi;
pub mod pages;
pub mod remember;
mod serve;
mod state;
pub mod token;
pub mod view;

pub use serve::{Limits, Listen, ServeError, bind, runtime, serve, serve_within};
pub use state::{Dashboard, Shown};

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::timeout::TimeoutLayer;

use guard::Guard;

/// Every address of the dashboard. `guard` says who may read, and who may change.
pub fn app(dashboard: Dashboard, guard: Guard) -> Router {
    app_within(dashboard, guard, Limits::default().answer)
}

/// As [`app`]; `longest` is what an answer may take, the request's body included.
fn app_within(dashboard: Dashboard, guard: Guard, longest: Duration) -> Router {
    let in_time = || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, longest);
    let small = || DefaultBodyLimit::max(control::MOST_BYTES);
    let counters = metrics::Counters::default();
    let answers = Router::new()
        .route("/", get(pages::overview::get))
        .route("/tables/{experiment}", get(pages::table::get))
        .route("/runs/{run}", get(pages::run::get))
        .route(
            "/runs/{run}/pictures/{file}",
            get(pages::run::pictures::get),
        )
        .route("/queue", get(pages::queue::get))
        .route("/requests", post(control::post).layer(small()))
        .route("/api/v1/requests", post(control::post_json).layer(small()))
        .route("/api/v1/requests/{id}", get(control::look))
        .route("/claims", get(pages::claims::get))
        .route("/compare", get(pages::compare::get))
        .route("/api/v1/compare", get(compare::get))
        .route("/figures", get(pages::figure::list))
        .route("/figures/{experiment}", get(pages::figure::get))
        .route("/api/v1/figures/{experiment}", get(api::figure))
        .route("/api/v1/claims", get(api::claims))
        .route("/charts/{chart}", get(charts::get))
        .route("/api/v1/experiments", get(api::experiments))
        .route("/api/v1/tables/{experiment}", get(api::table))
        .route("/api/v1/runs", get(listing::get))
        .route("/api/v1/runs/{run}", get(api::run))
        .route("/api/v1/runs/{run}/series/{*metric}", get(api::series))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/openapi.json", get(openapi::get))
        .route("/metrics", get(metrics::get))
        .route("/healthz", get(api::health))
        .fallback(api::nowhere)
        .layer(from_fn(remember::at_least))
        .layer(from_fn(caching::etag))
        // A page of thousands of cells is compressed for every visitor: speed before the last tenth of bytes.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(in_time());
    // Outside of the layers above: a stream has no digest and no end, and a checkpoint is large.
    let stream = Router::new()
        .route("/api/v1/events", get(events::get))
        .route("/api/v1/runs/{run}/log", get(files::follow))
        .route("/runs/{run}/files/{*name}", get(files::get));
    Router::new()
        .merge(answers)
        .merge(stream)
        .route("/static/{name}", get(assets::get))
        .layer(CatchPanicLayer::custom(api::panicked))
        .with_state(dashboard.clone())
        .merge(
            Router::new()
                .route(
                    "/enter",
                    get(pages::enter::get)
                        .post(pages::enter::post)
                        .layer(small()),
                )
                .layer(in_time())
                .with_state(guard.clone()),
        )
        .layer(from_fn_with_state(guard, guard::check))
        .layer(from_fn(api::in_form))
        .layer(from_fn_with_state(dashboard, pages::error_page))
        .layer(from_fn(guard::seal))
        .layer(from_fn_with_state(counters.clone(), metrics::count))
        .layer(Extension(counters))
}
