//! What was decided: registered runs, and the lines of the journal. [`crate::queue`] says how a run's
//! state moves.

use rungs_spec::RunKey;
use rungs_spec::home::{CellRun, JournalEntry, JournalLine};
use rungs_spec::protocol::{FailureClass, RunFile};
use sqlx::SqliteConnection;

use crate::connect::Store;
use crate::error::StoreError;
use crate::time::{count, int, parse_ms, seed_int};

impl Store {
    /// Applies one decision that ends at byte `end_offset` of journal.jsonl. A line that was applied
    /// before is left out, so replaying the journal from any earlier place is safe.
    pub async fn apply_journal(
        &self,
        line: &JournalLine,
        end_offset: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        apply(&mut tx, line, end_offset)
            .await
            .map_err(self.here())?;
        self.commit(tx).await
    }

    /// Bytes of journal.jsonl already applied.
    pub async fn journal_position(&self) -> Result<u64, StoreError> {
        let mut tx = self.read().await?;
        let offset = sqlx::query_scalar!("SELECT journal_offset FROM index_state")
            .fetch_one(&mut *tx)
            .await;
        Ok(count(
            offset.map_err(StoreError::from).map_err(self.here())?,
        ))
    }

    /// Makes a run known, with the runs that must be done before it. Idempotent; does not queue it.
    pub async fn register_run(
        &self,
        file: &RunFile,
        depends_on: &[RunKey],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        register(&mut tx, file, depends_on)
            .await
            .map_err(self.here())?;
        self.commit(tx).await
    }
}

/// Id of a run; a run that nobody has registered yet gets a row without a file.
pub(crate) async fn run_id(tx: &mut SqliteConnection, run: &RunKey) -> Result<i64, StoreError> {
    let key = run.as_str();
    if let Some(id) = sqlx::query_scalar!("SELECT id FROM runs WHERE key = ?", key)
        .fetch_optional(&mut *tx)
        .await?
    {
        return Ok(id);
    }
    Ok(sqlx::query_scalar!(
        r#"INSERT INTO runs (key) VALUES (?) RETURNING id AS "id!""#,
        key
    )
    .fetch_one(&mut *tx)
    .await?)
}

pub(crate) async fn register(
    tx: &mut SqliteConnection,
    file: &RunFile,
    depends_on: &[RunKey],
) -> Result<(), StoreError> {
    let id = run_id(tx, &file.run).await?;
    let text = serde_json::to_string(file).map_err(|e| StoreError::damaged(e.to_string()))?;
    let (seed, batch) = (seed_int(file.seed), i64::from(file.recipe.batch_size));
    sqlx::query!(
        "UPDATE runs SET file = ?, seed = ?, model = ?, dataset = ?, batch_size = ? WHERE id = ? AND file IS NULL",
        text,
        seed,
        file.recipe.model,
        file.recipe.dataset,
        batch,
        id
    )
    .execute(&mut *tx)
    .await?;
    depend(tx, id, depends_on).await
}

