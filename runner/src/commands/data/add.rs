//! `runner data add`: puts a dataset into HOME/datasets.toml, with the digest that names it.

use std::path::Path;

use anyhow::{Context as _, bail};
use rungs_data::digest::{digest_of, digest_of_splits, hashes};
use rungs_data::{Dataset, FileLayout, Split, fingerprint};
use rungs_report::format::grouped;
use rungs_store::dataset::{Registered, RegisteredSplit};
use serde::Serialize;

use super::{Unit, existing, images, layout, progress};
use crate::cli::data::AddArgs;
use crate::context::Context;
use crate::output;

/// What is said of it.
#[derive(Debug, Serialize)]
struct Added<'a> {
    name: &'a str,
    #[serde(flatten)]
    registered: &'a Registered,
}

pub(super) fn run(context: &Context, args: &AddArgs) -> anyhow::Result<()> {
    check_name(&args.name)?;
    let path = existing(&args.path)?;
    let layout = layout(args.layout.as_deref(), &args.name, &path)?;
    let registered = register(context, &args.name, &path, layout)?;
    say(context, &args.name, &registered)
}

/// Names that a recipe can say and a person can type.
fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(allowed) || name.starts_with(['-', '.']) {
        bail!("{name:?} cannot name a dataset; take letters, digits, dashes, dots and underscores");
    }
    if name == "synthetic" {
        bail!("synthetic data is made from a seed and lies nowhere; choose another name");
    }
    Ok(())
}

/// Reads a dataset once and remembers what it is. Nothing is read where the files are those that are
/// registered already.
pub(super) fn register(
    context: &Context,
    name: &str,
    path: &Path,
    layout: FileLayout,
) -> anyhow::Result<Registered> {
    let before = fingerprint(path)?;
    let old = rungs_store::dataset::registered(&context.home)?.remove(name);
    if let Some(old) = old
        && old.path == path
        && old.layout.as_deref() == Some(layout.name())
        && old.fingerprint.as_ref() == Some(&before)
        && old.digest.is_some()
    {
        return Ok(old);
    }
    let splits = rungs_data::datasets::splits(name, path, layout)?;
    let Some((Split::Train, train)) = splits.first() else {
        bail!(
            "{} has no training images in the layout {}; put them where it has them, or name another --layout",
            path.display(),
            layout.name()
        );
    };
    for (split, dataset) in &splits {
        if dataset.is_empty() {
            bail!(
                "{} has no images in its split {}",
                path.display(),
                split.word()
            );
        }
        fits_catalogue(name, path, *split, dataset.as_ref())?;
        for problem in dataset.problems() {
            tracing::warn!("{problem}");
        }
    }
    let bar = progress(context, "digest", Unit::Images, images(&splits));
    let mut digests = Vec::new();
    for (split, dataset) in &splits {
        let hashes = hashes(dataset.as_ref(), &|n| bar.inc(n as u64))?;
        digests.push((*split, digest_of(dataset.as_ref(), &hashes)));
    }
    bar.finish_and_clear();
    if fingerprint(path)? != before {
        bail!(
            "{} was changed while it was read; add it again once nobody writes to it",
            path.display()
        );
    }
    let of_split = |which: Split| {
        let (_, dataset) = splits.iter().find(|(split, _)| *split == which)?;
        let (_, digest) = digests.iter().find(|(split, _)| *split == which)?;
        Some(RegisteredSplit {
            images: dataset.len() as u64,
            blake3: digest.clone(),
        })
    };
    let registered = Registered {
        path: path.to_owned(),
        layout: Some(layout.name().to_owned()),
        digest: Some(digest_of_splits(
            digests.iter().map(|(split, d)| (*split, d.as_str())),
        )),
        fingerprint: Some(before),
        classes: Some(train.classes() as u64),
        train: of_split(Split::Train),
        val: of_split(Split::Val),
    };
    rungs_store::dataset::register(&context.home, name, registered.clone())
        .with_context(|| format!("{name} is not added"))?;
    Ok(registered)
}

/// A name of the catalogue stands for all of that dataset: runs on it are shared by that name.
fn fits_catalogue(
    name: &str,
    path: &Path,
    split: Split,
    dataset: &dyn Dataset,
) -> anyhow::Result<()> {
    let Some(known) = rungs_spec::dataset::find(name) else {
        return Ok(());
    };
    let images = match split {
        Split::Train => known.train,
        Split::Val => known.val,
    };
    let (classes, found) = (dataset.classes() as u64, dataset.len() as u64);
    if (classes, found) == (u64::from(known.classes), images) {
        return Ok(());
    }
    bail!(
        "{} has {} {} images in {} classes, {} has {} in {}; it is another dataset or a part of it: add it under a \
         name of its own, such as my-{name}",
        path.display(),
        grouped(found),
        split.word(),
        grouped(classes),
        known.title,
        grouped(images),
        known.classes
    );
}

pub(super) fn say(context: &Context, name: &str, registered: &Registered) -> anyhow::Result<()> {
    if context.json {
        return output::print_json(&Added { name, registered });
    }
    let images = |split: &Option<RegisteredSplit>| {
        split
            .as_ref()
            .map_or_else(|| "no".to_owned(), |s| grouped(s.images))
    };
    let mut text = format!(
        "{name}: {}, {} classes, {} training and {} validation images\nlayout {}, digest {}",
        registered.path.display(),
        grouped(registered.classes.unwrap_or(0)),
        images(&registered.train),
        images(&registered.val),
        registered.layout.as_deref().unwrap_or("?"),
        registered.digest.as_deref().unwrap_or("?"),
    );
    if registered.val.is_none() {
        text += "\nIt has no validation images: it can be packed, but training needs some, in val/";
    }
    output::print(&text)
}
