//! `/queue`: what runs in which slot, what waits and why.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use rungs_spec::RunKey;
use rungs_spec::result::{Progress, RunState};
use rungs_store::{RunFilter, RunOrder, RunRow, Store};

use super::controls::{Button, Controls};
use super::{Layout, Link, count, escape, html};
use crate::error::Failure;
use crate::gpu;
use crate::human::{bytes, duration, grouped, percent, plural};
use crate::state::Dashboard;

/// Rows of the waiting list on one page.
const SHOWN: u64 = 100;
/// Rows of the lists of what failed and what was cancelled; the API and `runner runs` list them all.
const OVER: u64 = 20;

#[derive(Template)]
#[template(path = "queue.html")]
struct Page {
    layout: Layout,
    controls: Controls,
    page: Queue,
}

#[derive(Default)]
struct Queue {
    context: String,
    help: Option<Help>,
    buttons: Vec<Button>,
    lanes: Vec<Lane>,
    waiting_count: String,
    waiting: Vec<Entry>,
    pages: Vec<Link>,
    over: Vec<Over>,
    experiments: Vec<Applied>,
}

struct Help {
    title: &'static str,
    text: String,
    command: Option<&'static str>,
}

struct Lane {
    slot: String,
    device: String,
    usage: String,
    run: Option<Busy>,
}

struct Busy {
    href: String,
    name: String,
    small: String,
    progress: String,
    share: u8,
    speed: String,
    memory: String,
    left: String,
    buttons: Vec<Button>,
}

struct Entry {
    place: String,
    href: String,
    name: String,
    small: String,
    why: String,
    priority: i64,
    attempts: u32,
    buttons: Vec<Button>,
}

/// Runs that ended without a result.
struct Over {
    id: &'static str,
    title: &'static str,
    question: &'static str,
    count: String,
    runs: Vec<Entry>,
}

struct Applied {
    href: String,
    name: String,
    profile: String,
    seeds: u64,
    buttons: Vec<Button>,
}

/// State of the page.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Choices {
    /// Runs of the waiting list that are left out.
    #[serde(default)]
    skip: u64,
}

/// More than any home has, and far from where numbers end.
const MOST_SKIPPED: u64 = 1_000_000_000;

/// The page.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Query(choices): Query<Choices>,
    controls: Controls,
) -> Result<Response, Failure> {
    let choices = Choices {
        skip: choices.skip.min(MOST_SKIPPED),
    };
    let layout = Layout::load(&dashboard, "queue").await?;
    let page = match dashboard.store().await? {
        Some(store) => queue(&dashboard, &store, &controls, &choices).await?,
        None => Queue {
            context: "Nothing has run in this home yet.".to_owned(),
            waiting_count: "0".to_owned(),
            ..Queue::default()
        },
    };
    html(&Page {
        layout,
        controls,
        page,
    })
}

