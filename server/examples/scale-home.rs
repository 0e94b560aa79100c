//! `cargo run --release -p rungs-server --example scale-home -- DIR [--rows N --columns N --seeds N --points N --long N]`:
//! a home of ten thousand finished runs and 10^8 points, to measure pages with (bench/pages.py). Points go
//! into the database directly, so only there do they exist: `runner reindex` would lose them.
//!
//! `... -- DIR --write RATE --seconds N` adds so many points a second to a run of that home, as a scheduler
//! does that tails a trainer's events, and says how many it managed.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use rungs_spec::RunKey;
use rungs_spec::home::{CellRun, Home, JournalEntry, JournalLine};
use rungs_spec::plan::{Options, Plan, PlannedRun, World as _};
use rungs_spec::protocol::{DatasetRef, Event, EventKind, Num, PROTOCOL_VERSION, RunFile};
use rungs_spec::runkey::of_json;
use rungs_store::world::HomeWorld;
use rungs_store::{Store, journal};

const TIME: &str = "2026-11-24T04:00:00Z";
/// Steps of one event.
const BLOCK: u64 = 1000;
const EPOCHS: u64 = 4;

#[derive(Parser)]
struct Args {
    /// The home: a new directory, or with --write one that is there.
    dir: PathBuf,
    #[arg(long, default_value_t = 100)]
    rows: u64,
    #[arg(long, default_value_t = 20)]
    columns: u64,
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Points of every run's loss.
    #[arg(long, default_value_t = 10_000)]
    points: u64,
    /// Points of the first run's loss.
    #[arg(long, default_value_t = 1_200_000)]
    long: u64,
    /// Points a second to add.
    #[arg(long)]
    write: Option<u64>,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let home = Home(args.dir.clone());
    match args.write {
        Some(rate) => write(&home, rate, args.seconds).await,
        None => make(&home, &args).await,
    }
}

fn experiment(args: &Args) -> String {
    let Args {
        rows,
        columns,
        seeds,
        ..
    } = args;
    let mut text = format!(
        "title = \"{rows} rows, {columns} columns, {seeds} seeds\"\nmetrics = [\"val/top1\"]\nseeds = {seeds}\n\
         [base]\nmodel = \"resnet50\"\ndataset = \"synthetic\"\ninput_size = 32\ndepths = [1, 1, 1]\nwidth = 0.25\n\
         epochs = {EPOCHS}\nreplicas = 1\nschedule = {{ kind = \"cosine\" }}\n"
    );
    for column in 0..*columns {
        text += &format!(
            "[[column]]\nid = \"c{column}\"\nset = {{ batch_size = {} }}\n",
            8 * (column + 1)
        );
    }
    for row in 0..*rows {
        text += &format!(
            "[[row]]\nid = \"r{row}\"\nset = {{ lr = {} }}\n",
            (row + 1) as f64 / 1000.0
        );
    }
    text
}

async fn make(home: &Home, args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        !home.dir().exists(),
        "{} is there already; name a new directory",
        home.dir().display()
    );
    std::fs::create_dir_all(home.experiments())?;
    let file = home.dir().join("scale.toml");
    std::fs::write(&file, experiment(args))?;
    let world = HomeWorld::with_experiments(home, Path::new("/nonexistent"))?;
    let named = file.to_str().context("the directory's name is not UTF-8")?;
    let plan = rungs_spec::plan::build(world.experiment(named)?, &Options::default(), &world)?;
    let store = Store::open_writer(&home.database()).await?;
    let lines = decisions(home, &plan)?;
    for run in &plan.runs {
        let recipe = run_file(run);
        let dir = home.run(&run.key);
        std::fs::create_dir_all(dir.dir())?;
        std::fs::write(dir.recipe(), serde_json::to_string(&recipe)?)?;
        store.register_run(&recipe, &[]).await?;
    }
    for entry in journal::append(&home.journal(), &lines)? {
        store.apply_journal(&entry.line, entry.end_offset).await?;
    }
    for (i, run) in (0..).zip(&plan.runs) {
        let points = if i == 0 { args.long } else { args.points };
        store.ingest(&run.key, 1, 1, &story(run, i, points)).await?;
    }
    store.close().await;
    println!(
        "{} runs, {} points in {}",
        plan.runs.len(),
        args.long + args.points * (plan.runs.len() as u64 - 1),
        home.dir().display()
    );
    println!("first {}", plan.runs[0].key);
    Ok(())
}

