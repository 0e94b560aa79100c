//! Progress as plain lines: one per start, epoch and end of a run.

use std::collections::BTreeMap;
use std::time::Instant;

use rungs_report::format::duration;
use rungs_spec::RunKey;
use rungs_spec::result::RunState;
use rungs_store::JOB_SLOT;

use super::{Show, Snapshot, Wanted, evaluation_text, time_left};
use crate::scheduler::catchup;

/// What was said of a run last.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    state: Option<RunState>,
    attempt: u32,
    epoch: u64,
    message: Option<String>,
}

pub(super) struct Lines {
    wanted: Wanted,
    told: BTreeMap<RunKey, Told>,
    began: Option<(Instant, f64)>,
}

impl Lines {
    pub(super) fn new(wanted: Wanted) -> Lines {
        Lines {
            wanted,
            told: BTreeMap::new(),
            began: None,
        }
    }

    /// Lines about what changed.
    fn news(&mut self, now: &Snapshot) -> Vec<String> {
        let first_look = self.began.is_none();
        let (done, share) = self.wanted.share(now);
        let (began, share_then) = *self.began.get_or_insert_with(|| (Instant::now(), share));
        let total = self.wanted.order.len();
        let mut lines = Vec::new();
        for run in &self.wanted.order {
            let Some(state) = now.runs.state(run) else {
                continue;
            };
            let row = now.runs.open.get(run);
            let name = self.wanted.name(run);
            let before = self.told.get(run).cloned().unwrap_or(Told {
                state: None,
                attempt: 0,
                epoch: 0,
                message: None,
            });
            let mut told = before.clone();
            told.state = Some(state);
            let evaluation = now.results.get(run).and_then(evaluation_text);
            let running = state == RunState::Running;
            // Slurm has not taken it in yet, and may not.
            let asked_for = row.is_some_and(|row| row.slot.as_deref() == Some("slurm"));
            if let Some(row) = row
                && running
                && !asked_for
                && row.attempts > before.attempt
            {
                told.attempt = row.attempts;
                let attempt = if row.attempts > 1 {
                    format!(", attempt {}", row.attempts)
                } else {
                    String::new()
                };
                lines.push(match row.slot.as_deref() {
                    Some(catchup::ADOPTED) => {
                        format!("{name}: its trainer is still alive and goes on{attempt}")
                    }
                    Some(slot) if slot.starts_with(JOB_SLOT) => {
                        let number = slot.trim_start_matches(JOB_SLOT);
                        format!("{name}: in Slurm as job {number}{attempt}")
                    }
                    slot => format!("{name}: started on {}{attempt}", slot.unwrap_or("?")),
                });
            }
            if let Some((epoch, values)) = evaluation
                && epoch > before.epoch
            {
                told.epoch = epoch;
                let of = self.wanted.epochs.get(run).copied().unwrap_or(0);
                let speed = match row.map_or(0.0, |row| row.progress.images_per_s) {
                    speed if speed > 0.0 && running => format!(", {speed:.0} images/s"),
                    _ => String::new(),
                };
                if !first_look {
                    lines.push(format!("{name}: epoch {epoch}/{of}: {values}{speed}"));
                }
            }
            let message = row.and_then(|row| row.message.as_deref());
            told.message = message.map(str::to_owned);
            let changed = before.state != told.state || before.message != told.message;
            if changed && !first_look {
                match state {
                    RunState::Done => {
                        let left = time_left(began, share_then, share)
                            .filter(|_| done < total)
                            .map_or_else(String::new, |s| format!(", about {} left", duration(s)));
                        lines.push(format!("{name}: done ({done} of {total} runs{left})"));
                    }
                    RunState::Failed => lines.push(format!(
                        "{name}: failed: {}",
                        message.unwrap_or("no reason is known")
                    )),
                    RunState::Cancelled => lines.push(format!("{name}: cancelled")),
                    RunState::Queued if message.is_some() => {
                        let why = message.unwrap_or_default();
                        lines.push(format!("{name}: will be tried again: {why}"));
                    }
                    RunState::Queued
                        if before.state == Some(RunState::Running) && before.attempt > 0 =>
                    {
                        lines.push(format!("{name}: stopped, queued again"));
                    }
                    RunState::New | RunState::Blocked | RunState::Queued | RunState::Running => {}
                }
            }
            self.told.insert(run.clone(), told);
        }
        lines
    }
}

impl Show for Lines {
    fn show(&mut self, now: &Snapshot) {
        for line in self.news(now) {
            eprintln!("{line}");
        }
    }

    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }

    fn end(&mut self) {}
}
