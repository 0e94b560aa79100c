//! The scheduler's decisions as a pure state machine: state x input -> effects. The driver
//! (`driver.rs`) carries the effects out and feeds back what happened. Inputs and effects are in
//! [`super::moves`].
//!
//! Architecture invariant: no I/O, no clock; time comes in with the input.

use std::collections::BTreeMap;

use rungs_spec::RunKey;

use super::ending::{Ending, Verdict, after_kills, judge};
pub use super::moves::{AttemptId, Effect, Handle, Input, Stop, Work};
use crate::slots::Shares;

#[derive(Debug, Clone, PartialEq)]
struct Tenant {
    work: Work,
    /// `None` until the trainer is started.
    handle: Option<Handle>,
    /// Cancelled by a person: asked to leave.
    cancelled: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Slot {
    Free,
    /// Asked the store.
    Claiming,
    /// Has an attempt, waits for CPU threads.
    Waiting(Tenant),
    /// Its trainer is alive, or being started.
    Busy(Tenant),
}

/// Straight back on the queue.
const NEVER_STARTED: Verdict = Verdict::Killed { retry_at_ms: None };

/// The state of a scheduler.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    slots: Vec<Slot>,
    /// Slots of [`Shares`]; those behind hold adopted trainers only and are not used again.
    own: usize,
    threads: Option<u32>,
    /// The slots are places in Slurm's queue.
    jobs: bool,
    /// Slurm takes nothing now.
    closed: bool,
    stop: Option<Stop>,
    /// How often each run was killed since it last made progress, while this scheduler lives.
    kills: BTreeMap<RunKey, u32>,
}

impl Machine {
    /// All slots free.
    pub fn new(shares: &Shares) -> Machine {
        Machine {
            slots: vec![Slot::Free; shares.slots.len()],
            own: shares.slots.len(),
            threads: shares.threads,
            jobs: shares.jobs,
            closed: false,
            stop: None,
            kills: BTreeMap::new(),
        }
    }

