//! Progress as plain lines: one per start, epoch and end of a run.

use std::collections::BTreeMap;
use std::time::Instant;

use rungs_report::format::duration;
use rungs_spec::RunKey;
use rungs_spec::result::RunState;

use super::{Show, Snapshot, Wanted, evaluation_text, time_left};

/// What was said of a run last.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    state: Option<RunState>,
    attempt: u32,
    epoch: u64,
}

pub(super) struct Lines {
    wanted: Wanted,
    told: BTreeMap<RunKey, Told>,
    began: Option<(Instant, f64)>,
}

impl Lines {
    pub(super) fn new(wanted: Wanted) -> Lines {
        Lines { wanted, told: BTreeMap::new(), began: None }
    }

    /// Lines about what changed.
    fn news(&mut self, now: &Snapshot) -> Vec<String> {
        let first_look = self.began.is_none();
        let (done, share) = self.wanted.share(now);
        let (began, share_then) = *self.began.get_or_insert_with(|| (Instant::now(), share));
        let total = self.wanted.order.len();
        let mut lines = Vec::new();
        for run in &self.wanted.order {
            let Some(row) = now.rows.get(run) else { continue };
            let name = self.wanted.name(run);
            let before = self.told.get(run).cloned().unwrap_or(Told {
                state: None,
                attempt: 0,
                epoch: 0,
            });
            let mut told = before.clone();
            told.state = Some(row.state);
            let evaluation = now.results.get(run).and_then(evaluation_text);
            let running = row.state == RunState::Running;
            if running && row.attempts > before.attempt {
                told.attempt = row.attempts;
                let again = if row.attempts > 1 {
                    format!(", attempt {}", row.attempts)
                } else {
                    String::new()
                };
                lines.push(format!("{name}: started on {}{again}", row.slot.as_deref().unwrap_or("?")));
            }
            if let Some((epoch, values)) = evaluation
                && epoch > before.epoch
            {
                told.epoch = epoch;
                let of = self.wanted.epochs.get(run).copied().unwrap_or(0);
                let speed = match row.progress.images_per_s {
                    speed if speed > 0.0 && running => format!(", {speed:.0} images/s"),
                    _ => String::new(),
                };
                if !first_look {
                    lines.push(format!("{name}: epoch {epoch}/{of}: {values}{speed}"));
                }
            }
            if before.state != told.state && !first_look {
                let message = row.message.as_deref().unwrap_or("no reason is known");
                match row.state {
                    RunState::Done => {
                        let left = time_left(began, share_then, share)
                            .filter(|_| done < total)
                            .map_or_else(String::new, |s| format!(", about {} left", duration(s)));
                        lines.push(format!("{name}: done ({done} of {total} runs{left})"));
                    }
                    RunState::Failed => lines.push(format!("{name}: failed: {message}")),
                    RunState::Cancelled => lines.push(format!("{name}: cancelled")),
                    RunState::Queued if before.state == Some(RunState::Running) => {
                        let why = row.message.as_ref().map_or(String::new(), |m| format!(": {m}"));
                        lines.push(format!("{name}: queued again{why}"));
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
