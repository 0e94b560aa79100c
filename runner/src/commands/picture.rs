//! `runner export --format svg` and `png`: a figure's panel or block diagram, or a table's curves, as the
//! dashboard draws them, on white.

use std::io::IsTerminal as _;

use anyhow::{anyhow, bail};
use rungs_server::Dashboard;
use rungs_server::charts::{Picture, picture_of};

use super::export::write;
use crate::cli::{ExportArgs, FormatName, RoundName, SelectName};
use crate::context::Context;
use crate::output;

pub(super) async fn picture(context: &Context, args: &ExportArgs) -> anyhow::Result<()> {
    if args.row.is_some() || args.seed.is_some() {
        bail!("--row and --seed are for --format submission: a picture holds all rows and seeds");
    }
    if matches!(args.select, SelectName::Last) || matches!(args.round, RoundName::Sd) {
        bail!("--select and --round are for the numbers of a table: a picture shows every epoch");
    }
    let png = args.format == FormatName::Png;
    if png && args.output.is_none() && std::io::stdout().is_terminal() {
        bail!("a PNG is nothing for a terminal: name a file with -o FILE.png");
    }
    let panel = args.panel.map(place).transpose()?;
    let dashboard = Dashboard::new(context.home.clone(), context.database());
    let world = dashboard.world().map_err(told)?;
    let name = &args.experiment;
    let is_figure = world.figure_names().contains(name);
    if is_figure && args.column.is_some() {
        bail!("{name} is a figure, it has no columns; leave --column out");
    }
    if !is_figure && panel.is_some() {
        bail!("{name} is a table, it has no panels; leave --panel out");
    }
    let of = Picture {
        experiment: name.clone(),
        profile: args.profile.clone(),
        column: args.column.clone(),
        panel,
        png,
    };
    let file = picture_of(&dashboard, &of).await.map_err(told)?;
    match &args.output {
        None => output::print_bytes(&file),
        Some(path) => write(context, path, &file),
    }
}

fn told(failure: rungs_server::error::Failure) -> anyhow::Error {
    anyhow!(failure.message)
}

/// `a` is the first panel.
fn place(letter: char) -> anyhow::Result<usize> {
    match letter.to_ascii_lowercase() {
        letter @ 'a'..='z' => Ok(usize::from(letter as u8 - b'a')),
        _ => bail!("--panel {letter}: panels are named by letters, a is the first"),
    }
}