    /// Attempts that have a live trainer, or one being started.
    pub fn alive(&self) -> impl Iterator<Item = (&AttemptId, Option<Handle>)> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Busy(tenant) => Some((&tenant.work.id, tenant.handle)),
            _ => None,
        })
    }

    /// The slot of an attempt.
    pub fn slot_of(&self, id: &AttemptId) -> Option<usize> {
        self.slots
            .iter()
            .position(|s| s.tenant().is_some_and(|t| t.work.id == *id))
    }

    /// Takes one input in, and says what is to be done, in order.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Tick => self.look_for_work(&mut effects),
            Input::Claimed { slot, claim: None } => self.slots[slot] = Slot::Free,
            Input::Claimed {
                slot,
                claim: Some(work),
            } => {
                if self.stop.is_some() {
                    self.slots[slot] = Slot::Free;
                    effects.push(Effect::Record {
                        id: work.id,
                        verdict: NEVER_STARTED,
                    });
                } else {
                    let tenant = Tenant {
                        work,
                        handle: None,
                        cancelled: false,
                    };
                    self.slots[slot] = Slot::Waiting(tenant);
                    self.look_for_work(&mut effects);
                }
            }
            Input::Adopted { work, handle } => {
                let tenant = Tenant {
                    work,
                    handle: Some(handle),
                    cancelled: false,
                };
                let free = self.slots.iter().position(|s| *s == Slot::Free);
                match free.filter(|_| !self.is_elsewhere(&tenant)) {
                    Some(free) => self.slots[free] = Slot::Busy(tenant),
                    None => self.slots.push(Slot::Busy(tenant)),
                }
            }
            Input::Started { id, handle } => self.started(&id, handle, &mut effects),
            Input::Advanced { id, attempt } => {
                if let Some(tenant) = self.tenant_mut(&id) {
                    tenant.work.id.attempt = attempt;
                }
            }
            Input::Refused { id } => {
                if let Some(slot) = self.slot_of(&id) {
                    self.free(slot);
                    self.closed = true;
                    effects.push(Effect::Unclaim { id });
                }
            }
            Input::Reopened => {
                self.closed = false;
                self.look_for_work(&mut effects);
            }
            Input::Ended { id, ending, now_ms } => self.ended(id, &ending, now_ms, &mut effects),
            Input::Cancelled { run } => self.cancelled(&run, &mut effects),
            Input::Stop(how) => self.stop(how, &mut effects),
        }
        self.leave_if_done(&mut effects);
        effects
    }

    /// One question to the store at a time: an empty queue costs one query a tick.
    fn look_for_work(&mut self, effects: &mut Vec<Effect>) {
        if self.stop.is_some() || self.closed {
            return;
        }
        // Who waits for threads goes first, or it would wait for ever behind smaller runs.
        for i in 0..self.slots.len() {
            let Slot::Waiting(tenant) = &self.slots[i] else {
                continue;
            };
            if self.fits(&tenant.work) {
                let tenant = tenant.clone();
                effects.push(Effect::Start {
                    slot: i,
                    id: tenant.work.id.clone(),
                });
                self.slots[i] = Slot::Busy(tenant);
            }
        }
        let busy = self
            .slots
            .iter()
            .any(|s| matches!(s, Slot::Waiting(_) | Slot::Claiming));
        let elsewhere = |s: &&Slot| s.tenant().is_some_and(|t| self.is_elsewhere(t));
        let in_use = self.slots.iter().filter(|s| **s != Slot::Free);
        let own_in_use = in_use.filter(|s| !elsewhere(s)).count();
        let has_thread = self.threads.is_none_or(|all| self.threads_in_use() < all);
        if busy || own_in_use >= self.own || !has_thread || self.is_timing() {
            return;
        }
        if let Some(free) = self.slots[..self.own].iter().position(|s| *s == Slot::Free) {
            self.slots[free] = Slot::Claiming;
            effects.push(Effect::Claim { slot: free });
        }
    }

    /// Whether an attempt takes no share of what this machine shares out: a job of Slurm none of the
    /// processors here, a process here no place in Slurm's queue.
    fn is_elsewhere(&self, tenant: &Tenant) -> bool {
        tenant
            .handle
            .is_some_and(|handle| (handle == Handle::Job) != self.jobs)
    }

    /// Whether every place in Slurm's queue is taken, or it takes nothing.
    pub fn is_full(&self) -> bool {
        self.closed || self.slots[..self.own].iter().all(|s| s.tenant().is_some())
    }

    fn threads_in_use(&self) -> u32 {
        self.busy().map(|work| work.threads).sum()
    }

    fn busy(&self) -> impl Iterator<Item = &Work> {
        self.slots.iter().filter_map(|s| match s {
            Slot::Busy(tenant) if !self.is_elsewhere(tenant) => Some(&tenant.work),
            Slot::Busy(_) | Slot::Free | Slot::Claiming | Slot::Waiting(_) => None,
        })
    }

    /// Whether a run has the machine for itself.
    fn is_timing(&self) -> bool {
        self.busy().any(|work| work.alone)
    }

    /// Whether an attempt may start beside those that live. A run that wants more threads than there
    /// are gets the machine for itself, and so does a timing run.
    fn fits(&self, work: &Work) -> bool {
        if self.busy().next().is_none() {
            return true;
        }
        let threads = self
            .threads
            .is_none_or(|all| self.threads_in_use() + work.threads <= all);
        threads && !work.alone && !self.is_timing()
    }

    fn started(&mut self, id: &AttemptId, handle: Handle, effects: &mut Vec<Effect>) {
        let stop = self.stop;
        let Some(tenant) = self.tenant_mut(id) else {
            return;
        };
        tenant.handle = Some(handle);
        let cancelled = tenant.cancelled;
        match (handle, stop) {
            (Handle::Process(pid), Some(Stop::AtOnce)) => effects.push(Effect::Kill { pid }),
            (Handle::Process(pid), Some(Stop::Checkpoint)) => {
                effects.push(Effect::Terminate { pid });
            }
            (handle, _) if cancelled => effects.push(leave(handle, &id.run)),
            _ => {}
        }
    }

    fn ended(&mut self, id: AttemptId, ending: &Ending, now_ms: i64, effects: &mut Vec<Effect>) {
        let Some(slot) = self.slot_of(&id) else {
            return;
        };
        let tries = self.slots[slot].tenant().map_or(1, |t| t.work.tries);
        self.free(slot);
        let verdict = judge(ending, tries, now_ms);
        effects.push(match self.backed_off(&id.run, verdict, ending, now_ms) {
            Verdict::Permanent { class, message } => Effect::GiveUp { id, class, message },
            verdict => Effect::Record { id, verdict },
        });
        self.look_for_work(effects);
    }

    fn free(&mut self, slot: usize) {
        if slot < self.own {
            self.slots[slot] = Slot::Free;
        } else {
            self.slots.remove(slot);
        }
    }

    /// Sets the back-off of a run that is killed again and again.
    fn backed_off(
        &mut self,
        run: &RunKey,
        verdict: Verdict,
        ending: &Ending,
        now_ms: i64,
    ) -> Verdict {
        let killed = matches!(verdict, Verdict::Killed { .. });
        if ending.progressed || !killed {
            self.kills.remove(run);
        }
        if !killed {
            return verdict;
        }
        let kills = self.kills.entry(run.clone()).or_default();
        *kills += 1;
        Verdict::Killed {
            retry_at_ms: after_kills(*kills, now_ms),
        }
    }

    fn cancelled(&mut self, run: &RunKey, effects: &mut Vec<Effect>) {
        for slot in &mut self.slots {
            match slot {
                Slot::Busy(tenant) if tenant.work.id.run == *run => {
                    tenant.cancelled = true;
                    if let Some(handle) = tenant.handle {
                        effects.push(leave(handle, run));
                    }
                }
                Slot::Waiting(tenant) if tenant.work.id.run == *run => {
                    effects.push(Effect::Record {
                        id: tenant.work.id.clone(),
                        verdict: NEVER_STARTED,
                    });
                    *slot = Slot::Free;
                }
                _ => {}
            }
        }
    }

    fn stop(&mut self, how: Stop, effects: &mut Vec<Effect>) {
        if self.stop.is_some_and(|now| now >= how) {
            return;
        }
        self.stop = Some(how);
        for slot in &mut self.slots {
            match slot {
                // Never started: straight back on the queue.
                Slot::Waiting(tenant) => {
                    effects.push(Effect::Record {
                        id: tenant.work.id.clone(),
                        verdict: NEVER_STARTED,
                    });
                    *slot = Slot::Free;
                }
                Slot::Busy(Tenant {
                    handle: Some(Handle::Process(pid)),
                    ..
                }) => match how {
                    Stop::Detach => {}
                    Stop::Checkpoint => effects.push(Effect::Terminate { pid: *pid }),
                    Stop::AtOnce => effects.push(Effect::Kill { pid: *pid }),
                },
                _ => {}
            }
        }
    }

    /// Jobs of Slurm are left to the next scheduler in any case.
    fn leave_if_done(&self, effects: &mut Vec<Effect>) {
        let done = self.stop.is_some_and(|stop| {
            !self.slots.iter().any(|s| match s {
                Slot::Claiming | Slot::Waiting(_) => true,
                Slot::Busy(tenant) => match tenant.handle {
                    None => true,
                    Some(Handle::Process(_)) => stop != Stop::Detach,
                    Some(Handle::Job) => false,
                },
                Slot::Free => false,
            })
        });
        if done && !effects.contains(&Effect::Leave) {
            effects.push(Effect::Leave);
        }
    }

    fn tenant_mut(&mut self, id: &AttemptId) -> Option<&mut Tenant> {
        self.slots.iter_mut().find_map(|slot| match slot {
            Slot::Busy(tenant) | Slot::Waiting(tenant) if tenant.work.id == *id => Some(tenant),
            _ => None,
        })
    }
}

/// What makes an attempt of a cancelled run leave.
fn leave(handle: Handle, run: &RunKey) -> Effect {
    match handle {
        Handle::Process(pid) => Effect::Terminate { pid },
        Handle::Job => Effect::CancelJob { run: run.clone() },
    }
}

impl Slot {
    fn tenant(&self) -> Option<&Tenant> {
        match self {
            Slot::Waiting(tenant) | Slot::Busy(tenant) => Some(tenant),
            Slot::Free | Slot::Claiming => None,
        }
    }
}

#[cfg(test)]
#[path = "machine_jobs_tests.rs"]
mod jobs_tests;
#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
