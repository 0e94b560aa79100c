//! Which runs a plan would do, in which state they are, and how long they will take.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use rungs_spec::plan::Plan;
use rungs_spec::recipe::Recipe;
use rungs_spec::result::{RunResult, RunState};
use rungs_spec::{RunKey, dataset, model};
use serde::Serialize;

use crate::format::duration;

/// The JSON of `runner plan` (docs/schema/plan.schema.json).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Every distinct run, sources first.
    pub runs: Vec<PlannedRun>,
    /// Distinct runs.
    pub unique: usize,
    /// Runs that the cells ask for, shared ones counted as often as they are asked for.
    pub requested: usize,
    /// Seconds of work left over all runs whose estimate is known, one after the other.
    pub estimate_s: Option<f64>,
    /// Runs not done whose time is not known.
    pub unknown: usize,
}

/// One run of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedRun {
    /// Key.
    pub key: RunKey,
    /// Seed.
    pub seed: u64,
    /// State.
    pub state: RunState,
    /// Runs that must be done before it.
    pub depends_on: Vec<RunKey>,
    /// Cells that show it.
    pub cells: Vec<PlannedCell>,
    /// Seconds of work left: 0 when done, `None` where no run like it was finished here before.
    pub estimate_s: Option<f64>,
}

/// A cell that shows a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCell {
    /// File stem.
    pub experiment: String,
    /// Row id.
    pub row: String,
    /// Column id.
    pub column: String,
}

/// What finished runs took, per unit of work.
///
/// The unit is one multiply-accumulate of a training image; where the model's are not known, one
/// input pixel. Runs of the same model, shape and precision speak first.
#[derive(Debug, Clone, Default)]
pub struct History {
    alike: HashMap<String, Vec<f64>>,
    all: Vec<f64>,
}

impl History {
    /// Of all finished runs among these.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a RunResult>) -> Self {
        let mut history = History::default();
        for run in results.into_iter().filter(|r| r.state == RunState::Done) {
            let seconds: f64 = run.finished.iter().flat_map(|f| &f.epoch_seconds).sum();
            let work = run.progress.steps as f64
                * f64::from(run.recipe.batch_size)
                * per_image(&run.recipe);
            if seconds > 0.0 && work > 0.0 {
                history
                    .alike
                    .entry(likeness(&run.recipe))
                    .or_default()
                    .push(seconds / work);
                history.all.push(seconds / work);
            }
        }
        history
    }

    /// Seconds of a whole run of this recipe; `None` without history, or where the size of its
    /// dataset is not known.
    pub fn estimate(&self, recipe: &Recipe) -> Option<f64> {
        let images = recipe
            .train_subset
            .or_else(|| Some(dataset::find(&recipe.dataset)?.train))?;
        let seen = recipe.steps_per_epoch(images)
            * u64::from(recipe.batch_size)
            * u64::from(recipe.epochs);
        let cost = median(self.alike.get(&likeness(recipe)).unwrap_or(&self.all))?;
        Some(cost * seen as f64 * per_image(recipe))
    }
}

fn likeness(r: &Recipe) -> String {
    format!(
        "{} {:?} {} {} {:?} {}",
        r.model, r.depths, r.width, r.input_size, r.precision, r.dataset
    )
}

