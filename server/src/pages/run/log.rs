//! The end of a run's log.

use std::io::{Read, Seek, SeekFrom};

use crate::human::plural;

/// Lines of the log that the page shows.
const LOG_LINES: usize = 200;
/// Bytes of the log's end that are read for them.
const LOG_BYTES: u64 = 256 * 1024;

/// The last lines of a log; a log that grew huge is read only at its end.
pub(super) fn log_tail(path: &std::path::Path) -> (String, String) {
    let read = || -> std::io::Result<(Vec<u8>, bool)> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok((bytes, length > LOG_BYTES))
    };
    match read() {
        Ok((bytes, cut)) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().skip(usize::from(cut)).collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES)..];
            let caption = if cut || shown.len() < lines.len() {
                format!("last {} lines", shown.len())
            } else {
                plural(shown.len(), "line")
            };
            (shown.join("\n"), caption)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (String::new(), "nothing yet".to_owned())
        }
        Err(error) => (
            String::new(),
            format!("{} cannot be read: {error}", path.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_its_last_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log.txt");
        assert_eq!(log_tail(&path).1, "nothing yet");
        std::fs::write(
            &path,
            (1..=3).map(|i| format!("line {i}\n")).collect::<String>(),
        )
        .expect("written");
        assert_eq!(
            log_tail(&path),
            ("line 1\nline 2\nline 3".to_owned(), "3 lines".to_owned())
        );
        std::fs::write(
            &path,
            (1..=100_000)
                .map(|i| format!("line {i}\n"))
                .collect::<String>(),
        )
        .expect("written");
        let (text, caption) = log_tail(&path);
        assert_eq!(
            (text.lines().count(), caption.as_str()),
            (200, "last 200 lines")
        );
        assert!(text.ends_with("line 100000"));
    }
}
