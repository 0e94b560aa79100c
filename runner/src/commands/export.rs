//! `runner export`: an experiment's table in some format, on standard output or in a file.

use std::path::Path;

use anyhow::bail;
use rungs_report::Select;
use rungs_report::export::{Format, Round, export};
use rungs_spec::experiment::Experiment;
use rungs_spec::plan::{Options, World};

use super::chart::chart;
use super::submission::submission;
use crate::cli::{ExportArgs, FormatName, RoundName, SelectName};
use crate::context::Context;
use crate::{files, output};

pub(super) async fn run(context: &Context, args: &ExportArgs) -> anyhow::Result<()> {
    let ExportArgs {
        experiment,
        format,
        output: file,
        profile,
        select,
        round,
        row,
        column,
        seed,
        panel,
        metric,
    } = args;
    let drawn = matches!(format, FormatName::Svg | FormatName::Png);
    let format = match format {
        FormatName::Csv => Some(Format::Csv),
        FormatName::Json => Some(Format::Json),
        FormatName::Markdown => Some(Format::Markdown),
        FormatName::Latex => Some(Format::Latex),
        FormatName::Html => Some(Format::Html),
        FormatName::Submission | FormatName::Svg | FormatName::Png => None,
    };
    if !drawn && (panel.is_some() || metric.is_some()) {
        bail!("--panel and --metric are for --format svg and png, which draw one chart");
    }
    if format.is_some() && (row.is_some() || column.is_some() || seed.is_some()) {
        bail!(
            "--row, --column and --seed are for --format submission, which is of one run (and --column for svg \
             and png, which draw one column); every other format holds the whole table"
        );
    }
    if matches!(round, RoundName::Sd) && !drawn && !matches!(format, Some(Format::Latex)) {
        bail!(
            "--round sd is for --format latex; every other format holds mean, deviation and n as they are"
        );
    }
    let select = match select {
        SelectName::Best => Select::Best,
        SelectName::Last => Select::Last,
    };
    let store = context.reader().await?;
    let world = context.world_of_trainer()?;
    let options = Options {
        profile: profile.clone(),
        ..Options::default()
    };
    let view = rungs_server::view::table(
        store.as_ref(),
        &context.home,
        &world,
        experiment,
        select,
        &options,
    )
    .await?;
    if !context.quiet
        && let Some(notice) = edited_since(context, &world, experiment, &view.experiment)
    {
        eprintln!("{notice}");
    }
    let round = match round {
        RoundName::Digits => Round::Digits,
        RoundName::Sd => Round::Sd,
    };
    if drawn {
        let content = chart(context, &view, args).await?;
        return match file {
            None => output::print_bytes(&content),
            Some(path) => write(context, path, &content),
        };
    }
    let text = match format {
        Some(format) => export(&view.source(), format, round)?,
        None => submission(context, &view, args).await?,
    };
    match file {
        None => output::print(&text),
        Some(path) => write(context, path, text.as_bytes()),
    }
}

/// Into the file, and says so.
fn write(context: &Context, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    files::write_atomically(path, content)?;
    if !context.quiet {
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// One line if the table is of a text that was applied and the file has another one by now: results
/// belong to what was trained, while `plan` and `reproduce` go by the file.
fn edited_since(
    context: &Context,
    world: &dyn World,
    named: &str,
    shown: &Experiment,
) -> Option<String> {
    let (name, hash) = (&shown.name, &shown.hash);
    let applied = context.home.experiments().join(format!("{hash}.toml"));
    let applied = applied.display();
    match world.experiment(named) {
        Ok(current) if current.hash == *hash => None,
        Ok(current) => Some(format!(
            "{} was edited since {name} was applied: this table is of the applied text, {applied}; \
             `runner reproduce {named}` applies the new one",
            current.file
        )),
        // Neither a file nor built in any more: only the applied text is left.
        Err(error) if error.file.is_none() => None,
        Err(error) => Some(format!(
            "this table is of the text that was applied as {name}, {applied}, for the file cannot be \
             used: {error}"
        )),
    }
}
