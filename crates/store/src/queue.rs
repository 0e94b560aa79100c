//! What runs next, and what became of attempts.
//!
//! A run's state: new -> queued -> running -> done, failed or cancelled; an attempt that leaves early
//! sends it back to queued. `done` is final. Decisions come from the journal, outcomes from events;
//! either may be applied first, the state comes out the same ([`crate::reindex`] relies on it).

use rungs_spec::RunKey;
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::connect::Store;
use crate::decisions::run_id;
use crate::error::StoreError;
use crate::slots::SlotRow;
use crate::time::{now_ms, small};

/// How the slot of an attempt begins that a job of Slurm executes; the number of the job follows.
pub const JOB_SLOT: &str = "slurm:";

/// A run taken off the queue for a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The run.
    pub run: RunKey,
    /// Number of the attempt to start.
    pub attempt: u32,
    /// UUIDv7.
    pub attempt_id: Uuid,
    /// Tries used since the run was last queued, this one included.
    pub tries: u32,
}

/// How an attempt's process ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// Exit status 0, all events ingested. Without a `finished` event among them the run fails.
    Finished,
    /// Exit status 75: queued again, no try used.
    Checkpointed,
    /// Ended by a signal from outside: queued again, no try used.
    Killed {
        /// Back-off, milliseconds since 1970, for a run that is killed again and again.
        retry_at_ms: Option<i64>,
    },
    /// Queued again, not before that time (milliseconds since 1970).
    Transient {
        /// Why.
        message: String,
        /// Back-off.
        retry_at_ms: i64,
    },
    /// Given up. The scheduler also writes [`rungs_spec::home::JournalEntry::Failed`], which survives a reindex.
    Permanent {
        /// Why.
        message: String,
    },
    /// Found dead by a restarted scheduler: queued again, no try used.
    Lost,
}

impl Store {
    /// Takes the best queued run for a slot: highest priority first, of equal ones timing runs last,
    /// for they need the machine for themselves, then those already begun, then in the order of
    /// queueing; only runs whose dependencies are done and whose back-off is over.
    /// `None` while paused or when nothing can run. Atomic: no run is claimed twice.
    pub async fn claim(&self, slot: &str) -> Result<Option<Claim>, StoreError> {
        self.claim_best(slot, false).await
    }

    /// As [`Store::claim`], for a slot of Slurm: of equal runs those whose dependencies are done go
    /// first, but also a run goes whose dependencies are done or in a job ([`JOB_SLOT`]), for Slurm
    /// can hold the one job back until the other has succeeded.
    pub async fn claim_ahead(&self, slot: &str) -> Result<Option<Claim>, StoreError> {
        self.claim_best(slot, true).await
    }

    async fn claim_best(&self, slot: &str, ahead: bool) -> Result<Option<Claim>, StoreError> {
        let mut tx = self.begin().await?;
        let claim = claim(&mut tx, slot, ahead, now_ms())
            .await
            .map_err(self.here())?;
        self.commit(tx).await?;
        Ok(claim)
    }

