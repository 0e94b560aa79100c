//! `runner data`: which datasets there are, where they lie, whether they are whole.

mod add;
mod fetch;
mod list;
mod pack;
mod sources;
mod verify;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rungs_data::dataset::Splits;
use rungs_data::{Dataset, FileLayout, Split};
use rungs_store::dataset::Registered;

use crate::cli::data::{DataArgs, DataCommand};
use crate::context::Context;

pub(super) fn run(context: &Context, args: &DataArgs) -> anyhow::Result<()> {
    match &args.command {
        DataCommand::List => list::run(context),
        DataCommand::Add(args) => add::run(context, args),
        DataCommand::Fetch(args) => fetch::run(context, args),
        DataCommand::Verify(args) => verify::run(context, args),
        DataCommand::Pack(args) => pack::run(context, args),
        DataCommand::Write(args) => write::run(context, args),
    }
}

/// A dataset's splits and what this home knows of it.
struct Opened {
    path: PathBuf,
    layout: FileLayout,
    registered: Option<Registered>,
    splits: Splits,
}

/// Opens a dataset that this home knows or that lies in a usual place.
fn open(context: &Context, name: &str) -> anyhow::Result<Opened> {
    let found = rungs_store::dataset::find(&context.home, name)?;
    let Some(path) = found.path.filter(|_| !name.starts_with("tensors:")) else {
        bail!("{name} has no images in files; name a dataset of `runner data list`");
    };
    let of_home = found.registered.as_ref().and_then(|r| r.layout.as_deref());
    let layout = layout(of_home, name, &path)?;
    let splits = rungs_data::datasets::splits(name, &path, layout)?;
    Ok(Opened {
        path,
        layout,
        registered: found.registered,
        splits,
    })
}

/// The layout that was named, else the one that is seen.
fn layout(named: Option<&str>, name: &str, path: &Path) -> anyhow::Result<FileLayout> {
    match named {
        Some(named) => FileLayout::parse(named).map_err(anyhow::Error::msg),
        None => Ok(FileLayout::of(name, path)?),
    }
}

/// An absolute path of something that is there.
fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| {
        format!(
            "nothing can be read at {}; give a directory or file that is there",
            path.display()
        )
    })
}

/// Counts images or bytes on standard error, where somebody sees it.
fn progress(context: &Context, what: &'static str, unit: Unit, total: u64) -> ProgressBar {
    if context.quiet {
        return ProgressBar::hidden();
    }
    let template = match unit {
        Unit::Images => "{msg}: {human_pos} of {human_len} images, {per_sec}, {eta} left",
        Unit::Bytes => "{msg}: {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
    };
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Images,
    Bytes,
}

fn images(splits: &[(Split, Arc<dyn Dataset>)]) -> u64 {
    splits.iter().map(|(_, dataset)| dataset.len() as u64).sum()
}

/// The first digits of a digest, for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
