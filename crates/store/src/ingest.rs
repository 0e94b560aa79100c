//! Events into the database: one transaction per call, safe to repeat.
//!
//! Nothing is lost and nothing doubled however a file is cut up or read again: within one attempt
//! steps only grow, so points before the newest stored step are known; evaluations, checkpoints and
//! outcomes have unique places. What a later attempt supersedes is worked out when it is read
//! ([`crate::series`]), so ingest never rewrites history.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rungs_spec::RunKey;
use rungs_spec::protocol::{Event, EventKind, FailureClass};
use sqlx::SqliteConnection;

use crate::blocks::store_points;
use crate::chunk::Stretch;
use crate::connect::Store;
use crate::decisions::{class_word, run_id};
use crate::error::StoreError;
use crate::time::{count, int, parse_ms};

/// Weight of the newest measurement in the smoothed images per second.
const NEWEST: f64 = 0.3;

impl Store {
    /// Stores events of attempt `attempt`, which end at byte `end_offset` of its file. Events of
    /// other attempts or runs are left out with a warning: only a copied file can hold them.
    pub async fn ingest(
        &self,
        run: &RunKey,
        attempt: u32,
        end_offset: u64,
        events: &[Event],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        ingest(&mut tx, run, attempt, end_offset, events)
            .await
            .map_err(self.here())?;
        self.commit(tx).await
    }

    /// Bytes of attempt-N.jsonl already ingested, 0 for an unknown attempt.
    pub async fn ingest_offset(&self, run: &RunKey, attempt: u32) -> Result<u64, StoreError> {
        let mut tx = self.read().await?;
        let (key, attempt) = (run.as_str(), i64::from(attempt));
        let offset = sqlx::query_scalar!(
            "SELECT a.ingest_offset FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.key = ? AND a.attempt = ?",
            key,
            attempt
        );
        let offset = offset
            .fetch_optional(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        Ok(offset.map_or(0, count))
    }
}

/// An attempt that is being ingested.
struct Attempt<'a> {
    run_id: i64,
    attempt: i64,
    run: &'a RunKey,
    rate: Rate,
}

/// The smoothed images per second of an attempt.
struct Rate {
    batch_size: f64,
    next_step: u64,
    images_per_s: f64,
    from_ms: Option<i64>,
}

impl Rate {
    /// Training went from `step0` on for `len` steps and was reported at `ms`.
    fn trained(&mut self, step0: u64, len: u64, ms: Option<i64>, said: Option<f64>) {
        let end = step0 + len;
        if end <= self.next_step {
            return;
        }
        self.next_step = end;
        let seconds = ms
            .zip(self.from_ms)
            .map(|(now, from)| (now - from) as f64 / 1000.0)
            .filter(|s| *s > 0.0);
        if let Some(said) = said.filter(|x| x.is_finite()) {
            self.images_per_s = said;
        } else if let Some(seconds) = seconds {
            let now = len as f64 * self.batch_size / seconds;
            self.images_per_s = if self.images_per_s == 0.0 {
                now
            } else {
                self.images_per_s * (1.0 - NEWEST) + now * NEWEST
            };
        }
        self.from_ms = ms;
    }

    /// Something other than training was done after `step` steps: its time must not count.
    fn paused(&mut self, step: u64) {
        if step >= self.next_step {
            self.next_step = step;
            self.from_ms = None;
        }
    }
}

