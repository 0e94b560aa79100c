//! Lists of runs, attempts, applications and slots, as pages and `runner status` show them.

use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::protocol::{FailureClass, RunFile};
use rungs_spec::result::{Progress, RunState};
use sqlx::{Row, SqliteConnection};

use crate::connect::Store;
use crate::decisions::class_of;
use crate::error::StoreError;
use crate::filter::{self, Place, RunFilter};
use crate::time::{count, seed, small};

/// A run in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Key.
    pub key: RunKey,
    /// State, `Blocked` included.
    pub state: RunState,
    /// Seed.
    pub seed: u64,
    /// Model.
    pub model: String,
    /// Dataset.
    pub dataset: String,
    /// Higher goes first.
    pub priority: i64,
    /// Highest attempt so far, 0 if none.
    pub attempts: u32,
    /// Tries used since it was last queued.
    pub tries: u32,
    /// How far the newest attempt is.
    pub progress: Progress,
    /// Why it failed, or why it waits for another try.
    pub message: Option<String>,
    /// Milliseconds since 1970.
    pub queued_at_ms: Option<i64>,
    /// When its first attempt started.
    pub started_at_ms: Option<i64>,
    /// When it was done, failed or was cancelled.
    pub ended_at_ms: Option<i64>,
    /// Not before this time (back-off).
    pub retry_at_ms: Option<i64>,
    /// Slot it runs on.
    pub slot: Option<String>,
    /// Runs it depends on that are not done.
    pub waits_for: Vec<RunKey>,
}

/// Who shares a run: a cell of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellOf {
    /// File stem.
    pub experiment: String,
    /// Profile; `None` = the file as written.
    pub profile: Option<String>,
    /// Row id.
    pub row: String,
    /// Column id.
    pub column: String,
    /// Seed of the cell.
    pub seed: u64,
}

/// An experiment that was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// File stem.
    pub experiment: String,
    /// Names HOME/experiments/HASH.toml.
    pub hash: String,
    /// Profile; `None` = the file as written.
    pub profile: Option<String>,
    /// Seeds of every cell.
    pub seeds: u64,
    /// `--set` options.
    pub set: Vec<String>,
    /// Milliseconds since 1970.
    pub t_ms: i64,
}

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

/// What the scheduler last said of a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotRow {
    /// Name.
    pub slot: String,
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// CPU threads it may use.
    pub threads: u32,
    /// Run on it.
    pub run: Option<RunKey>,
    /// Attempt on it.
    pub attempt: Option<u32>,
    /// Milliseconds since 1970; set by [`Store::set_slots`].
    pub updated_at_ms: i64,
}

