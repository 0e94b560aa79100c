//! From what a dead scheduler left behind to a truthful database: unread decisions, unread events,
//! and attempts whose trainers are gone.

use std::collections::BTreeMap;
use std::path::Path;

use rungs_spec::RunKey;
use rungs_spec::home::{Home, JournalEntry};
use rungs_spec::result::RunState;
use rungs_store::{AttemptEnd, Reindexed, RunFilter, Store};

use super::ending::{Ending, Exit, Verdict, judge};
use super::ledger::{Ledger, run_file};
use super::machine::AttemptId;
use super::{SchedulerLock, ingest};
use crate::clock;
use crate::executor::{alive, local};

/// The slot of an attempt whose trainer outlived its scheduler.
pub const ADOPTED: &str = "adopted";

/// A trainer that outlived its scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// What it executes.
    pub id: AttemptId,
    /// Its process; 0 if unknown.
    pub pid: u32,
    /// CPU threads it computes with.
    pub threads: u32,
    /// Whether it is a timing run.
    pub timing: bool,
    /// Tries of its run, this one included.
    pub tries: u32,
}

/// Opens a home for its scheduler: afterwards the database knows all that the files say, and every
/// run that counts as running has a live trainer, which is returned.
pub async fn open(
    home: &Home,
    db: &Path,
    lock: SchedulerLock,
) -> anyhow::Result<(Ledger, Vec<Orphan>)> {
    if !db.exists() && home.journal().exists() {
        tracing::info!(
            database = %db.display(),
            "the database is missing; rebuilding it from the home's files"
        );
        rebuild(home, db, &lock).await?;
    }
    let store = Store::open_writer(db).await?;
    let ledger = Ledger::new(home.clone(), store, lock);
    ledger.catch_up().await?;
    let orphans = recover(&ledger).await?;
    Ok((ledger, orphans))
}

/// Builds the database anew from the home's files, and says what was left out.
pub async fn rebuild(home: &Home, db: &Path, _lock: &SchedulerLock) -> anyhow::Result<Reindexed> {
    let found = rungs_store::reindex(home, db).await?;
    for problem in &found.problems {
        tracing::warn!("{problem}");
    }
    Ok(found)
}

/// [`open`], if no scheduler is at it; else nothing, for that scheduler keeps the database fresh.
pub async fn if_free(home: &Home, db: &Path) -> anyhow::Result<()> {
    let nothing_to_do = !home.journal().exists() && !db.exists();
    if nothing_to_do {
        return Ok(());
    }
    match SchedulerLock::try_take(home) {
        Ok(Some(lock)) => {
            let (ledger, _) = open(home, db, lock).await?;
            ledger.store.close().await;
            Ok(())
        }
        Ok(None) => Ok(()),
        // Somebody else's home, or a full disk: what the database says is still worth reading.
        Err(error) if db.exists() => {
            tracing::warn!(%error, "showing what the database knows: it cannot be brought up to date");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Takes in what trainers wrote meanwhile, and puts runs back on the queue whose trainer is gone.
async fn recover(ledger: &Ledger) -> anyhow::Result<Vec<Orphan>> {
    let Ledger { home, store, .. } = ledger;
    let rows = store.runs(&RunFilter::default()).await?;
    let open = rows.into_iter().filter(|row| {
        matches!(
            row.state,
            RunState::Running | RunState::Queued | RunState::Blocked | RunState::Cancelled
        )
    });
    let mut alive_by_run: BTreeMap<RunKey, alive::Trainer> = BTreeMap::new();
    for trainer in alive::by_command_line(home) {
        let newest = alive_by_run
            .get(&trainer.run)
            .is_none_or(|t| t.attempt < trainer.attempt);
        if newest {
            alive_by_run.insert(trainer.run.clone(), trainer);
        }
    }
    let mut orphans = Vec::new();
    for row in open {
        let run = &row.key;
        let run_dir = home.run(run);
        let attempts = ingest::attempts(&run_dir)?;
        for attempt in &attempts {
            ingest::attempt(store, home, run, *attempt).await?;
        }
        // The attempt that counts: of the database, which claims before a trainer writes, or of the
        // files, if the database was rebuilt.
        let attempt = attempts.last().copied().unwrap_or(0).max(row.attempts);
        let by_command = alive_by_run.get(run);
        // Who holds the lock is the trainer itself; a command line may be that of a wrapper.
        let pid = alive::lock_holder(&run_dir)
            .filter(|pid| *pid != 0)
            .or(by_command.map(|t| t.pid));
        match pid {
            Some(pid) if row.state != RunState::Cancelled => {
                let attempt = by_command.and_then(|t| t.attempt).unwrap_or(attempt).max(1);
                let (threads, timing) =
                    run_file(home, run).map_or((1, false), |f| (f.compute_threads, f.timing));
                store.adopt(run, attempt, pid, ADOPTED).await?;
                orphans.push(Orphan {
                    id: AttemptId {
                        run: run.clone(),
                        attempt,
                    },
                    pid,
                    threads,
                    timing,
                    tries: row.tries.max(1),
                });
            }
            Some(pid) if alive::works_on(pid, home, run) => {
                tracing::info!(
                    run = run.short(),
                    pid,
                    "stopping the trainer of a cancelled run"
                );
                local::terminate(pid);
            }
            None if row.state == RunState::Running => {
                // Its events may have finished it just now.
                let said = match attempts.last() {
                    Some(last) if *last == attempt => ingest::said(&run_dir, *last)?,
                    _ => ingest::Said::default(),
                };
                ended_unseen(ledger, run, attempt, said, row.tries).await?;
            }
            Some(_) | None => {}
        }
    }
    Ok(orphans)
}

/// Judges an attempt that ended while no scheduler lived, as one judges it who sees it end.
async fn ended_unseen(
    ledger: &Ledger,
    run: &RunKey,
    attempt: u32,
    said: ingest::Said,
    tries: u32,
) -> anyhow::Result<()> {
    let ending = Ending {
        exit: Exit::Unseen,
        finished: said.finished,
        progressed: said.checkpointed,
        failed: said.failed,
        log_tail: local::log_tail(&ledger.home.run(run).log()),
    };
    let end = match judge(&ending, tries.max(1), clock::now_ms()) {
        Verdict::Finished => AttemptEnd::Finished,
        Verdict::Checkpointed | Verdict::Killed { .. } => AttemptEnd::Lost,
        Verdict::Transient {
            message,
            retry_at_ms,
        } => {
            tracing::warn!(run = run.short(), attempt, "will be tried again: {message}");
            AttemptEnd::Transient {
                message,
                retry_at_ms,
            }
        }
        Verdict::Permanent { class, message } => {
            let failed = JournalEntry::Failed {
                run: run.clone(),
                class,
                message: message.clone(),
            };
            ledger.decide(vec![failed]).await?;
            AttemptEnd::Permanent { message }
        }
    };
    ledger.store.attempt_ended(run, attempt, end).await?;
    Ok(())
}