async fn queue(
    dashboard: &Dashboard,
    store: &Store,
    controls: &Controls,
    choices: &Choices,
) -> Result<Queue, Failure> {
    let open = vec![RunState::Queued, RunState::Blocked];
    let of = |states, order, limit, offset| RunFilter {
        states,
        order,
        limit: Some(limit),
        offset,
        ..RunFilter::default()
    };
    let running = of(vec![RunState::Running], RunOrder::Queue, SHOWN, 0);
    let running = store.runs(&running).await?;
    let waiting_count = count(store, &open).await?;
    let waiting = of(open, RunOrder::Queue, SHOWN, choices.skip);
    let waiting = store.runs(&waiting).await?;
    let paused = store.paused().await?;
    let scheduler = dashboard.scheduler_is_here();
    let lanes = lanes(dashboard, store, controls, &running).await?;
    let busy = lanes.iter().filter(|lane| lane.run.is_some()).count();
    let mut entries = Vec::new();
    for (place, run) in (choices.skip + 1..).zip(&waiting) {
        let why = why(run, paused, scheduler);
        entries.push(entry(store, controls, run, grouped(place), why).await?);
    }
    let mut over = Vec::new();
    for (state, id, title, question) in [
        (RunState::Failed, "failed", "Failed", "What happened"),
        (
            RunState::Cancelled,
            "cancelled",
            "Cancelled",
            "How far it was",
        ),
    ] {
        let all = count(store, &[state]).await?;
        let mut runs = Vec::new();
        for run in &store
            .runs(&of(vec![state], RunOrder::Newest, OVER, 0))
            .await?
        {
            let why = match state {
                RunState::Failed => run.message.clone(),
                _ => Some(step_of(run.progress)),
            };
            let why = why.unwrap_or_else(|| "Its log says why.".to_owned());
            runs.push(entry(store, controls, run, String::new(), why).await?);
        }
        let count = if all > runs.len() {
            format!("newest {} of {}", runs.len(), grouped(all as u64))
        } else {
            grouped(all as u64)
        };
        if !runs.is_empty() {
            over.push(Over {
                id,
                title,
                question,
                count,
                runs,
            });
        }
    }
    let turn = if paused {
        Button::plain("resume", "Resume")
    } else {
        Button::plain("pause", "Pause")
    };
    Ok(Queue {
        context: format!(
            "{busy} of {} busy · {} waiting{}",
            plural(lanes.len(), "slot"),
            grouped(waiting_count as u64),
            if paused { " · paused" } else { "" }
        ),
        help: help(paused, scheduler, running.len() + waiting_count),
        buttons: controls.only(vec![turn]),
        lanes,
        waiting_count: grouped(waiting_count as u64),
        waiting: entries,
        pages: pages(choices.skip, waiting_count as u64),
        over,
        experiments: experiments(store, controls).await?,
    })
}

/// Links to the parts of a long list.
fn pages(skip: u64, all: u64) -> Vec<Link> {
    let link = |from: u64, text: &str| Link {
        href: format!("/queue?skip={from}"),
        text: text.to_owned(),
        current: false,
    };
    let mut links = Vec::new();
    if skip > 0 {
        links.push(link(skip.saturating_sub(SHOWN), "Before"));
    }
    if skip + SHOWN < all {
        links.push(link(skip + SHOWN, "After"));
    }
    links
}

/// What was applied in this home, newest first.
async fn experiments(store: &Store, controls: &Controls) -> Result<Vec<Applied>, Failure> {
    let applied = store.applied(None).await?;
    let one = |a: rungs_store::Applied| Applied {
        href: format!(
            "/tables/{}{}",
            escape(&a.experiment),
            a.profile
                .as_deref()
                .map_or_else(String::new, |p| format!("?profile={}", escape(p)))
        ),
        buttons: controls.only(vec![Button::seeds(&a.experiment, a.profile.as_deref())]),
        profile: a.profile.unwrap_or_else(|| "as written".to_owned()),
        name: a.experiment,
        seeds: a.seeds,
    };
    Ok(applied.into_iter().map(one).collect())
}

