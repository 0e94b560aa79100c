//! Whether runs can get any further.

use std::collections::{BTreeMap, BTreeSet};

use rungs_spec::RunKey;
use rungs_spec::result::RunState;
use rungs_store::{RunFilter, RunRow, Store};

/// Whether none of these runs can get any further by itself: it is done, failed, cancelled, or waits
/// for one that is failed or cancelled.
pub async fn all(store: &Store, runs: &BTreeSet<RunKey>) -> anyhow::Result<bool> {
    let rows = rows(store).await?;
    Ok(runs.iter().all(|run| is_settled(run, &rows)))
}

/// All runs of a home, by key.
pub async fn rows(store: &Store) -> anyhow::Result<BTreeMap<RunKey, RunRow>> {
    let rows = store.runs(&RunFilter::default()).await?;
    Ok(rows.into_iter().map(|row| (row.key.clone(), row)).collect())
}

/// As [`all`], for one run.
pub fn is_settled(run: &RunKey, rows: &BTreeMap<RunKey, RunRow>) -> bool {
    let Some(row) = rows.get(run) else { return false };
    match row.state {
        RunState::Done | RunState::Failed | RunState::Cancelled => true,
        RunState::New | RunState::Running => false,
        RunState::Queued | RunState::Blocked => row
            .waits_for
            .iter()
            .any(|on| rows.get(on).is_some_and(|r| r.state != RunState::Done) && is_settled(on, rows)),
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
        let rows = BTreeMap::from([
            row(1, RunState::Failed, &[]),
            row(2, RunState::Blocked, &[1]),
            row(3, RunState::Blocked, &[2]),
            row(4, RunState::Running, &[]),
            row(5, RunState::Blocked, &[4]),
            row(6, RunState::Queued, &[]),
            row(7, RunState::Done, &[]),
        ]);
        let settled: Vec<u32> = (1..=8).filter(|n| is_settled(&key(*n), &rows)).collect();
        assert_eq!(settled, [1, 2, 3, 7], "8 is not known: it may still come");
    }
}
