//! Lists of runs, as pages and `runner status` show them, and one run by the beginning of its key.

use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::protocol::RunFile;
use rungs_spec::result::{Progress, RunState};
use sqlx::{Row, SqliteConnection};

use crate::connect::Store;
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
}

/// Errors: the database says something else than a key.
pub(crate) fn key_of(text: &str) -> Result<RunKey, StoreError> {
    RunKey::parse(text).ok_or_else(|| StoreError::damaged(format!("{text:?} is not a run key")))
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
