//! How far the runs of a `reproduce` are: bars on a terminal, plain lines elsewhere.
//!
//! Both are drawn from the database, so that it makes no difference whether this process is the
//! scheduler or watches another one.

mod bars;
mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use rungs_spec::RunKey;
use rungs_spec::plan::Plan;
use rungs_spec::result::{RunResult, RunState};
use rungs_store::Store;

use crate::settled::Tracker;

/// Time between two looks.
pub const LOOK: Duration = Duration::from_millis(400);

/// Where the runs stand at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// States, and how far those are that move.
    pub runs: Tracker,
    /// Evaluations and outcomes of those runs that move, and of those that just stopped.
    pub results: BTreeMap<RunKey, RunResult>,
    /// No new attempts start.
    pub paused: bool,
}

/// Shows snapshots.
pub trait Show: Send {
    /// The newest state of affairs.
    fn show(&mut self, now: &Snapshot);
    /// Something that a person should know.
    fn say(&mut self, line: &str);
    /// No more is to come.
    fn end(&mut self);
}

/// The runs that are waited for, and what they are called.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Run -> `row/column seed 1`, of the first cell that wants it.
    pub names: BTreeMap<RunKey, String>,
    /// Runs, in the order of their cells.
    pub order: Vec<RunKey>,
    /// Images of a step, by run: what `images/s` and the share of the work count.
    pub batch: BTreeMap<RunKey, u32>,
    /// Epochs, by run.
    pub epochs: BTreeMap<RunKey, u32>,
}

impl Wanted {
    /// The runs of these plans.
    pub fn of(plans: &[Plan]) -> Wanted {
        let several = plans.len() > 1;
        let mut wanted = Wanted {
            names: BTreeMap::new(),
            order: Vec::new(),
            batch: BTreeMap::new(),
            epochs: BTreeMap::new(),
        };
        for plan in plans {
            for cell in &plan.cells {
                for (seed, run) in (1..).zip(&cell.runs) {
                    let experiment = if several {
                        format!("{}: ", plan.experiment.name)
                    } else {
                        String::new()
                    };
                    let seed: u64 = seed;
                    let seed = if plan.seeds > 1 {
                        format!(" seed {seed}")
                    } else {
                        String::new()
                    };
                    let name = format!("{experiment}{}/{}{seed}", cell.row, cell.column);
                    wanted.names.entry(run.clone()).or_insert(name);
                }
                if let Some(run) = &cell.timing {
                    let name = format!("timing {}/{}", cell.row, cell.column);
                    wanted.names.entry(run.clone()).or_insert(name);
                }
            }
            for run in &plan.runs {
                if wanted
                    .batch
                    .insert(run.key.clone(), run.recipe.batch_size)
                    .is_none()
                {
                    wanted.order.push(run.key.clone());
                }
                wanted.epochs.insert(run.key.clone(), run.recipe.epochs);
                wanted
                    .names
                    .entry(run.key.clone())
                    .or_insert_with(|| format!("source {}", run.key.short()));
            }
        }
        wanted
    }

    /// All of them.
    pub fn keys(&self) -> BTreeSet<RunKey> {
        self.order.iter().cloned().collect()
    }

    fn name<'a>(&'a self, run: &'a RunKey) -> &'a str {
        self.names.get(run).map_or(run.short(), String::as_str)
    }

    /// Runs that are done, and the share of all work that is, 0 to 1. Runs whose length is not known
    /// yet count as long as the mean of the others.
    fn share(&self, now: &Snapshot) -> (usize, f64) {
        let mut done = 0;
        let mut shares = Vec::new();
        for run in &self.order {
            if now.runs.state(run) == Some(RunState::Done) {
                done += 1;
                shares.push(1.0);
                continue;
            }
            let progress = now
                .runs
                .open
                .get(run)
                .map(|row| row.progress)
                .unwrap_or_default();
            shares.push(progress.step as f64 / progress.steps.max(1) as f64);
        }
        let share = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        (done, share)
    }
}

/// The right display for where standard error goes.
pub fn display(wanted: &Wanted, quiet: bool) -> Box<dyn Show> {
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(bars::Bars::new(wanted.clone()))
    } else {
        Box::new(lines::Lines::new(wanted.clone()))
    }
}

/// Looks at the database.
pub async fn look(store: &Store, wanted: &Wanted, before: &Snapshot) -> anyhow::Result<Snapshot> {
    let mut runs = Tracker {
        done: before.runs.done.clone(),
        ..Tracker::default()
    };
    runs.look(store, wanted.order.iter()).await?;
    let moving: Vec<RunKey> = wanted
        .order
        .iter()
        .filter(|run| {
            let state = runs.state(run);
            state == Some(RunState::Running) || state != before.runs.state(run)
        })
        .cloned()
        .collect();
    let results = if moving.is_empty() {
        BTreeMap::new()
    } else {
        store.results(&moving).await?
    };
    Ok(Snapshot {
        runs,
        results,
        paused: store.paused().await?,
    })
}

/// `epoch 3/4: top-1 81.20 %` of the newest evaluation of a run.
fn evaluation_text(result: &RunResult) -> Option<(u64, String)> {
    let newest = result.evaluations.iter().rfind(|e| e.split == "val")?;
    let values: Vec<String> = newest
        .metrics
        .iter()
        .filter(|(name, _)| name.starts_with("val/"))
        .filter_map(|(name, value)| {
            let metric = rungs_spec::metric::find(name)?;
            let unit = if metric.unit.is_empty() { "" } else { " " };
            let digits = metric.digits;
            Some(format!(
                "{} {value:.digits$}{unit}{}",
                metric.title, metric.unit
            ))
        })
        .collect();
    Some((newest.epoch, values.join(", ")))
}

/// Time left, from the share of the work that was done since the beginning. Nothing is promised
/// before a few seconds of work.
fn time_left(began: Instant, share_then: f64, share_now: f64) -> Option<f64> {
    let elapsed = began.elapsed().as_secs_f64();
    let done = share_now - share_then;
    (elapsed > 5.0 && done > 0.005).then(|| elapsed * (1.0 - share_now) / done)
}

struct Silent;
impl Show for Silent {
    fn show(&mut self, _: &Snapshot) {}
    fn say(&mut self, _: &str) {}
    fn end(&mut self) {}
}
