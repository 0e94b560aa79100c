//! Writes `attempt-N.jsonl`: whole lines, each with one write call, so that a reader sees a torn line
//! only where the process died in the middle of it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rungs_spec::protocol::{Event, EventKind, PROTOCOL_VERSION};

use crate::failure::{Failure, io_failure};

/// The event file of one attempt.
#[derive(Debug)]
pub struct Events {
    file: File,
    path: PathBuf,
    attempt: u32,
}

impl Events {
    /// A new file; [`None`] if it is there already.
    pub fn create(path: &Path, attempt: u32) -> Result<Option<Events>, Failure> {
        match File::create_new(path) {
            Ok(file) => Ok(Some(Events {
                file,
                path: path.to_owned(),
                attempt,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(io_failure("cannot create", path, error)),
        }
    }

    /// Appends one event.
    pub fn write(&mut self, kind: EventKind) -> Result<(), Failure> {
        let event = Event {
            v: PROTOCOL_VERSION,
            t: now(),
            attempt: self.attempt,
            kind,
        };
        let mut line = serde_json::to_vec(&event).map_err(|error| {
            Failure::permanent(format!("an event cannot be written as JSON: {error}"))
        })?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|error| io_failure("cannot write", &self.path, error))
    }

    /// Waits until everything written is on the disk.
    pub fn sync(&self) -> Result<(), Failure> {
        self.file
            .sync_data()
            .map_err(|error| io_failure("cannot sync", &self.path, error))
    }
}

/// RFC 3339, UTC, milliseconds.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