impl Store {
    /// Runs that pass a filter, in its order.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let mut tx = self.read().await?;
        runs(&mut tx, filter).await.map_err(self.here())
    }

    /// Runs that pass a filter, and the place behind the last of them if there are more: a page of a list
    /// ordered by [`crate::RunOrder::By`], of at most `limit` runs.
    pub async fn runs_page(
        &self,
        filter: &RunFilter,
        limit: u64,
    ) -> Result<(Vec<RunRow>, Option<Place>), StoreError> {
        let filter = RunFilter {
            limit: Some(limit.saturating_add(1)),
            ..filter.clone()
        };
        let mut tx = self.read().await?;
        let mut listed = listed(&mut tx, &filter).await.map_err(self.here())?;
        let more = listed.len() as u64 > limit;
        listed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = listed
            .last()
            .filter(|_| more)
            .map(|(_, place)| place.clone());
        Ok((listed.into_iter().map(|(run, _)| run).collect(), next))
    }

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

    /// Number of runs that pass a filter, whatever its limit.
    pub async fn count_runs(&self, filter: &RunFilter) -> Result<u64, StoreError> {
        let mut tx = self.read().await?;
        let n: i64 = filter::count_query(filter)
            .build_query_scalar()
            .fetch_one(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        Ok(count(n))
    }

    /// Number of runs of each state among those that pass a filter, whatever its limit.
    pub async fn count_states(
        &self,
        filter: &RunFilter,
    ) -> Result<BTreeMap<RunState, u64>, StoreError> {
        let mut tx = self.read().await?;
        count_states(&mut tx, filter).await.map_err(self.here())
    }

    /// The run whose key begins with `prefix`.
    pub async fn find_run(&self, prefix: &str) -> Result<RunKey, StoreError> {
        let mut tx = self.read().await?;
        find(&mut tx, prefix).await.map_err(self.here())
    }

    /// recipe.json of a run.
    pub async fn run_file(&self, run: &RunKey) -> Result<RunFile, StoreError> {
        let mut tx = self.read().await?;
        run_file(&mut tx, run).await.map_err(self.here())
    }

    /// The cells that want a run, as the newest application of each (experiment, profile) has them.
    pub async fn cells_of(&self, run: &RunKey) -> Result<Vec<CellOf>, StoreError> {
        let mut tx = self.read().await?;
        cells_of(&mut tx, run).await.map_err(self.here())
    }

    /// The newest application of every (experiment, profile), of one experiment or of all, newest
    /// first.
    pub async fn applied(&self, experiment: Option<&str>) -> Result<Vec<Applied>, StoreError> {
        let mut tx = self.read().await?;
        applied(&mut tx, experiment).await.map_err(self.here())
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

    /// Grows with every write, by whichever process: poll it to know when to read again.
    pub async fn change_counter(&self) -> Result<u64, StoreError> {
        let mut tx = self.read().await?;
        let changes = sqlx::query_scalar!("SELECT changes FROM index_state")
            .fetch_one(&mut *tx)
            .await;
        Ok(count(
            changes.map_err(StoreError::from).map_err(self.here())?,
        ))
    }

    /// Whether no new attempts start.
    pub async fn paused(&self) -> Result<bool, StoreError> {
        let mut tx = self.read().await?;
        let paused = sqlx::query_scalar!("SELECT paused FROM index_state")
            .fetch_one(&mut *tx)
            .await;
        Ok(paused.map_err(StoreError::from).map_err(self.here())? != 0)
    }

    /// What the scheduler last said of its slots, by name.
    pub async fn slots(&self) -> Result<Vec<SlotRow>, StoreError> {
        let mut tx = self.read().await?;
        slots(&mut tx).await.map_err(self.here())
    }
}

fn key_of(text: &str) -> Result<RunKey, StoreError> {
    RunKey::parse(text).ok_or_else(|| StoreError::damaged(format!("{text:?} is not a run key")))
}

fn profile_of(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

async fn runs(tx: &mut SqliteConnection, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
    let listed = listed(tx, filter).await?;
    Ok(listed.into_iter().map(|(run, _)| run).collect())
}

/// Runs with their places.
async fn listed(
    tx: &mut SqliteConnection,
    filter: &RunFilter,
) -> Result<Vec<(RunRow, Place)>, StoreError> {
    let rows = filter::list_query(filter)
        .build()
        .fetch_all(&mut *tx)
        .await?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows {
        let key: String = row.try_get("key")?;
        let state: String = row.try_get("state")?;
        let waits_for: Option<String> = row.try_get("waits_for")?;
        let number = |name: &str| -> Result<u64, StoreError> {
            Ok(row.try_get::<Option<i64>, _>(name)?.map_or(0, count))
        };
        let place = Place {
            id: row.try_get("id")?,
            value: row.try_get("sorted_by")?,
        };
        let run = RunRow {
            key: key_of(&key)?,
            state: RunState::from_word(&state)
                .ok_or_else(|| StoreError::damaged(format!("{state:?} is no state of a run")))?,
            seed: seed(row.try_get("seed")?),
            model: row.try_get("model")?,
            dataset: row.try_get("dataset")?,
            priority: row.try_get("priority")?,
            attempts: u32::try_from(number("attempts")?).unwrap_or(u32::MAX),
            tries: small(row.try_get("tries")?),
            progress: Progress {
                step: number("next_step")?,
                steps: number("steps")?,
                steps_per_epoch: number("steps_per_epoch")?,
                images_per_s: row
                    .try_get::<Option<f64>, _>("images_per_s")?
                    .unwrap_or(0.0),
            },
            message: row.try_get("message")?,
            queued_at_ms: row.try_get("queued_at_ms")?,
            started_at_ms: row.try_get("started_at_ms")?,
            ended_at_ms: row.try_get("ended_at_ms")?,
            retry_at_ms: row.try_get("retry_at_ms")?,
            slot: row.try_get("slot")?,
            waits_for: waits_for
                .map(|keys| keys.split(',').map(key_of).collect::<Result<Vec<_>, _>>())
                .transpose()?
                .unwrap_or_default(),
        };
        runs.push((run, place));
    }
    Ok(runs)
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

async fn count_states(
    tx: &mut SqliteConnection,
    filter: &RunFilter,
) -> Result<BTreeMap<RunState, u64>, StoreError> {
    let counted: Vec<(String, i64)> = filter::states_query(filter)
        .build_query_as()
        .fetch_all(&mut *tx)
        .await?;
    counted
        .into_iter()
        .map(|(word, n)| {
            let state = RunState::from_word(&word)
                .ok_or_else(|| StoreError::damaged(format!("{word:?} is no state of a run")))?;
            Ok((state, count(n)))
        })
        .collect()
}

async fn find(tx: &mut SqliteConnection, prefix: &str) -> Result<RunKey, StoreError> {
    let given = prefix.trim().to_ascii_lowercase();
    let none = || StoreError::NotFound {
        prefix: prefix.to_owned(),
    };
    if given.is_empty() || !given.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(none());
    }
    // `g` sorts right behind all hex digits.
    let end = format!("{given}g");
    let found = sqlx::query_scalar!(
        "SELECT key FROM runs WHERE key >= ? AND key < ? ORDER BY key LIMIT 9",
        given,
        end
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut matches = found
        .iter()
        .map(|k| key_of(k))
        .collect::<Result<Vec<_>, _>>()?;
    match matches.len() {
        0 => Err(none()),
        1 => Ok(matches.remove(0)),
        _ => Err(StoreError::Ambiguous {
            prefix: prefix.to_owned(),
            matches,
        }),
    }
}

async fn run_file(tx: &mut SqliteConnection, run: &RunKey) -> Result<RunFile, StoreError> {
    let key = run.as_str();
    let file = sqlx::query_scalar!("SELECT file FROM runs WHERE key = ?", key)
        .fetch_optional(&mut *tx)
        .await?;
    let text = file.flatten().ok_or_else(|| StoreError::NotFound {
        prefix: key.to_owned(),
    })?;
    serde_json::from_str(&text)
        .map_err(|e| StoreError::damaged(format!("the recipe of run {key} cannot be read: {e}")))
}

async fn cells_of(tx: &mut SqliteConnection, run: &RunKey) -> Result<Vec<CellOf>, StoreError> {
    let key = run.as_str();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT a.experiment AS "experiment!", a.profile AS "profile!", c.row_id AS "row_id!", c.column_id AS "column_id!",
             c.seed AS "seed!: i64"
         FROM cells c JOIN applications a ON a.id = c.application_id JOIN runs r ON r.id = c.run_id
         WHERE r.key = ? AND a.hash = (SELECT n.hash FROM applications n
             WHERE n.experiment = a.experiment AND n.profile = a.profile ORDER BY n.journal_offset DESC LIMIT 1)
         ORDER BY a.experiment, a.profile, c.row_id, c.column_id, c.seed"#,
        key
    )
    .fetch_all(&mut *tx)
    .await?;
    let cell = |experiment, profile, row, column, s| CellOf {
        experiment,
        profile: profile_of(profile),
        row,
        column,
        seed: seed(s),
    };
    Ok(rows
        .into_iter()
        .map(|r| cell(r.experiment, r.profile, r.row_id, r.column_id, r.seed))
        .collect())
}

async fn applied(
    tx: &mut SqliteConnection,
    experiment: Option<&str>,
) -> Result<Vec<Applied>, StoreError> {
    let rows = sqlx::query!(
        "SELECT a.experiment, a.hash, a.profile, a.seeds, a.set_options, a.applied_at_ms FROM applications a
         WHERE (?1 IS NULL OR a.experiment = ?1) AND a.journal_offset = (SELECT max(n.journal_offset) FROM applications n
             WHERE n.experiment = a.experiment AND n.profile = a.profile)
         ORDER BY a.journal_offset DESC",
        experiment
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Applied {
                experiment: r.experiment,
                hash: r.hash,
                profile: profile_of(r.profile),
                seeds: count(r.seeds),
                set: serde_json::from_str(&r.set_options)
                    .map_err(|e| StoreError::damaged(format!("options of an application: {e}")))?,
                t_ms: r.applied_at_ms,
            })
        })
        .collect()
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

async fn slots(tx: &mut SqliteConnection) -> Result<Vec<SlotRow>, StoreError> {
    let rows = sqlx::query!(
        "SELECT slot, device, threads, run_key, attempt, updated_at_ms FROM slots ORDER BY slot"
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(SlotRow {
                slot: r.slot,
                device: r.device,
                threads: small(r.threads),
                run: r.run_key.as_deref().map(key_of).transpose()?,
                attempt: r.attempt.map(small),
                updated_at_ms: r.updated_at_ms,
            })
        })
        .collect()
}
