//! Lines of the run's log: the trainer's stderr, which its executor puts into `log.txt`.

use std::fmt::Display;
use std::io::Write as _;

use rungs_spec::protocol::LOG_PROGRESS;

/// Says what a person should know. Unlike `eprintln!` it does not panic where the log's disk is full:
/// the exit status and the events still tell how the attempt ended.
pub fn say(line: impl Display) {
    // One write, so that lines of two processes do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says how far the attempt has come; an error message leaves such lines out.
pub fn progress(line: impl Display) {
    say(format_args!("{LOG_PROGRESS}{line}"));
}
