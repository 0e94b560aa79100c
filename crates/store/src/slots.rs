//! What the scheduler says of itself, and whether anything has changed since.

use rungs_spec::RunKey;
use sqlx::SqliteConnection;

use crate::connect::Store;
use crate::error::StoreError;
use crate::lists::key_of;
use crate::time::{count, small};

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
