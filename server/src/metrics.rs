//! `/metrics`: what Prometheus collects of this home and this server.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Extension, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rungs_spec::result::RunState;
use rungs_store::RunFilter;

use crate::error::Failure;
use crate::state::Dashboard;

/// The text format of Prometheus, version 0.0.4.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper ends of the classes that answers are counted in by their time, seconds.
const CLASSES: [f64; 7] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// What this server has answered since it started.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By the status's first digit.
    statuses: [AtomicU64; 6],
    /// Answers not slower than the class.
    within: [AtomicU64; CLASSES.len()],
    answers: AtomicU64,
    microseconds: AtomicU64,
}

impl Counters {
    fn count(&self, status: u16, seconds: f64) {
        let Inner {
            statuses,
            within,
            answers,
            microseconds,
        } = &*self.0;
        if let Some(of) = statuses.get(usize::from(status / 100)) {
            of.fetch_add(1, Ordering::Relaxed);
        }
        for (class, n) in CLASSES.iter().zip(within) {
            if seconds <= *class {
                n.fetch_add(1, Ordering::Relaxed);
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
        microseconds.fetch_add((seconds * 1e6) as u64, Ordering::Relaxed);
    }

    fn text(&self, out: &mut Text) {
        let Inner {
            statuses,
            within,
            answers,
            microseconds,
        } = &*self.0;
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64;
        out.family(
            "rungs_http_requests_total",
            "counter",
            "Requests answered, by class of status.",
        );
        for (class, n) in statuses.iter().enumerate().skip(1) {
            out.sample(
                "rungs_http_requests_total",
                &format!("{{status=\"{class}xx\"}}"),
                read(n),
            );
        }
        let name = "rungs_http_request_seconds";
        out.family(
            name,
            "histogram",
            "Time from a request's head to its answer's.",
        );
        for (class, n) in CLASSES.iter().zip(within) {
            out.sample(
                &format!("{name}_bucket"),
                &format!("{{le=\"{class}\"}}"),
                read(n),
            );
        }
        out.sample(&format!("{name}_bucket"), "{le=\"+Inf\"}", read(answers));
        out.sample(&format!("{name}_sum"), "", read(microseconds) / 1e6);
        out.sample(&format!("{name}_count"), "", read(answers));
    }
}

/// The middleware that counts.
pub async fn count(State(counters): State<Counters>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    counters.count(response.status().as_u16(), begun.elapsed().as_secs_f64());
    response
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }
}

/// `GET /metrics`
pub async fn get(
    State(dashboard): State<Dashboard>,
    Extension(counters): Extension<Counters>,
) -> Result<Response, Failure> {
    let mut out = Text::default();
    let up = |here: bool| f64::from(u8::from(here));
    out.gauge(
        "rungs_scheduler_up",
        "1 while a scheduler holds this home.",
        up(dashboard.scheduler_is_here()),
    );
    let store = dashboard.store().await?;
    out.gauge(
        "rungs_database_up",
        "1 while there is a database.",
        up(store.is_some()),
    );
    if let Some(store) = store {
        let counted = store.count_states(&RunFilter::default()).await?;
        out.family("rungs_runs", "gauge", "Runs, by state.");
        for state in RunState::ALL {
            let n = counted.get(&state).copied().unwrap_or(0);
            out.sample(
                "rungs_runs",
                &format!("{{state=\"{}\"}}", state.word()),
                n as f64,
            );
        }
        out.family(
            "rungs_attempts",
            "gauge",
            "Attempts in this home, by what became of them.",
        );
        for (word, n) in store.count_attempts().await? {
            out.sample("rungs_attempts", &format!("{{state=\"{word}\"}}"), n as f64);
        }
        let slots = store.slots().await?;
        let busy = slots.iter().filter(|slot| slot.run.is_some()).count();
        out.gauge(
            "rungs_slots",
            "Slots that the scheduler last spoke of.",
            slots.len() as f64,
        );
        out.gauge("rungs_slots_busy", "Slots with a run on them.", busy as f64);
        out.gauge(
            "rungs_paused",
            "1 while no new attempts start.",
            up(store.paused().await?),
        );
        let mut behind = 0;
        let running = RunFilter {
            states: vec![RunState::Running],
            ..RunFilter::default()
        };
        for row in store.runs(&running).await? {
            let file = dashboard.home().run(&row.key).attempt(row.attempts);
            let written = std::fs::metadata(file).map_or(0, |m| m.len());
            behind += written.saturating_sub(store.ingest_offset(&row.key, row.attempts).await?);
        }
        out.gauge(
            "rungs_ingest_lag_bytes",
            "Bytes of events of running attempts that are not in the database yet.",
            behind as f64,
        );
        out.gauge(
            "rungs_changes",
            "Writes to the database so far.",
            dashboard.change_counter().await? as f64,
        );
    }
    counters.text(&mut out);
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], out.0).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_in_their_class_and_all_above() {
        let counters = Counters::default();
        counters.count(200, 0.02);
        counters.count(404, 9.0);
        let mut out = Text::default();
        counters.text(&mut out);
        for line in [
            "rungs_http_requests_total{status=\"2xx\"} 1",
            "rungs_http_requests_total{status=\"5xx\"} 0",
            "rungs_http_request_seconds_bucket{le=\"0.01\"} 0",
            "rungs_http_request_seconds_bucket{le=\"0.025\"} 1",
            "rungs_http_request_seconds_bucket{le=\"+Inf\"} 2",
            "rungs_http_request_seconds_count 2",
        ] {
            assert!(out.0.lines().any(|l| l == line), "{line} in {}", out.0);
        }
    }
}
