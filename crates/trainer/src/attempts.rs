//! The attempts of a run: which there were, what they recorded, and who may write now.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use rungs_spec::home::RunDir;
use rungs_spec::protocol::{Event, EventKind};
use rustix::fs::{FlockOperation, flock};

use crate::failure::{Failure, io_failure};

/// A checkpoint that an event speaks of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recorded {
    /// Finished epochs.
    pub epoch: u64,
    /// Finished steps.
    pub step: u64,
}

/// What the event files of a run say.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Highest number of an attempt; 0 = none.
    pub highest: u32,
    /// Whether one of them finished the run.
    pub finished: bool,
    checkpoints: HashMap<String, Recorded>,
}

impl Attempts {
    /// Reads all event files. A torn last line is normal; a line that is not an event is passed over.
    pub fn read(run_dir: &RunDir) -> Result<Attempts, Failure> {
        let mut attempts = Attempts {
            highest: highest(run_dir)?,
            ..Attempts::default()
        };
        for n in 1..=attempts.highest {
            let path = run_dir.attempt(n);
            let text = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_failure("cannot read", &path, error)),
            };
            for line in text.split(|byte| *byte == b'\n') {
                match serde_json::from_slice::<Event>(line).map(|event| event.kind) {
                    Ok(EventKind::Checkpoint {
                        epoch,
                        step,
                        blake3,
                        ..
                    }) => {
                        attempts
                            .checkpoints
                            .insert(blake3, Recorded { epoch, step });
                    }
                    Ok(EventKind::Finished { .. }) => attempts.finished = true,
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(attempts)
    }

    /// The checkpoint whose event has this digest.
    pub fn checkpoint_with(&self, blake3: &str) -> Option<Recorded> {
        self.checkpoints.get(blake3).copied()
    }
}

/// Highest number of an attempt's event file; 0 = none. A trainer that sees one above its own stops.
pub fn highest(run_dir: &RunDir) -> Result<u32, Failure> {
    let dir = run_dir.dir();
    let entries = std::fs::read_dir(dir).map_err(|error| io_failure("cannot read", dir, error))?;
    let mut highest = 0;
    for entry in entries {
        let name = entry
            .map_err(|error| io_failure("cannot read", dir, error))?
            .file_name();
        highest = highest.max(name.to_str().and_then(RunDir::attempt_number).unwrap_or(0));
    }
    Ok(highest)
}

/// The run directory's lock, held until dropped; its text is our process id.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding the file open holds the lock")] File);

/// Takes the lock. `Err(Ok(text))`: another process has it, and `text` says who.
pub fn lock(run_dir: &RunDir) -> Result<Lock, Result<String, Failure>> {
    let path: PathBuf = run_dir.lock();
    let failed = |error| Err(io_failure("cannot lock", &path, error));
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            return Err(Ok(holder.trim().to_owned()));
        }
        Err(errno) => return Err(failed(errno.into())),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(Lock(file))
}
