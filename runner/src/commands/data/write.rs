//! `runner data write`: a dataset with boxes or masks in the layout that other programs read.

use anyhow::bail;
use rungs_data::FileLayout;
use rungs_data::datasets::write_out;
use serde::Serialize;

use super::{Unit, images, open, progress};
use crate::cli::data::WriteArgs;
use crate::context::Context;
use crate::output;

/// What was written.
#[derive(Debug, Serialize)]
struct Written<'a> {
    name: &'a str,
    layout: &'a str,
    path: String,
    images: u64,
}

pub(super) fn run(context: &Context, args: &WriteArgs) -> anyhow::Result<()> {
    let layout = FileLayout::parse(&args.layout).map_err(anyhow::Error::msg)?;
    if ![FileLayout::Voc, FileLayout::Ade].contains(&layout) {
        bail!(
            "--layout {}: only voc (boxes) and ade (masks) are written",
            args.layout
        );
    }
    let used = std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some());
    if used {
        bail!("{} is not empty; name a new directory", args.out.display());
    }
    let opened = open(context, &args.name)?;
    let images = images(&opened.splits);
    let bar = progress(context, "write", Unit::Images, images);
    let told = |n: usize| bar.inc(n as u64);
    match layout {
        FileLayout::Voc => write_out::voc(&opened.splits, &args.out, &told)?,
        _ => write_out::ade(&opened.splits, &args.out, &told)?,
    }
    bar.finish_and_clear();
    if context.json {
        return output::print_json(&Written {
            name: &args.name,
            layout: layout.name(),
            path: args.out.display().to_string(),
            images,
        });
    }
    output::print(&format!(
        "{images} images of {} are in {}, layout {}: `runner data add NAME {}` takes them",
        args.name,
        args.out.display(),
        layout.name(),
        args.out.display()
    ))
}
