//! A home with invented numbers, written the way runner and trainer write one: journal, recipes,
//! event files, logs. The store's reindex then makes the database. The numbers are a formula of the
//! seed, so that every test sees the same ones.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests, and each of them uses its part"
)]

pub mod site;

use std::fmt::Write as _;
use std::path::Path;

use rungs_spec::RunKey;
use rungs_spec::home::{CellRun, Home, JournalEntry, JournalLine};
use rungs_spec::plan::{Options, Plan, PlannedRun, World};
use rungs_spec::protocol::{
    DatasetRef, Event, EventKind, FailureClass, Num, PROTOCOL_VERSION, RunFile,
};
use rungs_store::world::HomeWorld;

/// Images of the invented validation split.
pub const IMAGES: u64 = 2_000;
const STEPS_PER_EPOCH: u64 = 40;

/// What has become of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Finished, the second time if the number is 2.
    Done(u32),
    /// In its second epoch: written without an end; a test that needs it alive adopts it.
    Begun,
    /// Gave up.
    Failed,
    /// Waits.
    Queued,
}

/// The plan of table4 in that profile.
pub fn plan(home: &Home, profile: &str, seeds: u64) -> Plan {
    let world = HomeWorld::with_experiments(home, Path::new("/nonexistent")).unwrap();
    let experiment = world.experiment("table4").unwrap();
    let options = Options {
        profile: Some(profile.to_owned()),
        seeds: Some(seeds),
        ..Options::default()
    };
    rungs_spec::plan::build(experiment, &options, &world).unwrap()
}

/// The plan of two rows of table6, which Figure 3 draws.
pub fn plan_of_figure_3(home: &Home, profile: &str, seeds: u64) -> Plan {
    let world = HomeWorld::with_experiments(home, Path::new("/nonexistent")).unwrap();
    let options = Options {
        profile: Some(profile.to_owned()),
        seeds: Some(seeds),
        rows: Some(vec!["efficient".to_owned(), "cosine".to_owned()]),
        columns: Some(vec!["resnet50d".to_owned()]),
        ..Options::default()
    };
    rungs_spec::plan::build(world.experiment("table6").unwrap(), &options, &world).unwrap()
}

/// Writes table4 under that profile with the fate of each run, by (row, column, seed).
pub fn write(home: &Home, plan: &Plan, fate: impl Fn(&str, &str, u64) -> Fate) {
    let experiment = &plan.experiment;
    std::fs::create_dir_all(home.experiments()).unwrap();
    std::fs::write(
        home.experiments().join(format!("{}.toml", experiment.hash)),
        &experiment.text,
    )
    .unwrap();
    let mut cells = Vec::new();
    for cell in &plan.cells {
        for (run, seed) in cell.runs.iter().zip(1..) {
            cells.push(CellRun {
                row: cell.row.clone(),
                column: cell.column.clone(),
                seed,
                run: run.clone(),
            });
        }
    }
    let mut journal = vec![JournalEntry::Applied {
        experiment: experiment.name.clone(),
        hash: experiment.hash.clone(),
        profile: plan.profile.clone(),
        seeds: plan.seeds,
        set: Vec::new(),
        cells: cells.clone(),
    }];
    journal.extend(plan.runs.iter().map(|run| JournalEntry::Queued {
        run: run.key.clone(),
        depends_on: Vec::new(),
        priority: 0,
    }));
    for cell in &cells {
        let run = plan.run(&cell.run).unwrap();
        let fate = fate(&cell.row, &cell.column, cell.seed);
        write_run(home, plan, run, (&cell.row, &cell.column), fate);
        if fate == Fate::Failed {
            journal.push(JournalEntry::Failed {
                run: run.key.clone(),
                class: FailureClass::Permanent,
                message: NAN.to_owned(),
            });
        }
    }
    let lines: Vec<JournalLine> = journal
        .into_iter()
        .map(|entry| JournalLine {
            t: "2026-11-24T04:00:00Z".to_owned(),
            entry,
        })
        .collect();
    rungs_store::journal::append(&home.journal(), &lines).unwrap();
}

