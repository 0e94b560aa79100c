//! Opening the database: one writer that migrates, many readers that cannot write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::error::StoreError;

/// migrations/, built in.
static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// How long a statement waits for another program's lock. Our own writer holds it for milliseconds.
const BUSY: Duration = Duration::from_secs(30);
/// A connection is a thread: enough for a dashboard's parallel charts on a small machine.
const READERS: u32 = 8;

/// The database of a home. Cheap to clone: clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// One connection: writes queue up here instead of fighting over SQLite's lock.
    writer: Option<SqlitePool>,
    readers: SqlitePool,
}

impl Store {
    /// Opens the database for writing; creates it (and its directory) and brings it up to date.
    /// Only the holder of HOME/scheduler.lock may do this.
    pub async fn open_writer(db: &Path) -> Result<Store, StoreError> {
        open_writer(db).await.map_err(|e| e.at(db))
    }

    /// Opens an existing database for reading: `query_only`, so no statement can change it.
    pub async fn open_reader(db: &Path) -> Result<Store, StoreError> {
        Store::open_reader_within(db, BUSY).await
    }

    /// As [`Store::open_reader`], for somebody who would rather be told that the database is locked than
    /// wait longer than `busy`.
    pub async fn open_reader_within(db: &Path, busy: Duration) -> Result<Store, StoreError> {
        open_reader(db, busy).await.map_err(|e| e.at(db))
    }

    /// Whether the database is still one that this program knows: a newer one may have migrated it since it
    /// was opened. Errors: [`StoreError::NewerVersion`].
    pub async fn check_version(&self) -> Result<(), StoreError> {
        let newest = async {
            let query = "SELECT max(version) FROM _sqlx_migrations";
            let found: Option<i64> = sqlx::query_scalar(query)
                .fetch_one(&self.shared.readers)
                .await?;
            Ok(found)
        };
        match newest.await.map_err(self.here())? {
            Some(found) if found > known() => Err(StoreError::NewerVersion {
                path: self.path().to_owned(),
                found,
                known: known(),
            }),
            _ => Ok(()),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Waits for running statements and closes all connections, which folds the write-ahead log back
    /// into the file.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        if let Some(writer) = &self.shared.writer {
            writer.close().await;
        }
    }

    /// Begins a write; takes SQLite's write lock at once, because a transaction that reads first and
    /// writes later fails without waiting when somebody else wrote in between.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let writer = self
            .shared
            .writer
            .as_ref()
            .ok_or_else(|| StoreError::ReaderCannotWrite {
                path: self.path().to_owned(),
            })?;
        let begin = async {
            let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query!("UPDATE index_state SET changes = changes + 1")
                .execute(&mut *tx)
                .await?;
            Ok(tx)
        };
        begin.await.map_err(self.here())
    }

    /// Ends a write.
    pub(crate) async fn commit(&self, tx: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        tx.commit()
            .await
            .map_err(StoreError::from)
            .map_err(self.here())
    }

    /// Begins a read of one consistent state. Dropping it ends it.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.shared
            .readers
            .begin()
            .await
            .map_err(StoreError::from)
            .map_err(self.here())
    }

    /// Names this database in errors.
    pub(crate) fn here(&self) -> impl Fn(StoreError) -> StoreError + '_ {
        |error| error.at(self.path())
    }
}

async fn open_writer(db: &Path) -> Result<Store, StoreError> {
    if let Some(dir) = db.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .map_err(|e| StoreError::file(dir, "cannot create the directory of the database", e))?;
    }
    let options = options(db)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A power cut may lose the last transactions but never damages the file; what is lost is
        // ingested again from the home's files.
        .synchronous(SqliteSynchronous::Normal);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(BUSY)
        .after_release(|connection, _| Box::pin(left_no_transaction(connection)))
        .connect_with(options)
        .await?;
    let mut connection = writer.acquire().await?;
    match version(&mut connection).await? {
        Version::Known(_) | Version::Empty => {}
        Version::Foreign => {
            return Err(StoreError::Foreign {
                path: db.to_owned(),
            });
        }
        Version::Newer(found) => {
            return Err(StoreError::NewerVersion {
                path: db.to_owned(),
                found,
                known: known(),
            });
        }
    }
    MIGRATOR.run(&mut *connection).await.map_err(|e| match e {
        sqlx::migrate::MigrateError::Execute(e) => StoreError::from(e),
        other => StoreError::Damaged {
            path: db.to_owned(),
            source: other.into(),
        },
    })?;
    drop(connection);
    Ok(Store {
        shared: Arc::new(Shared {
            path: db.to_owned(),
            writer: Some(writer),
            readers: readers(db, BUSY).await?,
        }),
    })
}

async fn open_reader(db: &Path, busy: Duration) -> Result<Store, StoreError> {
    if !db.exists() {
        return Err(StoreError::Missing {
            path: db.to_owned(),
        });
    }
    let mut connection = SqliteConnection::connect_with(&reader_options(db, busy)).await?;
    let version = version(&mut connection).await?;
    connection.close().await?;
    match version {
        Version::Known(found) if found < known() => {
            return Err(StoreError::OlderVersion {
                path: db.to_owned(),
                found,
                known: known(),
            });
        }
        Version::Known(_) => {}
        // A writer has created it this very moment, or was killed while it did.
        Version::Empty => {
            return Err(StoreError::Missing {
                path: db.to_owned(),
            });
        }
        Version::Foreign => {
            return Err(StoreError::Foreign {
                path: db.to_owned(),
            });
        }
        Version::Newer(found) => {
            return Err(StoreError::NewerVersion {
                path: db.to_owned(),
                found,
                known: known(),
            });
        }
    }
    Ok(Store {
        shared: Arc::new(Shared {
            path: db.to_owned(),
            writer: None,
            readers: readers(db, busy).await?,
        }),
    })
}

