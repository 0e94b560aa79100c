//! Carries out what the state machine decides: begins ([`super::begin`]) and ends attempts, takes in
//! events. [`super::account`] writes down what became of them, [`super::jobs`] is the part that speaks with
//! Slurm.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rungs_spec::RunKey;
use rungs_spec::home::{Home, JournalEntry};
use rungs_spec::protocol::FailureClass;
use rungs_store::{SlotRow, Store};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use super::catchup::Orphan;
use super::ending::{Ending, Exit};
use super::jobs::Jobs;
use super::ledger::Ledger;
use super::lock::Waiting;
use super::machine::{AttemptId, Effect, Handle, Input, Machine, Stop, Work};
use super::{SchedulerLock, catchup, ingest, requests};
use crate::clock;
use crate::executor::slurm::Queue;
use crate::executor::{Executor, alive, local};
use crate::settled::Tracker;
use crate::slots::Shares;
use crate::trainer::Trainer;

/// Time between two looks at event files, requests and adopted trainers.
const TICK: Duration = Duration::from_millis(250);

/// When a scheduler leaves of its own accord.
#[derive(Debug, Clone)]
pub enum Goal {
    /// Never: only when it is stopped.
    Stopped,
    /// When none of these runs can get any further. Other runs that it trains meanwhile are left to
    /// who waits to become the scheduler, or go back on the queue with a checkpoint.
    Settled(BTreeSet<RunKey>),
}

/// What happened elsewhere, from the tasks that wait for it.
#[derive(Debug)]
pub(super) enum News {
    /// A trainer ended.
    Ended(AttemptId, Exit),
    /// Slurm answered to a submission: the job's number, or why it takes none.
    Submitted(AttemptId, Result<u64, String>),
    /// squeue answered to what it was asked at that moment.
    Queue(Instant, Result<Queue, String>),
}

/// The scheduler of a home.
#[derive(Debug)]
pub struct Driver {
    pub(super) ledger: Ledger,
    pub(super) trainer: Trainer,
    pub(super) executor: Executor,
    pub(super) shares: Shares,
    pub(super) machine: Machine,
    pub(super) jobs: Jobs,
    pub(super) slots_told: Vec<SlotRow>,
    pub(super) tell: mpsc::UnboundedSender<News>,
    /// Held while sbatch is at work.
    pub(super) submitting: Arc<Mutex<()>>,
    news: mpsc::UnboundedReceiver<News>,
    /// Processes that outlived their scheduler.
    adopted: Vec<Orphan>,
    tracker: Tracker,
    changes_seen: Option<u64>,
}

impl Driver {
    /// Takes a home over: brings its database up to date and adopts the trainers that live.
    pub async fn open(
        home: &Home,
        db: &Path,
        lock: SchedulerLock,
        trainer: Trainer,
        executor: Executor,
        slots: Option<u32>,
    ) -> anyhow::Result<Driver> {
        let (ledger, orphans) = catchup::open(home, db, lock).await?;
        ledger.store.forget_kills().await?;
        let shares = match executor.slurm() {
            Some(config) => config.shares(slots),
            None => Shares::of(&trainer.info, slots),
        };
        let (tell, news) = mpsc::unbounded_channel();
        let mut driver = Driver {
            ledger,
            machine: Machine::new(&shares),
            trainer,
            executor,
            shares,
            jobs: Jobs::default(),
            slots_told: Vec::new(),
            tell,
            submitting: Arc::default(),
            news,
            adopted: Vec::new(),
            tracker: Tracker::default(),
            changes_seen: None,
        };
        for orphan in orphans {
            driver.adopt(orphan);
        }
        Ok(driver)
    }

