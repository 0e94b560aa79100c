//! The charts of a run: two columns over one x axis.

use rungs_report::chart::{Lap, XKind};
use rungs_report::format;
use rungs_spec::metric;
use rungs_spec::result::RunResult;
use rungs_store::{AttemptRow, Store};

use super::super::{ChartLink, escape};
use super::Choices;
use crate::charts;
use crate::error::Failure;
use crate::human::plural;

/// A chart with its heading.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) chart: Option<ChartLink>,
    pub(super) empty: &'static str,
    pub(super) points: usize,
    pub(super) caption: String,
}

/// Pixels.
const SIZE: (u32, u32) = (340, 220);

struct Kind {
    title: &'static str,
    metrics: &'static [&'static str],
    /// What stands there before the first point; without it, nothing does.
    empty: Option<&'static str>,
}

const EPOCHS: Option<&str> = Some("Appears with the first evaluated epoch.");
const STEPS: Option<&str> = Some("Appears with the first steps.");

const KINDS: [Kind; 12] = [
    Kind {
        title: "Accuracy",
        metrics: &[
            "val/top1",
            "val/top5",
            "test/top1",
            "test/top5",
            "val/map07",
            "val/map_area",
            "val/pixacc",
            "val/miou",
        ],
        empty: EPOCHS,
    },
    Kind {
        title: "Loss",
        metrics: &["train/loss", "val/loss"],
        empty: STEPS,
    },
    Kind {
        title: "Learning rate",
        metrics: &["lr"],
        empty: STEPS,
    },
    Kind {
        title: "Throughput",
        metrics: &["system/images_per_s"],
        empty: EPOCHS,
    },
    Kind {
        title: "Memory",
        metrics: &["system/rss_bytes"],
        empty: EPOCHS,
    },
    Kind {
        title: "CPU time",
        metrics: &["system/cpu_s"],
        empty: EPOCHS,
    },
    Kind {
        title: "GPU busy",
        metrics: &["system/gpu_busy"],
        empty: None,
    },
    Kind {
        title: "GPU memory",
        metrics: &["system/gpu_memory_bytes"],
        empty: None,
    },
    Kind {
        title: "GPU energy",
        metrics: &["system/gpu_energy_j"],
        empty: None,
    },
    Kind {
        title: "Loss scale",
        metrics: &["system/loss_scale"],
        empty: None,
    },
    Kind {
        title: "Skipped steps",
        metrics: &["system/skipped_steps"],
        empty: None,
    },
    Kind {
        title: "Undecodable images",
        metrics: &["system/corrupt_images"],
        empty: None,
    },
];

pub(super) async fn panels(
    store: &Store,
    result: &RunResult,
    attempts: &[AttemptRow],
    choices: &Choices,
) -> Result<Vec<Panel>, Failure> {
    let key = &result.key;
    let x = choices.x()?;
    let range = range(result, &charts::laps(attempts), x);
    let mut panels = Vec::new();
    for kind in &KINDS {
        let mut shown = Vec::new();
        let (mut words, mut ends) = (Vec::new(), Vec::new());
        let (mut points, mut superseded) = (0, 0);
        for name in kind.metrics {
            let series = charts::series(store, result, name, choices.superseded()).await?;
            let n = series.live.len();
            superseded += series.superseded.len();
            if n == 0 {
                continue;
            }
            points += n;
            if let Some(last) = series.live.last() {
                let last = format::number(name, last.value);
                let title = metric::find(name).map_or(*name, |m| m.title);
                ends.push(format!("{title} ends at {last}"));
            }
            shown.push(*name);
            let per = if series.evaluated { "epoch" } else { "step" };
            words.push(format!(
                "{}: {}, one per {per}",
                metric::find(name).map_or(*name, |m| m.title),
                plural(n, "point")
            ));
        }
        if superseded > 0 {
            words.push(format!("{superseded} superseded"));
        }
        let Some(empty) = kind.empty.or((points > 0).then_some("")) else {
            continue;
        };
        let mut query = format!(
            "runs={key}&metric={}&x={}&v={points}",
            shown.join(","),
            x.word()
        );
        let (from, to) = choices.window();
        for (name, chosen, all) in [("from", from, range.0), ("to", to, range.1)] {
            match chosen {
                Some(chosen) => query.push_str(&format!("&{name}={}", escape(chosen))),
                None => query.push_str(&format!("&{name}={all}")),
            }
        }
        if choices.superseded() {
            query.push_str("&superseded=1");
        }
        if kind.title == "Loss" {
            query.push_str(&choices.loss_query());
        }
        let alt = format!("{} by {}: {}", kind.title, x.word(), ends.join("; "));
        panels.push(Panel {
            title: kind.title,
            chart: (points > 0).then(|| ChartLink::new("line", &query, alt, SIZE, true)),
            empty,
            points,
            caption: words.join(" · "),
        });
    }
    Ok(panels)
}

/// First and last x of the whole run, the same for all of its charts.
fn range(result: &RunResult, laps: &[Lap], x: XKind) -> (f64, f64) {
    let p = result.progress;
    let seconds = |lap: &Lap| lap.last.1 - lap.first.1;
    let (low, high) = match x {
        XKind::Step => (0.0, p.step as f64),
        XKind::Epoch => (0.0, p.step as f64 / p.steps_per_epoch.max(1) as f64),
        XKind::Time => match &result.finished {
            Some(done) if laps.len() < 2 && !done.epoch_seconds.is_empty() => {
                (0.0, done.epoch_seconds.iter().sum())
            }
            _ => (0.0, laps.iter().map(seconds).sum()),
        },
        XKind::Wall => (
            laps.first().map_or(0.0, |lap| lap.first.1),
            laps.last().map_or(1.0, |lap| lap.last.1),
        ),
    };
    if high > low {
        (low, high)
    } else {
        (low, low + 1.0)
    }
}