    /// Takes a claim back of which nothing came, as if it had never been: the number of the attempt
    /// is free again, no try is used. Nothing happens to an attempt that has events.
    pub async fn unclaim(&self, run: &RunKey, attempt: u32) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        unclaim(&mut tx, run, attempt).await.map_err(self.here())?;
        self.commit(tx).await
    }

    /// Remembers the process of a claimed attempt.
    pub async fn set_pid(
        &self,
        run: &RunKey,
        attempt: u32,
        pid: u32,
        slot: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (key, attempt, pid) = (run.as_str(), i64::from(attempt), i64::from(pid));
        let set = sqlx::query!(
            "UPDATE attempts SET pid = ?, slot = ? WHERE attempt = ? AND run_id = (SELECT id FROM runs WHERE key = ?)",
            pid,
            slot,
            attempt,
            key
        );
        set.execute(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        self.commit(tx).await
    }

    /// What became of an attempt. Ingest its last events first. Nothing happens to a run that is done,
    /// cancelled, failed, or already in a newer attempt.
    pub async fn attempt_ended(
        &self,
        run: &RunKey,
        attempt: u32,
        end: AttemptEnd,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        ended(&mut tx, run, attempt, end)
            .await
            .map_err(self.here())?;
        self.commit(tx).await
    }

    /// A live trainer was found after a restart, or a job is Slurm's now (no `pid`): the run is
    /// running, nothing is claimed twice.
    pub async fn adopt(
        &self,
        run: &RunKey,
        attempt: u32,
        pid: Option<u32>,
        slot: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        adopt(&mut tx, run, attempt, pid, slot)
            .await
            .map_err(self.here())?;
        self.commit(tx).await
    }

    /// Ends the back-off of runs that were killed: what killed them may be gone with the scheduler
    /// that saw it. Runs that failed for reasons of their own, which have a message, wait on.
    pub async fn forget_kills(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let clear = sqlx::query!(
            "UPDATE runs SET retry_at_ms = NULL WHERE state = 'queued' AND message IS NULL AND retry_at_ms IS NOT NULL"
        );
        clear
            .execute(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        self.commit(tx).await
    }

    /// Says what every slot does now; slots not named are gone.
    pub async fn set_slots(&self, slots: &[SlotRow]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        set_slots(&mut tx, slots).await.map_err(self.here())?;
        self.commit(tx).await
    }
}

async fn claim(
    tx: &mut SqliteConnection,
    slot: &str,
    ahead: bool,
    now: i64,
) -> Result<Option<Claim>, StoreError> {
    let best = match ahead {
        false => best(tx, now).await?,
        true => best_ahead(tx, now).await?,
    };
    let Some(best) = best else { return Ok(None) };
    let run = RunKey::parse(&best.key)
        .ok_or_else(|| StoreError::damaged(format!("{:?} is not a run key", best.key)))?;
    let attempt = best.attempts + 1;
    let attempt_id = Uuid::now_v7();
    let id_text = attempt_id.to_string();
    sqlx::query!(
        "UPDATE runs SET state = 'running', tries = tries + 1, retry_at_ms = NULL WHERE id = ?",
        best.id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO attempts (run_id, attempt, attempt_id, state, slot, claimed_at_ms) VALUES (?, ?, ?, 'running', ?, ?)",
        best.id,
        attempt,
        id_text,
        slot,
        now
    )
    .execute(&mut *tx)
    .await?;
    Ok(Some(Claim {
        run,
        attempt: small(attempt),
        attempt_id,
        tries: small(best.tries + 1),
    }))
}

/// What a claim would take.
struct Best {
    id: i64,
    key: String,
    tries: i64,
    attempts: i64,
}

/// In the order of the index `runs_queue`, so that the first row that may start ends the search. The planner
/// has to be told: it thinks that few runs are queued.
async fn best(tx: &mut SqliteConnection, now: i64) -> Result<Option<Best>, StoreError> {
    let best = sqlx::query_as!(
        Best,
        r#"SELECT r.id AS "id!", r.key AS "key!", r.tries AS "tries!",
               (SELECT ifnull(max(a.attempt), 0) FROM attempts a WHERE a.run_id = r.id) AS "attempts!: i64"
           FROM runs r INDEXED BY runs_queue
           WHERE r.state = 'queued' AND r.file IS NOT NULL AND (r.retry_at_ms IS NULL OR r.retry_at_ms <= ?1)
             AND (SELECT paused FROM index_state) = 0
             AND NOT EXISTS (SELECT 1 FROM dependencies d JOIN runs s ON s.id = d.on_run_id
                             WHERE d.run_id = r.id AND s.state != 'done')
           ORDER BY r.priority DESC, r.timing, r.attempted DESC, r.queue_order, r.id
           LIMIT 1"#,
        now
    );
    Ok(best.fetch_optional(&mut *tx).await?)
}

/// As [`best`], for [`Store::claim_ahead`].
async fn best_ahead(tx: &mut SqliteConnection, now: i64) -> Result<Option<Best>, StoreError> {
    let jobs = format!("{JOB_SLOT}*");
    let best = sqlx::query_as!(
        Best,
        r#"SELECT r.id AS "id!", r.key AS "key!", r.tries AS "tries!",
               (SELECT ifnull(max(a.attempt), 0) FROM attempts a WHERE a.run_id = r.id) AS "attempts!: i64"
           FROM runs r
           WHERE r.state = 'queued' AND r.file IS NOT NULL AND (r.retry_at_ms IS NULL OR r.retry_at_ms <= ?1)
             AND (SELECT paused FROM index_state) = 0
             AND NOT EXISTS (SELECT 1 FROM dependencies d JOIN runs s ON s.id = d.on_run_id
                             WHERE d.run_id = r.id AND s.state != 'done'
                               AND NOT (s.state = 'running'
                                        AND EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = s.id AND a.state = 'running' AND a.slot GLOB ?2)))
           ORDER BY r.priority DESC,
               EXISTS (SELECT 1 FROM dependencies d JOIN runs s ON s.id = d.on_run_id WHERE d.run_id = r.id AND s.state != 'done'),
               r.timing, r.attempted DESC, r.queue_order, r.id
           LIMIT 1"#,
        now,
        jobs
    );
    Ok(best.fetch_optional(&mut *tx).await?)
}

