//! A copy of tests/golden-home, the one home whose numbers are real and committed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the golden home with a database made from its files.
pub struct Golden {
    /// Where commands run; the home is its `results/`.
    pub dir: TempDir,
}

impl Golden {
    pub fn new() -> Golden {
        let golden = Golden {
            dir: TempDir::new().unwrap(),
        };
        copy(&root().join("tests/golden-home"), &golden.home());
        golden.run(&["reindex"]);
        golden
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("results")
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let out = self.output(arguments);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        assert!(out.status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout.into_owned()
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runner"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("RUNGS_HOME")
            .env_remove("RUNGS_DB")
            // The home is of a CPU, on whatever machine this is.
            .env("RUNGS_TRAINER", "/nowhere/trainer")
            .output()
            .unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
    }
}
