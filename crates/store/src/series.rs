//! Every point of a metric, exact, and which of them a later attempt superseded.

use std::collections::{BTreeMap, BTreeSet};

use rungs_spec::RunKey;
use rungs_spec::result::{Evaluation, Point, RunResult};
use sqlx::SqliteConnection;

use crate::blocks::decode;
use crate::connect::Store;
use crate::error::StoreError;
use crate::time::{count, small};

impl Store {
    /// All points of a metric in order of step (then attempt). Exactly one live point per step;
    /// superseded ones only when asked for. Empty for an unknown run or metric.
    pub async fn series(
        &self,
        run: &RunKey,
        metric: &str,
        superseded: bool,
    ) -> Result<Vec<Point>, StoreError> {
        let mut tx = self.read().await?;
        series(&mut tx, run, metric, superseded)
            .await
            .map_err(self.here())
    }

    /// What `make` makes of every live point of a metric, in order of step: [`Store::series`] of a long run
    /// without its points.
    pub async fn series_as<T>(
        &self,
        run: &RunKey,
        metric: &str,
        make: impl Fn(Point) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let mut tx = self.read().await?;
        let made = each(&mut tx, run, metric, false, make).await;
        Ok(made.map_err(self.here())?.0)
    }

    /// Every point of any metric: per step as [`Store::series`] has it, per epoch as [`evaluated`]
    /// has it. Evaluations that a later attempt repeated are not kept, so `superseded` adds none.
    pub async fn points(
        &self,
        run: &RunKey,
        metric: &str,
        superseded: bool,
    ) -> Result<Vec<Point>, StoreError> {
        if !is_evaluated(metric) {
            return self.series(run, metric, superseded).await;
        }
        let results = self.results(std::slice::from_ref(run)).await?;
        Ok(results
            .get(run)
            .map_or_else(Vec::new, |result| evaluated(result, metric)))
    }

    /// Names of all metrics that [`Store::points`] has points of, sorted.
    pub async fn all_metrics_of(&self, run: &RunKey) -> Result<Vec<String>, StoreError> {
        let mut names: BTreeSet<String> = self.metrics_of(run).await?.into_iter().collect();
        let results = self.results(std::slice::from_ref(run)).await?;
        let evaluations = results.values().flat_map(|result| &result.evaluations);
        names.extend(evaluations.flat_map(|e| e.metrics.keys().cloned()));
        Ok(names.into_iter().collect())
    }

    /// Metrics that a run has points of, by name. Metrics of evaluations are in
    /// [`Store::results`].
    pub async fn metrics_of(&self, run: &RunKey) -> Result<Vec<String>, StoreError> {
        let mut tx = self.read().await?;
        let key = run.as_str();
        let names = sqlx::query_scalar!(
            "SELECT m.name FROM metrics m WHERE EXISTS (
                 SELECT 1 FROM chunks c JOIN runs r ON r.id = c.run_id WHERE r.key = ? AND c.metric_id = m.id)
             ORDER BY m.name",
            key
        );
        names
            .fetch_all(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())
    }
}

/// Metrics that evaluations bring, one value per evaluated epoch; all others have one per step.
pub fn is_evaluated(metric: &str) -> bool {
    metric.starts_with("val/") || metric.starts_with("test/")
}

/// The points of a metric that evaluations bring, in order of epoch.
pub fn evaluated(result: &RunResult, metric: &str) -> Vec<Point> {
    let point = |e: &Evaluation| {
        Some(Point {
            step: e.step,
            epoch: e.epoch,
            value: *e.metrics.get(metric)?,
            attempt: e.attempt,
            superseded: false,
        })
    };
    result.evaluations.iter().filter_map(point).collect()
}

/// For each attempt the first step at which a later attempt took over: the lowest `started.step` of
/// all later attempts that have started. `attempts` holds (attempt, started.step) in any order.
pub(crate) fn cutoffs(attempts: impl Iterator<Item = (u32, Option<u64>)>) -> BTreeMap<u32, u64> {
    let starts: BTreeMap<u32, Option<u64>> = attempts.collect();
    let mut lowest = u64::MAX;
    let mut cutoffs = BTreeMap::new();
    for (attempt, step0) in starts.into_iter().rev() {
        cutoffs.insert(attempt, lowest);
        lowest = lowest.min(step0.unwrap_or(u64::MAX));
    }
    cutoffs
}

/// Points of a metric in order of attempt and step, each as `make` wants it: series are long, and what is
/// not kept of them need not be laid out. The live ones are in order of step as they come, for an attempt
/// lives up to where the next takes over.
async fn each<T>(
    tx: &mut SqliteConnection,
    run: &RunKey,
    metric: &str,
    superseded: bool,
    make: impl Fn(Point) -> T,
) -> Result<(Vec<T>, usize), StoreError> {
    let key = run.as_str();
    let attempts = sqlx::query!(
        "SELECT a.attempt, a.step0 FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.key = ?",
        key
    )
    .fetch_all(&mut *tx)
    .await?;
    let cutoffs = cutoffs(
        attempts
            .into_iter()
            .map(|a| (small(a.attempt), a.step0.map(count))),
    );
    let rows = sqlx::query!(
        r#"SELECT c.attempt, c.n, c.block FROM chunks c JOIN runs r ON r.id = c.run_id JOIN metrics m ON m.id = c.metric_id
           WHERE r.key = ? AND m.name = ? ORDER BY c.attempt, c.step0"#,
        key,
        metric
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut made = Vec::with_capacity(rows.iter().map(|r| usize::try_from(r.n).unwrap_or(0)).sum());
    for row in rows {
        let attempt = small(row.attempt);
        let cutoff = cutoffs.get(&attempt).copied().unwrap_or(u64::MAX);
        for (step, epoch, value) in decode(&row.block, row.n)?.points() {
            let gone = step >= cutoff;
            if superseded || !gone {
                made.push(make(Point {
                    step,
                    epoch,
                    value,
                    attempt,
                    superseded: gone,
                }));
            }
        }
    }
    Ok((made, cutoffs.len()))
}

async fn series(
    tx: &mut SqliteConnection,
    run: &RunKey,
    metric: &str,
    superseded: bool,
) -> Result<Vec<Point>, StoreError> {
    let (mut points, attempts) = each(tx, run, metric, superseded, |point| point).await?;
    if superseded && attempts > 1 {
        points.sort_by_key(|p| (p.step, p.attempt));
    }
    Ok(points)
}

/// How much a series takes, for `runner bench ingest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesSize {
    /// Blocks.
    pub chunks: u64,
    /// Points.
    pub points: u64,
    /// Compressed bytes.
    pub bytes: u64,
}

impl Store {
    /// Size of a series as stored, all attempts.
    pub async fn series_size(&self, run: &RunKey, metric: &str) -> Result<SeriesSize, StoreError> {
        let mut tx = self.read().await?;
        let key = run.as_str();
        let size = sqlx::query!(
            r#"SELECT count(*) AS "chunks!: i64", ifnull(sum(c.n), 0) AS "points!: i64",
                   ifnull(sum(length(c.block)), 0) AS "bytes!: i64"
               FROM chunks c JOIN runs r ON r.id = c.run_id JOIN metrics m ON m.id = c.metric_id
               WHERE r.key = ? AND m.name = ?"#,
            key,
            metric
        );
        let size = size
            .fetch_one(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        Ok(SeriesSize {
            chunks: count(size.chunks),
            points: count(size.points),
            bytes: count(size.bytes),
        })
    }
}
