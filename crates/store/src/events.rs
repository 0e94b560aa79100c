//! Reading attempt files while trainers write them.
//!
//! A trainer is killed at any moment, so a file may end in half a line: it is left for the next read.
//! A line in the middle that cannot be understood is reported and left out; the rest goes on.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rungs_spec::protocol::{Event, EventKind, PROTOCOL_VERSION};

use crate::error::StoreError;
use crate::time::parse_ms;

/// Bytes taken in one read: bounds memory; a longer file takes several reads.
pub const READ_AT_MOST: u64 = 16 << 20;

/// What a read found.
#[derive(Debug, Default)]
pub struct Tail {
    /// Events of whole lines, in order.
    pub events: Vec<Event>,
    /// Where the next read begins: the byte after the last whole line.
    pub offset: u64,
    /// Lines that were left out.
    pub bad: Vec<BadLine>,
    /// Whether the file had more bytes than [`READ_AT_MOST`]: read again at once.
    pub more: bool,
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq)]
pub struct BadLine {
    /// Line number in the file, from 1.
    pub line: u64,
    /// Byte at which the line begins.
    pub offset: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Reads the whole lines of an attempt file from `offset` on. A missing file is empty.
pub fn read_from(path: &Path, offset: u64) -> Result<Tail, StoreError> {
    let (bytes, start, more) = read_lines(path, offset)?;
    let mut read = Tail {
        offset: start + bytes.len() as u64,
        more,
        ..Tail::default()
    };
    let mut at = start;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match parse(line) {
            Ok(Some(event)) => read.events.push(event),
            Ok(None) => {}
            Err(message) => {
                let line = line_number(path, at)?;
                read.bad.push(BadLine {
                    line,
                    offset: at,
                    message,
                });
            }
        }
        at += line.len() as u64;
    }
    Ok(read)
}

/// Whole lines from `offset` on, the offset they begin at, and whether the file goes on after them. An
/// offset beyond the end means that the file was replaced by a shorter one: begin at 0, which is safe
/// because ingest knows what it has.
pub(crate) fn read_lines(path: &Path, offset: u64) -> Result<(Vec<u8>, u64, bool), StoreError> {
    let error = |e| StoreError::file(path, "cannot be read", e);
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0, false)),
        Err(e) => return Err(error(e)),
    };
    let len = file.metadata().map_err(error)?.len();
    let start = if offset > len { 0 } else { offset };
    file.seek(SeekFrom::Start(start)).map_err(error)?;
    let mut bytes = Vec::new();
    let mut limit = READ_AT_MOST;
    loop {
        (&mut file)
            .take(limit - bytes.len() as u64)
            .read_to_end(&mut bytes)
            .map_err(error)?;
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let full = bytes.len() as u64 == limit;
        // One line longer than the limit: no trainer of ours, but it must not stop the rest.
        if end == 0 && full {
            limit *= 2;
            continue;
        }
        bytes.truncate(end);
        return Ok((bytes, start, full));
    }
}

/// Number of the line that begins at `offset`: counted only when a line is bad.
pub(crate) fn line_number(path: &Path, offset: u64) -> Result<u64, StoreError> {
    let error = |e| StoreError::file(path, "cannot be read", e);
    let mut before = Vec::new();
    std::fs::File::open(path)
        .map_err(error)?
        .take(offset)
        .read_to_end(&mut before)
        .map_err(error)?;
    Ok(1 + before.iter().filter(|b| **b == b'\n').count() as u64)
}

/// An event, nothing for an empty line, or what is wrong.
fn parse(line: &[u8]) -> Result<Option<Event>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let event: Event = serde_json::from_slice(line).map_err(|e| format!("not an event: {e}"))?;
    check(&event)?;
    Ok(Some(event))
}

/// What JSON's types do not say.
fn check(event: &Event) -> Result<(), String> {
    if event.v != PROTOCOL_VERSION {
        return Err(format!(
            "protocol version {}, this program speaks {PROTOCOL_VERSION}",
            event.v
        ));
    }
    if parse_ms(&event.t).is_none() {
        return Err(format!("t = {:?} is not a time (RFC 3339)", event.t));
    }
    let limited = |name: &str, x: u64| {
        if i64::try_from(x).is_ok_and(|x| x < i64::MAX / 2) {
            Ok(())
        } else {
            Err(format!("{name} = {x} is too large"))
        }
    };
    match &event.kind {
        EventKind::Metrics {
            step0,
            epoch0,
            values,
        } => {
            limited("step0", *step0)?;
            limited("epoch0", *epoch0)?;
            let mut lengths = values.values().map(Vec::len);
            let first = lengths.next().unwrap_or(0);
            if lengths.any(|n| n != first) {
                return Err("the metrics have different lengths".to_owned());
            }
        }
        EventKind::Evaluation {
            epoch,
            step,
            n,
            top1_bits,
            top5_bits,
            ..
        } => {
            limited("step", *step)?;
            limited("epoch", *epoch)?;
            limited("n", *n)?;
            for (name, text) in [("top1_bits", top1_bits), ("top5_bits", top5_bits)] {
                let Some(text) = text else { continue };
                let bytes = BASE64
                    .decode(text)
                    .map_err(|e| format!("{name} is not base64: {e}"))?;
                if bytes.len() as u64 != n.div_ceil(8) {
                    return Err(format!(
                        "{name} has {} bytes, {n} images need {}",
                        bytes.len(),
                        n.div_ceil(8)
                    ));
                }
            }
        }
        EventKind::Started {
            step,
            steps,
            steps_per_epoch,
            ..
        } => {
            limited("step", *step)?;
            limited("steps", *steps)?;
            limited("steps_per_epoch", *steps_per_epoch)?;
        }
        EventKind::Checkpoint { epoch, step, .. } => {
            limited("step", *step)?;
            limited("epoch", *epoch)?;
        }
        EventKind::Finished {
            best_epoch,
            peak_bytes,
            ..
        } => {
            limited("best_epoch", *best_epoch)?;
            limited("peak_bytes", *peak_bytes)?;
        }
        EventKind::Failed { .. } => {}
    }
    Ok(())
}
