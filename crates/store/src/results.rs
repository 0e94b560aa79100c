//! What a table needs of its runs: four queries, however many runs there are.

use std::collections::{BTreeMap, BTreeSet};

use rungs_spec::RunKey;
use rungs_spec::protocol::{Arithmetic, Num, RunFile};
use rungs_spec::result::{
    Evaluation, Failure, FinishedRun, Progress, Provenance, RunResult, RunState, Standing,
};
use sqlx::SqliteConnection;

use crate::connect::Store;
use crate::decisions::class_of;
use crate::error::StoreError;
use crate::series::cutoffs;
use crate::time::{count, seed, small};

impl Store {
    /// The runs of these keys, without superseded evaluations; keys that are not registered are left
    /// out. Bitsets are loaded for two evaluations of every split, the last and the one with the best
    /// top-1 (the earliest of equals); elsewhere they are empty.
    pub async fn results(
        &self,
        keys: &[RunKey],
    ) -> Result<BTreeMap<RunKey, RunResult>, StoreError> {
        let mut tx = self.read().await?;
        results(&mut tx, keys).await.map_err(self.here())
    }

    /// State and progress of the runs of these keys; keys that are not registered are left out.
    pub async fn standings(
        &self,
        keys: &[RunKey],
    ) -> Result<BTreeMap<RunKey, Standing>, StoreError> {
        let mut tx = self.read().await?;
        standings(&mut tx, keys).await.map_err(self.here())
    }
}

/// A JSON array for `json_each`: one parameter however many keys.
fn list<T: serde::Serialize>(items: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(items).map_err(|e| StoreError::damaged(e.to_string()))
}