    fn adopt(&mut self, orphan: Orphan) {
        let (run, attempt) = (orphan.id.run.short(), orphan.id.attempt);
        let handle = match (&orphan.job, orphan.pid) {
            (Some(job), _) => {
                tracing::info!(run, attempt, "goes on as {}", job.shown());
                Handle::Job
            }
            (None, pid) => {
                tracing::info!(
                    run,
                    attempt,
                    pid,
                    "adopted a trainer that outlived its scheduler"
                );
                Handle::Process(pid)
            }
        };
        let work = Work {
            id: orphan.id.clone(),
            threads: orphan.threads,
            tries: orphan.tries,
            alone: orphan.timing,
        };
        self.machine.step(Input::Adopted { work, handle });
        match orphan.job {
            Some(job) => self.jobs.adopt(orphan.id, job),
            None => self.adopted.push(orphan),
        }
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.ledger.store
    }

    /// Writes decisions down and puts them into effect.
    pub async fn decide(&self, entries: Vec<JournalEntry>) -> anyhow::Result<()> {
        self.ledger.decide(entries).await
    }

    /// Carries out the requests that wait.
    pub async fn carry_out_requests(&mut self) -> anyhow::Result<()> {
        for run in requests::carry_out_all(&self.ledger, Some(&self.trainer.info)).await? {
            self.feed(Input::Cancelled { run }).await?;
        }
        Ok(())
    }

    /// Schedules until the goal is reached or `stop` says so. On an error the trainers are asked to
    /// write a checkpoint and leave, for nobody would look after them; jobs of Slurm go on.
    pub async fn run(
        mut self,
        goal: Goal,
        stop: watch::Receiver<Option<Stop>>,
    ) -> anyhow::Result<()> {
        let outcome = self.schedule(&goal, stop).await;
        if outcome.is_err() {
            for (_, handle) in self.machine.alive() {
                if let Some(Handle::Process(pid)) = handle
                    && self.is_ours(pid)
                {
                    local::terminate(pid);
                }
            }
        }
        self.clear_jobs();
        self.ledger.store.set_slots(&[]).await.ok();
        self.ledger.store.close().await;
        outcome
    }

