//! What was applied, and which cells of it want a run.

use rungs_spec::RunKey;
use sqlx::SqliteConnection;

use crate::connect::Store;
use crate::error::StoreError;
use crate::time::{count, seed};

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

impl Store {
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
}

fn profile_of(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
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
