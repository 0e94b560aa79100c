//! From what a dead scheduler left behind to a truthful database: unread decisions, unread events,
//! and attempts whose trainers are gone.

use std::collections::BTreeMap;
use std::path::Path;

use rungs_spec::RunKey;
use rungs_spec::home::{Home, JournalEntry, RunDir};
use rungs_spec::result::RunState;
use rungs_store::{AttemptEnd, Reindexed, RunFilter, RunRow, Store};

use super::ending::{Ending, Exit, Verdict, judge};
use super::jobs_left::{self, JobsLeft, Left};
use super::ledger::{Ledger, run_file};
use super::machine::AttemptId;
use super::{SchedulerLock, ingest, jobs};
use crate::clock;
use crate::executor::slurm::Job;
use crate::executor::{alive, local};

/// The slot of an attempt whose trainer outlived its scheduler.
pub const ADOPTED: &str = "adopted";

/// A trainer that outlived its scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// What it executes.
    pub id: AttemptId,
    /// Its process; 0 if unknown, or if it is a job's.
    pub pid: u32,
    /// The job of Slurm that executes it, if one does.
    pub job: Option<Job>,
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
    // Chosen by the database: a home of ten thousand finished runs has nothing to recover.
    let filter = RunFilter {
        states: vec![
            RunState::Running,
            RunState::Queued,
            RunState::Blocked,
            RunState::Cancelled,
        ],
        ..RunFilter::default()
    };
    let open = store.runs(&filter).await?;
    let mut alive_by_run: BTreeMap<RunKey, alive::Trainer> = BTreeMap::new();
    for trainer in alive::by_command_line(home) {
        let newest = alive_by_run
            .get(&trainer.run)
            .is_none_or(|t| t.attempt < trainer.attempt);
        if newest {
            alive_by_run.insert(trainer.run.clone(), trainer);
        }
    }
    let mut jobs_left = JobsLeft::default();
    let mut orphans = Vec::new();
    for row in open {
        let run = &row.key;
        let run_dir = home.run(run);
        let attempts = ingest::attempts(&run_dir)?;
        for attempt in &attempts {
            ingest::attempt(store, home, run, *attempt).await?;
        }
        if row.state == RunState::Cancelled {
            jobs_left::cancel(run, &run_dir).await?;
        } else if let Some(left) = jobs_left.of(&run_dir).await? {
            match left {
                Left::Alive { job, attempt } => {
                    store.adopt(run, attempt, None, &job.slot()).await?;
                    jobs_left::tell_past(store, run, &run_dir, attempt).await?;
                    orphans.push(orphan(home, &row, attempt, Alive::Job(job)));
                    continue;
                }
                Left::Over {
                    attempt,
                    exit,
                    failed,
                } if alive::lock_holder(&run_dir).is_none() => {
                    jobs_left::tell_past(store, run, &run_dir, attempt).await?;
                    let said = ingest::said(&run_dir, attempt)?;
                    let failed = failed.map(|(c, m)| (c, jobs::with_tail(m, &run_dir.log())));
                    let said = ingest::Said {
                        failed: said.failed.clone().or(failed),
                        ..said
                    };
                    ended_before(ledger, run, attempt, exit, said, row.tries).await?;
                    job_over(&run_dir)?;
                    continue;
                }
                // Slurm has lost sight of its trainer.
                Left::Over { .. } => job_over(&run_dir)?,
            }
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
                store.adopt(run, attempt, Some(pid), ADOPTED).await?;
                orphans.push(orphan(home, &row, attempt, Alive::Process(pid)));
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
                ended_before(ledger, run, attempt, Exit::Unseen, said, row.tries).await?;
            }
            Some(_) | None => {}
        }
    }
    Ok(orphans)
}

/// By what a live attempt is known.
enum Alive {
    Process(u32),
    Job(Job),
}

fn orphan(home: &Home, row: &RunRow, attempt: u32, alive: Alive) -> Orphan {
    let (threads, timing) =
        run_file(home, &row.key).map_or((1, false), |f| (f.compute_threads, f.timing));
    let (pid, job) = match alive {
        Alive::Process(pid) => (pid, None),
        Alive::Job(job) => (0, Some(job)),
    };
    Orphan {
        id: AttemptId {
            run: row.key.clone(),
            attempt,
        },
        pid,
        job,
        threads,
        timing,
        tries: row.tries.max(1),
    }
}

fn job_over(run_dir: &RunDir) -> anyhow::Result<()> {
    if let Some(job) = Job::read(run_dir)? {
        job.remove(run_dir);
    }
    Ok(())
}

/// Judges an attempt that ended while no scheduler lived, as one judges it who sees it end.
async fn ended_before(
    ledger: &Ledger,
    run: &RunKey,
    attempt: u32,
    exit: Exit,
    said: ingest::Said,
    tries: u32,
) -> anyhow::Result<()> {
    let ending = Ending {
        exit,
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
