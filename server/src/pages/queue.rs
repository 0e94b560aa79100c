//! `/queue`: what runs in which slot, what waits and why.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use rungs_spec::RunKey;
use rungs_spec::result::{Progress, RunState};
use rungs_store::{RunFilter, RunOrder, RunRow, Store};

use super::{Layout, count, html};
use crate::error::Failure;
use crate::human::{duration, grouped, percent, plural};
use crate::state::Dashboard;

/// Rows of a list that a page shows; beyond, the API and `runner runs` list them all.
const SHOWN: u64 = 200;

#[derive(Template)]
#[template(path = "queue.html")]
struct Page {
    layout: Layout,
    page: Queue,
}

struct Queue {
    context: String,
    help: Option<Help>,
    lanes: Vec<Lane>,
    waiting_count: String,
    waiting: Vec<Entry>,
    failed: Vec<Entry>,
}

struct Help {
    title: &'static str,
    text: String,
    command: Option<&'static str>,
}

struct Lane {
    slot: String,
    device: String,
    run: Option<Busy>,
}

struct Busy {
    href: String,
    name: String,
    small: String,
    progress: String,
    share: u8,
    speed: String,
    left: String,
}

struct Entry {
    href: String,
    name: String,
    small: String,
    why: String,
    priority: i64,
    attempts: u32,
}

/// The page.
pub async fn get(State(dashboard): State<Dashboard>) -> Result<Response, Failure> {
    let layout = Layout::load(&dashboard, "queue").await?;
    let Some(store) = dashboard.store().await? else {
        let page = Queue {
            context: "Nothing has run in this home yet.".to_owned(),
            help: None,
            lanes: Vec::new(),
            waiting_count: "0".to_owned(),
            waiting: Vec::new(),
            failed: Vec::new(),
        };
        return html(&Page { layout, page });
    };
    let of = |states, order| RunFilter {
        states,
        order,
        limit: Some(SHOWN),
        ..RunFilter::default()
    };
    let open = vec![RunState::Queued, RunState::Blocked];
    let running = store
        .runs(&of(vec![RunState::Running], RunOrder::Queue))
        .await?;
    let waiting_count = count(&store, &open).await?;
    let waiting = store.runs(&of(open, RunOrder::Queue)).await?;
    let failed = store
        .runs(&of(vec![RunState::Failed], RunOrder::Newest))
        .await?;
    let paused = store.paused().await?;
    let scheduler = dashboard.scheduler_is_here();
    let lanes = lanes(&store, &running).await?;
    let busy = lanes.iter().filter(|lane| lane.run.is_some()).count();
    let waits = |run: &RunRow| why(run, paused, scheduler);
    let page = Queue {
        context: format!(
            "{busy} of {} busy · {} waiting",
            plural(lanes.len(), "slot"),
            grouped(waiting_count as u64)
        ),
        help: help(paused, scheduler, running.len() + waiting_count),
        lanes,
        waiting_count: grouped(waiting_count as u64),
        waiting: entries(&store, &waiting, waits).await?,
        failed: entries(&store, &failed, |run| {
            run.message
                .clone()
                .unwrap_or_else(|| "Its log says why.".to_owned())
        })
        .await?,
    };
    html(&Page { layout, page })
}

fn help(paused: bool, scheduler: bool, open: usize) -> Option<Help> {
    if open > 0 && !scheduler {
        return Some(Help {
            title: "No scheduler is running on this machine.",
            text: "What stands here waits for one. Start it with".to_owned(),
            command: Some("runner daemon"),
        });
    }
    paused.then(|| Help {
        title: "Paused.",
        text: "No new attempts start until".to_owned(),
        command: Some("runner resume"),
    })
}

