//! A home of its own, an experiment of four runs, and a trainer that trains nothing.
#![allow(dead_code, reason = "every test file uses its own part of this")]

pub mod golden;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Two rows, two columns, one of the cells shared with another experiment in the same folder.
const TINY: &str = r#"
title = "Four runs"
metrics = ["val/top1"]
[base]
model = "resnet50"
dataset = "synthetic"
depths = [1, 1, 1, 1]
width = 0.25
input_size = 32
epochs = 4
batch_size = 32
replicas = 1
schedule = { kind = "cosine" }
[[column]]
id = "small"
set = { lr = 0.1 }
[[column]]
id = "large"
set = { lr = 0.2 }
[[row]]
id = "plain"
[[row]]
id = "zero"
add = ["zero-gamma"]
"#;

/// A student of a cell of `tiny`.
const STUDENT: &str = r#"
title = "A student and its teacher"
metrics = ["val/top1"]
[base]
model = "resnet50"
dataset = "synthetic"
depths = [1, 1, 1, 1]
width = 0.25
input_size = 32
epochs = 4
batch_size = 32
replicas = 1
schedule = { kind = "cosine" }
[[column]]
id = "small"
set = { lr = 0.1 }
[[row]]
id = "student"
add = [{ id = "distillation", teacher = { experiment = "tiny", row = "plain", column = "small" } }]
"#;

/// A directory with `experiments/` and a home.
pub struct Bench {
    dir: TempDir,
    /// The home.
    pub home: PathBuf,
    /// Environment of the runner.
    pub environment: Vec<(String, String)>,
}

impl Bench {
    pub fn new() -> Bench {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("experiments")).unwrap();
        for (name, text) in [("tiny", TINY), ("student", STUDENT)] {
            std::fs::write(dir.path().join(format!("experiments/{name}.toml")), text).unwrap();
        }
        let home = dir.path().join("results");
        Bench {
            dir,
            home,
            environment: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Bench {
        self.set(name, value);
        self
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes another experiment file.
    pub fn experiment(&self, name: &str, text: &str) {
        std::fs::write(self.dir().join(format!("experiments/{name}.toml")), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/fake_trainer.py");
        command
            .args(arguments)
            .current_dir(self.dir())
            .env_remove("RUST_LOG")
            .env_remove("RUNGS_DB")
            .env_remove("RUNGS_HOME")
            .env("RUNGS_TRAINER", fake)
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        Said(self.command(arguments).output().unwrap())
    }

    /// Runs a shell script that may mount file systems of its own, in which `"$0"` is the runner. `None`
    /// where nobody may, which is said aloud.
    pub fn in_own_mounts(&self, script: &str) -> Option<Said> {
        let allowed = Command::new("unshare").args(["-rm", "true"]).status();
        if !allowed.is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED, NOTHING WAS TESTED: nobody may mount a file system of their own here"
            );
            return None;
        }
        let runner = self.command(&[]);
        let mut command = Command::new("unshare");
        command
            .args(["-rm", "sh", "-c", script])
            .arg(runner.get_program())
            .current_dir(self.dir())
            .stdin(Stdio::null());
        for (name, value) in runner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Some(Said(command.output().unwrap()))
    }

    /// Starts, with its output in a file.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir().join("runner.log"))
            .unwrap();
        let error = log.try_clone().unwrap();
        self.command(arguments)
            .stdout(log)
            .stderr(error)
            .spawn()
            .unwrap()
    }

