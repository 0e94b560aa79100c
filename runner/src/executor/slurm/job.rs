//! What a job of Slurm is and leaves, in the run's directory.

use std::path::Path;

use anyhow::Context as _;
use rungs_spec::RunKey;
use rungs_spec::home::RunDir;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::scheduler::ending::Exit;

/// job.json: the job that works on a run. Written before sbatch is called and once more when Slurm
/// has given the number, removed when the job is over. A job that does not find its own name there
/// leaves at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name in Slurm, used only once.
    pub name: String,
    /// Slurm's number; `None` as long as the answer of sbatch is not known.
    #[serde(default)]
    pub number: Option<u64>,
    /// The first attempt it executes; started again, it executes the next.
    pub first_attempt: u32,
}

impl Job {
    /// A job that executes a run from that attempt on.
    pub fn new(run: &RunKey, first_attempt: u32) -> Job {
        let once = uuid::Uuid::now_v7().simple().to_string();
        // The last 64 bits are random but for two.
        let once = once.get(16..).unwrap_or_default();
        Job {
            name: format!("rungs-{}-{once}", run.short()),
            number: None,
            first_attempt,
        }
    }

    /// The job of a run; `None` if there is none.
    pub fn read(run_dir: &RunDir) -> anyhow::Result<Option<Job>> {
        let path = run_dir.job();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let job = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not the description of a job; see with squeue whether one named rungs-... \
                 works on this run, cancel it, and remove the file",
                path.display()
            )
        })?;
        Ok(Some(job))
    }

    /// Puts it into the run directory.
    pub fn write(&self, run_dir: &RunDir) -> anyhow::Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        files::write_atomically(&run_dir.job(), text.as_bytes())
    }

    /// It is over, or was never submitted: no job may work on the run in its name any more.
    pub fn remove(&self, run_dir: &RunDir) {
        let path = run_dir.job();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %path.display(), %error, "cannot remove it");
            }
            _ => {}
        }
    }

    /// Writes what the job does on its node: docs/SLURM.md tells it step by step.
    pub fn write_script(&self, run_dir: &RunDir, trainer: &Path) -> anyhow::Result<()> {
        let dir = std::path::absolute(run_dir.dir()).context("the current directory is gone")?;
        let text = include_str!("job.sh")
            .replace("@RUN@", &quoted(&dir.to_string_lossy()))
            .replace("@TRAINER@", &quoted(&trainer.to_string_lossy()))
            .replace("@NAME@", &quoted(&self.name))
            .replace("@FIRST@", &self.first_attempt.to_string());
        files::write_atomically(&run_dir.job_script(), text.as_bytes())
    }

    /// The attempt that the job is at: the newest one of which there is a file.
    pub fn attempt(&self, run_dir: &RunDir) -> u32 {
        let there = |n| run_dir.attempt(n).exists() || run_dir.exit_status(n).exists();
        let mut n = self.first_attempt;
        while there(n + 1) {
            n += 1;
        }
        n
    }

    /// The slot of its attempts, in the database.
    pub fn slot(&self) -> String {
        match self.number {
            Some(number) => format!("{}{number}", rungs_store::JOB_SLOT),
            None => "slurm".to_owned(),
        }
    }

    /// What people call it.
    pub fn shown(&self) -> String {
        self.number.map_or_else(
            || format!("Slurm job {}", self.name),
            |number| format!("Slurm job {number}"),
        )
    }
}

/// How the trainer of an attempt ended; `None` as long as it has not, or if its job could not say.
pub fn exit_of(run_dir: &RunDir, attempt: u32) -> Option<Exit> {
    let text = std::fs::read_to_string(run_dir.exit_status(attempt)).ok()?;
    let status: i32 = text.trim().parse().ok()?;
    // As a shell tells it.
    Some(match status {
        129..=192 => Exit::Signal(status - 128),
        status => Exit::Status(status),
    })
}

