//! Which trainers are alive: asked after a restart, when they are nobody's children any more.
//!
//! A trainer holds a lock on `trainer.lock` of its run directory while it lives. Before it has come
//! that far (it loads libtorch first) its command line gives it away, where there is a /proc.

use std::path::{Path, PathBuf};

use rungs_spec::RunKey;
use rungs_spec::home::{Home, RunDir};
use rungs_store::locks::holder_of;

/// A live trainer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trainer {
    /// Run it executes.
    pub run: RunKey,
    /// Its process.
    pub pid: u32,
    /// Attempt, if its command line says so.
    pub attempt: Option<u32>,
}

/// The process that holds a run's lock; `None` if none does.
pub fn lock_holder(run_dir: &RunDir) -> Option<u32> {
    holder_of(&run_dir.lock())
}

/// All processes whose command line is that of a trainer of this home.
pub fn by_command_line(home: &Home) -> Vec<Trainer> {
    let Ok(runs) = home.runs().canonicalize() else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| trainer_of(pid, &runs))
        .collect()
}

/// Whether that process is (still) a trainer of that run.
pub fn is_trainer(pid: u32, home: &Home, run: &RunKey) -> bool {
    home.runs()
        .canonicalize()
        .ok()
        .and_then(|runs| trainer_of(pid, &runs))
        .is_some_and(|t| t.run == *run)
}

/// Whether that process may be signalled as the trainer of that run: process numbers are used again.
pub fn works_on(pid: u32, home: &Home, run: &RunKey) -> bool {
    pid != 0 && (is_trainer(pid, home, run) || lock_holder(&home.run(run)) == Some(pid))
}

fn trainer_of(pid: u32, runs: &Path) -> Option<Trainer> {
    // A process that has ended and was not reaped yet has an empty command line.
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<&str> = bytes
        .split(|b| *b == 0)
        .map(|argument| std::str::from_utf8(argument).unwrap_or_default())
        .collect();
    let (run_dir, attempt) = parse(&arguments)?;
    if run_dir.parent()? != runs {
        return None;
    }
    let run = RunKey::parse(run_dir.file_name()?.to_str()?)?;
    Some(Trainer { run, pid, attempt })
}

/// The values behind `run`, `--run-dir` and `--attempt`.
fn parse(arguments: &[&str]) -> Option<(PathBuf, Option<u32>)> {
    let start = arguments.iter().position(|a| *a == "run")?;
    let after = |name: &str| {
        let at = arguments[start..].iter().position(|a| *a == name)?;
        arguments.get(start + at + 1).copied()
    };
    let run_dir = after("--run-dir")?;
    Some((
        PathBuf::from(run_dir),
        after("--attempt").and_then(|n| n.parse().ok()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_read() {
        let parsed = parse(&[
            "/x/trainer",
            "run",
            "--run-dir",
            "/h/runs/k",
            "--attempt",
            "2",
            "",
        ]);
        assert_eq!(parsed, Some((PathBuf::from("/h/runs/k"), Some(2))));
        assert_eq!(parse(&["trainer", "devices", "--json"]), None);
        assert_eq!(parse(&["trainer", "run", "--run-dir"]), None);
    }

    #[test]
    fn a_held_lock_is_seen_and_a_left_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir(dir.path().to_owned());
        assert_eq!(lock_holder(&run_dir), None);
        std::fs::write(run_dir.lock(), "4711").unwrap();
        assert_eq!(lock_holder(&run_dir), None, "a file that nobody locks");
        let file = std::fs::File::open(run_dir.lock()).unwrap();
        file.lock().unwrap();
        assert_eq!(lock_holder(&run_dir), Some(std::process::id()));
    }
}
