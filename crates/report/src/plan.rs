//! Which runs a plan would do, in which state they are, and how long they will take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use rungs_spec::RunKey;
use rungs_spec::plan::Plan;
use rungs_spec::result::{RunState, Standing};
use serde::Serialize;

use crate::format::duration;
use crate::history::History;
use crate::published::{GpuTime, gpu_time};

/// The JSON of `runner plan` (docs/schema/plan.schema.json).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Every distinct run, sources first.
    pub runs: Vec<PlannedRun>,
    /// Distinct runs.
    pub unique: usize,
    /// Runs that the cells ask for, timing runs included, shared ones counted as often as they are
    /// asked for.
    pub requested: usize,
    /// Seconds of work left over all runs whose estimate is known, one after the other.
    pub estimate_s: Option<f64>,
    /// Runs not done whose time is not known.
    pub unknown: usize,
    /// What the runs would take on GPUs whose speed was published; left out where none of them has a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<GpuTime>,
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
    /// A timing run: a few epochs for the clock, alone on the machine.
    pub timing: bool,
    /// Cells that show it.
    pub cells: Vec<PlannedCell>,
    /// Seconds of work left: 0 when done, `None` where no run like it was finished here before.
    pub estimate_s: Option<f64>,
}

/// A cell that shows a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PlannedCell {
    /// File stem.
    pub experiment: String,
    /// Row id.
    pub row: String,
    /// Column id.
    pub column: String,
}

impl PlanReport {
    /// Of one or several plans; runs that they share stand once. Runs that `standings` does not know
    /// are new.
    pub fn build(
        plans: &[&Plan],
        standings: &BTreeMap<RunKey, Standing>,
        history: &History,
    ) -> Self {
        let mut estimates = history.estimates();
        let mut runs: Vec<PlannedRun> = Vec::new();
        let mut at: HashMap<RunKey, usize> = HashMap::new();
        for plan in plans {
            for run in &plan.runs {
                at.entry(run.key.clone()).or_insert_with(|| {
                    let known = standings.get(&run.key);
                    runs.push(PlannedRun {
                        key: run.key.clone(),
                        seed: run.seed,
                        state: known.map_or(RunState::New, |r| r.state),
                        depends_on: run.depends_on.values().cloned().collect(),
                        timing: run.timing,
                        cells: Vec::new(),
                        estimate_s: left(known, estimates.of(&run.recipe)),
                    });
                    runs.len() - 1
                });
            }
            for cell in &plan.cells {
                for key in cell.runs.iter().chain(&cell.timing) {
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
            requested: runs.iter().map(|r| r.cells.len()).sum(),
            // An empty sum of floats is -0.
            estimate_s: (!known.is_empty() || runs.is_empty())
                .then(|| known.iter().fold(0.0, |sum, s| sum + s)),
            unknown: runs.iter().filter(|r| r.estimate_s.is_none()).count(),
            published: gpu_time(plans),
            runs,
        }
    }

    /// Runs in a state.
    pub fn count(&self, state: RunState) -> usize {
        self.runs.iter().filter(|r| r.state == state).count()
    }

    /// `31 runs serve 45 cells; trained once each, which saves 14 runs`; `None` where no run is shared.
    pub fn sharing(&self) -> Option<String> {
        let serving = || self.runs.iter().filter(|r| !r.cells.is_empty());
        let runs = serving().count();
        let saved = self
            .requested
            .checked_sub(runs)
            .filter(|saved| *saved > 0)?;
        let cells = serving()
            .flat_map(|r| &r.cells)
            .collect::<HashSet<_>>()
            .len();
        let asked = match self.requested {
            one_each if one_each == cells => String::new(),
            several => format!(", which ask for {several}"),
        };
        let sources = match self.unique - runs {
            0 => String::new(),
            1 => " (1 more is the source of others)".to_owned(),
            n => format!(" ({n} more are sources of others)"),
        };
        Some(format!(
            "{} serve{} {cells} cells{asked}; trained once each, which saves {}{sources}",
            plural(runs),
            if runs == 1 { "s" } else { "" },
            plural(saved)
        ))
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
            } else if run.timing {
                format!("timing of {}", cells.join(", "))
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
        if let Some(sharing) = self.sharing() {
            let _ = writeln!(out, "{sharing}");
        }
        let _ = write!(out, "{} runs", self.unique);
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
        if let Some(time) = &self.published {
            let _ = writeln!(
                out,
                "at the paper's published speed: {} on {:.0} {} hours, {:.1} days on 8 of them, {:.1} on 64 \
                 (docs/SCALING.md)",
                plural(time.runs),
                time.hours,
                time.gpu,
                time.days(8.0),
                time.days(64.0)
            );
        }
        out
    }
}

fn plural(runs: usize) -> String {
    format!("{runs} run{}", if runs == 1 { "" } else { "s" })
}

fn left(known: Option<&Standing>, whole: Option<f64>) -> Option<f64> {
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
    use crate::fixtures::standings;

    #[test]
    fn shared_runs_stand_once_and_finished_ones_give_estimates() {
        let plan = fixtures::plan("quick", 2);
        let results = fixtures::under_way(&plan);
        let history = History::of(results.values());
        let report = PlanReport::build(&[&plan, &plan], &standings(&results), &history);
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
            text.contains(
                "16 runs serve 8 cells, which ask for 32; trained once each, which saves 16 runs"
            ) && text.contains("of work left"),
            "{text}"
        );
    }

    #[test]
    fn the_saving_is_said_in_words_and_a_timing_run_costs_its_own_epochs() {
        // Rows `b` and `same` train the same; every cell is timed.
        let text = "title = \"t\"\nmetrics = [\"val/top1\", \"time/epoch_min\"]\n[base]\ndataset = \"fashion-mnist\"\n\
                    epochs = 120\n[[column]]\nid = \"c\"\n[[row]]\nid = \"a\"\n\
                    [[row]]\nid = \"b\"\nset = { lr = 0.2 }\n[[row]]\nid = \"same\"\non = \"b\"\n";
        let plan = fixtures::plan_of(text, None, 1);
        let report = PlanReport::build(&[&plan], &BTreeMap::new(), &History::default());
        assert_eq!(
            report.sharing().unwrap(),
            "4 runs serve 3 cells, which ask for 6; trained once each, which saves 2 runs"
        );
        assert!(
            report
                .text()
                .contains("timing of table4/b/c, table4/same/c")
        );
        // What 120 epochs took, per epoch, is what each of the three of the timing run takes.
        let trained = plan.runs.iter().find(|r| !r.timing).unwrap();
        let results = BTreeMap::from([(trained.key.clone(), fixtures::done(trained, 70.0))]);
        let whole: f64 = results[&trained.key]
            .finished
            .iter()
            .flat_map(|f| &f.epoch_seconds)
            .sum();
        let report = PlanReport::build(
            &[&plan],
            &standings(&results),
            &History::of(results.values()),
        );
        for run in report.runs.iter().filter(|r| r.timing) {
            let estimate = run.estimate_s.unwrap();
            assert!(
                (estimate - whole * 3.0 / 120.0).abs() < 1e-6,
                "{estimate} of {whole}"
            );
        }
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
