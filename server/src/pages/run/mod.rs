//! `/runs/{run}`: one training, its curves, its recipe, what became of each attempt.

mod log;
pub mod pictures;
mod recipe;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use rungs_report::{Select, format};
use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::result::{RunResult, RunState};
use rungs_store::{AttemptRow, CellOf, Store};

use self::log::log_tail;
use self::recipe::{Change, RecipeLine, changes, flatten, line, plain_recipe, story};
use super::table::color;
use super::{ChartLink, Layout, escape, html, queue};
use crate::charts;
use crate::error::Failure;
use crate::human::{bytes, duration, grouped, moment, plural};
use crate::state::Dashboard;
use crate::view::View;

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    layout: Layout,
    page: RunPage,
}

struct RunPage {
    key: String,
    short: String,
    heading: String,
    color: Option<usize>,
    cells: Vec<CellLink>,
    state: &'static str,
    summary: String,
    share: Option<u8>,
    message_title: &'static str,
    message: Option<String>,
    waits: Option<String>,
    figures: Vec<Figure>,
    panels: Vec<Panel>,
    zoomed: Option<String>,
    changes: Vec<Change>,
    recipe: Vec<RecipeLine>,
    attempts: Vec<AttemptView>,
    environment: Vec<(String, String)>,
    log: String,
    log_caption: String,
    album: pictures::Album,
}

struct CellLink {
    href: String,
    text: String,
}

struct Figure {
    label: String,
    text: String,
    small: String,
    metric: Option<String>,
    value: f64,
}

struct Panel {
    title: &'static str,
    chart: Option<ChartLink>,
    empty: &'static str,
    points: usize,
    caption: String,
}

struct AttemptView {
    number: u32,
    state: String,
    started: String,
    took: String,
    steps: String,
    resumed_from: String,
    slot: String,
}

/// View of the charts.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Choices {
    /// First step (or epoch) shown.
    from: Option<String>,
    /// Last one.
    to: Option<String>,
}

impl Choices {
    /// What part of the steps is shown, if not all.
    fn words(&self) -> Option<String> {
        match (&self.from, &self.to) {
            (None, None) => None,
            (Some(from), None) => Some(format!("from step {from}")),
            (None, Some(to)) => Some(format!("up to step {to}")),
            (Some(from), Some(to)) => Some(format!("steps {from} to {to}")),
        }
    }
}

/// The page; a prefix of a run key leads to it.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path(prefix): Path<String>,
    Query(choices): Query<Choices>,
) -> Result<Response, Failure> {
    let store = dashboard.some_store().await?;
    let key = store.find_run(&prefix).await?;
    if key.as_str() != prefix {
        return Ok(Redirect::to(&format!("/runs/{key}")).into_response());
    }
    let layout = Layout::load(&dashboard, "tables").await?;
    let page = page(&dashboard, &store, key, &choices).await?;
    html(&Page { layout, page })
}

async fn page(
    dashboard: &Dashboard,
    store: &Store,
    key: RunKey,
    choices: &Choices,
) -> Result<RunPage, Failure> {
    let result = store
        .results(std::slice::from_ref(&key))
        .await?
        .remove(&key);
    let result = result.ok_or_else(|| {
        Failure::not_found(
            "no_such_run",
            format!("Run {key} is named, but nothing is known of it yet."),
        )
    })?;
    let cells = store.cells_of(&key).await?;
    let attempts = store.attempts(&key).await?;
    // The first cell tells the story of the recipe; a run that no experiment asks for has none.
    let view = match cells.first() {
        Some(cell) => dashboard
            .view(&cell.experiment, cell.profile.as_deref(), Select::Best)
            .await
            .ok(),
        None => None,
    };
    let story = view
        .as_ref()
        .zip(cells.first())
        .and_then(|(view, cell)| story(view, cell));
    let (log, log_caption) = log_tail(&dashboard.home().run(&key).log());
    let running = result.state == RunState::Running;
    let row = store
        .runs(&rungs_store::RunFilter {
            prefix: Some(key.to_string()),
            ..Default::default()
        })
        .await?
        .into_iter()
        .next();
    Ok(RunPage {
        short: key.short().to_owned(),
        heading: cell_heading(view.as_ref(), cells.first(), &key),
        color: view
            .as_ref()
            .zip(cells.first())
            .map(|(view, cell)| color(view, &cell.row)),
        cells: cells.iter().map(cell_link).collect(),
        state: result.state.word(),
        summary: summary(&result, &attempts),
        share: running.then(|| queue::share(result.progress)),
        message_title: if result.state == RunState::Failed {
            "Failed."
        } else {
            "Last try."
        },
        message: result
            .failure
            .as_ref()
            .map(|f| f.message.clone())
            .or_else(|| row.as_ref().and_then(|r| r.message.clone())),
        waits: row.filter(|r| !r.waits_for.is_empty()).map(|r| {
            let names: Vec<&str> = r.waits_for.iter().map(RunKey::short).collect();
            format!("It waits for run {}.", names.join(", "))
        }),
        figures: figures(&result),
        panels: panels(store, &result, choices).await?,
        zoomed: choices.words(),
        changes: story
            .as_ref()
            .map(|(view, keys)| changes(view, keys))
            .unwrap_or_default(),
        recipe: match &story {
            Some((view, keys)) => keys.iter().map(|k| line(view, k)).collect(),
            None => plain_recipe(&result)?,
        },
        attempts: attempts.iter().map(attempt_view).collect(),
        environment: environment(&attempts),
        log,
        log_caption,
        album: pictures::album(key.as_str(), &dashboard.home().run(&key)),
        key: key.to_string(),
    })
}

