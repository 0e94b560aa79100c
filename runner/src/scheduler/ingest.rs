//! From event files to the database: takes in what was appended since last time.

use std::io;

use anyhow::Context as _;
use rungs_spec::RunKey;
use rungs_spec::home::{Home, RunDir};
use rungs_spec::protocol::{Event, EventKind, FailureClass};
use rungs_store::{Store, events};

/// How an attempt ended, as its events say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// There was a `finished` event.
    pub finished: bool,
    /// There was a `checkpoint` event.
    pub checkpointed: bool,
    /// What the `failed` event said.
    pub failed: Option<(FailureClass, String)>,
}

impl Said {
    /// Takes in later events of the same attempt.
    pub fn hear(&mut self, events: &[Event]) {
        for event in events {
            match &event.kind {
                EventKind::Finished { .. } => self.finished = true,
                EventKind::Failed { class, message } => {
                    self.failed = Some((*class, message.clone()));
                }
                EventKind::Checkpoint { .. } => self.checkpointed = true,
                EventKind::Started { .. }
                | EventKind::Metrics { .. }
                | EventKind::Evaluation { .. } => {}
            }
        }
    }
}

/// Takes in what an attempt has appended since last time.
pub async fn attempt(store: &Store, home: &Home, run: &RunKey, attempt: u32) -> anyhow::Result<()> {
    let path = home.run(run).attempt(attempt);
    let mut offset = store.ingest_offset(run, attempt).await?;
    loop {
        let tail = events::read_from(&path, offset)?;
        for bad in &tail.bad {
            tracing::warn!(
                file = %path.display(), line = bad.line,
                "left a line out: {}", bad.message
            );
        }
        if tail.offset == offset {
            return Ok(());
        }
        if tail.events.iter().any(ends) {
            sync(&path)?;
        }
        store
            .ingest(run, attempt, tail.offset, &tail.events)
            .await?;
        offset = tail.offset;
        if !tail.more {
            return Ok(());
        }
    }
}

/// Whether an event is the end of its attempt.
fn ends(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::Finished { .. } | EventKind::Failed { .. }
    )
}

/// Waits until a file is on the disk. A trainer writes an event before it syncs it: a power loss between
/// must not leave a run that is done in the database and not in the files.
fn sync(path: &std::path::Path) -> anyhow::Result<()> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_data())
        .with_context(|| format!("cannot sync {}", path.display()))
}

/// What the events of an attempt say of its end.
pub fn said(run_dir: &RunDir, attempt: u32) -> anyhow::Result<Said> {
    let mut said = Said::default();
    let mut offset = 0;
    loop {
        let tail = events::read_from(&run_dir.attempt(attempt), offset)?;
        said.hear(&tail.events);
        offset = tail.offset;
        if !tail.more {
            return Ok(said);
        }
    }
}

/// Numbers of the attempts that have an event file, ascending.
pub fn attempts(run_dir: &RunDir) -> anyhow::Result<Vec<u32>> {
    let unreadable = || format!("cannot list {}", run_dir.dir().display());
    let entries = match std::fs::read_dir(run_dir.dir()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(unreadable),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.with_context(unreadable)?.file_name();
        numbers.extend(name.to_str().and_then(RunDir::attempt_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_found_and_their_last_words_heard() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir(dir.path().join("run"));
        assert!(
            attempts(&run_dir).unwrap().is_empty(),
            "no directory, no attempts"
        );
        std::fs::create_dir(run_dir.dir()).unwrap();
        for (n, text) in [
            (
                10,
                r#""kind":"finished","weights_blake3":"00","best_epoch":1,"peak_bytes":1,"epoch_seconds":[]"#,
            ),
            (
                2,
                r#""kind":"failed","class":"transient","message":"disk full""#,
            ),
        ] {
            let line = format!(
                "{{\"v\":1,\"t\":\"2026-01-01T00:00:00Z\",\"attempt\":{n},{text}}}\n{{\"torn"
            );
            std::fs::write(run_dir.attempt(n), line).unwrap();
        }
        std::fs::write(run_dir.log(), "").unwrap();
        assert_eq!(attempts(&run_dir).unwrap(), [2, 10]);
        assert!(said(&run_dir, 10).unwrap().finished);
        let failed = said(&run_dir, 2).unwrap().failed.unwrap();
        assert_eq!(failed, (FailureClass::Transient, "disk full".to_owned()));
        assert_eq!(said(&run_dir, 3).unwrap(), Said::default());
    }
}
