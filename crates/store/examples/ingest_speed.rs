//! How fast a run of 600,000 steps gets into the database, and how much room it takes there.
//! `cargo run --release -p rungs-store --example ingest_speed [STEPS]`, one JSON object a line.
#![expect(clippy::print_stdout, reason = "a program that prints its results")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use rungs_spec::protocol::{Event, EventKind, Num, PROTOCOL_VERSION};
use rungs_spec::runkey::of_json;
use rungs_store::{Store, events};
use serde_json::json;

/// Steps of one metrics event.
const BLOCK: u64 = 100;
const STEPS_PER_EPOCH: u64 = 5000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: u64 = std::env::args().nth(1).map_or(Ok(600_000), |s| s.parse())?;
    let dir = tempfile::tempdir()?;
    for (name, single) in [
        ("loss in double precision", false),
        ("loss in single precision", true),
    ] {
        let path = dir.path().join("attempt-1.jsonl");
        write_run(&path, steps, single)?;
        let db = dir
            .path()
            .join(if single { "single.db" } else { "double.db" });
        let store = Store::open_writer(&db).await?;
        let run = of_json(&json!(name));
        let (mut parse, mut ingest, mut offset) = (0.0, 0.0, 0);
        loop {
            let start = Instant::now();
            let read = events::read_from(&path, offset)?;
            parse += start.elapsed().as_secs_f64();
            let start = Instant::now();
            store.ingest(&run, 1, read.offset, &read.events).await?;
            ingest += start.elapsed().as_secs_f64();
            offset = read.offset;
            if !read.more {
                break;
            }
        }
        let start = Instant::now();
        let back = store.series(&run, "train/loss", false).await?;
        let read = start.elapsed().as_secs_f64();
        assert_eq!(back.len() as u64, steps);
        let (loss, lr) = (
            store.series_size(&run, "train/loss").await?,
            store.series_size(&run, "lr").await?,
        );
        let points = 2 * steps;
        store.close().await;
        let all = json!({
            "run": name, "steps": steps, "event_file_bytes": std::fs::metadata(&path)?.len(),
            "points_per_s": points as f64 / (parse + ingest), "parse_s": parse, "ingest_s": ingest, "series_read_s": read,
            "bytes_per_point": (loss.bytes + lr.bytes) as f64 / points as f64,
            "loss_bytes_per_point": loss.bytes as f64 / steps as f64, "lr_bytes_per_point": lr.bytes as f64 / steps as f64,
            "database_bytes_per_point": std::fs::metadata(&db)?.len() as f64 / points as f64,
        });
        println!("{all}");
    }
    live(
        &dir.path().join("live.db"),
        &dir.path().join("attempt-1.jsonl"),
    )
    .await
}

/// As while training: one event a transaction, the open blocks rewritten each time.
async fn live(db: &Path, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open_writer(db).await?;
    let run = of_json(&json!("live"));
    let read = events::read_from(file, 0)?;
    let some = &read.events[..read.events.len().min(500)];
    let start = Instant::now();
    for (i, event) in some.iter().enumerate() {
        store
            .ingest(&run, 1, i as u64 + 1, std::slice::from_ref(event))
            .await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"run": "one event a transaction", "ms_per_event": 1000.0 * seconds / some.len() as f64})
    );
    Ok(())
}

/// A falling, noisy loss and a cosine rate after a warmup of five epochs.
fn write_run(path: &Path, steps: u64, single: bool) -> Result<(), Box<dyn std::error::Error>> {
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
        let loss = range.clone().map(|s| {
            let value = 7.0 / (1.0 + s as f64 / 20_000.0) + 1.0 + 0.4 * noise();
            Num(if single {
                f64::from(value as f32)
            } else {
                value
            })
        });
        let values = BTreeMap::from([
            ("train/loss".to_owned(), loss.collect()),
            (
                "lr".to_owned(),
                range.map(|s| Num(rate(s, warmup, steps))).collect(),
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
