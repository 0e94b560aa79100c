//! Run directories for tests, and what their event files say.
#![allow(dead_code, reason = "every test binary uses its part of this module")]

pub mod formula;
pub mod golden;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rungs_spec::home::RunDir;
use rungs_spec::protocol::{
    Arithmetic, DatasetRef, Event, EventKind, NUMERICS_VERSION, PROTOCOL_VERSION, RunFile,
};
use rungs_spec::{Recipe, runkey};
use serde_json::json;

/// A small net on synthetic data: 3 epochs of 8 steps.
pub fn small_recipe() -> serde_json::Value {
    json!({
        "task": "classify", "model": "resnet50", "depths": [1, 1], "width": 0.125, "dropout": 0.0, "input_size": 28,
        "dataset": "synthetic", "train_subset": 256, "val_subset": 100, "epochs": 3, "batch_size": 32, "clip": null,
        "replicas": 2,
        "augment": {
            "crop_area": [0.3, 1.0], "crop_ratio": [0.75, 1.3333], "flip": 0.5, "hue": 0.4, "saturation": 0.4,
            "brightness": 0.4, "contrast": 0.0, "pca_std": 0.1, "antialias": false, "resize_short": 32
        },
        "init": "xavier", "variant": "paper", "lr": 0.4, "lr_scaling": "linear", "warmup_epochs": 1.0,
        "warmup_from": 0.0, "schedule": { "kind": "step", "milestones": [2.0], "gamma": 0.1 }, "momentum": 0.9,
        "nesterov": true, "weight_decay": 0.0001, "decay": "weights", "zero_gamma": true, "label_smoothing": 0.1,
        "mixup_alpha": 0.0, "mixup_lambdas": null, "distill": null, "precision": "fp32", "loss_scale": 1024.0,
        "max_corrupt": 0
    })
}

/// A run file for that recipe.
pub fn run_file(recipe: serde_json::Value) -> RunFile {
    let key = runkey::of_json(&recipe);
    let recipe: Recipe = serde_json::from_value(recipe).expect("a recipe");
    let path = recipe.tensors_file().map(PathBuf::from);
    RunFile {
        v: PROTOCOL_VERSION,
        run: key,
        seed: 1,
        numerics: NUMERICS_VERSION,
        arithmetic: Arithmetic::Cpu,
        compute_threads: 1,
        devices: Vec::new(),
        timing: false,
        checkpoint_every_s: 30.0,
        dataset: DatasetRef {
            name: recipe.dataset.clone(),
            identity: format!("{}@1", recipe.dataset),
            path,
            layout: None,
            known: None,
        },
        inputs: Default::default(),
        recipe,
    }
}

/// A run directory below a temporary one.
pub struct Run {
    dir: PathBuf,
}

impl Run {
    /// Writes recipe.json into DIR/NAME.
    pub fn create(dir: &Path, name: &str, file: &RunFile) -> Run {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        let run = Run { dir };
        let text = serde_json::to_vec_pretty(file).expect("JSON");
        std::fs::write(run.paths().recipe(), text).expect("recipe.json");
        run
    }

    pub fn paths(&self) -> RunDir {
        RunDir(self.dir.clone())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(["run", "--run-dir"]).arg(&self.dir);
        command
    }

    /// Runs an attempt to its end.
    pub fn attempt(&self) -> Output {
        self.command().output().expect("the trainer starts")
    }

    /// Runs an attempt that must finish the run.
    pub fn finish(&self) {
        let output = self.attempt();
        assert!(
            output.status.success(),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts an attempt.
    pub fn start(&self) -> Child {
        self.start_with(Stdio::null())
    }

    /// Starts an attempt that writes its log there.
    pub fn start_with(&self, log: Stdio) -> Child {
        self.command()
            .stderr(log)
            .spawn()
            .expect("the trainer starts")
    }

    /// Events of an attempt; a torn last line is passed over.
    pub fn events(&self, attempt: u32) -> Vec<Event> {
        let text = std::fs::read_to_string(self.paths().attempt(attempt)).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// `weights_blake3` of the finished run.
    pub fn weights(&self) -> String {
        let mut all = (1..100).flat_map(|n| self.events(n));
        all.find_map(|event| match event.kind {
            EventKind::Finished { weights_blake3, .. } => Some(weights_blake3),
            _ => None,
        })
        .expect("a finished event")
    }

    /// Every value of a metric in an attempt, in order of steps.
    pub fn series(&self, attempt: u32, metric: &str) -> Vec<f64> {
        let blocks = self
            .events(attempt)
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::Metrics { values, .. } => {
                    Some(values[metric].iter().map(|num| num.0).collect::<Vec<_>>())
                }
                _ => None,
            });
        blocks.flatten().collect()
    }

    /// First step and checkpoint of an attempt.
    pub fn started(&self, attempt: u32) -> (u64, Option<String>) {
        let mut events = self.events(attempt).into_iter();
        events
            .find_map(|event| match event.kind {
                EventKind::Started {
                    step, resumed_from, ..
                } => Some((step, resumed_from)),
                _ => None,
            })
            .expect("a started event")
    }

    /// Waits until the file of an attempt has so many checkpoint events (or the child has ended).
    pub fn wait_for_checkpoints(&self, attempt: u32, count: usize, child: &mut Child) {
        let checkpoints = || {
            let events = self.events(attempt);
            events
                .iter()
                .filter(|event| matches!(event.kind, EventKind::Checkpoint { .. }))
                .count()
        };
        while checkpoints() < count && child.try_wait().expect("a child").is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