/// What the failed run says.
pub const NAN: &str = "train/loss became NaN at step 57 (epoch 2). The learning rate 0.4 is too high for this batch; lower lr or add warmup.";

fn write_run(home: &Home, plan: &Plan, run: &PlannedRun, (row, column): (&str, &str), fate: Fate) {
    let dir = home.run(&run.key);
    std::fs::create_dir_all(dir.dir()).unwrap();
    let file = RunFile {
        v: PROTOCOL_VERSION,
        run: run.key.clone(),
        seed: run.seed,
        numerics: 1,
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
    };
    std::fs::write(dir.recipe(), serde_json::to_string_pretty(&file).unwrap()).unwrap();
    let place = plan
        .experiment
        .rows
        .iter()
        .position(|r| r.id == row)
        .unwrap();
    // Warmup and zero gamma help at the large batch; the small batch hardly moves.
    let top = if column == "bs1024" {
        [71.1, 76.9, 78.2, 78.6, 78.5][place]
    } else {
        [80.6, 81.0, 81.4, 81.9, 81.8][place]
    };
    let story = Story {
        run: &run.key,
        seed: run.seed,
        top,
        epochs: u64::from(run.recipe.epochs),
        peak: run.recipe.peak_lr(),
    };
    let mut log = String::new();
    match fate {
        Fate::Queued => return,
        Fate::Done(1) => write_attempt(
            &dir.attempt(1),
            &story.attempt(1, 0, story.steps(), true),
            &mut log,
        ),
        Fate::Done(_) => {
            write_attempt(&dir.attempt(1), &story.attempt(1, 0, 70, false), &mut log);
            write_attempt(
                &dir.attempt(2),
                &story.attempt(2, 60, story.steps(), true),
                &mut log,
            );
        }
        Fate::Begun => write_attempt(&dir.attempt(1), &story.attempt(1, 0, 57, false), &mut log),
        Fate::Failed => {
            let mut events = story.attempt(1, 0, 57, false);
            events.push(story.event(
                1,
                57,
                EventKind::Failed {
                    class: FailureClass::Permanent,
                    message: NAN.to_owned(),
                },
            ));
            write_attempt(&dir.attempt(1), &events, &mut log);
        }
    }
    std::fs::write(dir.log(), log).unwrap();
}

fn write_attempt(path: &Path, events: &[Event], log: &mut String) {
    let lines: String = events
        .iter()
        .map(|e| serde_json::to_string(e).unwrap() + "\n")
        .collect();
    std::fs::write(path, lines).unwrap();
    for event in events {
        if let EventKind::Evaluation { epoch, metrics, .. } = &event.kind {
            writeln!(
                log,
                "{} epoch {epoch}: val/top1 {:.2}, val/loss {:.4}",
                event.t, metrics["val/top1"].0, metrics["val/loss"].0
            )
            .unwrap();
        }
    }
}

struct Story<'a> {
    run: &'a RunKey,
    seed: u64,
    top: f64,
    epochs: u64,
    peak: f64,
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