fn why(run: &RunRow, paused: bool, scheduler: bool) -> String {
    if !run.waits_for.is_empty() {
        let short: Vec<&str> = run.waits_for.iter().map(RunKey::short).collect();
        return format!("for run {}", short.join(", "));
    }
    match (&run.message, scheduler, paused) {
        (Some(message), ..) => format!("for another try, after: {message}"),
        (None, false, _) => "for a scheduler".to_owned(),
        (None, _, true) => "paused".to_owned(),
        (None, true, false) => "for a free slot".to_owned(),
    }
}

async fn lanes(store: &Store, running: &[RunRow]) -> Result<Vec<Lane>, Failure> {
    let mut lanes = Vec::new();
    let mut by_slot: BTreeMap<&str, &RunRow> = running
        .iter()
        .filter_map(|run| Some((run.slot.as_deref()?, run)))
        .collect();
    for slot in store.slots().await? {
        let run = match by_slot.remove(slot.slot.as_str()) {
            Some(run) => Some(busy(store, run).await?),
            None => None,
        };
        let threads = if slot.threads > 0 {
            format!(
                "{} · {}",
                slot.device,
                plural(slot.threads as usize, "thread")
            )
        } else {
            slot.device
        };
        lanes.push(Lane {
            slot: slot.slot,
            device: threads,
            run,
        });
    }
    let rest = running.iter().filter(|run| {
        run.slot
            .as_deref()
            .is_none_or(|slot| by_slot.contains_key(slot))
    });
    for run in rest {
        lanes.push(Lane {
            slot: run.slot.clone().unwrap_or_else(|| "–".to_owned()),
            device: String::new(),
            run: Some(busy(store, run).await?),
        });
    }
    Ok(lanes)
}

async fn busy(store: &Store, run: &RunRow) -> Result<Busy, Failure> {
    let p = run.progress;
    Ok(Busy {
        href: format!("/runs/{}", run.key),
        name: name(store, &run.key).await?,
        small: small(run),
        progress: if p.steps == 0 {
            "starting".to_owned()
        } else {
            format!("step {} of {}", grouped(p.step), grouped(p.steps))
        },
        share: share(p),
        speed: if p.images_per_s > 0.0 {
            grouped(p.images_per_s.round() as u64)
        } else {
            "–".to_owned()
        },
        left: left(store, run).await?,
    })
}

/// Share of the steps done, percent.
pub fn share(p: Progress) -> u8 {
    if p.steps == 0 {
        0
    } else {
        percent(p.step as f64 / p.steps as f64)
    }
}

async fn left(store: &Store, run: &RunRow) -> Result<String, Failure> {
    let p = run.progress;
    if p.images_per_s <= 0.0 || p.steps == 0 {
        return Ok("–".to_owned());
    }
    let images = p.steps.saturating_sub(p.step) as f64
        * f64::from(store.run_file(&run.key).await?.recipe.batch_size);
    Ok(duration(images / p.images_per_s))
}

/// `table4 / warmup / bs256 / seed 1`, or the short key of a run that no table asks for any more.
pub async fn name(store: &Store, run: &RunKey) -> Result<String, Failure> {
    let cells = store.cells_of(run).await?;
    Ok(match cells.first() {
        Some(c) => format!(
            "{} / {} / {} / seed {}",
            c.experiment, c.row, c.column, c.seed
        ),
        None => run.short().to_owned(),
    })
}

fn small(run: &RunRow) -> String {
    format!(
        "{} · {} · {} on {}",
        run.key.short(),
        plural(run.attempts as usize, "attempt"),
        run.model,
        run.dataset
    )
}

async fn entries(
    store: &Store,
    runs: &[RunRow],
    why: impl Fn(&RunRow) -> String,
) -> Result<Vec<Entry>, Failure> {
    let mut out = Vec::new();
    for run in runs {
        out.push(Entry {
            href: format!("/runs/{}", run.key),
            name: name(store, &run.key).await?,
            small: small(run),
            why: why(run),
            priority: run.priority,
            attempts: run.attempts,
        });
    }
    Ok(out)
}