fn help(paused: bool, scheduler: bool, open: usize) -> Option<Help> {
    if !scheduler {
        let text = if open > 0 {
            "What stands here waits for one. Start it with"
        } else {
            "Nothing waits; what is asked for here does until there is one. Start it with"
        };
        return Some(Help {
            title: "No scheduler is running on this machine.",
            text: text.to_owned(),
            command: Some("runner daemon"),
        });
    }
    paused.then(|| Help {
        title: "Paused.",
        text: "Runs that train go on; no new attempts start until".to_owned(),
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

async fn lanes(
    dashboard: &Dashboard,
    store: &Store,
    controls: &Controls,
    running: &[RunRow],
) -> Result<Vec<Lane>, Failure> {
    let keys: Vec<RunKey> = running.iter().map(|run| run.key.clone()).collect();
    // The last evaluation says how much memory a trainer takes.
    let results = store.results(&keys).await?;
    let memory = |run: &RunKey| {
        let evaluations = &results.get(run)?.evaluations;
        let values = evaluations.iter().rev();
        let mut values = values.filter_map(|e| e.metrics.get("system/rss_bytes"));
        values.next().map(|v| bytes(*v as u64))
    };
    let machine = dashboard.world()?.machine.clone();
    let devices = machine.map(|m| m.devices).unwrap_or_default();
    let gpus = if devices.iter().any(|d| d.kind == "cuda") {
        gpu::uses().await
    } else {
        BTreeMap::new()
    };
    let mut lanes = Vec::new();
    let mut by_slot: BTreeMap<&str, &RunRow> = running
        .iter()
        .filter_map(|run| Some((run.slot.as_deref()?, run)))
        .collect();
    for slot in store.slots().await? {
        let run = match by_slot.remove(slot.slot.as_str()) {
            Some(run) => Some(busy(store, controls, run, memory(&run.key)).await?),
            None => None,
        };
        let index = slot.device.strip_prefix("cuda:");
        let usage = index
            .and_then(|i| gpus.get(&i.parse().ok()?))
            .map(gpu::Use::words);
        let name = devices.iter().find(|d| d.id == slot.device);
        let mut device = vec![name.map_or(slot.device.clone(), |d| d.name.clone())];
        if slot.threads > 0 {
            device.push(plural(slot.threads as usize, "thread"));
        }
        lanes.push(Lane {
            slot: slot.slot,
            device: device.join(" · "),
            usage: usage.unwrap_or_default(),
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
            usage: String::new(),
            run: Some(busy(store, controls, run, memory(&run.key)).await?),
        });
    }
    Ok(lanes)
}

fn step_of(p: Progress) -> String {
    if p.steps == 0 {
        "not begun".to_owned()
    } else {
        format!("step {} of {}", grouped(p.step), grouped(p.steps))
    }
}

async fn busy(
    store: &Store,
    controls: &Controls,
    run: &RunRow,
    memory: Option<String>,
) -> Result<Busy, Failure> {
    let p = run.progress;
    let name = name(store, &run.key).await?;
    Ok(Busy {
        href: format!("/runs/{}", run.key),
        small: small(run),
        progress: if p.steps == 0 {
            "starting".to_owned()
        } else {
            step_of(p)
        },
        share: share(p),
        speed: if p.images_per_s > 0.0 {
            grouped(p.images_per_s.round() as u64)
        } else {
            "–".to_owned()
        },
        memory: memory.unwrap_or_else(|| "–".to_owned()),
        left: left(store, run).await?,
        buttons: controls.only(buttons(run.state, run.priority, run.key.as_str(), &name)),
        name,
    })
}

/// What can be asked of a run in that state.
pub fn buttons(state: RunState, priority: i64, run: &str, name: &str) -> Vec<Button> {
    match state {
        RunState::Running => vec![Button::of_run("cancel", "Cancel", run, name)],
        RunState::Queued | RunState::Blocked => vec![
            Button::priority("Sooner", run, name, priority.saturating_add(1)),
            Button::priority("Later", run, name, priority.saturating_sub(1)),
            Button::of_run("cancel", "Cancel", run, name),
        ],
        RunState::Failed | RunState::Cancelled | RunState::New => {
            vec![Button::of_run("retry", "Retry", run, name)]
        }
        RunState::Done => Vec::new(),
    }
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

async fn entry(
    store: &Store,
    controls: &Controls,
    run: &RunRow,
    place: String,
    why: String,
) -> Result<Entry, Failure> {
    let name = name(store, &run.key).await?;
    Ok(Entry {
        place,
        href: format!("/runs/{}", run.key),
        small: small(run),
        why,
        priority: run.priority,
        attempts: run.attempts,
        buttons: controls.only(buttons(run.state, run.priority, run.key.as_str(), &name)),
        name,
    })
}
