//! `runner bench`: how fast is this machine at what Rungs does all day? docs/BENCHMARKS.md has figures.

mod ingest;
mod loader;
mod usage;

use crate::cli::BenchCommand;
use crate::context::Context;

pub(super) async fn run(context: &Context, command: &BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Loader(args) => loader::run(context, args),
        BenchCommand::Ingest(args) => ingest::run(context, args).await,
    }
}
