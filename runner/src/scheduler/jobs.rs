//! Jobs of Slurm in the hands of the scheduler: following them until they are over ([`super::submit`]
//! is how they begin).
//!
//! Every question to Slurm is asked beside the scheduler's work, for a busy controller answers late.

use std::time::Duration;

use rungs_spec::RunKey;
use rungs_spec::protocol::FailureClass;
use rungs_store::AttemptEnd;
use tokio::time::Instant;

use super::driver::{Driver, News};
use super::ending::Exit;
use super::ingest;
use super::machine::{AttemptId, Input};
use crate::executor::local::log_tail;
use crate::executor::slurm::commands;
use crate::executor::slurm::{Job, Listed, Outcome, Queue, job, outcome};

/// Time within which a file that a node wrote is seen here, on a network file system.
const FILES_ARRIVE: Duration = Duration::from_secs(10);

/// Least time between two questions to squeue, however much there is to know.
const AT_MOST: Duration = Duration::from_secs(1);

/// Questions to squeue of a scheduler that submits no jobs itself.
const ADOPTED_POLL: Duration = Duration::from_secs(10);

/// Why a waiting job is no news.
const ORDINARY: &[&str] = &[
    "None",
    "Priority",
    "Resources",
    "Dependency",
    "BeginTime",
    "Cleaning",
];

/// A job that is followed until it is over.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) id: AttemptId,
    pub(super) job: Job,
    /// sbatch has not answered yet.
    pub(super) submitting: bool,
    /// Only what squeue was asked after this moment counts.
    pub(super) since: Instant,
    /// It seems to be over and left no status: since then.
    unclear: Option<Instant>,
    /// Why it waits, as was told.
    told: String,
    /// Cancelled by us.
    cancelled: bool,
}

/// What the scheduler knows of its jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) followed: Vec<Followed>,
    /// What squeue said last, and when it was asked.
    queue: Option<(Instant, Queue)>,
    /// When squeue was asked last, and whether it has not answered yet.
    asked: Option<Instant>,
    asking: bool,
    /// Slurm takes no job until then.
    pub(super) closed_until: Option<Instant>,
    pub(super) refusal: String,
    pub(super) told_full: bool,
    told_silent: bool,
}

impl Jobs {
    /// Follows a job that an earlier scheduler left.
    pub(super) fn adopt(&mut self, id: AttemptId, job: Job) {
        self.follow(id, job, false);
    }

    /// Follows a job until it is over. `submitting`: sbatch has not answered yet.
    pub(super) fn follow(&mut self, id: AttemptId, job: Job, submitting: bool) {
        self.followed.push(Followed {
            id,
            job,
            submitting,
            since: Instant::now(),
            unclear: None,
            told: String::new(),
            cancelled: false,
        });
    }

    /// The job of a run.
    pub(super) fn of(&self, run: &RunKey) -> Option<&Followed> {
        self.followed
            .iter()
            .find(|followed| followed.id.run == *run)
    }

    /// Says that somebody else cancelled a job, unless it is because of another job.
    fn tell_cancelled(&self, followed: &Followed) {
        let listed = self.queue.as_ref().and_then(|(_, q)| q.find(&followed.job));
        let by_somebody =
            |listed: &Listed| listed.state == "CANCELLED" && !listed.reason.contains("Dependency");
        if !listed.is_some_and(by_somebody) {
            return;
        }
        let run = followed.id.run.short();
        tracing::warn!(
            run,
            "{} was cancelled in Slurm; the run goes on in another one (`runner cancel {run}` stops a run)",
            followed.job.shown()
        );
    }

    /// What executes an attempt, for people: `slurm:17`, and whether it still waits.
    pub(super) fn slot(&self, id: &AttemptId) -> Option<(String, String)> {
        let followed = self.of(&id.run)?;
        let listed = self.queue.as_ref().and_then(|(_, q)| q.find(&followed.job));
        let state = match listed {
            Some(listed) if listed.state == "PENDING" => {
                format!("slurm, waits ({})", listed.reason)
            }
            _ => "slurm".to_owned(),
        };
        let job = &followed.job;
        let slot = job.number.map_or_else(|| job.name.clone(), |_| job.slot());
        Some((slot, state))
    }
}