    /// What started commands printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir().join("runner.log")).unwrap_or_default()
    }

    /// `weights_blake3` of every run, by key.
    pub fn weights(&self) -> Vec<(String, String)> {
        let rows = self.run(&["runs", "--json"]).ok().json();
        let mut weights: Vec<(String, String)> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let run = row["run"].as_str().unwrap();
                let shown = self.run(&["show", run, "--json"]).ok().json();
                (
                    run.to_owned(),
                    shown["weights_blake3"]
                        .as_str()
                        .unwrap_or("none")
                        .to_owned(),
                )
            })
            .collect();
        weights.sort();
        weights
    }

    /// Run directories.
    pub fn run_dirs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.home.join("runs")) else {
            return Vec::new();
        };
        let mut dirs: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        dirs.sort();
        dirs
    }

    /// Events of all attempts of a run, in order of attempt.
    pub fn events(&self, run_dir: &Path) -> Vec<Value> {
        let mut events = Vec::new();
        for n in 1.. {
            let Ok(bytes) = std::fs::read(run_dir.join(format!("attempt-{n}.jsonl"))) else {
                break;
            };
            let text = String::from_utf8_lossy(&bytes);
            events.extend(
                text.lines()
                    .filter_map(|line| serde_json::from_str::<Value>(line).ok()),
            );
        }
        events
    }

    /// Every step is in the series once, and nothing that had a checkpoint was trained again.
    #[track_caller]
    pub fn nothing_lost_or_doubled(&self) {
        for dir in self.run_dirs() {
            let mut reached = 0;
            for event in self.events(&dir) {
                let step = event["step"].as_u64().unwrap_or(0);
                match event["kind"].as_str().unwrap() {
                    "checkpoint" => reached = step,
                    "started" => assert_eq!(step, reached, "{}", dir.display()),
                    _ => {}
                }
            }
            let run = dir.file_name().unwrap().to_str().unwrap();
            let said = self.run(&["series", run, "train/loss", "--json"]).ok();
            let points = said.json()["points"].as_array().unwrap().clone();
            let steps: Vec<u64> = points.iter().map(|p| p[0].as_u64().unwrap()).collect();
            assert_eq!(steps, (0..20).collect::<Vec<_>>(), "{}", dir.display());
        }
    }

    /// Live trainers of this home: who holds the lock of a run. (`python3` may be a script that
    /// forks, so that a command line alone does not tell.)
    pub fn trainers(&self) -> Vec<u32> {
        let pids = self.run_dirs().into_iter().filter_map(|dir| {
            let text = std::fs::read_to_string(dir.join("trainer.lock")).ok()?;
            text.trim().parse::<u32>().ok()
        });
        pids.filter(|pid| self.works_here(*pid)).collect()
    }

    fn works_here(&self, pid: u32) -> bool {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(self.home.join("runs").to_str().unwrap())
    }

    /// SIGKILL to every trainer of this home.
    pub fn kill_trainers(&self) {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        for pid in processes.filter_map(|e| e.file_name().to_str()?.parse().ok()) {
            if self.works_here(pid) {
                signal(pid, "KILL");
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill_trainers();
    }
}

/// Weights of the home of a local `reproduce` that nothing disturbed.
pub fn undisturbed(arguments: &[&str]) -> Vec<(String, String)> {
    let bench = Bench::new();
    bench.run(arguments).ok();
    bench.weights()
}

pub fn signal(pid: u32, name: &str) {
    // It may be gone already.
    Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .output()
        .unwrap();
}

/// Waits until something holds; a test that would wait for ever fails instead.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "still not: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a command ended.
pub struct Said(pub Output);

impl Said {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
    #[track_caller]
    pub fn ok(self) -> Said {
        assert_eq!(self.code(), 0, "{}\n{}", self.out(), self.err());
        self
    }
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out()).unwrap_or_else(|e| panic!("{e}: {}", self.out()))
    }
}

/// Fails unless a value is as docs/schema/NAME.schema.json says.
#[track_caller]
pub fn conforms(name: &str, value: &Value) {
    let read = |name: &str| -> Value {
        let file = format!(
            "{}/../docs/schema/{name}.schema.json",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    };
    let mut schema = read(name);
    if name == "show" {
        // The recipe's schema stands in another file: looked at by itself.
        schema["properties"]["recipe"] = Value::Bool(true);
        let of_recipe = serde_json::json!({
            "$schema": schema["$schema"], "$defs": read("recipe")["$defs"], "$ref": "#/$defs/recipe",
        });
        valid("recipe", &of_recipe, &value["recipe"]);
    }
    valid(name, &schema, value);
}

#[track_caller]
fn valid(name: &str, schema: &Value, value: &Value) {
    let validator = jsonschema::draft202012::new(schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{value:#}");
}