fn decisions(home: &Home, plan: &Plan) -> anyhow::Result<Vec<JournalLine>> {
    let experiment = &plan.experiment;
    let kept = home.experiments().join(format!("{}.toml", experiment.hash));
    std::fs::write(kept, &experiment.text)?;
    let cells = plan.cells.iter().flat_map(|cell| {
        cell.runs.iter().zip(1..).map(|(run, seed)| CellRun {
            row: cell.row.clone(),
            column: cell.column.clone(),
            seed,
            run: run.clone(),
        })
    });
    let applied = JournalEntry::Applied {
        experiment: experiment.name.clone(),
        hash: experiment.hash.clone(),
        profile: plan.profile.clone(),
        seeds: plan.seeds,
        set: Vec::new(),
        cells: cells.collect(),
    };
    let queued = plan.runs.iter().map(|run| JournalEntry::Queued {
        run: run.key.clone(),
        depends_on: Vec::new(),
        priority: 0,
    });
    let line = |entry| JournalLine {
        t: TIME.to_owned(),
        entry,
    };
    Ok(std::iter::once(applied).chain(queued).map(line).collect())
}

fn run_file(run: &PlannedRun) -> RunFile {
    RunFile {
        v: PROTOCOL_VERSION,
        run: run.key.clone(),
        seed: run.seed,
        numerics: rungs_spec::protocol::NUMERICS_VERSION,
        arithmetic: run.arithmetic,
        compute_threads: 1,
        devices: Vec::new(),
        timing: false,
        checkpoint_every_s: 30.0,
        dataset: DatasetRef {
            name: run.recipe.dataset.clone(),
            identity: run.dataset_identity.clone(),
            path: None,
            layout: None,
            known: None,
        },
        inputs: Default::default(),
        recipe: run.recipe.clone(),
    }
}

fn event(kind: EventKind) -> Event {
    Event {
        v: PROTOCOL_VERSION,
        t: TIME.to_owned(),
        attempt: 1,
        kind,
    }
}

/// Between 0 and 1, a function of what is given.
fn noise(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    for _ in 0..3 {
        x ^= x >> 31;
        x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn losses(of: u64, step0: u64, n: u64, per_epoch: u64) -> Event {
    let loss = (step0..step0 + n).map(|step| {
        let value = 2.3 / (1.0 + step as f64 / 1000.0) + 0.4 + 0.1 * noise(of, step);
        Num(f64::from(value as f32))
    });
    event(EventKind::Metrics {
        step0,
        epoch0: step0 / per_epoch,
        values: [("train/loss".to_owned(), loss.collect())].into(),
    })
}

/// Everything that a finished run says.
fn story(run: &PlannedRun, of: u64, points: u64) -> Vec<Event> {
    let per_epoch = points.div_ceil(EPOCHS);
    let mut events = vec![event(EventKind::Started {
        run: run.key.clone(),
        step: 0,
        resumed_from: None,
        steps_per_epoch: per_epoch,
        steps: points,
        environment: serde_json::json!({"host": "bench", "cpu": "invented", "threads": 1}),
    })];
    for epoch in 0..EPOCHS {
        let end = ((epoch + 1) * per_epoch).min(points);
        let mut step = epoch * per_epoch;
        while step < end {
            let n = BLOCK.min(end - step);
            events.push(losses(of, step, n, per_epoch));
            step += n;
        }
        let top1 = 70.0 + 5.0 * epoch as f64 + noise(of, epoch);
        let metrics = [
            ("val/top1".to_owned(), Num(top1)),
            ("val/top5".to_owned(), Num(99.0)),
            ("val/loss".to_owned(), Num(1.0)),
        ];
        // 64 images, all of them right.
        let bits = "//////////8=".to_owned();
        events.push(event(EventKind::Evaluation {
            epoch: epoch + 1,
            step: end,
            split: "val".to_owned(),
            n: 64,
            metrics: metrics.into(),
            top1_bits: Some(bits.clone()),
            top5_bits: Some(bits),
        }));
    }
    events.push(event(EventKind::Finished {
        weights_blake3: run.key.as_str().chars().rev().collect(),
        best_epoch: EPOCHS,
        peak_bytes: 412_000_000,
        epoch_seconds: vec![7.5 + noise(of, 7); EPOCHS as usize],
    }));
    events
}

async fn write(home: &Home, rate: u64, seconds: u64) -> anyhow::Result<()> {
    let store = Store::open_writer(&home.database()).await?;
    let run: RunKey = of_json(&serde_json::json!("written meanwhile"));
    let from = store.ingest_offset(&run, 1).await?;
    let (begun, each) = (Instant::now(), Duration::from_millis(100));
    let (mut written, mut turn) = (0, 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let n = rate / 10;
        let events = [losses(1, from + written, n, u64::MAX)];
        written += n;
        store.ingest(&run, 1, from + written, &events).await?;
        turn += 1;
        tokio::time::sleep((each * turn).saturating_sub(begun.elapsed())).await;
    }
    println!(
        "{:.0} points/s written",
        written as f64 / begun.elapsed().as_secs_f64()
    );
    store.close().await;
    Ok(())
}