impl Story<'_> {
    fn steps(&self) -> u64 {
        self.epochs * STEPS_PER_EPOCH
    }

    fn event(&self, attempt: u32, step: u64, kind: EventKind) -> Event {
        let seconds = step / 4 + u64::from(attempt) * 60;
        Event {
            v: PROTOCOL_VERSION,
            t: format!(
                "2026-11-24T04:{:02}:{:02}Z",
                seconds / 60 % 60,
                seconds % 60
            ),
            attempt,
            kind,
        }
    }

    fn attempt(&self, attempt: u32, from: u64, to: u64, finished: bool) -> Vec<Event> {
        let environment = serde_json::json!({"host": "bench", "cpu": "Invented CPU @ 2.1 GHz", "threads": 1, "libtorch": "2.13.0", "rungs": "0.1.0"});
        let mut events = vec![self.event(
            attempt,
            from,
            EventKind::Started {
                run: self.run.clone(),
                step: from,
                resumed_from:
                    (from > 0).then(|| format!("checkpoints/{}-last.safetensors", attempt - 1)),
                steps_per_epoch: STEPS_PER_EPOCH,
                steps: self.steps(),
                environment,
            },
        )];
        let mut step = from;
        while step < to {
            let epoch = step / STEPS_PER_EPOCH;
            let end = ((epoch + 1) * STEPS_PER_EPOCH).min(to);
            let block: Vec<u64> = (step..end).collect();
            let loss = block.iter().map(|s| {
                Num(2.3 * (-(*s as f64) / 60.0).exp() + 0.42 + 0.12 * noise(self.seed + 77, *s))
            });
            let lr = block.iter().map(|s| {
                Num(self.peak
                    * ((*s + 1) as f64 / 40.0).min(1.0)
                    * if *s >= 80 { 0.1 } else { 1.0 })
            });
            let speed = block
                .iter()
                .map(|s| Num(2050.0 + 120.0 * noise(self.seed, s / 4)));
            let values = [
                ("train/loss".to_owned(), loss.collect()),
                ("lr".to_owned(), lr.collect()),
                ("system/images_per_s".to_owned(), speed.collect()),
            ];
            events.push(self.event(
                attempt,
                end,
                EventKind::Metrics {
                    step0: step,
                    epoch0: epoch,
                    values: values.into(),
                },
            ));
            step = end;
            if step.is_multiple_of(STEPS_PER_EPOCH) {
                events.push(self.event(attempt, step, self.evaluation(epoch + 1, step)));
            }
        }
        if finished {
            events.push(self.event(
                attempt,
                to,
                EventKind::Finished {
                    weights_blake3: self.run.as_str().chars().rev().collect(),
                    best_epoch: self.epochs,
                    peak_bytes: 412_000_000,
                    epoch_seconds: vec![
                        7.5 + noise(self.seed, 1);
                        (self.epochs - from / STEPS_PER_EPOCH) as usize
                    ],
                },
            ));
        }
        events
    }

    fn evaluation(&self, epoch: u64, step: u64) -> EventKind {
        let reached =
            self.top - 28.0 * (-1.3 * epoch as f64).exp() + 0.5 * (noise(self.seed, 9) - 0.5);
        let key = u64::from_str_radix(&self.run.as_str()[..12], 16).unwrap();
        let right = |i: u64, share: f64| 0.88 * noise(5, i) + 0.12 * noise(key, i) < share;
        let bits = |share: f64| -> Vec<bool> { (0..IMAGES).map(|i| right(i, share)).collect() };
        let (one, five) = (
            bits(reached / 100.0),
            bits(1.0 - (1.0 - reached / 100.0) / 6.0),
        );
        let percent =
            |bits: &[bool]| 100.0 * bits.iter().filter(|b| **b).count() as f64 / IMAGES as f64;
        let metrics = [
            ("val/top1".to_owned(), Num(percent(&one))),
            ("val/top5".to_owned(), Num(percent(&five))),
            ("val/loss".to_owned(), Num(2.0 - reached / 55.0)),
        ];
        EventKind::Evaluation {
            epoch,
            step,
            split: "val".to_owned(),
            n: IMAGES,
            metrics: metrics.into(),
            top1_bits: Some(base64(&one)),
            top5_bits: Some(base64(&five)),
        }
    }
}

/// A bitset, least significant bit first, in base64.
fn base64(bits: &[bool]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = bits
        .chunks(8)
        .map(|c| c.iter().enumerate().map(|(i, b)| u8::from(*b) << i).sum())
        .collect();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let at = (n >> (18 - 6 * i)) & 63;
            out.push(if i > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[at as usize])
            });
        }
    }
    out
}
