//! What applying an experiment changes: which runs are queued. Pure.

use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::home::{CellRun, JournalEntry};
use rungs_spec::plan::{Options, Plan};
use rungs_spec::result::RunState;

/// The runs of a plan that must be queued: all but those that are done, or on their way.
pub fn to_queue<'a>(
    plan: &'a Plan,
    states: &'a BTreeMap<RunKey, RunState>,
) -> impl Iterator<Item = &'a rungs_spec::plan::PlannedRun> {
    plan.runs.iter().filter(|run| {
        let state = states.get(&run.key).copied().unwrap_or(RunState::New);
        match state {
            RunState::New | RunState::Failed | RunState::Cancelled => true,
            RunState::Blocked | RunState::Queued | RunState::Running | RunState::Done => false,
        }
    })
}

/// The decisions of an application: what was applied, and each run that is queued.
pub fn decisions(
    plan: &Plan,
    options: &Options,
    states: &BTreeMap<RunKey, RunState>,
    priority: i64,
) -> Vec<JournalEntry> {
    let cells = plan.cells.iter().flat_map(|cell| {
        (1..).zip(&cell.runs).map(|(seed, run)| CellRun {
            row: cell.row.clone(),
            column: cell.column.clone(),
            seed,
            run: run.clone(),
        })
    });
    let applied = JournalEntry::Applied {
        experiment: plan.experiment.name.clone(),
        hash: plan.experiment.hash.clone(),
        profile: plan.profile.clone(),
        seeds: plan.seeds,
        set: options.set.clone(),
        cells: cells.collect(),
    };
    let queued = to_queue(plan, states).map(|run| JournalEntry::Queued {
        run: run.key.clone(),
        depends_on: run.depends_on.values().cloned().collect(),
        priority,
    });
    std::iter::once(applied).chain(queued).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let rows = "[[row]]\nid = \"a\"\n[[row]]\nid = \"b\"\nset = { lr = 0.2 }\n\
                    [[row]]\nid = \"same\"\non = \"a\"\n";
        crate::test_plan::plan(rows, 1)
    }

    fn queued(states: &BTreeMap<RunKey, RunState>) -> Vec<RunKey> {
        let entries = decisions(&plan(), &Options::default(), states, 3);
        let JournalEntry::Applied { cells, .. } = &entries[0] else {
            panic!("{entries:?}")
        };
        assert_eq!(
            cells.len(),
            3,
            "every cell is written down, whatever is queued"
        );
        let runs = entries[1..].iter().map(|entry| match entry {
            JournalEntry::Queued {
                run, priority: 3, ..
            } => run.clone(),
            other => panic!("{other:?}"),
        });
        runs.collect()
    }

    #[test]
    fn what_is_done_or_on_its_way_is_left_alone() {
        let keys: Vec<RunKey> = plan().runs.into_iter().map(|r| r.key).collect();
        assert_eq!(keys.len(), 2, "two cells share a run");
        assert_eq!(queued(&BTreeMap::new()), keys);
        for (state, again) in [
            (RunState::New, true),
            (RunState::Failed, true),
            (RunState::Cancelled, true),
            (RunState::Blocked, false),
            (RunState::Queued, false),
            (RunState::Running, false),
            (RunState::Done, false),
        ] {
            let states = BTreeMap::from([(keys[0].clone(), state)]);
            assert_eq!(queued(&states).contains(&keys[0]), again, "{state:?}");
            assert!(queued(&states).contains(&keys[1]));
        }
    }
}