impl Driver {
    /// Looks at every job: what its trainer left, what Slurm says. True: nothing is left to do.
    pub(super) async fn look_at_jobs(&mut self) -> anyhow::Result<bool> {
        if self.jobs.closed_until.is_some_and(|t| t <= Instant::now()) {
            self.jobs.closed_until = None;
            if self.feed(Input::Reopened).await? {
                return Ok(true);
            }
        }
        self.tell_full().await?;
        let ids: Vec<AttemptId> = self.jobs.followed.iter().map(|f| f.id.clone()).collect();
        for id in ids {
            if self.look_at(&id).await? {
                return Ok(true);
            }
        }
        self.ask_squeue();
        Ok(false)
    }

    async fn look_at(&mut self, id: &AttemptId) -> anyhow::Result<bool> {
        let run_dir = self.ledger.home.run(&id.run);
        let Some(followed) = self.jobs.followed.iter_mut().find(|f| f.id == *id) else {
            return Ok(false);
        };
        if followed.submitting {
            return Ok(false);
        }
        let attempt = followed.job.attempt(&run_dir);
        if attempt > id.attempt {
            followed.id.attempt = attempt;
            followed.unclear = None;
            return self.advance(id.clone(), attempt).await;
        }
        let exit = job::exit_of(&run_dir, attempt);
        let fresh = self
            .jobs
            .queue
            .as_ref()
            .filter(|(at, _)| *at >= followed.since);
        let listed = fresh
            .and_then(|(_, queue)| queue.find(&followed.job))
            .cloned();
        if fresh.is_none() && !matches!(exit, Some(Exit::Status(0 | 1))) {
            return Ok(false);
        }
        let late = followed
            .unclear
            .is_some_and(|t| t.elapsed() >= FILES_ARRIVE);
        let mut found = outcome(listed.as_ref(), exit, late);
        if late && listed.is_none() && found == outcome(None, None, true) {
            let accounted = commands::accounted(&followed.job).await;
            found = outcome(accounted.as_ref(), exit, true);
        }
        match found {
            Outcome::Alive => {
                followed.unclear = None;
                if let Some(listed) = listed {
                    self.learn(id, &listed).await?;
                }
                Ok(false)
            }
            Outcome::Unclear => {
                followed.unclear.get_or_insert_with(Instant::now);
                Ok(false)
            }
            Outcome::Stuck(message) => {
                self.cancel_job(&id.run).await;
                let failed = Some((FailureClass::Transient, message));
                self.job_over(id.clone(), Exit::Unseen, failed).await
            }
            Outcome::Over { exit, failed } => self.job_over(id.clone(), exit, failed).await,
        }
    }

    /// The number of a job whose submission nobody saw end, and why a job waits, if that is news.
    async fn learn(&mut self, id: &AttemptId, listed: &Listed) -> anyhow::Result<()> {
        let run_dir = self.ledger.home.run(&id.run);
        let Some(followed) = self.jobs.followed.iter_mut().find(|f| f.id == *id) else {
            return Ok(());
        };
        let waits = listed.state == "PENDING" && !ORDINARY.contains(&listed.reason.as_str());
        if waits && followed.told != listed.reason {
            tracing::warn!(
                run = id.run.short(),
                "Slurm job {} waits: {}",
                listed.number,
                listed.reason
            );
            followed.told.clone_from(&listed.reason);
        }
        if followed.job.number.is_none() {
            followed.job.number = Some(listed.number);
            followed.job.write(&run_dir)?;
            let slot = followed.job.slot();
            let AttemptId { run, attempt } = id;
            self.ledger.store.adopt(run, *attempt, None, &slot).await?;
        }
        Ok(())
    }

    /// Slurm started the job again, and its trainer has begun another attempt.
    async fn advance(&mut self, id: AttemptId, attempt: u32) -> anyhow::Result<bool> {
        let store = &self.ledger.store;
        let slot = self.jobs.of(&id.run).map(|followed| followed.job.slot());
        ingest::attempt(store, &self.ledger.home, &id.run, id.attempt).await?;
        store
            .adopt(&id.run, attempt, None, &slot.unwrap_or_default())
            .await?;
        for past in id.attempt..attempt {
            let end = past_end(job::exit_of(&self.ledger.home.run(&id.run), past));
            store.attempt_ended(&id.run, past, end).await?;
        }
        tracing::info!(run = id.run.short(), attempt, "Slurm started its job again");
        self.feed(Input::Advanced { id, attempt }).await
    }

