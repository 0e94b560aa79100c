//! The end of a run's log.

use std::io::{Read, Seek, SeekFrom};

use crate::human::plural;

/// Lines of the log that the page shows.
const LOG_LINES: usize = 200;
/// Bytes of the log's end that are read for them.
const LOG_BYTES: u64 = 256 * 1024;

/// The last lines of a log, what they are, and the byte behind them, from which a page goes on reading.
pub(super) struct Tail {
    pub(super) text: String,
    pub(super) caption: String,
    pub(super) end: u64,
}

/// Reads whole lines; a log that grew huge is read only at its end.
pub(super) fn log_tail(path: &std::path::Path) -> Tail {
    let read = || -> std::io::Result<(Vec<u8>, u64)> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        let from = length.saturating_sub(LOG_BYTES);
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        // A line that is being written comes with the next look.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        bytes.truncate(whole);
        Ok((bytes, from))
    };
    let nothing = |caption: String| Tail {
        text: String::new(),
        caption,
        end: 0,
    };
    match read() {
        Ok((bytes, from)) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES)..];
            let caption = if from > 0 || shown.len() < lines.len() {
                format!("last {} lines", shown.len())
            } else {
                plural(shown.len(), "line")
            };
            Tail {
                text: shown.iter().map(|line| format!("{line}\n")).collect(),
                caption,
                end: from + bytes.len() as u64,
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            nothing("nothing yet".to_owned())
        }
        Err(error) => nothing(format!("{} cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_its_last_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log.txt");
        assert_eq!(log_tail(&path).caption, "nothing yet");
        let lines = |n: u32| (1..=n).map(|i| format!("line {i}\n")).collect::<String>();
        std::fs::write(&path, lines(3) + "half a li").expect("written");
        let tail = log_tail(&path);
        assert_eq!(tail.text, "line 1\nline 2\nline 3\n");
        assert_eq!((tail.caption.as_str(), tail.end), ("3 lines", 21));
        std::fs::write(&path, lines(100_000)).expect("written");
        let tail = log_tail(&path);
        assert_eq!(tail.text.lines().count(), 200);
        assert_eq!(tail.caption, "last 200 lines");
        assert_eq!(tail.end, lines(100_000).len() as u64);
        assert!(tail.text.ends_with("line 100000\n"));
    }
}
