//! The `runner` program.

use std::process::ExitCode;

use clap::Parser as _;
use rungs_runner::{cli, commands, failure, output};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    output::start_log(commands::log(&cli));
    match commands::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner: {}", failure::paragraph(&error));
            failure::exit_code(&error)
        }
    }
}
