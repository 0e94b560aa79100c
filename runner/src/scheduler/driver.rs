//! Carries out what the state machine decides: claims, starts and ends trainers, takes in events,
//! writes decisions down.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use rungs_spec::RunKey;
use rungs_spec::home::{Home, JournalEntry};
use rungs_spec::protocol::FailureClass;
use rungs_store::{AttemptEnd, SlotRow, Store};
use tokio::sync::{mpsc, watch};

use super::catchup::Orphan;
use super::ending::{Ending, Exit, Verdict};
use super::ledger::{Ledger, run_file};
use super::lock::Waiting;
use super::machine::{AttemptId, Effect, Input, Machine, Stop, Work};
use super::{SchedulerLock, catchup, ingest, requests};
use crate::clock;
use crate::executor::{alive, local};
use crate::settled::Tracker;
use crate::slots::{self, Shares};
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

/// A trainer's end.
type End = (AttemptId, Exit);

/// The scheduler of a home.
#[derive(Debug)]
pub struct Driver {
    ledger: Ledger,
    trainer: Trainer,
    shares: Shares,
    machine: Machine,
    adopted: Vec<Orphan>,
    /// Trainers that ended, from the tasks that wait for them.
    ended: mpsc::UnboundedReceiver<End>,
    tell_ended: mpsc::UnboundedSender<End>,
    slots_told: Vec<SlotRow>,
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
        slots: Option<u32>,
    ) -> anyhow::Result<Driver> {
        let (ledger, orphans) = catchup::open(home, db, lock).await?;
        ledger.store.forget_kills().await?;
        let shares = Shares::of(&trainer.info, slots);
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let mut driver = Driver {
            ledger,
            machine: Machine::new(&shares),
            trainer,
            shares,
            adopted: Vec::new(),
            ended,
            tell_ended,
            slots_told: Vec::new(),
            tracker: Tracker::default(),
            changes_seen: None,
        };
        for orphan in orphans {
            tracing::info!(
                run = orphan.id.run.short(),
                attempt = orphan.id.attempt,
                pid = orphan.pid,
                "adopted a trainer that outlived its scheduler"
            );
            let work = Work {
                id: orphan.id.clone(),
                threads: orphan.threads,
                tries: orphan.tries,
                alone: orphan.timing,
            };
            driver.machine.step(Input::Adopted {
                work,
                pid: orphan.pid,
            });
            driver.adopted.push(orphan);
        }
        Ok(driver)
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
    /// write a checkpoint and leave, for nobody would look after them.
    pub async fn run(
        mut self,
        goal: Goal,
        stop: watch::Receiver<Option<Stop>>,
    ) -> anyhow::Result<()> {
        let outcome = self.schedule(&goal, stop).await;
        if outcome.is_err() {
            let alive = self.machine.alive().filter_map(|(_, pid)| pid);
            for pid in alive.filter(|pid| self.is_ours(*pid)) {
                local::terminate(pid);
            }
        }
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
                Some((id, exit)) = self.ended.recv() => self.ended(id, exit).await?,
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
            if self.ended(id, Exit::Unseen).await? {
                return Ok(true);
            }
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
        let changes = self.ledger.store.change_counter().await?;
        if self.changes_seen != Some(changes) {
            self.tracker.look(&self.ledger.store, runs.iter()).await?;
            self.changes_seen = Some(changes);
        }
        Ok(runs.iter().all(|run| self.tracker.is_settled(run)))
    }

    async fn ended(&mut self, id: AttemptId, exit: Exit) -> anyhow::Result<bool> {
        let Ledger { store, home, .. } = &self.ledger;
        ingest::attempt(store, home, &id.run, id.attempt).await?;
        let run_dir = home.run(&id.run);
        let said = ingest::said(&run_dir, id.attempt)?;
        let ending = Ending {
            exit,
            finished: said.finished,
            progressed: said.checkpointed,
            failed: said.failed,
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
    async fn feed(&mut self, input: Input) -> anyhow::Result<bool> {
        let mut inputs = VecDeque::from([input]);
        let mut over = false;
        while let Some(input) = inputs.pop_front() {
            for effect in self.machine.step(input) {
                match effect {
                    Effect::Claim { slot } => inputs.push_back(self.claim(slot).await?),
                    Effect::Start { slot, id } => inputs.push_back(self.start(slot, id).await?),
                    Effect::Terminate { pid } if self.is_ours(pid) => local::terminate(pid),
                    Effect::Kill { pid } if self.is_ours(pid) => local::kill(pid),
                    // Gone, and its number may be another process's by now.
                    Effect::Terminate { .. } | Effect::Kill { .. } => {}
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

    async fn claim(&self, slot: usize) -> anyhow::Result<Input> {
        let claim = self.ledger.store.claim(&self.shares.slots[slot]).await?;
        let work = match claim {
            None => None,
            Some(claim) => {
                let file = run_file(&self.ledger.home, &claim.run)?;
                Some(Work {
                    threads: file.compute_threads,
                    tries: claim.tries,
                    alone: file.timing,
                    id: AttemptId {
                        run: claim.run,
                        attempt: claim.attempt,
                    },
                })
            }
        };
        Ok(Input::Claimed { slot, claim: work })
    }

    async fn start(&self, slot: usize, id: AttemptId) -> anyhow::Result<Input> {
        let name = &self.shares.slots[slot];
        let launch = local::Launch {
            trainer: &self.trainer.path,
            run_dir: &self.ledger.home.run(&id.run),
            attempt: id.attempt,
            visible_devices: slots::visible_devices(&self.trainer.info, name),
        };
        let started = match launch.start() {
            Ok(started) => started,
            Err(error) => {
                let message = crate::failure::paragraph(&error);
                let ending = Ending {
                    exit: Exit::Unseen,
                    finished: false,
                    progressed: false,
                    failed: Some((FailureClass::Transient, message)),
                    log_tail: String::new(),
                };
                return Ok(Input::Ended {
                    id,
                    ending,
                    now_ms: clock::now_ms(),
                });
            }
        };
        let pid = started.pid;
        tracing::info!(run = id.run.short(), attempt = id.attempt, pid, slot = %name, "started");
        self.ledger
            .store
            .set_pid(&id.run, id.attempt, pid, name)
            .await?;
        let tell_ended = self.tell_ended.clone();
        let ended = id.clone();
        tokio::spawn(async move {
            let exit = started.wait().await;
            // If nobody listens any more, this process is leaving.
            tell_ended.send((ended, exit)).ok();
        });
        Ok(Input::Started { id, pid })
    }

    async fn record(&self, id: &AttemptId, verdict: Verdict) -> anyhow::Result<()> {
        let AttemptId { run, attempt } = id;
        let end = match verdict {
            Verdict::Finished => AttemptEnd::Finished,
            Verdict::Checkpointed => AttemptEnd::Checkpointed,
            Verdict::Killed { retry_at_ms } => {
                if let Some(at) = retry_at_ms {
                    let wait_s = (at - clock::now_ms()).max(0) / 1_000 + 1;
                    tracing::warn!(
                        run = run.short(),
                        attempt,
                        "killed again before it wrote a checkpoint; goes on in {wait_s} s"
                    );
                }
                AttemptEnd::Killed { retry_at_ms }
            }
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
            Verdict::Permanent { message, .. } => AttemptEnd::Permanent { message },
        };
        self.ledger.store.attempt_ended(run, *attempt, end).await?;
        Ok(())
    }

    async fn give_up(
        &self,
        id: &AttemptId,
        class: FailureClass,
        message: String,
    ) -> anyhow::Result<()> {
        let AttemptId { run, attempt } = id;
        tracing::error!(run = run.short(), attempt, "failed: {message}");
        let failed = JournalEntry::Failed {
            run: run.clone(),
            class,
            message: message.clone(),
        };
        self.ledger.decide(vec![failed]).await?;
        self.ledger
            .store
            .attempt_ended(run, *attempt, AttemptEnd::Permanent { message })
            .await?;
        Ok(())
    }

    /// Tells the database what the slots do, when that changed.
    async fn tell_slots(&mut self) -> anyhow::Result<()> {
        let mut rows: Vec<SlotRow> = self
            .shares
            .slots
            .iter()
            .map(|slot| SlotRow {
                slot: slot.clone(),
                device: slot.split(':').next().unwrap_or_default().to_owned(),
                threads: 1,
                run: None,
                attempt: None,
                updated_at_ms: 0,
            })
            .collect();
        for (id, _) in self.machine.alive() {
            let Some(at) = self.machine.slot_of(id) else {
                continue;
            };
            if at >= rows.len() {
                let slot = format!("adopted:{}", at - self.shares.slots.len());
                rows.push(SlotRow {
                    slot,
                    device: "cpu".to_owned(),
                    threads: 1,
                    run: None,
                    attempt: None,
                    updated_at_ms: 0,
                });
            }
            if let Some(row) = rows.get_mut(at) {
                row.run = Some(id.run.clone());
                row.attempt = Some(id.attempt);
            }
        }
        if rows != self.slots_told {
            self.ledger.store.set_slots(&rows).await?;
            self.slots_told = rows;
        }
        Ok(())
    }
}

fn lives(home: &Home, orphan: &Orphan) -> bool {
    let Orphan { id, pid, .. } = orphan;
    (*pid != 0 && alive::is_trainer(*pid, home, &id.run))
        || alive::lock_holder(&home.run(&id.run)).is_some()
}