    async fn job_over(
        &mut self,
        id: AttemptId,
        exit: Exit,
        failed: Option<(FailureClass, String)>,
    ) -> anyhow::Result<bool> {
        let run_dir = self.ledger.home.run(&id.run);
        if let Some(at) = self.jobs.followed.iter().position(|f| f.id == id) {
            let followed = self.jobs.followed.remove(at);
            followed.job.remove(&run_dir);
            if !followed.cancelled {
                self.jobs.tell_cancelled(&followed);
            }
        }
        let failed = failed.map(|(class, message)| (class, with_tail(message, &run_dir.log())));
        self.ended(id, exit, failed).await
    }

    /// Takes the jobs off whose runs are done: the last event is seen before Slurm knows that the job is
    /// over, and who comes next looks at no run that is done.
    pub(super) fn clear_jobs(&mut self) {
        for followed in self.jobs.followed.drain(..) {
            let run_dir = self.ledger.home.run(&followed.id.run);
            let said = ingest::said(&run_dir, followed.id.attempt);
            if said.is_ok_and(|said| said.finished) {
                followed.job.remove(&run_dir);
            }
        }
    }

    /// Cancels the job of a run, if it has one. Not to reach Slurm is no error: its job is not the
    /// run's any more and leaves when it starts.
    pub(super) async fn cancel_job(&mut self, run: &RunKey) {
        let mut followed = self.jobs.followed.iter_mut();
        let Some(followed) = followed.find(|followed| followed.id.run == *run) else {
            return;
        };
        followed.cancelled = true;
        if let Err(refusal) = commands::cancel(&followed.job).await {
            tracing::warn!("cannot cancel {}: {refusal}", followed.job.shown());
        }
    }

    /// Asks squeue if it is time, or if a trainer left a status that only squeue can explain.
    fn ask_squeue(&mut self) {
        let every = match self.executor.slurm() {
            Some(config) => Duration::from_secs(u64::from(config.poll_s)),
            None => ADOPTED_POLL,
        };
        let home = &self.ledger.home;
        let since = self.jobs.asked.map(|t| t.elapsed());
        let ended = |f: &Followed| job::exit_of(&home.run(&f.id.run), f.id.attempt).is_some();
        let due = match since {
            _ if self.jobs.followed.is_empty() || self.jobs.asking => false,
            Some(since) if since < AT_MOST => false,
            Some(since) => since >= every || self.jobs.followed.iter().any(ended),
            None => true,
        };
        if due {
            let asked = Instant::now();
            self.jobs.asked = Some(asked);
            self.jobs.asking = true;
            let tell = self.tell.clone();
            tokio::spawn(async move {
                let answer = Queue::ask().await;
                tell.send(News::Queue(asked, answer)).ok();
            });
        }
    }

    /// squeue has answered.
    pub(super) fn listed(&mut self, asked: Instant, answer: Result<Queue, String>) {
        self.jobs.asking = false;
        match answer {
            Ok(queue) => {
                if self.jobs.told_silent {
                    tracing::warn!("Slurm answers again");
                }
                self.jobs.told_silent = false;
                self.jobs.queue = Some((asked, queue));
            }
            Err(refusal) => {
                if !self.jobs.told_silent {
                    tracing::warn!("Slurm does not say how its jobs are ({refusal}); asking again");
                }
                self.jobs.told_silent = true;
            }
        }
    }
}

/// What became of an attempt after which Slurm started the same job again.
pub(super) fn past_end(exit: Option<Exit>) -> AttemptEnd {
    match exit {
        Some(Exit::Status(rungs_spec::protocol::EXIT_CHECKPOINTED)) => AttemptEnd::Checkpointed,
        _ => AttemptEnd::Killed { retry_at_ms: None },
    }
}

/// A message about a job, with what the job said last.
pub(super) fn with_tail(message: String, log: &std::path::Path) -> String {
    match log_tail(log) {
        tail if tail.is_empty() => message,
        tail => format!("{message}; its log ends with: {tail}"),
    }
}
