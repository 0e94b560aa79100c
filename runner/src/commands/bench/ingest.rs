//! `runner bench ingest`: how fast do the points of a run get from its event file into the database,
//! and how much room do they take there?

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use rungs_spec::protocol::{Event, EventKind, Num, PROTOCOL_VERSION};
use rungs_spec::runkey::of_json;
use rungs_store::{Store, events};
use serde::Serialize;
use serde_json::json;

use super::usage::cpu_seconds;
use crate::cli::BenchIngestArgs;
use crate::context::Context;
use crate::output;

/// Steps of one event, as the trainer writes them.
const BLOCK: u64 = 100;
/// ImageNet in batches of 256.
const STEPS_PER_EPOCH: u64 = 5000;

/// What is printed: a run whose loss is single precision, as training in FP32 and FP16 has it.
#[derive(Debug, Serialize)]
struct Report {
    /// Wall time, parsing included.
    points_per_s: f64,
    /// The same by CPU time of all threads.
    points_per_cpu_s: f64,
    /// The database's file, with everything else that is in it.
    bytes_per_point: f64,
    runs: Vec<Measured>,
}

#[derive(Debug, Serialize)]
struct Measured {
    loss: &'static str,
    steps: u64,
    points: u64,
    points_per_s: f64,
    points_per_cpu_s: f64,
    bytes_per_point: f64,
    loss_bytes_per_point: f64,
    lr_bytes_per_point: f64,
    event_file_bytes: u64,
    /// Reading every point of the loss again.
    read_s: f64,
}

pub(super) async fn run(context: &Context, args: &BenchIngestArgs) -> anyhow::Result<()> {
    // Beside the home, not in memory: a database waits for its disk.
    let within = context.home.dir().parent().filter(|dir| dir.is_dir());
    let within = within.unwrap_or(Path::new("."));
    let dir = tempfile::tempdir_in(within)
        .with_context(|| format!("{}: no files can be made there", within.display()))?;
    let mut runs = Vec::new();
    for (loss, single) in [("single precision", true), ("double precision", false)] {
        runs.push(measure(dir.path(), loss, single, args.steps).await?);
    }
    let first = runs.first().context("nothing was measured")?;
    let report = Report {
        points_per_s: first.points_per_s,
        points_per_cpu_s: first.points_per_cpu_s,
        bytes_per_point: first.bytes_per_point,
        runs,
    };
    if context.json {
        return output::print_json(&report);
    }
    let mut text = format!("{} steps of train/loss and lr\n", args.steps);
    for m in &report.runs {
        text += &format!(
            "loss in {}: {:.0} points/s ({:.0} a second of CPU time), {:.2} bytes a point on disk, all points of the \
             loss read in {:.3} s\n",
            m.loss, m.points_per_s, m.points_per_cpu_s, m.bytes_per_point, m.read_s
        );
    }
    output::print(&text)
}

async fn measure(
    dir: &Path,
    loss: &'static str,
    single: bool,
    steps: u64,
) -> anyhow::Result<Measured> {
    let events_file = dir.join("attempt-1.jsonl");
    write_run(&events_file, steps, single)?;
    let db = dir.join(if single { "single.db" } else { "double.db" });
    let store = Store::open_writer(&db).await?;
    let run = of_json(&json!(loss));
    let (begun, cpu, mut offset) = (Instant::now(), cpu_seconds(), 0);
    loop {
        let read = events::read_from(&events_file, offset)?;
        store.ingest(&run, 1, read.offset, &read.events).await?;
        offset = read.offset;
        if !read.more {
            break;
        }
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let begun = Instant::now();
    let back = store.series(&run, "train/loss", false).await?;
    let read_s = begun.elapsed().as_secs_f64();
    anyhow::ensure!(
        back.len() as u64 == steps,
        "{} of {steps} points came back",
        back.len()
    );
    let loss_bytes = store.series_size(&run, "train/loss").await?.bytes;
    let lr_bytes = store.series_size(&run, "lr").await?.bytes;
    store.close().await;
    let points = 2 * steps;
    Ok(Measured {
        loss,
        steps,
        points,
        points_per_s: points as f64 / seconds,
        points_per_cpu_s: points as f64 / cpu.max(1e-9),
        bytes_per_point: std::fs::metadata(&db)?.len() as f64 / points as f64,
        loss_bytes_per_point: loss_bytes as f64 / steps as f64,
        lr_bytes_per_point: lr_bytes as f64 / steps as f64,
        event_file_bytes: std::fs::metadata(&events_file)?.len(),
        read_s,
    })
}

/// The event file of a run with a falling, noisy loss, and a cosine rate after a warmup of five epochs.
fn write_run(path: &Path, steps: u64, single: bool) -> anyhow::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut state = 1u64;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let warmup = 5 * STEPS_PER_EPOCH;
    for step0 in (0..steps).step_by(BLOCK as usize) {
        let range = step0..(step0 + BLOCK).min(steps);
        let loss = range.clone().map(|step| {
            let value = 7.0 / (1.0 + step as f64 / 20_000.0) + 1.0 + 0.4 * noise();
            Num(match single {
                true => f64::from(value as f32),
                false => value,
            })
        });
        let values = BTreeMap::from([
            ("train/loss".to_owned(), loss.collect()),
            (
                "lr".to_owned(),
                range.map(|step| Num(rate(step, warmup, steps))).collect(),
            ),
        ]);
        let event = Event {
            v: PROTOCOL_VERSION,
            t: "2026-01-01T00:00:00Z".to_owned(),
            attempt: 1,
            kind: EventKind::Metrics {
                step0,
                epoch0: step0 / STEPS_PER_EPOCH,
                values,
            },
        };
        serde_json::to_writer(&mut file, &event)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(())
}

fn rate(step: u64, warmup: u64, steps: u64) -> f64 {
    if step < warmup {
        0.4 * (step + 1) as f64 / warmup as f64
    } else {
        let t = (step - warmup) as f64 / (steps.max(warmup + 1) - warmup) as f64;
        0.2 * (1.0 + (std::f64::consts::PI * t).cos())
    }
}
