//! `runner export --format submission`: what a finished run says of the test images whose labels a server
//! holds (Table 7), as the file that the server judges. One run makes one file.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use rungs_server::view::View;
use rungs_spec::RunKey;
use rungs_spec::error::nearest;
use rungs_spec::plan::Cell;
use rungs_spec::result::RunState;

use crate::cli::ExportArgs;
use crate::context::Context;
use crate::trainer::Trainer;

/// The file's text. Errors: a table without such a split, a run that has not finished, data that is not
/// there.
pub(super) async fn submission(
    context: &Context,
    view: &View,
    args: &ExportArgs,
) -> anyhow::Result<String> {
    let name = &view.experiment.name;
    if !view
        .experiment
        .metrics
        .iter()
        .any(|m| m.starts_with("test/"))
    {
        bail!(
            "{name} has no submission file: only a table whose labels are held by a server has \
             one; choose --format csv, json, markdown, latex or html"
        );
    }
    let (cell, run) = chosen(view, args)?;
    let seed = args.seed.unwrap_or(1);
    let trainer = Trainer::look(&context.home)?;
    let gpu = trainer.info.devices.iter().find(|d| d.kind == "cuda");
    let device = gpu.map_or("cpu", |gpu| gpu.id.as_str());
    let output = tokio::process::Command::new(&trainer.path)
        .args(["predict", "--device", device, "--run-dir"])
        .arg(context.home.run(run).dir())
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("{} cannot be started", trainer.path.display()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}", why.trim());
    }
    if !context.quiet {
        eprintln!(
            "predictions of {name} {} / {}, seed {seed}, run {run}; --row, --column and --seed choose another",
            cell.row, cell.column
        );
    }
    String::from_utf8(output.stdout).context("the trainer's predictions are not text")
}

/// The cell and run that were asked for: the last row with a finished run, if none was named.
fn chosen<'a>(view: &'a View, args: &ExportArgs) -> anyhow::Result<(&'a Cell, &'a RunKey)> {
    let name = &view.experiment.name;
    let known = |of: &Option<String>, names: Vec<&str>, what: &str| match of {
        Some(asked) if !names.contains(&asked.as_str()) => {
            let near = nearest(asked, names.iter().copied());
            bail!("{name} has no {what} \"{asked}\"; {near}")
        }
        _ => Ok(()),
    };
    let cells = &view.plan.cells;
    known(
        &args.row,
        cells.iter().map(|c| c.row.as_str()).collect(),
        "row",
    )?;
    known(
        &args.column,
        cells.iter().map(|c| c.column.as_str()).collect(),
        "column",
    )?;
    let seed = args.seed.unwrap_or(1);
    let wanted = |cell: &&Cell| {
        args.row.as_ref().is_none_or(|row| *row == cell.row)
            && args
                .column
                .as_ref()
                .is_none_or(|column| *column == cell.column)
    };
    let run_of = |cell: &'a Cell| {
        let at = usize::try_from(seed).ok()?.checked_sub(1)?;
        Some((cell, cell.runs.get(at)?))
    };
    let runs: Vec<_> = cells.iter().filter(wanted).filter_map(run_of).collect();
    let state = |run: &RunKey| view.results.get(run).map_or(RunState::New, |of| of.state);
    let done = runs
        .iter()
        .rev()
        .find(|(_, run)| state(run) == RunState::Done);
    if let Some(found) = done {
        return Ok(*found);
    }
    let how = format!("`runner reproduce {}` trains it", args.experiment);
    match runs.last() {
        Some((cell, run)) => bail!(
            "{name} {} / {}, seed {seed}, has not finished (it is {}); {how}",
            cell.row,
            cell.column,
            state(run).word()
        ),
        None => bail!(
            "{name} has no seed {seed}: it has seeds 1 to {}; choose one with --seed, or add seeds with --seeds",
            view.plan.seeds
        ),
    }
}
