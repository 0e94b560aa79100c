//! Stays until the runs are over: as the scheduler where there is none, else watching the one there
//! is, and taking over when it leaves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use rungs_spec::home::JournalEntry;
use rungs_spec::result::RunState;
use rungs_store::{Store, requests};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Context, Executor, Failure, Trainer, Wanted, progress};
use crate::interrupt;
use crate::progress::{Show, Snapshot};
use crate::scheduler::SchedulerLock;
use crate::scheduler::driver::{Driver, Goal};
use crate::scheduler::lock::Waiting;
use crate::scheduler::machine::Stop;
use crate::settled::Tracker;

/// What `reproduce` waits for, and what it needs to be the scheduler.
pub(super) struct Attend<'a> {
    pub context: &'a Context,
    pub trainer: Trainer,
    pub executor: Executor,
    pub slots: Option<u32>,
    pub wanted: &'a Wanted,
    /// Request files that must have been carried out.
    pub requests: Vec<PathBuf>,
}

/// How long another process may hold the lock without being called the scheduler.
const MOMENT: Duration = Duration::from_secs(2);

type Scheduler = JoinHandle<anyhow::Result<()>>;

impl Attend<'_> {
    /// Returns when no wanted run can get any further.
    pub async fn until_settled(&self, show_progress: bool) -> anyhow::Result<()> {
        let stop = interrupt::listen()?;
        let mut display = progress::display(self.wanted, self.context.quiet || !show_progress);
        let outcome = self.watch(stop, display.as_mut()).await;
        display.end();
        outcome
    }

    async fn watch(
        &self,
        mut stop: watch::Receiver<Option<Stop>>,
        display: &mut dyn Show,
    ) -> anyhow::Result<()> {
        let mut scheduler: Option<Scheduler> = None;
        let mut store: Option<Store> = None;
        let mut before = Snapshot::default();
        let mut told_of_other = false;
        let mut waiting = None;
        let began = tokio::time::Instant::now();
        let mut looks = tokio::time::interval(progress::LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if scheduler.is_none() {
                scheduler = self.become_scheduler(stop.clone()).await?;
                waiting = match (&scheduler, waiting) {
                    (Some(_), _) => None,
                    (None, None) => Some(Waiting::announce(&self.context.home)?),
                    (None, waiting) => waiting,
                };
                // A command that only looks holds the lock for a moment.
                if scheduler.is_none() && !told_of_other && began.elapsed() > MOMENT {
                    told_of_other = true;
                    let holder = SchedulerLock::holder(&self.context.home)
                        .map_or_else(String::new, |pid| format!(" (process {pid})"));
                    display.say(&format!(
                        "another scheduler{holder} works on this home: it trains these runs, this \
                         command watches"
                    ));
                }
            }
            tokio::select! {
                _ = looks.tick() => {}
                ended = over(&mut scheduler) => {
                    scheduler = None;
                    ended?;
                    if stop.borrow().is_some() {
                        bail!(Failure::Interrupted);
                    }
                }
                Ok(()) = stop.changed() => {
                    let how = *stop.borrow_and_update();
                    self.interrupted(how, scheduler.is_some(), display)?;
                }
            }
            if store.is_none() {
                store = Store::open_reader(&self.context.database()).await.ok();
            }
            let Some(store) = &store else { continue };
            let looked = tokio::time::Instant::now();
            let now = progress::look(store, self.wanted, &before).await?;
            // A home of ten thousand runs is looked at less often: training comes first.
            looks.reset_after(progress::LOOK.max(looked.elapsed() * 10));
            display.show(&now);
            if now.paused && !before.paused {
                display.say("paused: nothing new is started until `runner resume`");
            }
            let asked = self.requests.iter().any(|request| request.exists());
            if !asked {
                self.check_refusals()?;
                let over = self.wanted.order.iter().all(|run| now.runs.is_settled(run));
                if over {
                    return self.leave(scheduler, display).await;
                }
            }
            before = now;
        }
    }

    /// Takes the lock if it is free, and starts to schedule.
    async fn become_scheduler(
        &self,
        stop: watch::Receiver<Option<Stop>>,
    ) -> anyhow::Result<Option<Scheduler>> {
        let Context { home, .. } = self.context;
        let Some(lock) = SchedulerLock::try_take(home)? else {
            return Ok(None);
        };
        let db = self.context.database();
        let (trainer, executor) = (self.trainer.clone(), self.executor.clone());
        let mut driver = Driver::open(home, &db, lock, trainer, executor, self.slots).await?;
        driver.carry_out_requests().await?;
        self.go_first(&driver).await?;
        let goal = Goal::Settled(self.wanted.keys());
        Ok(Some(tokio::spawn(driver.run(goal, stop))))
    }

    /// Who pays for the scheduler goes first: runs that an earlier command left on the queue wait.
    async fn go_first(&self, driver: &Driver) -> anyhow::Result<()> {
        let mut runs = Tracker::default();
        runs.look(driver.store(), self.wanted.order.iter()).await?;
        let rows = &runs.open;
        let waits = |state| matches!(state, RunState::Queued | RunState::Blocked);
        let others = rows
            .values()
            .filter(|row| waits(row.state) && !self.wanted.names.contains_key(&row.key))
            .map(|row| row.priority)
            .max();
        let Some(others) = others else { return Ok(()) };
        let raised = self
            .wanted
            .order
            .iter()
            .filter_map(|run| rows.get(run))
            .filter(|row| waits(row.state) && row.priority <= others)
            .map(|row| JournalEntry::Priority {
                run: row.key.clone(),
                priority: others + 1,
            });
        driver.decide(raised.collect()).await
    }

    fn interrupted(
        &self,
        how: Option<Stop>,
        schedules: bool,
        display: &mut dyn Show,
    ) -> anyhow::Result<()> {
        match how {
            None => {}
            Some(_) if !schedules => {
                display.say(
                    "left; the other scheduler goes on with these runs (`runner cancel RUN` stops one)",
                );
                bail!(Failure::Interrupted);
            }
            Some(_) if self.executor.slurm().is_some() => display.say(
                "left; the jobs go on in Slurm. The same command, or `runner daemon --executor slurm`, \
                 picks them up; `runner cancel RUN` stops one.",
            ),
            Some(Stop::AtOnce) => display.say("stopping at once"),
            Some(Stop::Checkpoint | Stop::Detach) => display.say(
                "stopping: trainers write a checkpoint first, which takes seconds; again to stop at \
                 once. The same command goes on from there.",
            ),
        }
        Ok(())
    }

    fn check_refusals(&self) -> anyhow::Result<()> {
        match self
            .requests
            .iter()
            .find_map(|request| requests::take_refusal(request))
        {
            Some(reason) => bail!("{reason}"),
            None => Ok(()),
        }
    }

    async fn leave(
        &self,
        scheduler: Option<Scheduler>,
        display: &mut dyn Show,
    ) -> anyhow::Result<()> {
        let Some(mut scheduler) = scheduler else {
            return Ok(());
        };
        // It sees the same and leaves; runs of other commands stay with their trainers.
        match tokio::time::timeout(Duration::from_secs(60), &mut scheduler).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                display.say("the scheduler did not leave within a minute; leaving it");
                Ok(())
            }
        }
    }
}

/// Waits for the end of the scheduler; for ever if there is none.
async fn over(scheduler: &mut Option<Scheduler>) -> anyhow::Result<()> {
    match scheduler {
        Some(scheduler) => scheduler.await?,
        None => std::future::pending().await,
    }
}