    async fn schedule(
        &mut self,
        goal: &Goal,
        mut stop: watch::Receiver<Option<Stop>>,
    ) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let left = tokio::select! {
                _ = ticks.tick() => self.tick(goal).await?,
                Some(news) = self.news.recv() => match news {
                    News::Ended(id, exit) => self.ended(id, exit, None).await?,
                    News::Submitted(id, answer) => self.submitted(id, answer).await?,
                    News::Queue(asked, answer) => {
                        self.listed(asked, answer);
                        false
                    }
                },
                Ok(()) = stop.changed() => {
                    let how = *stop.borrow_and_update();
                    match how {
                        Some(how) => self.feed(Input::Stop(how)).await?,
                        None => false,
                    }
                }
            };
            self.tell_slots().await?;
            if left {
                return Ok(());
            }
        }
    }

    /// Looks at everything that changes without telling. True: nothing is left to do.
    async fn tick(&mut self, goal: &Goal) -> anyhow::Result<bool> {
        self.carry_out_requests().await?;
        let alive: Vec<AttemptId> = self.machine.alive().map(|(id, _)| id.clone()).collect();
        for id in alive {
            let Ledger { store, home, .. } = &self.ledger;
            ingest::attempt(store, home, &id.run, id.attempt).await?;
        }
        let home = self.ledger.home.clone();
        let gone: Vec<AttemptId> = self
            .adopted
            .iter()
            .filter(|orphan| !lives(&home, orphan))
            .map(|orphan| orphan.id.clone())
            .collect();
        for id in gone {
            self.adopted.retain(|orphan| orphan.id != id);
            if self.ended(id, Exit::Unseen, None).await? {
                return Ok(true);
            }
        }
        if self.look_at_jobs().await? {
            return Ok(true);
        }
        if let Goal::Settled(runs) = goal
            && self.is_reached(runs).await?
        {
            // Trainers of other commands stay alive for who takes over. With nobody there they would
            // work on unattended after this command has ended.
            let taken_over = Waiting::anybody(&self.ledger.home)?;
            let how = if taken_over {
                Stop::Detach
            } else {
                Stop::Checkpoint
            };
            return self.feed(Input::Stop(how)).await;
        }
        self.feed(Input::Tick).await
    }

    /// Whether none of these runs can get any further. Asked only after something was written.
    async fn is_reached(&mut self, runs: &BTreeSet<RunKey>) -> anyhow::Result<bool> {
        // Ten thousand rows need not be read to see that one of them is being trained.
        if self.machine.alive().any(|(id, _)| runs.contains(&id.run)) {
            return Ok(false);
        }
        let changes = self.ledger.store.change_counter().await?;
        if self.changes_seen != Some(changes) {
            self.tracker.look(&self.ledger.store, runs.iter()).await?;
            self.changes_seen = Some(changes);
        }
        Ok(runs.iter().all(|run| self.tracker.is_settled(run)))
    }

    /// An attempt is over. `failed` is why, where that is known and no event says it.
    pub(super) async fn ended(
        &mut self,
        id: AttemptId,
        exit: Exit,
        failed: Option<(FailureClass, String)>,
    ) -> anyhow::Result<bool> {
        let Ledger { store, home, .. } = &self.ledger;
        ingest::attempt(store, home, &id.run, id.attempt).await?;
        let run_dir = home.run(&id.run);
        let said = ingest::said(&run_dir, id.attempt)?;
        let ending = Ending {
            exit,
            finished: said.finished,
            progressed: said.checkpointed,
            failed: said
                .failed
                .or(failed)
                .or_else(|| local::no_space(&run_dir, exit)),
            log_tail: local::log_tail(&run_dir.log()),
        };
        self.feed(Input::Ended {
            id,
            ending,
            now_ms: clock::now_ms(),
        })
        .await
    }

    /// Gives the machine an input and carries out what follows from it. True: it is over.
    pub(super) async fn feed(&mut self, input: Input) -> anyhow::Result<bool> {
        let mut inputs = VecDeque::from([input]);
        let mut over = false;
        while let Some(input) = inputs.pop_front() {
            for effect in self.machine.step(input) {
                match effect {
                    Effect::Claim { slot } => inputs.push_back(self.claim(slot).await?),
                    Effect::Start { slot, id } => match self.executor.slurm().cloned() {
                        Some(config) => inputs.extend(self.submit(id, config).await?),
                        None => inputs.push_back(self.start(slot, id).await?),
                    },
                    Effect::Terminate { pid } if self.is_ours(pid) => local::terminate(pid),
                    Effect::Kill { pid } if self.is_ours(pid) => local::kill(pid),
                    // Gone, and its number may be another process's by now.
                    Effect::Terminate { .. } | Effect::Kill { .. } => {}
                    Effect::CancelJob { run } => self.cancel_job(&run).await,
                    Effect::Unclaim { id } => {
                        self.ledger.store.unclaim(&id.run, id.attempt).await?;
                    }
                    Effect::Record { id, verdict } => self.record(&id, verdict).await?,
                    Effect::GiveUp { id, class, message } => {
                        self.give_up(&id, class, message).await?;
                    }
                    Effect::Leave => over = true,
                }
            }
        }
        Ok(over)
    }

    /// Whether a process is a trainer of this scheduler. A child's number is its own until its end
    /// was seen; that of an adopted one is asked after each time.
    fn is_ours(&self, pid: u32) -> bool {
        let adopted = self.adopted.iter().find(|orphan| orphan.pid == pid);
        adopted.is_none_or(|orphan| alive::works_on(pid, &self.ledger.home, &orphan.id.run))
    }
}

fn lives(home: &Home, orphan: &Orphan) -> bool {
    let Orphan { id, pid, .. } = orphan;
    (*pid != 0 && alive::is_trainer(*pid, home, &id.run))
        || alive::lock_holder(&home.run(&id.run)).is_some()
}
