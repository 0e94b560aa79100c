//! `runner data fetch`: the published files of a dataset, each checked, then `runner data add`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rungs_data::FileLayout;
use rungs_spec::dataset::DATASETS;
use rungs_spec::error::nearest;

use super::sources::{self, PublishedFile, Source};
use super::{Unit, add, progress};
use crate::cli::data::FetchArgs;
use crate::context::Context;
use crate::{download, files};

pub(super) fn run(context: &Context, args: &FetchArgs) -> anyhow::Result<()> {
    let name = args.name.as_str();
    let (official, published) = match sources::of(name) {
        Some(Source::Files { address, files }) => (address, files),
        Some(Source::ByHand(what_to_do)) => bail!("{what_to_do}"),
        None if rungs_spec::dataset::find(name).is_some() => {
            bail!("{name} is made from a seed: there is nothing to fetch")
        }
        None => {
            let known = DATASETS.iter().map(|d| d.name);
            bail!(
                "no dataset of the catalogue is called {name:?}; {}",
                nearest(name, known)
            )
        }
    };
    let address = args.from.as_deref().unwrap_or(official);
    let dir = match &args.to {
        Some(dir) => std::path::absolute(dir).context("the current directory is gone")?,
        None => usual_place(name)?,
    };
    // The directory appears once all is in it: half a dataset is never found by its name.
    let work = if dir.exists() {
        dir.clone()
    } else {
        PathBuf::from(format!("{}.part", dir.display()))
    };
    std::fs::create_dir_all(&work).map_err(|error| files::explain(&work, error))?;
    for file in published {
        fetch(context, &work, file, address)?;
    }
    if work != dir {
        std::fs::rename(&work, &dir).map_err(|error| files::explain(&dir, error))?;
    }
    let dir = super::existing(&dir)?;
    let layout = FileLayout::detect(&dir)?;
    let registered = add::register(context, name, &dir, layout)?;
    add::say(context, name, &registered)
}

/// Where a dataset is found by its name from then on: `RUNGS_DATA/NAME`, else the user's data directory.
fn usual_place(name: &str) -> anyhow::Result<PathBuf> {
    let set = |variable: &str| {
        let value = std::env::var_os(variable).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let user = || set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    let place = set("RUNGS_DATA").or_else(|| Some(user()?.join("rungs")));
    let place = place.context("neither RUNGS_DATA nor HOME is set; name a directory with --to")?;
    std::path::absolute(place.join(name)).context("the current directory is gone")
}

fn fetch(context: &Context, dir: &Path, file: &PublishedFile, address: &str) -> anyhow::Result<()> {
    if file.unpacks.is_some_and(|made| dir.join(made).exists()) {
        return Ok(());
    }
    let path = dir.join(file.name);
    let bar = progress(context, file.name, Unit::Bytes, file.size);
    download::get(&file.wanted(address), &path, &|have| bar.set_position(have))?;
    bar.finish_and_clear();
    if file.unpacks.is_some() {
        unpack(&path, dir)?;
        std::fs::remove_file(&path).map_err(|error| files::explain(&path, error))?;
    }
    Ok(())
}

/// Unpacks beside the place, then moves what was unpacked there: half an archive is never taken for a
/// whole one.
fn unpack(archive: &Path, dir: &Path) -> anyhow::Result<()> {
    let beside = dir.join(".unpack");
    let unpacked = std::fs::File::open(archive).and_then(|file| {
        // What a killed process left.
        match std::fs::remove_dir_all(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = std::io::BufReader::with_capacity(1 << 20, file);
        tar::Archive::new(file).unpack(&beside)?;
        for entry in std::fs::read_dir(&beside)? {
            let entry = entry?;
            std::fs::rename(entry.path(), dir.join(entry.file_name()))?;
        }
        std::fs::remove_dir(&beside)
    });
    if unpacked.is_err() {
        // The first error is the one that matters.
        let _ = std::fs::remove_dir_all(&beside);
    }
    unpacked.with_context(|| {
        format!(
            "cannot unpack {}; free some space and run this again, the archive itself is whole",
            archive.display()
        )
    })
}
