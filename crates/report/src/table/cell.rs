//! What a cell's runs say together: status, progress, message, cost.

use std::collections::BTreeMap;

use rungs_spec::result::{RunResult, RunState};

use super::{CellProgress, CellStatus, Cost};

/// One run of a cell: its seed, and what is known of it (nothing before it was queued).
pub(super) type CellRun<'a> = (u64, Option<&'a RunResult>);

fn state(run: &CellRun<'_>) -> RunState {
    run.1.map_or(RunState::New, |r| r.state)
}

/// What needs a person comes first, then what is on its way, then what rests.
pub(super) fn status(runs: &[CellRun<'_>]) -> CellStatus {
    let any = |wanted: RunState| runs.iter().any(|r| state(r) == wanted);
    if runs.is_empty() {
        return CellStatus::New;
    }
    if runs.iter().all(|r| state(r) == RunState::Done) {
        return CellStatus::Done;
    }
    let order = [
        (RunState::Failed, CellStatus::Failed),
        (RunState::Running, CellStatus::Running),
        (RunState::Queued, CellStatus::Queued),
        (RunState::Blocked, CellStatus::Blocked),
        (RunState::Done, CellStatus::Partial),
        (RunState::Cancelled, CellStatus::Cancelled),
    ];
    order
        .into_iter()
        .find(|(s, _)| any(*s))
        .map_or(CellStatus::New, |(_, status)| status)
}

/// States in the order of the runs.
pub(super) fn states(runs: &[CellRun<'_>]) -> Vec<&'static str> {
    runs.iter().map(|r| state(r).word()).collect()
}

/// Share of the work done.
pub(super) fn progress(runs: &[CellRun<'_>]) -> CellProgress {
    let share = |run: &CellRun<'_>| match (state(run), run.1) {
        (RunState::Done, _) => 1.0,
        (_, Some(r)) if r.progress.steps > 0 => {
            (r.progress.step as f64 / r.progress.steps as f64).min(1.0)
        }
        _ => 0.0,
    };
    CellProgress {
        done: runs.iter().filter(|r| state(r) == RunState::Done).count(),
        runs: runs.len(),
        share: if runs.is_empty() {
            0.0
        } else {
            runs.iter().map(share).sum::<f64>() / runs.len() as f64
        },
    }
}

/// Why runs failed.
pub(super) fn message(runs: &[CellRun<'_>]) -> Option<String> {
    let failed: Vec<String> = runs
        .iter()
        .filter(|r| state(r) == RunState::Failed)
        .map(|(seed, run)| {
            let why = run
                .and_then(|r| r.failure.as_ref())
                .map_or("no message was kept", |f| f.message.as_str());
            format!("seed {seed} failed: {why}")
        })
        .collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}

/// Mean cost of the finished runs.
pub(super) fn cost(runs: &[CellRun<'_>]) -> Option<Cost> {
    let done = || {
        runs.iter()
            .filter_map(|r| r.1)
            .filter(|r| r.state == RunState::Done)
    };
    let seconds: Vec<f64> = done()
        .filter_map(|r| r.finished.as_ref())
        .map(|f| f.epoch_seconds.iter().sum())
        .collect();
    let speed: Vec<f64> = done()
        .map(|r| r.progress.images_per_s)
        .filter(|s| *s > 0.0)
        .collect();
    let energy: Vec<f64> = done().filter_map(gpu_energy).collect();
    let mean = |v: &[f64]| (!v.is_empty()).then(|| v.iter().sum::<f64>() / v.len() as f64);
    Some(Cost {
        seconds: mean(&seconds)?,
        images_per_s: mean(&speed),
        energy_j: mean(&energy),
    })
}

/// Joules that the GPUs of a run took, whole cards; `None` unless each evaluated epoch says its own. An epoch
/// that a later attempt went on with does not: what the earlier one took is lost with it.
pub fn gpu_energy(run: &RunResult) -> Option<f64> {
    // By epoch, because an epoch may be evaluated on several splits.
    let mut by_epoch: BTreeMap<u64, Option<f64>> = BTreeMap::new();
    for e in &run.evaluations {
        let said = e.metrics.get("system/gpu_energy_j").copied();
        let known = by_epoch.entry(e.epoch).or_default();
        *known = known.or(said.filter(|joules| joules.is_finite()));
    }
    let each: Option<Vec<f64>> = by_epoch.into_values().collect();
    each.filter(|e| !e.is_empty()).map(|e| e.iter().sum())
}