/// `+ LR warmup / BS=1024 / seed 1`
fn cell_heading(view: Option<&View>, cell: Option<&CellOf>, key: &RunKey) -> String {
    let Some(cell) = cell else {
        return format!("Run {}", key.short());
    };
    let row = view
        .and_then(|v| v.experiment.row(&cell.row))
        .map_or(cell.row.as_str(), |r| r.label.as_str());
    let column = view
        .and_then(|v| v.experiment.column(&cell.column))
        .map_or(cell.column.as_str(), |c| c.label.as_str());
    format!("{row} / {column} / seed {}", cell.seed)
}

fn cell_link(cell: &CellOf) -> CellLink {
    let profile = cell.profile.as_deref();
    CellLink {
        href: format!(
            "/tables/{}{}",
            escape(&cell.experiment),
            profile.map_or(String::new(), |p| format!("?profile={}", escape(p)))
        ),
        text: format!(
            "{}{}: {} / {}",
            cell.experiment,
            profile.map_or(String::new(), |p| format!(", {p}")),
            cell.row,
            cell.column
        ),
    }
}

fn summary(result: &RunResult, attempts: &[AttemptRow]) -> String {
    let p = result.progress;
    let mut words = Vec::new();
    if result.attempts > 0 {
        words.push(format!("attempt {}", result.attempts));
    }
    if p.steps > 0 {
        words.push(if p.step >= p.steps {
            format!("all {} steps", grouped(p.steps))
        } else {
            format!("step {} of {}", grouped(p.step), grouped(p.steps))
        });
        if p.steps_per_epoch > 0 && p.step < p.steps {
            words.push(format!(
                "epoch {} of {}",
                p.step / p.steps_per_epoch + 1,
                result.recipe.epochs
            ));
        }
    }
    if result.state == RunState::Running && p.images_per_s > 0.0 {
        words.push(format!(
            "{} images/s",
            grouped(p.images_per_s.round() as u64)
        ));
        let images = p.steps.saturating_sub(p.step) as f64 * f64::from(result.recipe.batch_size);
        words.push(format!("{} left", duration(images / p.images_per_s)));
    }
    if let Some(done) = &result.finished {
        words.push(format!(
            "{} of training",
            duration(done.epoch_seconds.iter().sum())
        ));
    }
    if let Some(start) = attempts.first().and_then(|a| a.started_at_ms) {
        words.push(format!("started {}", moment(start)));
    }
    words.join(" · ")
}