async fn results(
    tx: &mut SqliteConnection,
    keys: &[RunKey],
) -> Result<BTreeMap<RunKey, RunResult>, StoreError> {
    let keys = list(keys)?;
    let rows = sqlx::query!(
        r#"SELECT r.id AS "id!", r.key AS "key!", r.file AS "file!: String", r.seed,
               CASE WHEN r.state = 'queued' AND EXISTS (
                        SELECT 1 FROM dependencies d JOIN runs s ON s.id = d.on_run_id WHERE d.run_id = r.id AND s.state != 'done')
                    THEN 'blocked' ELSE r.state END AS "state!: String",
               r.failure_class, r.message, r.weights_blake3, r.best_epoch, r.peak_bytes, r.epoch_seconds
           FROM runs r WHERE r.key IN (SELECT value FROM json_each(?)) AND r.file IS NOT NULL"#,
        keys
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut attempts: BTreeMap<i64, Vec<AttemptSummary>> = BTreeMap::new();
    for a in sqlx::query!(
        "SELECT a.run_id, a.attempt, a.step0, a.next_step, a.steps, a.steps_per_epoch, a.images_per_s, a.environment
         FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.key IN (SELECT value FROM json_each(?))
         ORDER BY a.run_id, a.attempt",
        keys
    )
    .fetch_all(&mut *tx)
    .await?
    {
        attempts.entry(a.run_id).or_default().push(AttemptSummary {
            attempt: small(a.attempt),
            step0: a.step0.map(count),
            progress: Progress {
                step: count(a.next_step),
                steps: count(a.steps),
                steps_per_epoch: count(a.steps_per_epoch),
                images_per_s: a.images_per_s,
            },
            // Environments are for people too: what is not understood there is not a reason to show no table.
            provenance: a
                .environment
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
        });
    }
    let mut evaluations = evaluations(tx, &keys, &attempts).await?;
    let none = Vec::new();
    let mut results = BTreeMap::new();
    for row in rows {
        let file: RunFile = serde_json::from_str(&row.file).map_err(|e| {
            StoreError::damaged(format!("the recipe of run {} cannot be read: {e}", row.key))
        })?;
        let attempts = attempts.get(&row.id).unwrap_or(&none);
        let finished =
            row.weights_blake3
                .map(|weights_blake3| -> Result<FinishedRun, StoreError> {
                    Ok(FinishedRun {
                        weights_blake3,
                        best_epoch: row.best_epoch.map_or(0, count),
                        peak_bytes: row.peak_bytes.map_or(0, count),
                        epoch_seconds: serde_json::from_str(
                            row.epoch_seconds.as_deref().unwrap_or("[]"),
                        )
                        .map_err(|e| {
                            StoreError::damaged(format!("epoch_seconds of run {}: {e}", row.key))
                        })?,
                    })
                });
        let state = RunState::from_word(&row.state)
            .ok_or_else(|| StoreError::damaged(format!("{:?} is no state of a run", row.state)))?;
        let failure = match state {
            RunState::Failed => Some(Failure {
                class: class_of(row.failure_class.as_deref().unwrap_or("permanent")),
                message: row.message.unwrap_or_default(),
            }),
            RunState::New
            | RunState::Blocked
            | RunState::Queued
            | RunState::Running
            | RunState::Done
            | RunState::Cancelled => None,
        };
        let result = RunResult {
            key: file.run.clone(),
            seed: seed(row.seed),
            state,
            emulated: file.arithmetic == Arithmetic::CpuEmulatedHalf,
            recipe: file.recipe,
            attempts: attempts.last().map_or(0, |a| a.attempt),
            progress: attempts
                .iter()
                .rev()
                .find(|a| a.step0.is_some())
                .map(|a| a.progress)
                .unwrap_or_default(),
            evaluations: evaluations.remove(&row.id).unwrap_or_default(),
            finished: finished.transpose()?,
            failure,
            provenance: attempts.iter().rev().find_map(|a| a.provenance.clone()),
        };
        results.insert(file.run, result);
    }
    Ok(results)
}

async fn standings(
    tx: &mut SqliteConnection,
    keys: &[RunKey],
) -> Result<BTreeMap<RunKey, Standing>, StoreError> {
    let keys = list(keys)?;
    let rows = sqlx::query!(
        r#"SELECT r.key AS "key!",
               CASE WHEN r.state = 'queued' AND EXISTS (
                        SELECT 1 FROM dependencies d JOIN runs s ON s.id = d.on_run_id WHERE d.run_id = r.id AND s.state != 'done')
                    THEN 'blocked' ELSE r.state END AS "state!: String",
               p.next_step AS "next_step?", p.steps AS "steps?", p.steps_per_epoch AS "steps_per_epoch?", p.images_per_s AS "images_per_s?"
           FROM runs r LEFT JOIN attempts p ON p.run_id = r.id
               AND p.attempt = (SELECT max(a.attempt) FROM attempts a WHERE a.run_id = r.id AND a.step0 IS NOT NULL)
           WHERE r.key IN (SELECT value FROM json_each(?)) AND r.file IS NOT NULL"#,
        keys
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let key = RunKey::parse(&row.key)
                .ok_or_else(|| StoreError::damaged(format!("{:?} is not a run key", row.key)))?;
            let state = RunState::from_word(&row.state).ok_or_else(|| {
                StoreError::damaged(format!("{:?} is no state of a run", row.state))
            })?;
            let progress = Progress {
                step: row.next_step.map_or(0, count),
                steps: row.steps.map_or(0, count),
                steps_per_epoch: row.steps_per_epoch.map_or(0, count),
                images_per_s: row.images_per_s.unwrap_or(0.0),
            };
            Ok((key, Standing { state, progress }))
        })
        .collect()
}

struct AttemptSummary {
    attempt: u32,
    step0: Option<u64>,
    progress: Progress,
    provenance: Option<Provenance>,
}

