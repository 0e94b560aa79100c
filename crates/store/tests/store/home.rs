//! A home in a temporary directory, runs for it, and everything its database says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use rungs_spec::RunKey;
use rungs_spec::home::{Home, JournalEntry, JournalLine};
use rungs_spec::protocol::{Event, EventKind, Num, PROTOCOL_VERSION, RunFile};
use rungs_store::{AttemptState, RunFilter, RunOrder, Store, journal};
use serde_json::json;

/// A home and its open database.
pub struct TestHome {
    pub home: Home,
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl TestHome {
    pub async fn new() -> TestHome {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("results"));
        std::fs::create_dir_all(home.runs()).unwrap();
        let store = Store::open_writer(&home.database()).await.unwrap();
        TestHome {
            home,
            store,
            _dir: dir,
        }
    }

    pub fn db(&self) -> PathBuf {
        self.home.database()
    }

    /// Writes recipe.json and registers it, as a scheduler does.
    pub async fn register(&self, file: &RunFile, depends_on: &[RunKey]) {
        let dir = self.home.run(&file.run);
        std::fs::create_dir_all(dir.dir()).unwrap();
        std::fs::write(dir.recipe(), serde_json::to_string(file).unwrap()).unwrap();
        self.store.register_run(file, depends_on).await.unwrap();
    }

    /// Appends a decision to the journal and applies it.
    pub async fn decide(&self, second: u32, entry: JournalEntry) {
        let line = JournalLine {
            t: time(second),
            entry,
        };
        for entry in journal::append(&self.home.journal(), &[line]).unwrap() {
            self.store
                .apply_journal(&entry.line, entry.end_offset)
                .await
                .unwrap();
        }
    }

    pub async fn queue(&self, second: u32, file: &RunFile) {
        self.register(file, &[]).await;
        self.decide(second, queued(&file.run)).await;
    }
}

pub fn queued(run: &RunKey) -> JournalEntry {
    JournalEntry::Queued {
        run: run.clone(),
        depends_on: vec![],
        priority: 0,
    }
}

/// RFC 3339, so many seconds after an arbitrary start.
pub fn time(second: u32) -> String {
    format!(
        "2026-01-01T{:02}:{:02}:{:02}.500Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

pub fn key(n: u64) -> RunKey {
    rungs_spec::runkey::of_json(&json!(n))
}

/// Run number `n`: its key, and its seed.
pub fn run_file(n: u64) -> RunFile {
    let recipe = json!({
        "task": "classify", "model": "resnet50", "depths": [1, 1, 1, 1], "width": 0.25, "dropout": 0.0, "input_size": 28,
        "dataset": "synthetic", "train_subset": null, "val_subset": null, "epochs": 4, "batch_size": 64, "clip": null,
        "replicas": 1, "augment": {"crop_area": [0.08, 1.0], "crop_ratio": [0.75, 1.3333], "flip": 0.5, "hue": 0.4,
        "saturation": 0.4, "brightness": 0.4, "contrast": 0.0, "pca_std": 0.1, "antialias": false, "resize_short": 32},
        "init": "xavier", "variant": "paper", "lr": 0.1, "lr_scaling": "none", "warmup_epochs": 0.0, "warmup_from": 0.0,
        "schedule": {"kind": "step", "milestones": [30.0], "gamma": 0.1}, "momentum": 0.9, "nesterov": true,
        "weight_decay": 1e-4, "decay": "all", "zero_gamma": false, "label_smoothing": 0.0, "mixup_alpha": 0.0,
        "mixup_lambdas": null, "distill": null, "precision": "fp32", "loss_scale": 1024.0, "max_corrupt": 0
    });
    serde_json::from_value(json!({
        "v": PROTOCOL_VERSION, "run": key(n), "seed": n, "numerics": 1, "arithmetic": "cpu", "compute_threads": 1,
        "checkpoint_every_s": 30.0, "dataset": {"name": "synthetic", "identity": "synthetic@1", "path": null},
        "recipe": recipe
    }))
    .unwrap()
}

pub fn event(second: u32, attempt: u32, kind: EventKind) -> Event {
    Event {
        v: PROTOCOL_VERSION,
        t: time(second),
        attempt,
        kind,
    }
}

pub fn started(run: &RunKey, step: u64) -> EventKind {
    EventKind::Started {
        run: run.clone(),
        step,
        resumed_from: (step > 0).then(|| "checkpoints/1-last.safetensors".to_owned()),
        steps_per_epoch: 10,
        steps: 40,
        environment: json!({"host": "here"}),
    }
}

pub fn loss(step0: u64, epoch0: u64, values: &[f64]) -> EventKind {
    let values = values.iter().copied().map(Num).collect();
    EventKind::Metrics {
        step0,
        epoch0,
        values: BTreeMap::from([("train/loss".to_owned(), values)]),
    }
}

pub fn evaluation(epoch: u64, step: u64, top1: f64) -> EventKind {
    EventKind::Evaluation {
        epoch,
        step,
        split: "val".to_owned(),
        n: 16,
        metrics: BTreeMap::from([
            ("val/top1".to_owned(), Num(top1)),
            ("val/loss".to_owned(), Num(f64::NAN)),
        ]),
        // 3 of 16 images, 8 of 16 images.
        top1_bits: Some("BwA=".to_owned()),
        top5_bits: Some("/wA=".to_owned()),
    }
}

pub fn finished() -> EventKind {
    EventKind::Finished {
        weights_blake3: "ab".repeat(32),
        best_epoch: 1,
        peak_bytes: 1 << 30,
        epoch_seconds: vec![1.5, 0.1],
    }
}

/// Everything a database says, except what migrations/ calls volatile.
pub async fn content(store: &Store) -> String {
    let mut out = String::new();
    let filter = RunFilter {
        order: RunOrder::Key,
        ..RunFilter::default()
    };
    let rows = store.runs(&filter).await.unwrap();
    let keys: Vec<RunKey> = rows.iter().map(|r| r.key.clone()).collect();
    for mut row in rows {
        row.tries = 0;
        row.retry_at_ms = None;
        row.slot = None;
        if row.state != rungs_spec::result::RunState::Failed {
            row.message = None;
        }
        writeln!(out, "{row:?}").unwrap();
        writeln!(out, "  cells {:?}", store.cells_of(&row.key).await.unwrap()).unwrap();
        for attempt in store.attempts(&row.key).await.unwrap() {
            let finished = attempt.state == AttemptState::Finished;
            writeln!(
                out,
                "  attempt {} finished {finished} {:?} {:?} {:?} {} {:?} {} {}",
                attempt.attempt,
                attempt.started_at_ms,
                attempt.last_event_ms,
                attempt.step0,
                attempt.next_step,
                attempt.resumed_from,
                attempt.environment,
                attempt.images_per_s
            )
            .unwrap();
        }
        for metric in store.metrics_of(&row.key).await.unwrap() {
            writeln!(
                out,
                "  {metric} {:?}",
                store.series(&row.key, &metric, true).await.unwrap()
            )
            .unwrap();
        }
    }
    writeln!(out, "{:?}", store.results(&keys).await.unwrap()).unwrap();
    writeln!(
        out,
        "{:?} paused {}",
        store.applied(None).await.unwrap(),
        store.paused().await.unwrap()
    )
    .unwrap();
    writeln!(out, "journal {}", store.journal_position().await.unwrap()).unwrap();
    out
}