async fn depend(
    tx: &mut SqliteConnection,
    id: i64,
    depends_on: &[RunKey],
) -> Result<(), StoreError> {
    for source in depends_on {
        let on = run_id(tx, source).await?;
        sqlx::query!(
            "INSERT OR IGNORE INTO dependencies (run_id, on_run_id) VALUES (?, ?)",
            id,
            on
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

pub(crate) async fn apply(
    tx: &mut SqliteConnection,
    line: &JournalLine,
    end_offset: u64,
) -> Result<(), StoreError> {
    let end = int(end_offset);
    let fresh = sqlx::query!(
        "UPDATE index_state SET journal_offset = ? WHERE journal_offset < ?",
        end,
        end
    )
    .execute(&mut *tx)
    .await?;
    if fresh.rows_affected() == 0 {
        return Ok(());
    }
    // A line of ours always has a readable time; a hand-edited one sorts first.
    let t = parse_ms(&line.t).unwrap_or(0);
    match &line.entry {
        JournalEntry::Applied {
            experiment,
            hash,
            profile,
            seeds,
            set,
            cells,
        } => {
            let application = Application {
                experiment,
                hash,
                profile: profile.as_deref(),
                seeds: *seeds,
                set,
            };
            applied(tx, &application, cells, t, end).await
        }
        JournalEntry::Queued {
            run,
            depends_on,
            priority,
        } => {
            let id = run_id(tx, run).await?;
            depend(tx, id, depends_on).await?;
            // `done` is final; a running attempt goes on, but its tries count from here.
            sqlx::query!(
                "UPDATE runs SET state = CASE WHEN state IN ('done', 'running') THEN state ELSE 'queued' END,
                     priority = ?, queue_order = ?, queued_at_ms = ?, tries = 0, retry_at_ms = NULL,
                     failure_class = NULL, message = NULL,
                     ended_at_ms = CASE WHEN state = 'done' THEN ended_at_ms END
                 WHERE id = ?",
                priority,
                end,
                t,
                id
            )
            .execute(&mut *tx)
            .await?;
            Ok(())
        }
        JournalEntry::Cancelled { run } => {
            let id = run_id(tx, run).await?;
            sqlx::query!(
                "UPDATE runs SET state = 'cancelled', ended_at_ms = ?, retry_at_ms = NULL WHERE id = ? AND state != 'done'",
                t,
                id
            )
            .execute(&mut *tx)
            .await?;
            Ok(())
        }
        JournalEntry::Failed {
            run,
            class,
            message,
        } => {
            let id = run_id(tx, run).await?;
            let class = class_word(*class);
            sqlx::query!(
                "UPDATE runs SET state = 'failed', failure_class = ?, message = ?, ended_at_ms = ?, retry_at_ms = NULL
                 WHERE id = ? AND state NOT IN ('done', 'cancelled')",
                class,
                message,
                t,
                id
            )
            .execute(&mut *tx)
            .await?;
            Ok(())
        }
        JournalEntry::Priority { run, priority } => {
            let id = run_id(tx, run).await?;
            sqlx::query!("UPDATE runs SET priority = ? WHERE id = ?", priority, id)
                .execute(&mut *tx)
                .await?;
            Ok(())
        }
        JournalEntry::Paused => {
            sqlx::query!("UPDATE index_state SET paused = 1")
                .execute(&mut *tx)
                .await?;
            Ok(())
        }
        JournalEntry::Resumed => {
            sqlx::query!("UPDATE index_state SET paused = 0")
                .execute(&mut *tx)
                .await?;
            Ok(())
        }
    }
}

struct Application<'a> {
    experiment: &'a str,
    hash: &'a str,
    profile: Option<&'a str>,
    seeds: u64,
    set: &'a [String],
}

async fn applied(
    tx: &mut SqliteConnection,
    application: &Application<'_>,
    cells: &[CellRun],
    t: i64,
    end: i64,
) -> Result<(), StoreError> {
    let Application {
        experiment,
        hash,
        profile,
        seeds,
        set,
    } = application;
    let profile = profile.unwrap_or("");
    let set = serde_json::to_string(set).map_err(|e| StoreError::damaged(e.to_string()))?;
    let seeds = int(*seeds);
    let id = sqlx::query_scalar!(
        "INSERT INTO applications (experiment, hash, profile, set_options, seeds, applied_at_ms, journal_offset)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (experiment, hash, profile, set_options) DO UPDATE
         SET seeds = excluded.seeds, applied_at_ms = excluded.applied_at_ms, journal_offset = excluded.journal_offset
         RETURNING id",
        experiment,
        hash,
        profile,
        set,
        seeds,
        t,
        end
    )
    .fetch_one(&mut *tx)
    .await?;
    for cell in cells {
        let (run, seed) = (run_id(tx, &cell.run).await?, seed_int(cell.seed));
        sqlx::query!(
            "INSERT INTO cells (application_id, row_id, column_id, seed, run_id) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (application_id, row_id, column_id, seed) DO UPDATE SET run_id = excluded.run_id",
            id,
            cell.row,
            cell.column,
            seed,
            run
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The word in SQL.
pub(crate) fn class_word(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Permanent => "permanent",
        FailureClass::Transient => "transient",
    }
}

/// The class of that word.
pub(crate) fn class_of(word: &str) -> FailureClass {
    if word == "transient" {
        FailureClass::Transient
    } else {
        FailureClass::Permanent
    }
}
