//! Whether runs can get any further.

use std::collections::{BTreeMap, BTreeSet};

use rungs_spec::RunKey;
use rungs_spec::result::RunState;
use rungs_store::{RunFilter, RunRow, Store};

/// Follows the states of some runs. A home may have thousands of runs that are done, and done is
/// final: those are asked for once.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    /// Runs that are done, of those that were asked for.
    pub done: BTreeSet<RunKey>,
    /// Every run of the home that is not done.
    pub open: BTreeMap<RunKey, RunRow>,
}

impl Tracker {
    /// Looks at the database.
    pub async fn look<'a>(
        &mut self,
        store: &Store,
        wanted: impl Iterator<Item = &'a RunKey>,
    ) -> anyhow::Result<()> {
        let states = vec![
            RunState::New,
            RunState::Blocked,
            RunState::Queued,
            RunState::Running,
            RunState::Failed,
            RunState::Cancelled,
        ];
        let filter = RunFilter {
            states,
            ..RunFilter::default()
        };
        let rows = store.runs(&filter).await?;
        self.open = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        let unclear: Vec<RunKey> = wanted
            .filter(|run| !self.open.contains_key(*run) && !self.done.contains(*run))
            .cloned()
            .collect();
        if !unclear.is_empty() {
            let results = store.results(&unclear).await?;
            let done = results
                .into_iter()
                .filter(|(_, result)| result.state == RunState::Done);
            self.done.extend(done.map(|(run, _)| run));
        }
        Ok(())
    }

    /// The state of a run that was asked for; `None` while the database does not know it.
    pub fn state(&self, run: &RunKey) -> Option<RunState> {
        if self.done.contains(run) {
            return Some(RunState::Done);
        }
        self.open.get(run).map(|row| row.state)
    }

    /// Whether a run cannot get any further by itself: it is done, failed, cancelled, or waits for
    /// one that is failed or cancelled. One that is not known may still come.
    pub fn is_settled(&self, run: &RunKey) -> bool {
        match self.state(run) {
            Some(RunState::Done | RunState::Failed | RunState::Cancelled) => true,
            None | Some(RunState::New | RunState::Running) => false,
            Some(RunState::Queued | RunState::Blocked) => {
                let waits_for = self
                    .open
                    .get(run)
                    .into_iter()
                    .flat_map(|row| &row.waits_for);
                // What it waits for is not done, or it would not wait.
                waits_for.into_iter().any(|on| self.is_settled(on))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rungs_spec::result::Progress;
    use rungs_spec::runkey;

    fn key(n: u32) -> RunKey {
        runkey::of_json(&serde_json::json!(n))
    }

    fn row(n: u32, state: RunState, waits_for: &[u32]) -> (RunKey, RunRow) {
        let row = RunRow {
            key: key(n),
            state,
            seed: 1,
            model: String::new(),
            dataset: String::new(),
            priority: 0,
            attempts: 0,
            tries: 0,
            progress: Progress::default(),
            message: None,
            queued_at_ms: None,
            started_at_ms: None,
            ended_at_ms: None,
            retry_at_ms: None,
            slot: None,
            waits_for: waits_for.iter().map(|n| key(*n)).collect(),
        };
        (key(n), row)
    }

    #[test]
    fn a_run_behind_a_failed_one_goes_no_further() {
        let open = BTreeMap::from([
            row(1, RunState::Failed, &[]),
            row(2, RunState::Blocked, &[1]),
            row(3, RunState::Blocked, &[2]),
            row(4, RunState::Running, &[]),
            row(5, RunState::Blocked, &[4]),
            row(6, RunState::Queued, &[]),
        ]);
        let tracker = Tracker {
            done: BTreeSet::from([key(7)]),
            open,
        };
        let settled: Vec<u32> = (1..=8).filter(|n| tracker.is_settled(&key(*n))).collect();
        assert_eq!(settled, [1, 2, 3, 7], "8 is not known: it may still come");
    }
}
