//! Decisions: first into the journal, synced, then into the database.

use anyhow::Context as _;
use rungs_spec::RunKey;
use rungs_spec::home::{Home, JournalEntry, JournalLine};
use rungs_spec::protocol::RunFile;
use rungs_store::{Store, journal};

use super::SchedulerLock;
use crate::failure::paragraph;
use crate::{clock, files};

/// The journal and the database of a home, in the hands of its scheduler.
#[derive(Debug)]
pub struct Ledger {
    /// The home.
    pub home: Home,
    /// Its database, open for writing.
    pub store: Store,
    /// Only who holds it may write either.
    _lock: SchedulerLock,
}

impl Ledger {
    /// Takes both over.
    pub fn new(home: Home, store: Store, lock: SchedulerLock) -> Ledger {
        Ledger {
            home,
            store,
            _lock: lock,
        }
    }

    /// Decides: when this returns, the decisions survive a crash and are in effect.
    pub async fn decide(&self, entries: Vec<JournalEntry>) -> anyhow::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let t = clock::now();
        let lines: Vec<JournalLine> = entries
            .into_iter()
            .map(|entry| JournalLine {
                t: t.clone(),
                entry,
            })
            .collect();
        for entry in journal::append(&self.home.journal(), &lines)? {
            self.apply(&entry).await?;
        }
        Ok(())
    }

    /// Applies what the journal says and the database does not know yet.
    pub async fn catch_up(&self) -> anyhow::Result<()> {
        let path = self.home.journal();
        let from = self.store.journal_position().await?;
        let (entries, bad) = journal::read_from(&path, from)?;
        for bad in &bad {
            tracing::warn!(
                file = %path.display(), line = bad.line,
                "left a line out: {}", bad.message
            );
        }
        for entry in &entries {
            self.apply(entry).await?;
        }
        Ok(())
    }

    async fn apply(&self, entry: &journal::Entry) -> anyhow::Result<()> {
        if let JournalEntry::Queued {
            run, depends_on, ..
        } = &entry.line.entry
        {
            match run_file(&self.home, run) {
                Ok(file) => self.store.register_run(&file, depends_on).await?,
                // It fails when its turn comes, and says so; the home goes on without it.
                Err(error) => tracing::warn!(run = run.short(), "{}", paragraph(&error)),
            }
        }
        self.store
            .apply_journal(&entry.line, entry.end_offset)
            .await?;
        Ok(())
    }
}

/// The recipe.json of a run.
pub fn run_file(home: &Home, run: &RunKey) -> anyhow::Result<RunFile> {
    let path = home.run(run).recipe();
    let text = files::read(&path)?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a recipe.json", path.display()))
}
