//! `runner export --format svg` and `png`: a figure's panel or block diagram, or a table's curves, as the
//! dashboard draws them, on white.

use std::io::IsTerminal as _;

use anyhow::{anyhow, bail};
use rungs_server::Dashboard;
use rungs_server::charts::{ForPaper, for_paper};
use rungs_server::view::View;
use rungs_spec::experiment::Figure;

use crate::cli::{ExportArgs, FormatName, RoundName, SelectName};
use crate::context::Context;

/// The file's content. Errors: choices that are not for what is drawn, nothing to draw yet.
pub(super) async fn chart(
    context: &Context,
    view: &View,
    args: &ExportArgs,
) -> anyhow::Result<Vec<u8>> {
    if args.row.is_some() || args.seed.is_some() {
        bail!("--row and --seed are for --format submission: a chart holds all rows and seeds");
    }
    if matches!(args.select, SelectName::Last) || matches!(args.round, RoundName::Sd) {
        bail!("--select and --round are for the numbers of a table: a chart shows every epoch");
    }
    let png = args.format == FormatName::Png;
    if png && args.output.is_none() && std::io::stdout().is_terminal() {
        bail!("a PNG is nothing for a terminal: name a file with -o FILE.png");
    }
    let name = &view.experiment.name;
    let panel = match (&view.experiment.figure, args.panel) {
        (None, Some(_)) => bail!("{name} is a table, it has no panels; leave --panel out"),
        (Some(_), _) if args.column.is_some() || args.metric.is_some() => {
            bail!(
                "{name} is a figure, it has no columns and metrics to choose; leave --column and --metric out"
            )
        }
        (Some(figure), Some(letter)) => place(name, figure, letter)?,
        (_, None) => 0,
    };
    let of = ForPaper {
        metric: args.metric.clone(),
        column: args.column.clone(),
        panel,
        png,
    };
    let dashboard = Dashboard::new(context.home.clone(), context.database());
    let content = for_paper(&dashboard, view, &of).await;
    Ok(content
        .map_err(|failure| anyhow!(failure.message))?
        .to_vec())
}

/// `a` is the first panel.
fn place(name: &str, figure: &Figure, letter: char) -> anyhow::Result<usize> {
    let letters = || ('a'..='z').take(figure.panels.len());
    let found = letters().position(|known| known == letter.to_ascii_lowercase());
    match found {
        Some(place) => Ok(place),
        None if figure.panels.is_empty() => {
            bail!("{name} is a block diagram, it has no panels; leave --panel out")
        }
        None => {
            let known: Vec<String> = letters().map(String::from).collect();
            bail!("{name} has no panel {letter}; it has {}", known.join(", "))
        }
    }
}
