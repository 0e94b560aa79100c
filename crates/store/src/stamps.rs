//! Has anything of these runs changed? A digest answers without reading what they logged, so that what was
//! drawn of finished runs is not drawn again because another one trains.

use rungs_spec::RunKey;

use crate::connect::Store;
use crate::error::StoreError;

impl Store {
    /// Digest of what all that is told of these runs depends on: their states, how far each attempt's events
    /// were read, and which experiments were applied (cells name runs). It holds within one database.
    pub async fn stamp_of(&self, runs: &[RunKey]) -> Result<blake3::Hash, StoreError> {
        let keys = serde_json::to_string(runs).map_err(|e| StoreError::damaged(e.to_string()))?;
        let mut tx = self.read().await?;
        let rows = sqlx::query!(
            r#"SELECT r.key AS "key!: String", r.state AS "state!: String", a.attempt AS "attempt?", a.state AS "of_attempt?: String",
                   a.ingest_offset AS "read?: i64"
               FROM runs r LEFT JOIN attempts a ON a.run_id = r.id
               WHERE r.key IN (SELECT value FROM json_each(?)) ORDER BY r.key, a.attempt"#,
            keys
        );
        let rows = rows
            .fetch_all(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        let applied = sqlx::query_scalar!(
            r#"SELECT ifnull(max(journal_offset), 0) AS "newest!: i64" FROM applications"#
        );
        let applied = applied
            .fetch_one(&mut *tx)
            .await
            .map_err(StoreError::from)
            .map_err(self.here())?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&applied.to_le_bytes());
        for row in rows {
            let of_attempt = row.of_attempt.unwrap_or_default();
            let facts = [row.key, row.state, of_attempt].join(" ");
            hasher.update(facts.as_bytes());
            for number in [row.attempt, row.read] {
                hasher.update(&number.unwrap_or(-1).to_le_bytes());
            }
        }
        Ok(hasher.finalize())
    }
}