pub(crate) async fn ingest(
    tx: &mut SqliteConnection,
    run: &RunKey,
    attempt: u32,
    end_offset: u64,
    events: &[Event],
) -> Result<(), StoreError> {
    let run_id = run_id(tx, run).await?;
    let (number, end) = (i64::from(attempt), int(end_offset));
    // A claim made this row; without one (reindex, an unknown file) nobody is known to run it.
    sqlx::query!(
        "INSERT OR IGNORE INTO attempts (run_id, attempt, state) VALUES (?, ?, 'lost')",
        run_id,
        number
    )
    .execute(&mut *tx)
    .await?;
    let known = sqlx::query!(
        "SELECT a.ingest_offset, a.next_step, a.images_per_s, a.rate_from_ms, r.batch_size
         FROM attempts a JOIN runs r ON r.id = a.run_id WHERE a.run_id = ? AND a.attempt = ?",
        run_id,
        number
    )
    .fetch_one(&mut *tx)
    .await?;
    if end <= known.ingest_offset && !events.is_empty() {
        return Ok(());
    }
    let rate = Rate {
        batch_size: known.batch_size as f64,
        next_step: count(known.next_step),
        images_per_s: known.images_per_s,
        from_ms: known.rate_from_ms,
    };
    let mut it = Attempt {
        run_id,
        attempt: number,
        run,
        rate,
    };
    let mut series = BTreeMap::new();
    let mut newest = None;
    for event in events {
        if event.attempt != attempt {
            tracing::warn!(%run, attempt, found = event.attempt, "left out an event of another attempt");
            continue;
        }
        let ms = parse_ms(&event.t);
        newest = newest.max(ms);
        one(tx, &mut it, &mut series, event, ms).await?;
    }
    for (metric, points) in series {
        store_points(tx, it.run_id, it.attempt, metric, points).await?;
    }
    let next = int(it.rate.next_step);
    // Numbered throughout: sqlx miscounts a plain ? that stands behind a numbered one.
    sqlx::query!(
        "UPDATE attempts SET ingest_offset = max(ingest_offset, ?1), next_step = ?2, images_per_s = ?3, rate_from_ms = ?4,
             last_event_ms = CASE WHEN ?5 IS NULL THEN last_event_ms ELSE max(ifnull(last_event_ms, ?5), ?5) END
         WHERE run_id = ?6 AND attempt = ?7",
        end,
        next,
        it.rate.images_per_s,
        it.rate.from_ms,
        newest,
        run_id,
        number
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// One event; points are gathered in `series` and stored together.
async fn one<'e>(
    tx: &mut SqliteConnection,
    it: &mut Attempt<'_>,
    series: &mut BTreeMap<&'e str, Stretch>,
    event: &'e Event,
    ms: Option<i64>,
) -> Result<(), StoreError> {
    let (run_id, attempt) = (it.run_id, it.attempt);
    match &event.kind {
        EventKind::Started {
            run,
            step,
            resumed_from,
            steps_per_epoch,
            steps,
            environment,
        } => {
            if run != it.run {
                tracing::warn!(run = %it.run, attempt, found = %run, "left out the start of another run");
                return Ok(());
            }
            it.rate.paused(*step);
            let (step0, steps, per_epoch) = (int(*step), int(*steps), int(*steps_per_epoch));
            let environment = environment.to_string();
            sqlx::query!(
                "UPDATE attempts SET started_at_ms = ?, step0 = ?, steps = ?, steps_per_epoch = ?, resumed_from = ?, environment = ?
                 WHERE run_id = ? AND attempt = ? AND step0 IS NULL",
                ms,
                step0,
                steps,
                per_epoch,
                resumed_from,
                environment,
                run_id,
                attempt
            )
            .execute(&mut *tx)
            .await?;
        }
        EventKind::Metrics {
            step0,
            epoch0,
            values,
        } => {
            for (metric, values) in values {
                series
                    .entry(metric.as_str())
                    .or_default()
                    .push(*step0, *epoch0, values);
            }
            let len = values.values().map(Vec::len).max().unwrap_or(0) as u64;
            let said = values
                .get("system/images_per_s")
                .and_then(|v| v.last())
                .map(|v| v.0);
            it.rate.trained(*step0, len, ms, said);
        }
        EventKind::Evaluation {
            epoch,
            step,
            split,
            n,
            metrics,
            top1_bits,
            top5_bits,
        } => {
            it.rate.paused(*step);
            let metrics =
                serde_json::to_string(metrics).map_err(|e| StoreError::damaged(e.to_string()))?;
            let (epoch, step, n) = (int(*epoch), int(*step), int(*n));
            let id = sqlx::query_scalar!(
                "INSERT INTO evaluations (run_id, attempt, split, epoch, step, n, metrics) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING RETURNING id",
                run_id,
                attempt,
                split,
                epoch,
                step,
                n,
                metrics
            )
            .fetch_optional(&mut *tx)
            .await?;
            if let (Some(id), true) = (id, top1_bits.is_some() || top5_bits.is_some()) {
                let (top1, top5) = (bits(top1_bits.as_deref())?, bits(top5_bits.as_deref())?);
                sqlx::query!(
                    "INSERT INTO bitsets (evaluation_id, top1, top5) VALUES (?, ?, ?)",
                    id,
                    top1,
                    top5
                )
                .execute(&mut *tx)
                .await?;
            }
        }
        EventKind::Checkpoint {
            epoch,
            step,
            file,
            blake3,
        } => {
            it.rate.paused(*step);
            let (epoch, step) = (int(*epoch), int(*step));
            sqlx::query!(
                "INSERT INTO checkpoints (run_id, attempt, step, file, epoch, blake3) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
                run_id,
                attempt,
                step,
                file,
                epoch,
                blake3
            )
            .execute(&mut *tx)
            .await?;
        }
        EventKind::Finished {
            weights_blake3,
            best_epoch,
            peak_bytes,
            epoch_seconds,
        } => {
            let (best_epoch, peak_bytes) = (int(*best_epoch), int(*peak_bytes));
            let epoch_seconds = serde_json::to_string(epoch_seconds)
                .map_err(|e| StoreError::damaged(e.to_string()))?;
            sqlx::query!(
                "UPDATE runs SET state = 'done', ended_at_ms = ?, failure_class = NULL, message = NULL, retry_at_ms = NULL,
                     weights_blake3 = ?, best_epoch = ?, peak_bytes = ?, epoch_seconds = ?
                 WHERE id = ? AND state != 'done'",
                ms,
                weights_blake3,
                best_epoch,
                peak_bytes,
                epoch_seconds,
                run_id
            )
            .execute(&mut *tx)
            .await?;
            sqlx::query!("UPDATE attempts SET state = 'finished', pid = NULL WHERE run_id = ? AND attempt = ?", run_id, attempt)
                .execute(&mut *tx)
                .await?;
        }
        EventKind::Failed { class, message } => {
            let word = class_word(*class);
            sqlx::query!(
                "UPDATE attempts SET state = 'failed', failure_class = ?, message = ? WHERE run_id = ? AND attempt = ?",
                word,
                message,
                run_id,
                attempt
            )
            .execute(&mut *tx)
            .await?;
            // A permanent failure ends the run, unless it was queued again after that.
            if *class == FailureClass::Permanent {
                sqlx::query!(
                    "UPDATE runs SET state = 'failed', failure_class = ?, message = ?, ended_at_ms = ?
                     WHERE id = ? AND state IN ('new', 'queued', 'running') AND ifnull(queued_at_ms, 0) <= ifnull(?, 0)",
                    word,
                    message,
                    ms,
                    run_id,
                    ms
                )
                .execute(&mut *tx)
                .await?;
            }
        }
    }
    Ok(())
}

/// A bitset of an event; [`crate::events`] has checked it.
fn bits(text: Option<&str>) -> Result<Vec<u8>, StoreError> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    BASE64
        .decode(text)
        .map_err(|e| StoreError::damaged(format!("a bitset is not base64: {e}")))
}
