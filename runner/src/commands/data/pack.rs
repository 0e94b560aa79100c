//! `runner data pack`: a whole dataset in one file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rungs_data::FileLayout;
use rungs_data::datasets::pack::write;
use rungs_data::digest::digest_of_splits;
use rungs_report::format::grouped;
use rungs_spec::recipe::Task;
use serde::Serialize;

use super::{Unit, images, open, progress};
use crate::cli::data::PackArgs;
use crate::context::Context;
use crate::output;

/// What was written.
#[derive(Debug, Serialize)]
struct Packed<'a> {
    name: &'a str,
    file: &'a Path,
    images: usize,
    /// Images that were made smaller and encoded again.
    smaller: usize,
    bytes: u64,
    digest: &'a str,
    /// Whether it is the same dataset.
    same: bool,
}

pub(super) fn run(context: &Context, args: &PackArgs) -> anyhow::Result<()> {
    let name = &args.name;
    let opened = open(context, name)?;
    let labelled = |(_, of): &(_, std::sync::Arc<dyn rungs_data::Dataset>)| {
        of.tasks().contains(&Task::Classify)
    };
    if !opened.splits.iter().all(labelled) {
        bail!("{name} has boxes or masks, which a pack does not hold; copy its directory");
    }
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}.pack")));
    let out = std::path::absolute(&out).context("the current directory is gone")?;
    may_be_written(&out, &opened.path)?;
    let bar = progress(context, "pack", Unit::Images, images(&opened.splits));
    let written = write(&out, &opened.splits, args.max_side, &|n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    let digest = digest_of_splits(
        written
            .digests
            .iter()
            .map(|(split, d)| (*split, d.as_str())),
    );
    let added = opened.registered.as_ref().and_then(|r| r.digest.as_deref());
    let same = written.smaller == 0;
    if same && added.is_some_and(|added| added != digest) {
        // What was packed is what is there now; only the home's memory of it is old.
        tracing::warn!(
            "{name} has changed since it was added: `runner data add {name} {}` takes note",
            opened.path.display()
        );
    }
    if context.json {
        return output::print_json(&Packed {
            name,
            file: &out,
            images: written.images,
            smaller: written.smaller,
            bytes: written.bytes,
            digest: &digest,
            same,
        });
    }
    let what = if same {
        format!("the same dataset as {name}")
    } else {
        format!(
            "another dataset than {name}: {} images were made smaller and encoded again",
            grouped(written.smaller as u64)
        )
    };
    output::print(&format!(
        "{}: {} images, {} bytes\ndigest {digest}, {what}",
        out.display(),
        grouped(written.images as u64),
        grouped(written.bytes)
    ))
}

/// Nothing else is overwritten, and the dataset itself is left as it is.
fn may_be_written(out: &Path, dataset: &Path) -> anyhow::Result<()> {
    if out.is_dir() {
        bail!("{} is a directory; name a file with --out", out.display());
    }
    if out.exists() && FileLayout::detect(out).ok() != Some(FileLayout::Pack) {
        bail!(
            "{} is there and is no pack; remove it, or name another file with --out",
            out.display()
        );
    }
    let parent = out.parent().unwrap_or(Path::new("/"));
    let real = parent.canonicalize().with_context(|| {
        format!(
            "the directory {} is not there; make it, or name another with --out",
            parent.display()
        )
    })?;
    let inside = dataset.is_dir()
        && dataset
            .canonicalize()
            .is_ok_and(|root| real.starts_with(root));
    if inside {
        bail!(
            "{} would lie in the dataset's own directory; name a file elsewhere with --out",
            out.display()
        );
    }
    Ok(())
}
