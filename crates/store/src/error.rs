//! What can go wrong with the index or a home's files, and what a person can do about it.

use std::path::{Path, PathBuf};

use rungs_spec::RunKey;

/// A failed read or write of the database or of a home's file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No database there.
    #[error(
        "{}: there is no database. `runner reproduce EXPERIMENT` creates one; if the home already has runs, `runner reindex` rebuilds it; if it lies elsewhere, name it with --db or RUNGS_DB",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Not (yet) one of ours.
    #[error(
        "{}: this is not a Rungs database. Name another one with --db, or move the file away and run `runner reindex`",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer Rungs.
    #[error(
        "{}: the database has version {found}, this program knows versions up to {known}. Use the newer Rungs that wrote it, or move the file away and run `runner reindex`: the home's files are the truth",
        path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Version of the newest migration in it.
        found: i64,
        /// Version of our newest migration.
        known: i64,
    },
    /// Written by an older Rungs; only a writer may migrate.
    #[error(
        "{}: the database has version {found}, this program needs {known}. Start `runner daemon` (or any `runner reproduce`) once: it brings the database up to date",
        path.display()
    )]
    OlderVersion {
        /// The file.
        path: PathBuf,
        /// Version of the newest migration in it.
        found: i64,
        /// Version of our newest migration.
        known: i64,
    },
    /// No space left.
    #[error(
        "{}: the disk is full, the last change was not stored. Free some space (old checkpoints in the home's runs/ are the largest files) and start again: nothing is lost, ingest goes on where it stopped",
        path.display()
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: sqlx::Error,
    },
    /// May not write there.
    #[error(
        "{}: the database (or its directory) cannot be written. Make both writable for this user, or name another place with --db or RUNGS_DB",
        path.display()
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: sqlx::Error,
    },
    /// May not even open it.
    #[error(
        "{}: the database cannot be opened. Make the file and its directory readable and writable for this user, or name another place with --db or RUNGS_DB",
        path.display()
    )]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: sqlx::Error,
    },
    /// Another process held the write lock for longer than the busy timeout.
    #[error(
        "{}: the database has been locked by another program for longer than 30 seconds. Find it with `fuser {}` and stop it; on a network file system put the database on a local disk with --db",
        path.display(), path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: sqlx::Error,
    },
    /// Damaged.
    #[error(
        "{}: the database is damaged ({source}). Move the file away and run `runner reindex`: the home's files are the truth",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Any other failure of SQLite: a bug of ours.
    #[error("{}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: sqlx::Error,
    },
    /// A file of the home could not be read or written.
    #[error("{}: {doing}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// A file of the home does not hold what it should.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the cure.
        message: String,
    },
    /// No run of that key (prefix).
    #[error("no run has a key that starts with {prefix:?}; `runner runs` lists them")]
    NotFound {
        /// What was asked for.
        prefix: String,
    },
    /// More than one run of that key prefix.
    #[error("{prefix:?} could be any of {}: give more digits of the run key", .matches.iter().map(RunKey::as_str).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// Some of the runs it fits.
        matches: Vec<RunKey>,
    },
    /// The store was opened for reading.
    #[error("{}: the database was opened for reading only", path.display())]
    ReaderCannotWrite {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// An error of a file.
    pub(crate) fn file(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        StoreError::File {
            path: path.to_owned(),
            doing,
            source,
        }
    }

    /// Stored data that cannot be what we wrote.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        StoreError::Damaged {
            path: PathBuf::new(),
            source: what.into().into(),
        }
    }

    /// Fills in the database that a query failed on.
    pub(crate) fn at(mut self, database: &Path) -> Self {
        match &mut self {
            StoreError::DiskFull { path, .. }
            | StoreError::NotWritable { path, .. }
            | StoreError::CannotOpen { path, .. }
            | StoreError::Locked { path, .. }
            | StoreError::Foreign { path }
            | StoreError::Damaged { path, .. }
            | StoreError::Database { path, .. } => {
                if path.as_os_str().is_empty() {
                    *path = database.to_owned();
                }
            }
            StoreError::Missing { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::OlderVersion { .. }
            | StoreError::File { .. }
            | StoreError::Content { .. }
            | StoreError::NotFound { .. }
            | StoreError::Ambiguous { .. }
            | StoreError::ReaderCannotWrite { .. } => {}
        }
        self
    }
}

/// By SQLite's primary result code (<https://sqlite.org/rescode.html>).
impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        let path = PathBuf::new();
        let code = source
            .as_database_error()
            .and_then(|e| e.code())
            .and_then(|code| code.parse::<i32>().ok())
            .map(|extended| extended & 0xff);
        match code {
            Some(5 | 6) => StoreError::Locked { path, source },
            Some(8) => StoreError::NotWritable { path, source },
            Some(11) => StoreError::Damaged {
                path,
                source: source.into(),
            },
            Some(13) => StoreError::DiskFull { path, source },
            Some(14) => StoreError::CannotOpen { path, source },
            Some(26) => StoreError::Foreign { path },
            _ => StoreError::Database { path, source },
        }
    }
}
