//! The database again, from the home's files alone: journal, recipes, attempt files.
//!
//! What comes out equals what live ingest had, except the columns that migrations/ marks "volatile":
//! tries, back-off, slots, pids and claim ids are facts about processes, not about results.

use std::path::Path;

use rungs_spec::RunKey;
use rungs_spec::home::{Home, RunDir};
use rungs_spec::protocol::RunFile;

use crate::connect::Store;
use crate::error::StoreError;
use crate::{decisions, events, journal};

/// What a reindex found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reindexed {
    /// Runs with a readable recipe.
    pub runs: u64,
    /// Attempt files.
    pub attempts: u64,
    /// Events.
    pub events: u64,
    /// Decisions.
    pub decisions: u64,
    /// Files and lines that were left out, one sentence each.
    pub problems: Vec<String>,
}

/// Builds the database of a home anew. It is built beside the old one, which is replaced only when
/// everything is in: a reindex that is killed leaves the old database as it was. Only the holder of
/// HOME/scheduler.lock may do this; readers that have the old file open must open it again.
pub async fn reindex(home: &Home, db: &Path) -> Result<Reindexed, StoreError> {
    let new = db.with_extension("reindex.tmp");
    remove(&new)?;
    let store = Store::open_writer(&new).await?;
    let found = fill(home, &store).await;
    store.close().await;
    match found {
        Ok(found) => {
            remove(db)?;
            std::fs::rename(&new, db)
                .map_err(|e| StoreError::file(db, "cannot put the new database in its place", e))?;
            Ok(found)
        }
        Err(error) => {
            remove(&new)?;
            Err(error)
        }
    }
}

/// Removes a database with its write-ahead log, whose pages must never meet another file's.
fn remove(db: &Path) -> Result<(), StoreError> {
    for suffix in ["-wal", "-shm", ""] {
        let mut name = db.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::file(
                    Path::new(&name),
                    "cannot remove the old database",
                    e,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn fill(home: &Home, store: &Store) -> Result<Reindexed, StoreError> {
    let mut found = Reindexed::default();
    let runs = run_directories(home, &mut found)?;
    let mut tx = store.begin().await?;
    for (file, _) in &runs {
        decisions::register(&mut tx, file, &[])
            .await
            .map_err(store.here())?;
    }
    let (decisions, bad) = journal::read_from(&home.journal(), 0)?;
    for entry in &decisions {
        decisions::apply(&mut tx, &entry.line, entry.end_offset)
            .await
            .map_err(store.here())?;
    }
    store.commit(tx).await?;
    found.decisions = decisions.len() as u64;
    found.problems.extend(
        bad.iter()
            .map(|b| format!("{}:{}: {}", home.journal().display(), b.line, b.message)),
    );
    for (file, dir) in &runs {
        found.runs += 1;
        for attempt in attempt_numbers(dir)? {
            found.attempts += 1;
            ingest_file(store, &file.run, attempt, &dir.attempt(attempt), &mut found).await?;
        }
    }
    Ok(found)
}

/// Run directories with a readable recipe, by key.
fn run_directories(
    home: &Home,
    found: &mut Reindexed,
) -> Result<Vec<(RunFile, RunDir)>, StoreError> {
    let root = home.runs();
    let error = |e| StoreError::file(&root, "cannot list the runs", e);
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(error(e)),
    };
    let mut keys = Vec::new();
    for entry in entries {
        keys.extend(
            entry
                .map_err(error)?
                .file_name()
                .to_str()
                .and_then(RunKey::parse),
        );
    }
    keys.sort();
    let mut runs = Vec::new();
    for key in keys {
        let dir = home.run(&key);
        match read_recipe(&dir.recipe(), &key) {
            Ok(file) => runs.push((file, dir)),
            Err(problem) => found.problems.push(problem),
        }
    }
    Ok(runs)
}

fn read_recipe(path: &Path, key: &RunKey) -> Result<RunFile, String> {
    let place = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("{place}: cannot be read: {e}"))?;
    let file: RunFile =
        serde_json::from_str(&text).map_err(|e| format!("{place}: not a recipe: {e}"))?;
    if file.run != *key {
        return Err(format!(
            "{place}: this is the recipe of run {}, in the directory of another",
            file.run
        ));
    }
    Ok(file)
}

/// Numbers of the attempt files of a run, ascending.
pub fn attempt_numbers(dir: &RunDir) -> Result<Vec<u32>, StoreError> {
    let error = |e| StoreError::file(dir.dir(), "cannot list the attempts", e);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir.dir()).map_err(error)? {
        numbers.extend(
            entry
                .map_err(error)?
                .file_name()
                .to_str()
                .and_then(RunDir::attempt_number),
        );
    }
    numbers.sort_unstable();
    Ok(numbers)
}

async fn ingest_file(
    store: &Store,
    run: &RunKey,
    attempt: u32,
    path: &Path,
    found: &mut Reindexed,
) -> Result<(), StoreError> {
    let mut offset = 0;
    loop {
        let read = events::read_from(path, offset)?;
        found.events += read.events.len() as u64;
        found.problems.extend(
            read.bad
                .iter()
                .map(|b| format!("{}:{}: {}", path.display(), b.line, b.message)),
        );
        store
            .ingest(run, attempt, read.offset, &read.events)
            .await?;
        offset = read.offset;
        if !read.more {
            return Ok(());
        }
    }
}