/// Work of one training image.
fn per_image(recipe: &Recipe) -> f64 {
    let classes = dataset::find(&recipe.dataset).map_or(1000, |d| d.classes);
    match model::Model::of_recipe(recipe, classes) {
        Ok(network) => model::counts(&network, recipe.input_size).macs as f64,
        Err(_) => f64::from(recipe.input_size).powi(2),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (
        sorted.get(sorted.len().checked_sub(1)? / 2)?,
        sorted.get(sorted.len() / 2)?,
    );
    Some((low + high) / 2.0)
}

impl PlanReport {
    /// Of one or several plans; runs that they share stand once. Runs that `results` does not know
    /// are new.
    pub fn build(
        plans: &[&Plan],
        results: &BTreeMap<RunKey, RunResult>,
        history: &History,
    ) -> Self {
        let mut runs: Vec<PlannedRun> = Vec::new();
        let mut at: HashMap<RunKey, usize> = HashMap::new();
        for plan in plans {
            for run in &plan.runs {
                at.entry(run.key.clone()).or_insert_with(|| {
                    let known = results.get(&run.key);
                    runs.push(PlannedRun {
                        key: run.key.clone(),
                        seed: run.seed,
                        state: known.map_or(RunState::New, |r| r.state),
                        depends_on: run.depends_on.values().cloned().collect(),
                        cells: Vec::new(),
                        estimate_s: left(known, history.estimate(&run.recipe)),
                    });
                    runs.len() - 1
                });
            }
            for cell in &plan.cells {
                for key in &cell.runs {
                    let Some(run) = at.get(key).and_then(|i| runs.get_mut(*i)) else {
                        continue;
                    };
                    run.cells.push(PlannedCell {
                        experiment: plan.experiment.name.clone(),
                        row: cell.row.clone(),
                        column: cell.column.clone(),
                    });
                }
            }
        }
        let known: Vec<f64> = runs.iter().filter_map(|r| r.estimate_s).collect();
        PlanReport {
            unique: runs.len(),
            requested: plans.iter().map(|p| p.requested()).sum(),
            estimate_s: (!known.is_empty() || runs.is_empty()).then(|| known.iter().sum()),
            unknown: runs.iter().filter(|r| r.estimate_s.is_none()).count(),
            runs,
        }
    }

    /// Runs in a state.
    pub fn count(&self, state: RunState) -> usize {
        self.runs.iter().filter(|r| r.state == state).count()
    }

    /// Plain text: one line per run, what is shared, and the sum.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for run in &self.runs {
            let cells: Vec<String> = run
                .cells
                .iter()
                .map(|c| format!("{}/{}/{}", c.experiment, c.row, c.column))
                .collect();
            let cells = if cells.is_empty() {
                "source of another run".to_owned()
            } else {
                cells.join(", ")
            };
            let time = match (run.state, run.estimate_s) {
                (RunState::Done, _) => String::new(),
                (_, Some(s)) => duration(s),
                (_, None) => "?".to_owned(),
            };
            let waits = match run.depends_on.as_slice() {
                [] => String::new(),
                sources => format!(
                    "  after {}",
                    sources
                        .iter()
                        .map(RunKey::short)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            let (key, state, seed) = (run.key.short(), run.state.word(), run.seed);
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{key}  {state:<9}  {time:>12}  seed {seed}  {cells}{waits}"
            );
        }
        let _ = write!(out, "{} runs", self.unique);
        if self.requested > self.unique {
            let _ = write!(
                out,
                " for {} asked for, {} shared",
                self.requested,
                self.requested - self.unique
            );
        }
        let states = [
            RunState::Done,
            RunState::Running,
            RunState::Queued,
            RunState::Blocked,
            RunState::Failed,
            RunState::Cancelled,
            RunState::New,
        ];
        let counts: Vec<String> = states
            .into_iter()
            .filter(|s| self.count(*s) > 0)
            .map(|s| format!("{} {}", self.count(s), s.word()))
            .collect();
        let _ = write!(
            out,
            ": {}",
            if counts.is_empty() {
                "nothing to do".to_owned()
            } else {
                counts.join(", ")
            }
        );
        if self.count(RunState::Done) < self.unique {
            let _ = match (self.estimate_s, self.unknown) {
                (Some(s), 0) => write!(out, "; about {} of work left", duration(s)),
                (Some(s), n) if n < self.unique - self.count(RunState::Done) => {
                    write!(
                        out,
                        "; at least {} of work left ({n} runs without an estimate)",
                        duration(s)
                    )
                }
                _ => write!(
                    out,
                    "; no estimate yet: nothing like them was trained in this home"
                ),
            };
        }
        out.push('\n');
        out
    }
}

fn left(known: Option<&RunResult>, whole: Option<f64>) -> Option<f64> {
    match known {
        Some(r) if r.state == RunState::Done => Some(0.0),
        Some(r) if r.progress.steps > 0 => {
            whole.map(|s| s * (1.0 - r.progress.step as f64 / r.progress.steps as f64).max(0.0))
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn shared_runs_stand_once_and_finished_ones_give_estimates() {
        let plan = fixtures::plan("quick", 2);
        let results = fixtures::under_way(&plan);
        let history = History::of(results.values());
        let report = PlanReport::build(&[&plan, &plan], &results, &history);
        assert_eq!(
            (report.unique, report.requested),
            (plan.runs.len(), 2 * plan.requested())
        );
        assert_eq!(report.runs[0].cells.len(), 2);
        assert_eq!(report.count(RunState::Done), 2);
        assert_eq!(report.runs[0].estimate_s, Some(0.0));
        // Finished runs of the fixture took 31 s, whatever they trained.
        let queued = report
            .runs
            .iter()
            .find(|r| r.state == RunState::Queued)
            .unwrap();
        assert!(
            (queued.estimate_s.unwrap() - 31.0).abs() < 1e-6,
            "{queued:?}"
        );
        let running = report
            .runs
            .iter()
            .find(|r| r.state == RunState::Running)
            .unwrap();
        assert!(
            (running.estimate_s.unwrap() - 31.0 * 0.57).abs() < 0.2,
            "{running:?}"
        );
        let text = report.text();
        assert!(
            text.contains("32 asked for, 16 shared") && text.contains("of work left"),
            "{text}"
        );
    }

    #[test]
    fn without_history_no_time_is_made_up() {
        let plan = fixtures::plan("quick", 1);
        let report = PlanReport::build(&[&plan], &BTreeMap::new(), &History::default());
        assert_eq!((report.estimate_s, report.unknown), (None, 8));
        assert!(report.text().ends_with(
            "8 runs: 8 new; no estimate yet: nothing like them was trained in this home\n"
        ));
    }
}
