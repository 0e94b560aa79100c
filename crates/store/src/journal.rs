//! HOME/journal.jsonl: every decision, appended and flushed to the disk before it is acted on.

use std::io::Write;
use std::path::Path;

use rungs_spec::home::JournalLine;

use crate::durable;
use crate::error::StoreError;
use crate::events::{BadLine, read_lines};

/// A decision and the byte after its line: what [`crate::Store::apply_journal`] takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The decision.
    pub line: JournalLine,
    /// Byte after it.
    pub end_offset: u64,
}

/// Appends decisions, flushes them to the disk, and returns each with its end. Only the holder of
/// HOME/scheduler.lock may do this. A torn last line (the power failed) is ended first, so that it
/// spoils nothing but itself.
pub fn append(path: &Path, lines: &[JournalLine]) -> Result<Vec<Entry>, StoreError> {
    let error = |e| {
        StoreError::file(
            path,
            "cannot append to the journal (is the disk full, the home writable?)",
            e,
        )
    };
    let mut text = Vec::new();
    let torn = ends_torn(path).map_err(error)?;
    if torn {
        text.push(b'\n');
    }
    let new = !path.exists();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(error)?;
    if new {
        durable::sync_dir(durable::parent_of(path)).map_err(error)?;
    }
    let start = file.metadata().map_err(error)?.len();
    let mut entries = Vec::with_capacity(lines.len());
    for line in lines {
        let json = serde_json::to_string(line).map_err(|e| StoreError::Content {
            path: path.to_owned(),
            message: format!("a decision has no JSON: {e}"),
        })?;
        text.extend_from_slice(json.as_bytes());
        text.push(b'\n');
        entries.push(Entry {
            line: line.clone(),
            end_offset: start + text.len() as u64,
        });
    }
    file.write_all(&text)
        .and_then(|()| file.sync_data())
        .map_err(error)?;
    Ok(entries)
}

fn ends_torn(path: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Decisions from byte `offset` on, and the lines that were left out because they are none. A missing
/// journal is empty, a torn last line is left for the next read.
pub fn read_from(path: &Path, offset: u64) -> Result<(Vec<Entry>, Vec<BadLine>), StoreError> {
    let (mut entries, mut bad) = (Vec::new(), Vec::new());
    each_line(path, offset, |text, at, end_offset| {
        match serde_json::from_slice(text) {
            Ok(line) => entries.push(Entry { line, end_offset }),
            Err(e) => {
                let line = crate::events::line_number(path, at)?;
                bad.push(BadLine {
                    line,
                    offset: at,
                    message: format!("not a decision: {e}"),
                });
            }
        }
        Ok(())
    })?;
    Ok((entries, bad))
}

/// Only how experiments were applied, oldest first. A home of ten thousand runs has a hundred times as many
/// other decisions; those, and lines that are none, are passed over.
pub fn applications(path: &Path) -> Result<Vec<JournalLine>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        kind: &'a str,
    }
    let mut lines = Vec::new();
    each_line(path, 0, |text, _, _| {
        if serde_json::from_slice(text).is_ok_and(|line: Kind<'_>| line.kind == "applied") {
            lines.extend(serde_json::from_slice::<JournalLine>(text).ok());
        }
        Ok(())
    })?;
    Ok(lines)
}

/// Every whole line that is not empty, with its first byte and the byte after it.
fn each_line(
    path: &Path,
    offset: u64,
    mut take: impl FnMut(&[u8], u64, u64) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = offset;
    loop {
        let (bytes, start, more) = read_lines(path, from)?;
        let mut at = start;
        for text in bytes.split_inclusive(|b| *b == b'\n') {
            let end = at + text.len() as u64;
            if !text.trim_ascii().is_empty() {
                take(text, at, end)?;
            }
            at = end;
        }
        if !more {
            return Ok(());
        }
        from = at;
    }
}
