//! Results on stdout. A reader that has seen enough (`| head`) is an error that [`is_broken_pipe`]
//! knows, not the panic of `println!`.

use std::fmt::Arguments;
use std::io::Write;

use serde::Serialize;

/// One line.
pub fn line(text: Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// A value as JSON that people can read.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(format_args!("{}", serde_json::to_string_pretty(value)?))
}

/// A value as JSON on one line, for programs that read line by line.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(format_args!("{}", serde_json::to_string(value)?))
}

/// Whether nobody reads any more.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