/// A word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run_dir() -> (tempfile::TempDir, RunDir) {
        let dir = tempfile::tempdir().unwrap();
        // A name that a careless script would break on.
        let run_dir = RunDir(dir.path().join("it's a run"));
        std::fs::create_dir(run_dir.dir()).unwrap();
        (dir, run_dir)
    }

    fn job(first_attempt: u32) -> Job {
        Job::new(
            &rungs_spec::runkey::of_json(&serde_json::json!(1)),
            first_attempt,
        )
    }

    /// Runs the script as Slurm would, with this shell text as the trainer.
    fn execute(run_dir: &RunDir, job: &Job, trainer: &str) -> (i32, String) {
        use std::os::unix::fs::PermissionsExt as _;
        let program = run_dir.dir().join("trainer");
        std::fs::write(&program, format!("#!/bin/sh\n{trainer}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        job.write_script(run_dir, &program).unwrap();
        let output = Command::new("bash")
            .arg(run_dir.job_script())
            .env("SLURM_JOB_ID", "17")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), said)
    }

    #[test]
    fn what_was_written_is_read_again() {
        let (_dir, run_dir) = run_dir();
        assert_eq!(Job::read(&run_dir).unwrap(), None);
        let mut job = job(3);
        job.write(&run_dir).unwrap();
        assert_eq!(Job::read(&run_dir).unwrap().as_ref(), Some(&job));
        assert_eq!(job.slot(), "slurm");
        job.number = Some(17);
        job.write(&run_dir).unwrap();
        assert_eq!(job.slot(), "slurm:17");
        job.remove(&run_dir);
        assert_eq!(Job::read(&run_dir).unwrap(), None);
        std::fs::write(run_dir.job(), "{").unwrap();
        let error = Job::read(&run_dir).unwrap_err().to_string();
        assert!(
            error.contains("job.json") && error.contains("squeue"),
            "{error}"
        );
    }

    #[test]
    fn names_are_used_once() {
        assert_ne!(job(1).name, job(1).name);
    }

    #[test]
    fn the_script_passes_the_status_on_and_takes_the_next_attempt() {
        let (_dir, run_dir) = run_dir();
        let job = job(2);
        job.write(&run_dir).unwrap();
        for (attempt, status) in [(2, 0), (3, 9), (4, 1)] {
            let trainer =
                format!("[ \"$4 $5\" = '--attempt {attempt}' ] || exit 99\nexit {status}");
            assert_eq!(execute(&run_dir, &job, &trainer).0, status);
            assert_eq!(exit_of(&run_dir, attempt), Some(Exit::Status(status)));
            assert_eq!(job.attempt(&run_dir), attempt);
        }
        // Who died without a status still has an event file.
        std::fs::write(run_dir.attempt(5), "").unwrap();
        execute(&run_dir, &job, "kill -SEGV $$");
        assert_eq!(exit_of(&run_dir, 6), Some(Exit::Signal(11)));
        assert_eq!(exit_of(&run_dir, 5), None);
    }

    #[test]
    fn a_job_that_is_not_the_runs_own_leaves() {
        let (_dir, run_dir) = run_dir();
        let old = job(1);
        job(1).write(&run_dir).unwrap();
        let (status, said) = execute(&run_dir, &old, "exit 0");
        assert_eq!(status, 73);
        assert!(said.contains("another job's"), "{said}");
        assert!(!run_dir.exit_status(1).exists());
    }

    #[test]
    fn a_missing_trainer_is_named_with_the_cure() {
        let (_dir, run_dir) = run_dir();
        let job = job(1);
        job.write(&run_dir).unwrap();
        job.write_script(&run_dir, Path::new("/nowhere/trainer"))
            .unwrap();
        let output = Command::new("bash")
            .arg(run_dir.job_script())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("/nowhere/trainer") && said.contains("RUNGS_TRAINER"),
            "{said}"
        );
        assert_eq!(exit_of(&run_dir, 1), Some(Exit::Status(127)));
    }

    #[test]
    fn a_signal_reaches_the_trainer_and_its_status_comes_back() {
        let trainer = "trap 'exit 75' TERM\ntouch began\nwhile :; do sleep 0.05; done";
        for signal in ["USR1", "TERM"] {
            let (_dir, run_dir) = run_dir();
            let job = job(1);
            job.write(&run_dir).unwrap();
            let began = run_dir.dir().join("began");
            let script = run_dir.job_script();
            let tell = std::thread::spawn(move || {
                while !began.exists() {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                let pattern = script.display().to_string();
                let sent = Command::new("sh")
                    .args([
                        "-c",
                        "pid=$(pgrep -f -x \"bash $1\") && kill -$2 $pid",
                        "sh",
                    ])
                    .args([&pattern, signal])
                    .status()
                    .unwrap();
                assert!(sent.success());
            });
            // The script is not in Slurm here, so asking to be started again fails.
            let (status, said) = execute(&run_dir, &job, trainer);
            tell.join().unwrap();
            assert_eq!(status, 75, "{said}");
            assert_eq!(exit_of(&run_dir, 1), Some(Exit::Status(75)));
            assert_eq!(said.contains("its time is up"), signal == "USR1", "{said}");
        }
    }
}
