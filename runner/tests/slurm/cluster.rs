//! A real Slurm of one node, brought up for one test (scripts/one-node-slurm).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::{Bench, eventually};

/// Lives until it is dropped, with all its jobs.
pub struct Cluster {
    dir: TempDir,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/one-node-slurm")
}

impl Cluster {
    /// Brings it up. `None` where it cannot be had, which is said aloud.
    pub fn start() -> Option<Cluster> {
        let check = Command::new(script()).arg("check").output().unwrap();
        if !check.status.success() {
            let why = String::from_utf8_lossy(&check.stdout).trim().to_owned();
            eprintln!("SKIPPED, NOTHING WAS TESTED: {why}");
            return None;
        }
        let cluster = Cluster {
            dir: TempDir::new().unwrap(),
        };
        cluster.script("start");
        Some(cluster)
    }

    /// `start`, `stop`, `kill-slurmd`, `start-slurmd`.
    pub fn script(&self, word: &str) {
        let output = Command::new(script())
            .arg(word)
            .arg(self.dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "one-node-slurm {word}: {said}");
    }

    fn conf(&self) -> PathBuf {
        self.dir.path().join("slurm.conf")
    }

    fn output(&self, command: &[&str]) -> Output {
        Command::new(command[0])
            .args(&command[1..])
            .env("SLURM_CONF", self.conf())
            .output()
            .unwrap()
    }

    /// What one of Slurm's programs prints.
    #[track_caller]
    pub fn call(&self, command: &[&str]) -> String {
        let output = self.output(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A home whose slurm.toml says this, beside what makes a test short.
    pub fn bench(&self, slurm_toml: &str) -> Bench {
        let bench = Bench::new().with("SLURM_CONF", self.conf().to_str().unwrap());
        std::fs::create_dir(&bench.home).unwrap();
        std::fs::write(
            bench.home.join("slurm.toml"),
            format!("poll_s = 1\n{slurm_toml}\n"),
        )
        .unwrap();
        bench
    }

    /// Jobs that wait or work: number, state.
    pub fn jobs(&self) -> Vec<(String, String)> {
        let said = self.call(&["squeue", "--noheader", "--format=%A %T %j"]);
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            // By which the runner finds out whether Slurm takes anything.
            let ours = words[2] != "rungs-check";
            ours.then(|| (words[0].to_owned(), words[1].to_owned()))
        };
        said.lines().filter_map(line).collect()
    }

    /// Jobs that work.
    pub fn running(&self) -> Vec<String> {
        let running = self.jobs().into_iter().filter(|(_, s)| s == "RUNNING");
        running.map(|(number, _)| number).collect()
    }

    /// Waits until something holds of a job that is started again, and lets it begin at once; Slurm would
    /// wait two minutes. Not before it has waited for a while, and again and again: while the job is still
    /// being cleared up the change is refused, or taken and then written over with those two minutes, or has
    /// it start into its own clearing up.
    pub fn hurry(&self, job: &str, what: &str, holds: impl Fn() -> bool) {
        let waits = || {
            let output = self.output(&["squeue", "--noheader", "--format=%T", "--jobs", job]);
            String::from_utf8_lossy(&output.stdout).trim() == "PENDING"
        };
        let since = std::cell::Cell::new(None);
        eventually(what, || {
            if holds() {
                return true;
            }
            let began = since.get().unwrap_or_else(std::time::Instant::now);
            since.set(waits().then_some(began));
            if since.get().is_some() && began.elapsed().as_secs() >= 3 {
                let job = format!("JobId={job}");
                self.output(&["scontrol", "update", &job, "StartTime=now"]);
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
            false
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        Command::new(script())
            .arg("stop")
            .arg(self.dir.path())
            .output()
            .unwrap();
    }
}
