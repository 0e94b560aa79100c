//! Results go to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// What the log says unless RUST_LOG chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Everything that the scheduler does: nothing else shows it.
    Scheduler,
    /// What goes wrong, except in runs: the progress display shows those.
    Progress,
    /// Errors.
    Quiet,
}

/// Starts the log on standard error. RUST_LOG chooses what is in it.
pub fn start_log(log: Log) {
    let default = match log {
        Log::Scheduler => "warn,rungs_runner=info",
        Log::Progress => {
            "warn,rungs_runner::scheduler::catchup=info,rungs_runner::scheduler::driver=off,\
             rungs_runner::scheduler::account=off"
        }
        Log::Quiet => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}

/// Prints a result. A reader that has seen enough (`| head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') || text.is_empty() {
        ""
    } else {
        "\n"
    };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// Prints a file as it is, byte by byte. As of [`print`], a reader may have seen enough.
pub fn print_bytes(content: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(content).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// Prints a result as JSON.
pub fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}
