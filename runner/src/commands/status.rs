//! `runner status`: what runs, what waits, what is done, and whether somebody schedules.

use std::collections::BTreeMap;

use rungs_spec::result::RunState;
use rungs_store::{RunFilter, RunRow};
use serde::Serialize;

use crate::context::Context;
use crate::output;
use crate::scheduler::SchedulerLock;

#[derive(Debug, Serialize)]
struct Status {
    home: String,
    database: String,
    scheduler: Option<u32>,
    paused: bool,
    counts: BTreeMap<&'static str, u64>,
    running: Vec<Running>,
    experiments: Vec<Applied>,
}

#[derive(Debug, Serialize)]
struct Running {
    run: String,
    cells: Vec<String>,
    seed: u64,
    attempt: u32,
    slot: Option<String>,
    step: u64,
    steps: u64,
    images_per_s: f64,
}

#[derive(Debug, Serialize)]
struct Applied {
    experiment: String,
    profile: Option<String>,
    done: u64,
    runs: u64,
}

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let status = status(context).await?;
    if context.json {
        output::print_json(&status)
    } else {
        output::print(&text(&status))
    }
}

async fn status(context: &Context) -> anyhow::Result<Status> {
    let mut status = Status {
        home: context.home.dir().display().to_string(),
        database: context.database().display().to_string(),
        scheduler: None,
        paused: false,
        counts: BTreeMap::new(),
        running: Vec::new(),
        experiments: Vec::new(),
    };
    let Some(store) = context.reader().await? else {
        return Ok(status);
    };
    status.scheduler = SchedulerLock::holder(&context.home);
    status.paused = store.paused().await?;
    // Counted by the database: ten thousand rows need not come over to be counted.
    let counted = store.count_states(&RunFilter::default()).await?;
    status.counts = counted.iter().map(|(s, n)| (s.word(), *n)).collect();
    let running = RunFilter {
        states: vec![RunState::Running],
        ..RunFilter::default()
    };
    for row in store.runs(&running).await? {
        let cells = store.cells_of(&row.key).await?;
        let RunRow {
            key,
            seed,
            attempts,
            slot,
            progress,
            ..
        } = row;
        status.running.push(Running {
            run: key.to_string(),
            cells: cells
                .iter()
                .map(|c| format!("{}/{}/{}", c.experiment, c.row, c.column))
                .collect(),
            seed,
            attempt: attempts,
            slot,
            step: progress.step,
            steps: progress.steps,
            images_per_s: progress.images_per_s,
        });
    }
    for applied in store.applied(None).await? {
        let filter = RunFilter {
            experiment: Some(applied.experiment.clone()),
            profile: applied.profile.clone(),
            ..RunFilter::default()
        };
        let counted = store.count_states(&filter).await?;
        status.experiments.push(Applied {
            experiment: applied.experiment,
            profile: applied.profile,
            done: counted.get(&RunState::Done).copied().unwrap_or(0),
            runs: counted.values().sum(),
        });
    }
    Ok(status)
}

fn text(status: &Status) -> String {
    let mut text = format!("home       {}\n", status.home);
    if status.counts.is_empty() {
        return text + "runs       none yet; `runner reproduce table4` is a start\n";
    }
    let scheduler = match status.scheduler {
        Some(pid) => format!("process {pid}"),
        None if status.counts.contains_key("queued") => {
            "none; `runner daemon` runs what is queued".to_owned()
        }
        None => "none".to_owned(),
    };
    text += &format!(
        "scheduler  {scheduler}{}\n",
        if status.paused { ", paused" } else { "" }
    );
    let counts: Vec<String> = status
        .counts
        .iter()
        .map(|(state, n)| format!("{n} {state}"))
        .collect();
    text += &format!("runs       {}\n", counts.join(", "));
    for applied in &status.experiments {
        let profile = applied.profile.as_deref().unwrap_or("as written");
        text += &format!(
            "{:24} {profile:10} {} of {} runs done\n",
            applied.experiment, applied.done, applied.runs
        );
    }
    for run in &status.running {
        let share = 100.0 * run.step as f64 / run.steps.max(1) as f64;
        text += &format!(
            "{}  {:>3.0} %  {:>6.0} images/s  {}  seed {}  attempt {}  {}\n",
            &run.run[..8],
            share,
            run.images_per_s,
            run.slot.as_deref().unwrap_or("?"),
            run.seed,
            run.attempt,
            run.cells.join(", ")
        );
    }
    text
}
