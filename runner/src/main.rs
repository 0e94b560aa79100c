//! The `runner` program.

use std::process::ExitCode;

use clap::Parser as _;
use rungs_runner::{cli, commands, failure, output};

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    output::start_log(commands::log(&cli));
    let done = rungs_server::runtime()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner: {}", failure::paragraph(&error));
            failure::exit_code(&error)
        }
    }
}