/// Whether a connection can be used again. On a full disk SQLite rolls back by itself, sqlx's own
/// rollback then fails, and sqlx counts one open transaction for ever: such a connection is replaced.
async fn left_no_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Behind the rollback that a dropped transaction has put into the connection's queue.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn options(db: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(db)
        .foreign_keys(true)
        .busy_timeout(BUSY)
}

fn reader_options(db: &Path, busy: Duration) -> SqliteConnectOptions {
    options(db)
        .busy_timeout(busy)
        .create_if_missing(false)
        .pragma("query_only", "1")
        .immutable(cannot_change(db))
}

/// Whether a database lies on a read-only file system and holds all there is (nothing in a write-ahead
/// log beside it). Otherwise reading needs shared memory beside it, which could not be made there.
fn cannot_change(db: &Path) -> bool {
    let mut wal = db.as_os_str().to_owned();
    wal.push("-wal");
    // A program that ends while SQLite closes its connection leaves an empty one, without shared memory.
    let nothing_in_log = Path::new(&wal)
        .metadata()
        .map_or(true, |wal| wal.len() == 0);
    let mount = rustix::fs::statvfs(db).map(|mount| mount.f_flag);
    mount.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)) && nothing_in_log
}

async fn readers(db: &Path, busy: Duration) -> Result<SqlitePool, StoreError> {
    Ok(SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(BUSY)
        .connect_with(reader_options(db, busy))
        .await?)
}

/// Version of our newest migration.
fn known() -> i64 {
    MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Who wrote a database, and when.
enum Version {
    /// Nobody yet.
    Empty,
    /// Not us.
    Foreign,
    /// This Rungs or an older one.
    Known(i64),
    /// A newer Rungs.
    Newer(i64),
}

/// Looks without writing. Asked at run time: sqlx's own table is not part of our schema.
async fn version(connection: &mut SqliteConnection) -> Result<Version, StoreError> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut *connection)
            .await?;
    if tables.is_empty() {
        return Ok(Version::Empty);
    }
    if !tables.iter().any(|t| t == "_sqlx_migrations") {
        return Ok(Version::Foreign);
    }
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    match newest {
        // sqlx made its table and was killed before our first migration.
        None => Ok(Version::Empty),
        Some(found) if found > known() => Ok(Version::Newer(found)),
        Some(_) if !tables.iter().any(|t| t == "index_state") => Ok(Version::Foreign),
        Some(found) => Ok(Version::Known(found)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rungs_spec::RunKey;
    use rungs_spec::protocol::{Event, EventKind, Num, PROTOCOL_VERSION};

    use super::*;

    fn points(step0: u64, n: u64) -> [Event; 1] {
        // Noise that no compression shrinks: the digits of a hash.
        let noise = |i: u64| {
            let hash = blake3::hash(&i.to_le_bytes());
            let bits = u64::from_le_bytes(std::array::from_fn(|k| hash.as_bytes()[k]));
            Num(f64::from_bits(0x3ff0_0000_0000_0000 | (bits >> 12)))
        };
        let values = BTreeMap::from([(
            "train/loss".to_owned(),
            (step0..step0 + n).map(noise).collect(),
        )]);
        let kind = EventKind::Metrics {
            step0,
            epoch0: 0,
            values,
        };
        [Event {
            v: PROTOCOL_VERSION,
            t: "2026-01-01T00:00:00Z".into(),
            attempt: 1,
            kind,
        }]
    }

    #[tokio::test]
    async fn a_full_disk_is_named_and_nothing_is_half_stored() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("rungs.db");
        let store = Store::open_writer(&db).await.unwrap();
        let run = RunKey::parse(&"a".repeat(64)).unwrap();
        store.ingest(&run, 1, 10, &points(0, 100)).await.unwrap();
        let writer = store.shared.writer.as_ref().unwrap();
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
            .fetch_one(writer)
            .await
            .unwrap();
        let limit = |pages: i64| format!("PRAGMA max_page_count = {pages}");
        sqlx::query(sqlx::AssertSqlSafe(limit(pages + 1)))
            .execute(writer)
            .await
            .unwrap();
        let error = store
            .ingest(&run, 1, 20, &points(100, 5000))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, StoreError::DiskFull { path, .. } if *path == db),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("rungs.db: the disk is full")
                && error.to_string().contains("Free some space")
        );
        assert_eq!(store.ingest_offset(&run, 1).await.unwrap(), 10);
        assert_eq!(
            store.series(&run, "train/loss", true).await.unwrap().len(),
            100
        );
        sqlx::query(sqlx::AssertSqlSafe(limit(pages + 1000)))
            .execute(writer)
            .await
            .unwrap();
        store.ingest(&run, 1, 20, &points(100, 5000)).await.unwrap();
        assert_eq!(
            store.series(&run, "train/loss", true).await.unwrap().len(),
            5100
        );
    }

    #[tokio::test]
    async fn no_statement_of_a_reader_can_write() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("rungs.db");
        Store::open_writer(&db).await.unwrap();
        let reader = Store::open_reader(&db).await.unwrap();
        for statement in [
            "DELETE FROM runs",
            "UPDATE index_state SET changes = 0",
            "CREATE TABLE t (x)",
        ] {
            let error = sqlx::query(statement)
                .execute(&reader.shared.readers)
                .await
                .unwrap_err();
            let error = StoreError::from(error).at(&db);
            assert!(
                matches!(&error, StoreError::NotWritable { path, .. } if *path == db),
                "{error:?}"
            );
            assert!(error.to_string().contains("--db"), "{error}");
        }
    }
}
