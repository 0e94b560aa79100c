//! The attempts of a run, and the checkpoints they wrote.

use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::protocol::FailureClass;
use sqlx::SqliteConnection;

use crate::connect::Store;
use crate::decisions::class_of;
use crate::error::StoreError;
use crate::time::{count, small};

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// Its process lives, as far as the scheduler knows.
    Running,
    /// Wrote `finished`.
    Finished,
    /// Left after a checkpoint, as asked.
    Checkpointed,
    /// Ended by a signal from outside.
    Killed,
    /// Gave up.
    Failed,
    /// Ended unseen.
    Lost,
}

impl AttemptState {
    /// The word in SQL, JSON and HTML.
    pub fn word(self) -> &'static str {
        match self {
            AttemptState::Running => "running",
            AttemptState::Finished => "finished",
            AttemptState::Checkpointed => "checkpointed",
            AttemptState::Killed => "killed",
            AttemptState::Failed => "failed",
            AttemptState::Lost => "lost",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Finished,
            Self::Checkpointed,
            Self::Killed,
            Self::Failed,
            Self::Lost,
        ]
        .into_iter()
        .find(|s| s.word() == word)
    }
}

/// An attempt of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Number, from 1.
    pub attempt: u32,
    /// UUIDv7 of its claim; `None` after a reindex.
    pub attempt_id: Option<String>,
    /// What became of it.
    pub state: AttemptState,
    /// Milliseconds since 1970: its `started` event.
    pub started_at_ms: Option<i64>,
    /// Its newest event: the end of an attempt that is over.
    pub last_event_ms: Option<i64>,
    /// First step; `None` until it has started.
    pub step0: Option<u64>,
    /// Step after its newest one.
    pub next_step: u64,
    /// Checkpoint it resumed from.
    pub resumed_from: Option<String>,
    /// Slot.
    pub slot: Option<String>,
    /// Process, while it lives.
    pub pid: Option<u32>,
    /// environment.json as it was; null until it has started.
    pub environment: serde_json::Value,
    /// Why it failed.
    pub failure: Option<(FailureClass, String)>,
    /// Images per second, 0 while unknown.
    pub images_per_s: f64,
}

/// A checkpoint that was written, as its newest event has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Below the run's directory.
    pub file: String,
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Digest of the file.
    pub blake3: String,
}

impl Store {
    /// Attempts ever made, by what became of them.
    pub async fn count_attempts(&self) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let mut tx = self.read().await?;
        let counted = sqlx::query!("SELECT state, count(*) AS n FROM attempts GROUP BY state")
            .fetch_all(&mut *tx)
            .await;
        let counted = counted.map_err(StoreError::from).map_err(self.here())?;
        Ok(counted
            .into_iter()
            .filter_map(|row| Some((AttemptState::from_word(&row.state)?.word(), count(row.n))))
            .collect())
    }

    /// The attempts of a run, first to newest.
    pub async fn attempts(&self, run: &RunKey) -> Result<Vec<AttemptRow>, StoreError> {
        let mut tx = self.read().await?;
        attempts(&mut tx, run).await.map_err(self.here())
    }

    /// Checkpoints that a run wrote, by file; an older one of the same name is overwritten.
    pub async fn checkpoints(&self, run: &RunKey) -> Result<Vec<CheckpointRow>, StoreError> {
        let mut tx = self.read().await?;
        checkpoints(&mut tx, run).await.map_err(self.here())
    }
}

async fn attempts(tx: &mut SqliteConnection, run: &RunKey) -> Result<Vec<AttemptRow>, StoreError> {
    let key = run.as_str();
    let rows = sqlx::query!(
        "SELECT a.attempt, a.attempt_id, a.state, a.started_at_ms, a.last_event_ms, a.step0, a.next_step, a.resumed_from,
             a.slot, a.pid, a.environment, a.failure_class, a.message, a.images_per_s
         FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.key = ? ORDER BY a.attempt",
        key
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(AttemptRow {
                attempt: small(r.attempt),
                attempt_id: r.attempt_id,
                state: AttemptState::from_word(&r.state).ok_or_else(|| {
                    StoreError::damaged(format!("{:?} is no state of an attempt", r.state))
                })?,
                started_at_ms: r.started_at_ms,
                last_event_ms: r.last_event_ms,
                step0: r.step0.map(count),
                next_step: count(r.next_step),
                resumed_from: r.resumed_from,
                slot: r.slot,
                pid: r.pid.map(small),
                environment: r
                    .environment
                    .map(|text| serde_json::from_str(&text))
                    .transpose()
                    .map_err(|e| {
                        StoreError::damaged(format!("environment of attempt {}: {e}", r.attempt))
                    })?
                    .unwrap_or(serde_json::Value::Null),
                failure: r
                    .failure_class
                    .map(|class| (class_of(&class), r.message.unwrap_or_default())),
                images_per_s: r.images_per_s,
            })
        })
        .collect()
}

async fn checkpoints(
    tx: &mut SqliteConnection,
    run: &RunKey,
) -> Result<Vec<CheckpointRow>, StoreError> {
    let key = run.as_str();
    let rows = sqlx::query!(
        "SELECT c.file, c.step, c.epoch, c.blake3 FROM checkpoints c JOIN runs r ON r.id = c.run_id
         WHERE r.key = ? ORDER BY c.file, c.step",
        key
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut found: Vec<CheckpointRow> = Vec::new();
    for row in rows {
        let checkpoint = CheckpointRow {
            file: row.file,
            step: count(row.step),
            epoch: count(row.epoch),
            blake3: row.blake3,
        };
        match found.last_mut() {
            Some(last) if last.file == checkpoint.file => *last = checkpoint,
            _ => found.push(checkpoint),
        }
    }
    Ok(found)
}