/// Live evaluations by run: superseded ones left out, of several for one (split, epoch) the newest
/// attempt's, in order of epoch and split.
async fn evaluations(
    tx: &mut SqliteConnection,
    keys: &str,
    attempts: &BTreeMap<i64, Vec<AttemptSummary>>,
) -> Result<BTreeMap<i64, Vec<Evaluation>>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT e.id AS "id!", e.run_id, e.attempt, e.split, e.epoch, e.step, e.n, e.metrics
           FROM evaluations e JOIN runs r ON r.id = e.run_id WHERE r.key IN (SELECT value FROM json_each(?))
           ORDER BY e.run_id, e.epoch, e.split, e.attempt, e.step"#,
        keys
    )
    .fetch_all(&mut *tx)
    .await?;
    let cutoffs: BTreeMap<i64, BTreeMap<u32, u64>> = attempts
        .iter()
        .map(|(run, list)| (*run, cutoffs(list.iter().map(|a| (a.attempt, a.step0)))))
        .collect();
    // The order above makes the last one of each place the newest attempt's.
    let mut live: BTreeMap<(i64, u64, String), (i64, Evaluation)> = BTreeMap::new();
    for row in rows {
        let (attempt, step) = (small(row.attempt), count(row.step));
        let cutoff = cutoffs
            .get(&row.run_id)
            .and_then(|c| c.get(&attempt))
            .copied()
            .unwrap_or(u64::MAX);
        // An evaluation at the cutoff belongs to the checkpoint that the later attempt starts from.
        if step > cutoff {
            continue;
        }
        let metrics: BTreeMap<String, Num> = serde_json::from_str(&row.metrics)
            .map_err(|e| StoreError::damaged(format!("metrics of an evaluation: {e}")))?;
        let evaluation = Evaluation {
            attempt,
            epoch: count(row.epoch),
            step,
            split: row.split.clone(),
            n: count(row.n),
            metrics: metrics
                .into_iter()
                .map(|(name, value)| (name, value.0))
                .collect(),
            top1_bits: Vec::new(),
            top5_bits: Vec::new(),
        };
        live.insert(
            (row.run_id, evaluation.epoch, row.split),
            (row.id, evaluation),
        );
    }
    let wanted: Vec<i64> = wanted_bitsets(&live).into_iter().collect();
    let wanted = list(&wanted)?;
    let mut bitsets: BTreeMap<i64, (Vec<u8>, Vec<u8>)> = sqlx::query!(
        "SELECT evaluation_id, top1, top5 FROM bitsets WHERE evaluation_id IN (SELECT value FROM json_each(?))",
        wanted
    )
    .fetch_all(&mut *tx)
    .await?
    .into_iter()
    .map(|b| (b.evaluation_id, (b.top1, b.top5)))
    .collect();
    let mut by_run: BTreeMap<i64, Vec<Evaluation>> = BTreeMap::new();
    for ((run, _, _), (id, mut evaluation)) in live {
        if let Some((top1, top5)) = bitsets.remove(&id) {
            (evaluation.top1_bits, evaluation.top5_bits) = (top1, top5);
        }
        by_run.entry(run).or_default().push(evaluation);
    }
    Ok(by_run)
}

/// Of every run and split: the last evaluation and the one with the best top-1.
fn wanted_bitsets(live: &BTreeMap<(i64, u64, String), (i64, Evaluation)>) -> BTreeSet<i64> {
    let mut last: BTreeMap<(i64, &str), i64> = BTreeMap::new();
    let mut best: BTreeMap<(i64, &str), (f64, i64)> = BTreeMap::new();
    // In order of epoch, so that later ones replace and equal ones do not.
    for ((run, _, split), (id, evaluation)) in live {
        last.insert((*run, split), *id);
        if let Some(top1) = evaluation.metrics.get(&format!("{split}/top1")) {
            let best = best
                .entry((*run, split))
                .or_insert((f64::NEG_INFINITY, *id));
            if *top1 > best.0 {
                *best = (*top1, *id);
            }
        }
    }
    last.into_values()
        .chain(best.into_values().map(|(_, id)| id))
        .collect()
}
