//! `/runs/{run}`: one training, its curves, its recipe, what became of each attempt.

mod choices;
mod figures;
mod log;
mod panels;
pub mod pictures;
pub(super) mod recipe;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use rungs_report::Select;
use rungs_report::compare::By;
use rungs_spec::RunKey;
use rungs_spec::result::{RunResult, RunState};
use rungs_store::{AttemptRow, CellOf, Store};

use self::choices::Choice;
pub use self::choices::Choices;
use self::figures::{Figure, figures};
use self::log::log_tail;
use self::panels::{Panel, panels};
use self::recipe::{Change, RecipeLine, changes, flatten, line, plain_recipe, story};
use super::controls::{Button, Controls};
use super::table::color;
use super::{Layout, Link, compare, escape, html, queue};
use crate::error::Failure;
use crate::files::{Artifact, artifacts};
use crate::human::{bytes, duration, grouped, moment};
use crate::state::Dashboard;
use crate::view::View;

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    layout: Layout,
    controls: Controls,
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
    compare: Link,
    buttons: Vec<Button>,
    locked: bool,
    figures: Vec<Figure>,
    choices: Vec<Choice>,
    panels: Vec<Panel>,
    zoomed: Option<(String, String)>,
    artifacts: Vec<ArtifactView>,
    changes: Vec<Change>,
    recipe: Vec<RecipeLine>,
    attempts: Vec<AttemptView>,
    environment: Vec<(String, String)>,
    log: String,
    log_caption: String,
    log_end: u64,
    album: pictures::Album,
}

struct ArtifactView {
    href: String,
    name: String,
    size: String,
    digest: String,
    small: String,
}

struct CellLink {
    href: String,
    text: String,
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

/// The page; a prefix of a run key leads to it.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path(prefix): Path<String>,
    Query(choices): Query<Choices>,
    controls: Controls,
) -> Result<Response, Failure> {
    let store = dashboard.some_store().await?;
    let key = store.find_run(&prefix).await?;
    if key.as_str() != prefix {
        return Ok(Redirect::to(&format!("/runs/{key}")).into_response());
    }
    let layout = Layout::load(&dashboard, "tables").await?;
    let page = page(&dashboard, &store, key, &choices, &controls).await?;
    html(&Page {
        layout,
        controls,
        page,
    })
}

async fn page(
    dashboard: &Dashboard,
    store: &Store,
    key: RunKey,
    choices: &Choices,
    controls: &Controls,
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
    let dir = dashboard.home().run(&key);
    let log = log_tail(&dir.log());
    let running = result.state == RunState::Running;
    let row = store
        .runs(&rungs_store::RunFilter {
            prefix: Some(key.to_string()),
            ..Default::default()
        })
        .await?
        .into_iter()
        .next();
    let heading = cell_heading(view.as_deref().map(|v| &**v), cells.first(), &key);
    let priority = row.as_ref().map_or(0, |r| r.priority);
    let buttons = queue::buttons(result.state, priority, key.as_str(), &heading);
    let has_superseded = attempts.len() > 1;
    Ok(RunPage {
        short: key.short().to_owned(),
        heading,
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
        compare: against(view.as_deref().map(|v| &**v), cells.first(), &key),
        locked: controls.csrf.is_none() && !buttons.is_empty(),
        buttons: controls.only(buttons),
        choices: choices.offered(key.as_str(), has_superseded)?,
        panels: panels(store, &result, &attempts, choices).await?,
        zoomed: choices
            .words()
            .map(|words| (words, choices.all().href(key.as_str()))),
        artifacts: artifact_views(store, &key, artifacts(&dir)).await?,
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
        log: log.text,
        log_caption: log.caption,
        log_end: log.end,
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

/// Where this run is laid beside the same seed of the row that its row stands on; without one, beside
/// whatever a person adds there.
fn against(view: Option<&View>, cell: Option<&CellOf>, key: &RunKey) -> Link {
    let below = || {
        let (view, cell) = (view?, cell?);
        let on = view.table.row(view.table.row(&cell.row)?.on.as_deref()?)?;
        let here = view.plan.cell(&cell.row, &cell.column)?;
        let place = here.runs.iter().position(|run| run == key)?;
        let base = view.plan.cell(&on.id, &cell.column)?.runs.get(place)?;
        (base != key && view.results.contains_key(base)).then_some((base, on.label.as_str()))
    };
    match below() {
        Some((base, label)) => Link {
            href: compare::address([base, key], By::Run),
            text: format!("Compare with {}", label.trim()),
            current: false,
        },
        None => Link {
            href: compare::address([key], By::Run),
            text: "Compare".to_owned(),
            current: false,
        },
    }
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
        let mut environment = started.environment.clone();
        // As one would type it.
        if let Some(command) = environment.get_mut("command")
            && let Some(words) = command.as_array()
        {
            let words: Vec<&str> = words.iter().filter_map(|w| w.as_str()).collect();
            *command = words.join(" ").into();
        }
        flatten("", &environment, &mut |key, value| {
            let value = match (key.as_str(), value.as_str()) {
                (_, "[]" | "") => "none".to_owned(),
                ("dataset.train" | "dataset.val", n) => n
                    .parse()
                    .map_or_else(|_| n.to_owned(), |n| format!("{} images", grouped(n))),
                _ => value,
            };
            pairs.push((key, value));
        });
    }
    pairs
}

async fn artifact_views(
    store: &Store,
    key: &RunKey,
    artifacts: Vec<Artifact>,
) -> Result<Vec<ArtifactView>, Failure> {
    let checkpoints = store.checkpoints(key).await?;
    let view = |artifact: Artifact| {
        let checkpoint = checkpoints.iter().find(|c| c.file == artifact.name);
        ArtifactView {
            href: format!("/runs/{key}/files/{}", escape(&artifact.name)),
            size: bytes(artifact.size),
            digest: checkpoint.map_or_else(String::new, |c| c.blake3.clone()),
            small: checkpoint.map_or_else(String::new, |c| {
                format!("after epoch {}, step {}", c.epoch, grouped(c.step))
            }),
            name: artifact.name,
        }
    };
    Ok(artifacts.into_iter().map(view).collect())
}