async fn unclaim(tx: &mut SqliteConnection, run: &RunKey, attempt: u32) -> Result<(), StoreError> {
    let id = run_id(tx, run).await?;
    let attempt = i64::from(attempt);
    let gone = sqlx::query!(
        "DELETE FROM attempts WHERE run_id = ? AND attempt = ? AND state = 'running' AND started_at_ms IS NULL",
        id,
        attempt
    );
    if gone.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    let back = sqlx::query!(
        "UPDATE runs SET state = 'queued', tries = max(0, tries - 1) WHERE id = ? AND state = 'running'",
        id
    );
    back.execute(&mut *tx).await?;
    Ok(())
}

async fn ended(
    tx: &mut SqliteConnection,
    run: &RunKey,
    attempt: u32,
    end: AttemptEnd,
) -> Result<(), StoreError> {
    let id = run_id(tx, run).await?;
    let attempt = i64::from(attempt);
    let (word, class, message, retry_at, spare) = match end {
        AttemptEnd::Finished => ("finished", None, None, None, 0),
        AttemptEnd::Checkpointed => ("checkpointed", None, None, None, 1),
        AttemptEnd::Killed { retry_at_ms } => ("killed", None, None, retry_at_ms, 1),
        AttemptEnd::Lost => ("lost", None, None, None, 1),
        AttemptEnd::Transient {
            message,
            retry_at_ms,
        } => (
            "failed",
            Some("transient"),
            Some(message),
            Some(retry_at_ms),
            0,
        ),
        AttemptEnd::Permanent { message } => ("failed", Some("permanent"), Some(message), None, 0),
    };
    // What its own last event said (finished, failed) stands; a process can end in any way after that.
    sqlx::query!(
        "UPDATE attempts SET state = ?, failure_class = ifnull(failure_class, ?), message = ifnull(message, ?), pid = NULL
         WHERE run_id = ? AND attempt = ? AND state = 'running'",
        word,
        class,
        message,
        id,
        attempt
    )
    .execute(&mut *tx)
    .await?;
    let current = sqlx::query_scalar!(
        r#"SELECT 1 AS "one!: i64" FROM runs r WHERE r.id = ? AND r.state = 'running'
           AND ? = (SELECT max(a.attempt) FROM attempts a WHERE a.run_id = r.id)"#,
        id,
        attempt
    )
    .fetch_optional(&mut *tx)
    .await?;
    if current.is_none() {
        return Ok(());
    }
    let now = now_ms();
    let (word, class, message) = match (word, class, message) {
        ("finished", ..) => (
            "failed",
            Some("permanent"),
            Some("the trainer ended with status 0 but its last event is not `finished`; this breaks the protocol".to_owned()),
        ),
        (_, Some("permanent"), message) => ("failed", Some("permanent"), message),
        (_, _, message) => ("queued", None, message),
    };
    sqlx::query!(
        "UPDATE runs SET state = ?1, failure_class = ?2, message = ?3, retry_at_ms = ?4, tries = max(0, tries - ?5),
             ended_at_ms = CASE WHEN ?1 = 'failed' THEN ?6 END
         WHERE id = ?7",
        word,
        class,
        message,
        retry_at,
        spare,
        now,
        id
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn adopt(
    tx: &mut SqliteConnection,
    run: &RunKey,
    attempt: u32,
    pid: Option<u32>,
    slot: &str,
) -> Result<(), StoreError> {
    let id = run_id(tx, run).await?;
    let (attempt, pid, now) = (i64::from(attempt), pid.map(i64::from), now_ms());
    sqlx::query!(
        "INSERT INTO attempts (run_id, attempt, state, slot, pid, claimed_at_ms) VALUES (?, ?, 'running', ?, ?, ?)
         ON CONFLICT (run_id, attempt) DO UPDATE
         SET slot = excluded.slot, pid = excluded.pid, state = CASE WHEN state = 'finished' THEN state ELSE 'running' END",
        id,
        attempt,
        slot,
        pid,
        now
    )
    .execute(&mut *tx)
    .await?;
    // A cancelled run's trainer may still be leaving; it stays cancelled.
    sqlx::query!("UPDATE runs SET state = 'running', retry_at_ms = NULL WHERE id = ? AND state IN ('new', 'queued')", id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn set_slots(tx: &mut SqliteConnection, slots: &[SlotRow]) -> Result<(), StoreError> {
    let now = now_ms();
    sqlx::query!("DELETE FROM slots").execute(&mut *tx).await?;
    for slot in slots {
        let (threads, run, attempt) = (
            i64::from(slot.threads),
            slot.run.as_ref().map(RunKey::as_str),
            slot.attempt.map(i64::from),
        );
        sqlx::query!(
            "INSERT INTO slots (slot, device, threads, run_key, attempt, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?)",
            slot.slot,
            slot.device,
            threads,
            run,
            attempt,
            now
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
