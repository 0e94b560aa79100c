//! `runner logs`: what the trainers of a run printed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rungs_spec::RunKey;
use rungs_spec::result::RunState;
use rungs_store::{RunFilter, Store};

use crate::cli::LogsArgs;
use crate::context::Context;
use crate::output;

pub(super) async fn run(context: &Context, args: &LogsArgs) -> anyhow::Result<()> {
    let store = context.must_read().await?;
    let run = store.find_run(&args.run).await?;
    let path = context.home.run(&run).log();
    if !path.exists() && !args.follow {
        anyhow::bail!(
            "run {} has no log yet: no trainer was started for it",
            run.short()
        );
    }
    if context.json && !args.follow {
        let log = crate::files::read(&path)?;
        return output::print_json(&serde_json::json!({ "run": run, "log": log }));
    }
    let mut at = copy(&path, 0)?;
    if !args.follow {
        return Ok(());
    }
    loop {
        let over = is_over(&store, &run).await?;
        at = copy(&path, at)?;
        if over {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn is_over(store: &Store, run: &RunKey) -> anyhow::Result<bool> {
    let filter = RunFilter {
        prefix: Some(run.to_string()),
        ..RunFilter::default()
    };
    let rows = store.runs(&filter).await?;
    Ok(rows.iter().all(|row| {
        matches!(
            row.state,
            RunState::Done | RunState::Failed | RunState::Cancelled
        )
    }))
}

/// Copies a file from an offset on to standard output; returns the offset behind it.
fn copy(path: &Path, from: u64) -> anyhow::Result<u64> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(from),
        Err(error) => return Err(error).with_context(unreadable),
    };
    file.seek(SeekFrom::Start(from)).with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(unreadable)?;
    let mut out = io::stdout().lock();
    match out.write_all(&bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.context("cannot write to standard output")?,
    }
    Ok(from + bytes.len() as u64)
}
