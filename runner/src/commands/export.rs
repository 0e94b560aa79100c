//! `runner export`: an experiment's table in some format, on standard output or in a file.

use anyhow::bail;
use rungs_report::Select;
use rungs_report::export::{Format, export};
use rungs_spec::plan::Options;

use crate::cli::{ExportArgs, FormatName, SelectName};
use crate::context::Context;
use crate::{files, output};

pub(super) async fn run(context: &Context, args: &ExportArgs) -> anyhow::Result<()> {
    let ExportArgs {
        experiment,
        format,
        output: file,
        profile,
        select,
    } = args;
    let format = match format {
        FormatName::Csv => Format::Csv,
        FormatName::Json => Format::Json,
        FormatName::Markdown => Format::Markdown,
        FormatName::Latex => Format::Latex,
        FormatName::Html => Format::Html,
        FormatName::Submission => bail!(
            "{experiment} has no submission file: only a table whose labels are held by a server has \
             one; choose --format csv, json, markdown, latex or html"
        ),
    };
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
    let text = export(&view.table, format)?;
    match file {
        None => output::print(&text),
        Some(path) => {
            files::write_atomically(path, text.as_bytes())?;
            if !context.quiet {
                eprintln!("wrote {}", path.display());
            }
            Ok(())
        }
    }
}