/// The last evaluation and the outcome, as numbers.
fn figures(result: &RunResult) -> Vec<Figure> {
    let mut figures = Vec::new();
    for split in ["val", "test"] {
        let Some(last) = result
            .evaluations
            .iter()
            .filter(|e| e.split == split)
            .max_by_key(|e| e.epoch)
        else {
            continue;
        };
        for (name, value) in &last.metrics {
            let Some(known) = metric::find(name) else {
                continue;
            };
            figures.push(Figure {
                label: known.title.to_owned(),
                text: format!("{}{}", format::number(name, *value), unit(known)),
                small: format!("epoch {} · {} images", last.epoch, grouped(last.n)),
                metric: Some(name.clone()),
                value: *value,
            });
        }
    }
    if let Some(done) = &result.finished {
        let plain = |label: &str, text: String, small: &str| Figure {
            label: label.to_owned(),
            text,
            small: small.to_owned(),
            metric: None,
            value: 0.0,
        };
        figures.push(plain(
            "Best epoch",
            done.best_epoch.to_string(),
            "by top-1 on val",
        ));
        figures.push(plain(
            "Peak memory",
            bytes(done.peak_bytes),
            "of the trainer",
        ));
        figures.push(plain(
            "Weights",
            done.weights_blake3
                .get(..12)
                .unwrap_or(&done.weights_blake3)
                .to_owned(),
            "BLAKE3, first digits",
        ));
    }
    figures
}

fn unit(metric: &metric::Metric) -> String {
    if metric.unit.is_empty() {
        String::new()
    } else {
        format!("\u{a0}{}", metric.unit)
    }
}

/// Title, metrics, x axis, what stands there before the first point.
const PANELS: [(&str, &[&str], &str, &str); 4] = [
    (
        "Accuracy",
        &["val/top1", "val/top5"],
        "epoch",
        "Appears with the first evaluated epoch.",
    ),
    (
        "Loss",
        &["train/loss", "val/loss"],
        "step",
        "Appears with the first steps.",
    ),
    (
        "Learning rate",
        &["lr"],
        "step",
        "Appears with the first steps.",
    ),
    (
        "Throughput",
        &["system/images_per_s"],
        "step",
        "Appears with the first steps.",
    ),
];

async fn panels(
    store: &Store,
    result: &RunResult,
    choices: &Choices,
) -> Result<Vec<Panel>, Failure> {
    let key = &result.key;
    let mut panels = Vec::new();
    for (title, metrics, x, empty) in PANELS {
        let mut shown = Vec::new();
        let mut words = Vec::new();
        let mut points = 0;
        for name in metrics {
            let n = charts::series(store, result, name).await?.len();
            if n == 0 {
                continue;
            }
            points += n;
            shown.push(*name);
            let per = if name.starts_with("val/") {
                "epoch"
            } else {
                "step"
            };
            words.push(format!(
                "{}: {}, one per {per}",
                metric::find(name).map_or(*name, |m| m.title),
                plural(n, "point")
            ));
        }
        let mut query = format!("runs={key}&metric={}&x={x}&v={points}", shown.join(","));
        for (name, value) in [("from", &choices.from), ("to", &choices.to)] {
            if let Some(value) = value.as_ref().filter(|_| x == "step") {
                query.push_str(&format!("&{name}={}", escape(value)));
            }
        }
        let titles: Vec<&str> = shown
            .iter()
            .filter_map(|m| metric::find(m))
            .map(|m| m.title)
            .collect();
        let alt = format!("{} by {x}", titles.join(" and "));
        panels.push(Panel {
            title,
            chart: (points > 0)
                .then(|| ChartLink::new("line", &query, alt, (340, 220), x == "step")),
            empty,
            points,
            caption: words.join(" · "),
        });
    }
    Ok(panels)
}

fn attempt_view(attempt: &AttemptRow) -> AttemptView {
    let took = attempt
        .started_at_ms
        .zip(attempt.last_event_ms)
        .map(|(a, b)| duration((b - a) as f64 / 1000.0));
    let steps = attempt.step0.map(|from| {
        format!(
            "{} to {}",
            grouped(from),
            grouped(attempt.next_step.max(from))
        )
    });
    AttemptView {
        number: attempt.attempt,
        state: attempt.state.word().to_owned(),
        started: attempt.started_at_ms.map_or_else(|| "–".to_owned(), moment),
        took: took.unwrap_or_else(|| "–".to_owned()),
        steps: steps.unwrap_or_else(|| "–".to_owned()),
        resumed_from: attempt
            .resumed_from
            .clone()
            .unwrap_or_else(|| "–".to_owned()),
        slot: attempt.slot.clone().unwrap_or_else(|| "–".to_owned()),
    }
}

fn environment(attempts: &[AttemptRow]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    if let Some(started) = attempts.iter().rev().find(|a| !a.environment.is_null()) {
        flatten("", &started.environment, &mut |key, value| {
            pairs.push((key, value))
        });
    }
    pairs
}
