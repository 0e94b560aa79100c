//! What was a table made with, and what did it cost? From what its runs' attempts said of themselves.

use rungs_spec::result::{Provenance, RunState};

use super::Source;
use crate::format::{duration, grouped};
use crate::table::gpu_energy;

/// One way in which runs were made.
pub(super) struct Made {
    pub runs: usize,
    /// (what, value); what nobody wrote down is left out.
    pub facts: Vec<(&'static str, String)>,
}

/// What all runs cost.
pub(super) struct Cost {
    pub facts: Vec<(&'static str, String)>,
}

/// A run with its place.
pub(super) struct RunLine {
    pub place: String,
    pub seed: u64,
    pub key: String,
    pub state: &'static str,
    pub took: String,
    pub weights: String,
}

/// Distinct environments with their number of runs, most frequent first.
pub(super) fn made(source: &Source<'_>) -> Vec<Made> {
    let mut kinds: Vec<(&Provenance, usize)> = Vec::new();
    let known = source
        .plan
        .runs
        .iter()
        .filter_map(|run| source.results.get(&run.key));
    for provenance in known.filter_map(|run| run.provenance.as_ref()) {
        match kinds.iter_mut().find(|(of, _)| *of == provenance) {
            Some((_, n)) => *n += 1,
            None => kinds.push((provenance, 1)),
        }
    }
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    kinds
        .into_iter()
        .map(|(of, runs)| {
            let data = of.dataset.as_ref();
            let facts = [
                ("Commit", of.commit.clone().unwrap_or_default()),
                ("Trainer", of.trainer.clone()),
                ("libtorch", of.libtorch.clone()),
                ("Machine", of.host.clone()),
                ("CPU", of.cpu.clone()),
                ("Device", of.device.clone()),
                ("GPU", of.gpus.join(", ")),
                (
                    "Training data, BLAKE3",
                    data.map(|d| d.train_blake3.clone()).unwrap_or_default(),
                ),
                (
                    "Validation data, BLAKE3",
                    data.map(|d| d.val_blake3.clone()).unwrap_or_default(),
                ),
            ];
            Made {
                runs,
                facts: facts
                    .into_iter()
                    .filter(|(_, text)| !text.is_empty())
                    .collect(),
            }
        })
        .collect()
}

/// Runs and time of all that this home finished for the table.
pub(super) fn cost(source: &Source<'_>) -> Cost {
    let known = || {
        source
            .plan
            .runs
            .iter()
            .filter_map(|run| source.results.get(&run.key))
    };
    let finished: Vec<_> = known().filter_map(|run| run.finished.as_ref()).collect();
    let seconds: f64 = finished.iter().flat_map(|f| &f.epoch_seconds).sum();
    let attempts: u32 = known().map(|run| run.attempts).sum();
    let peak = finished.iter().map(|f| f.peak_bytes).max().unwrap_or(0);
    let mut facts = vec![
        (
            "Runs",
            format!("{} of {} finished", finished.len(), source.plan.runs.len()),
        ),
        ("Attempts", grouped(u64::from(attempts))),
        ("Time of all finished runs", duration(seconds)),
    ];
    if !finished.is_empty() {
        facts.push(("Time of a run", duration(seconds / finished.len() as f64)));
    }
    if peak > 0 {
        facts.push((
            "Peak memory of a run",
            format!("{} MB", grouped(peak / 1_000_000)),
        ));
    }
    let energy: Vec<f64> = known()
        .filter(|run| run.finished.is_some())
        .filter_map(gpu_energy)
        .collect();
    if !energy.is_empty() {
        let all = crate::format::energy(energy.iter().sum());
        let of = if energy.len() < finished.len() {
            format!(", of {} runs", energy.len())
        } else {
            String::new()
        };
        facts.push(("Energy of the GPUs, whole cards", all + &of));
    }
    Cost { facts }
}

/// The command that makes this table again.
pub(super) fn command(source: &Source<'_>) -> String {
    let plan = source.plan;
    let profile = plan
        .profile
        .as_ref()
        .map_or_else(String::new, |p| format!(" --profile {p}"));
    let set: String = source.set.iter().map(|s| format!(" --set '{s}'")).collect();
    format!(
        "runner reproduce {}{profile} --seeds {}{set}",
        plan.experiment.name, plan.seeds
    )
}

/// Every run of every cell that this home knows.
pub(super) fn runs(source: &Source<'_>) -> Vec<RunLine> {
    let mut lines = Vec::new();
    for row in &source.table.rows {
        for column in &source.table.columns {
            let Some(cell) = row.cells.get(&column.id) else {
                continue;
            };
            for (run, seed) in cell.runs.iter().zip(&cell.seeds) {
                let Some(result) = source.results.get(run) else {
                    continue;
                };
                let done = result
                    .finished
                    .as_ref()
                    .filter(|_| result.state == RunState::Done);
                lines.push(RunLine {
                    place: format!("{}, {}", row.label, column.label),
                    seed: *seed,
                    key: run.to_string(),
                    state: result.state.word(),
                    took: done.map_or_else(String::new, |f| duration(f.epoch_seconds.iter().sum())),
                    weights: done.map_or_else(String::new, |f| f.weights_blake3.clone()),
                });
            }
        }
    }
    lines
}
