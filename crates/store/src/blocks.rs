//! Rows of blocks: the open one of a series is refilled until it is full, then the next is begun.

use sqlx::SqliteConnection;

use crate::chunk::{self, Stretch};
use crate::error::StoreError;
use crate::time::{count, int};

/// Points of one metric: the open block is refilled, further blocks follow.
pub(crate) async fn store_points(
    tx: &mut SqliteConnection,
    run_id: i64,
    attempt: i64,
    metric: &str,
    mut points: Stretch,
) -> Result<(), StoreError> {
    let metric_id = match sqlx::query_scalar!("SELECT id FROM metrics WHERE name = ?", metric)
        .fetch_optional(&mut *tx)
        .await?
    {
        Some(id) => id,
        None => {
            sqlx::query_scalar!("INSERT INTO metrics (name) VALUES (?) RETURNING id", metric)
                .fetch_one(&mut *tx)
                .await?
        }
    };
    let full = chunk::POINTS as i64;
    let tail = sqlx::query!(
        r#"SELECT id AS "id!", step1, n, CASE WHEN n < ? THEN block END AS "block?: Vec<u8>"
           FROM chunks WHERE run_id = ? AND metric_id = ? AND attempt = ? ORDER BY step0 DESC LIMIT 1"#,
        full,
        run_id,
        metric_id,
        attempt
    )
    .fetch_optional(&mut *tx)
    .await?;
    let mut open = None;
    if let Some(tail) = tail {
        points.drop_before(count(tail.step1) + 1);
        if points.values.is_empty() {
            return Ok(());
        }
        if let Some(block) = tail.block {
            let mut stretch = decode(&block, tail.n)?;
            stretch.append(&points);
            points = stretch;
            open = Some(tail.id);
        }
    }
    while !points.values.is_empty() {
        let block = points.split_front(chunk::POINTS);
        store_block(tx, (run_id, attempt, metric_id), open.take(), &block).await?;
    }
    Ok(())
}

async fn store_block(
    tx: &mut SqliteConnection,
    (run_id, attempt, metric_id): (i64, i64, i64),
    open: Option<i64>,
    points: &Stretch,
) -> Result<(), StoreError> {
    let block = points
        .encode()
        .map_err(|e| StoreError::damaged(e.to_string()))?;
    let finite = || points.values.iter().copied().filter(|v| v.is_finite());
    let (min, max) = (finite().reduce(f64::min), finite().reduce(f64::max));
    let (first, last) = (
        points.values.first().filter(|v| !v.is_nan()),
        points.values.last().filter(|v| !v.is_nan()),
    );
    let (step0, step1) = (
        int(points.segments.first().map_or(0, |s| s.step0)),
        int(points.end().saturating_sub(1)),
    );
    let n = points.values.len() as i64;
    match open {
        Some(id) => {
            sqlx::query!(
                "UPDATE chunks SET step1 = ?, n = ?, min = ?, max = ?, last = ?, block = ? WHERE id = ?",
                step1,
                n,
                min,
                max,
                last,
                block,
                id
            )
            .execute(&mut *tx)
            .await?;
        }
        None => {
            sqlx::query!(
                "INSERT INTO chunks (run_id, metric_id, attempt, step0, step1, n, min, max, first, last, block)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                run_id,
                metric_id,
                attempt,
                step0,
                step1,
                n,
                min,
                max,
                first,
                last,
                block
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(())
}

pub(crate) fn decode(block: &[u8], n: i64) -> Result<Stretch, StoreError> {
    let n = usize::try_from(n)
        .map_err(|_| StoreError::damaged("a block of metric values has a negative length"))?;
    Stretch::decode(block, n).map_err(|e| StoreError::damaged(e.to_string()))
}
