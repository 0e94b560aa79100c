//! Starts trainers on this machine and sees them end.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use rungs_spec::home::RunDir;
use rungs_spec::protocol::{EXIT_CHECKPOINTED, EXIT_FINISHED, FailureClass, LOG_PROGRESS};
use rustix::process::{Pid, Signal, kill_process};

use crate::scheduler::ending::Exit;

/// A trainer that was started.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub pid: u32,
    child: tokio::process::Child,
}

impl Started {
    /// Waits until it is gone.
    pub async fn wait(mut self) -> Exit {
        match self.child.wait().await {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Status(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unseen,
            },
            Err(error) => {
                tracing::warn!(pid = self.pid, %error, "cannot wait for a trainer");
                Exit::Unseen
            }
        }
    }
}

/// How to start a trainer.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// The program.
    pub trainer: &'a Path,
    /// The run's directory.
    pub run_dir: &'a RunDir,
    /// Attempt, from 1.
    pub attempt: u32,
    /// CUDA_VISIBLE_DEVICES, for a GPU slot.
    pub visible_devices: Option<String>,
}

impl Launch<'_> {
    /// Starts it in a session of its own, so that neither Ctrl-C nor a closed terminal reaches it,
    /// and with its output in log.txt, so that it survives this process.
    pub fn start(&self) -> anyhow::Result<Started> {
        let log_path = self.run_dir.log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("cannot write {}", log_path.display()))?;
        let error_log = log
            .try_clone()
            .with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = std::process::Command::new(self.trainer);
        command
            .arg("run")
            .arg("--run-dir")
            .arg(absolute(self.run_dir.dir())?)
            .arg("--attempt")
            .arg(self.attempt.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log);
        if let Some(devices) = &self.visible_devices {
            command.env("CUDA_VISIBLE_DEVICES", devices);
            // As nvidia-smi and NVML count, not the fastest first.
            command.env("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        }
        own_session(&mut command);
        let child = tokio::process::Command::from(command)
            .kill_on_drop(false)
            .spawn()
            .with_context(|| format!("cannot start {}", self.trainer.display()))?;
        let pid = child
            .id()
            .context("the trainer ended before it had started")?;
        Ok(Started { pid, child })
    }
}

#[expect(
    unsafe_code,
    reason = "setsid between fork and exec has no safe form in std"
)]
fn own_session(command: &mut std::process::Command) {
    // SAFETY: the closure only makes the system call setsid, which is async-signal-safe, and
    // allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()
                .map(|_| ())
                .map_err(io::Error::from)
        });
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}

/// Asks a trainer to write a checkpoint and leave.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Ends a trainer at once.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    match kill_process(target, signal) {
        // It is gone already: its end is on its way.
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => tracing::warn!(pid, ?signal, %error, "cannot signal a trainer"),
    }
}

/// Why a trainer could not go on if its disk is full: it can then write neither an event nor its log.
pub fn no_space(run_dir: &RunDir, exit: Exit) -> Option<(FailureClass, String)> {
    const LEAST: u64 = 64 << 10;
    if matches!(exit, Exit::Status(EXIT_FINISHED | EXIT_CHECKPOINTED)) {
        return None;
    }
    let disk = rustix::fs::statvfs(run_dir.dir()).ok()?;
    (disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST).then(|| {
        let message = format!(
            "there is no space left on the disk of {}: free some, and the next `runner reproduce` goes \
             on from the last checkpoint",
            run_dir.dir().display()
        );
        (FailureClass::Transient, message)
    })
}

/// The last lines of a log, at most 20 and 2000 bytes, for an error message. How far a trainer had come
/// is not in it: only what was said since.
pub fn log_tail(path: &Path) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const BYTES: u64 = 2000;
    const LINES: usize = 20;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.trim().lines().collect();
    let told = lines.iter().rposition(|l| l.starts_with(LOG_PROGRESS));
    let lines = &lines[told.map_or(0, |last| last + 1)..];
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.txt");
        assert_eq!(log_tail(&path), "", "no log, no tail");
        let text: String = (0..5000).map(|i| format!("line {i}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let tail = log_tail(&path);
        assert_eq!(tail.lines().count(), 20);
        assert!(tail.ends_with("line 4999"));
        let text = "said before\n-- epoch 1 of 4: val/top1 0.8\nsaid since\n";
        std::fs::write(&path, text).unwrap();
        assert_eq!(log_tail(&path), "said since");
    }

    #[tokio::test]
    async fn a_trainer_has_a_session_of_its_own_and_its_output_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let trainer = dir.path().join("trainer");
        std::fs::write(
            &trainer,
            "#!/bin/sh\necho \"$@\"\nps -o sid= -p $$\nexit 75\n",
        )
        .unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&trainer, std::fs::Permissions::from_mode(0o755)).unwrap();
        let run_dir = RunDir(dir.path().to_owned());
        let launch = Launch {
            trainer: &trainer,
            run_dir: &run_dir,
            attempt: 3,
            visible_devices: None,
        };
        let started = launch.start().unwrap();
        let pid = started.pid;
        assert_eq!(started.wait().await, Exit::Status(75));
        let log = std::fs::read_to_string(run_dir.log()).unwrap();
        assert!(
            log.contains("run --run-dir") && log.contains("--attempt 3"),
            "{log}"
        );
        assert_eq!(
            log.lines().last().map(str::trim),
            Some(pid.to_string().as_str()),
            "{log}"
        );
    }
}
