//! Progress as bars on a terminal: all runs together, and one bar for each that trains.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rungs_report::format::duration;
use rungs_spec::RunKey;
use rungs_spec::result::RunState;

use super::{Show, Snapshot, Wanted, evaluation_text, time_left};

/// Length of the overall bar: its share is a fraction, not a count.
const PARTS: u64 = 10_000;

pub(super) struct Bars {
    wanted: Wanted,
    all: MultiProgress,
    overall: ProgressBar,
    runs: BTreeMap<RunKey, ProgressBar>,
    began: Option<(Instant, f64)>,
    states: BTreeMap<RunKey, RunState>,
}

impl Bars {
    pub(super) fn new(wanted: Wanted) -> Bars {
        let all = MultiProgress::new();
        let overall = all.add(ProgressBar::new(PARTS));
        overall.set_style(style("{prefix:24} {wide_bar:.green/black} {msg}"));
        overall.set_prefix("all runs");
        Bars {
            wanted,
            all,
            overall,
            runs: BTreeMap::new(),
            began: None,
            states: BTreeMap::new(),
        }
    }

    fn line(&self, line: &str) {
        // A terminal that cannot be written to is no reason to stop training.
        self.all.println(line).ok();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

impl Show for Bars {
    fn show(&mut self, now: &Snapshot) {
        let (done, share) = self.wanted.share(now);
        let (began, share_then) = *self.began.get_or_insert_with(|| (Instant::now(), share));
        let total = self.wanted.order.len();
        self.overall.set_position((share * PARTS as f64) as u64);
        let left = match time_left(began, share_then, share) {
            _ if now.paused => "paused: `runner resume`".to_owned(),
            Some(seconds) => format!("{} left", duration(seconds)),
            None => "time left ?".to_owned(),
        };
        self.overall
            .set_message(format!("{done}/{total} runs, {left}"));
        for run in &self.wanted.order {
            let Some(state) = now.runs.state(run) else {
                continue;
            };
            let row = now.runs.open.get(run);
            let name = self.wanted.name(run).to_owned();
            let before = self.states.insert(run.clone(), state);
            if let (RunState::Running, Some(row)) = (state, row) {
                let bar = self.runs.entry(run.clone()).or_insert_with(|| {
                    let bar = self.all.add(ProgressBar::new(1));
                    bar.set_style(style("{prefix:24} {wide_bar:.cyan/black} {msg}"));
                    bar.set_prefix(name.clone());
                    bar
                });
                bar.set_length(row.progress.steps.max(1));
                bar.set_position(row.progress.step);
                let per_epoch = row.progress.steps_per_epoch.max(1);
                let of = self.wanted.epochs.get(run).copied().unwrap_or(0);
                let epoch = (row.progress.step / per_epoch + 1).min(u64::from(of.max(1)));
                let speed = match row.progress.images_per_s {
                    speed if speed > 0.0 => format!(", {speed:.0} images/s"),
                    _ => String::new(),
                };
                bar.set_message(format!("epoch {epoch}/{of}{speed}"));
                continue;
            }
            if let Some(bar) = self.runs.remove(run) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            let changed = before.is_some_and(|before| before != state);
            let message = row.and_then(|row| row.message.as_deref());
            match state {
                RunState::Done if changed => {
                    let values = now.results.get(run).and_then(evaluation_text);
                    let values = values.map_or_else(String::new, |(_, text)| format!(": {text}"));
                    self.line(&format!("done    {name}{values}"));
                }
                RunState::Failed if changed => {
                    let why = message.unwrap_or("no reason is known");
                    self.line(&format!("failed  {name}: {why}"));
                }
                RunState::Queued if changed && before == Some(RunState::Running) => {
                    self.line(&format!(
                        "again   {name}: {}",
                        message.unwrap_or("it was stopped")
                    ));
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.line(line);
    }

    fn end(&mut self) {
        for bar in self.runs.values() {
            bar.finish_and_clear();
        }
        self.overall.finish_and_clear();
    }
}
