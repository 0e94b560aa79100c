//! `runner data verify`: reads and decodes every image, and names what is wrong.

use rungs_data::Split;
use rungs_data::digest::digest_of_splits;
use rungs_data::verify::{Report, SplitReport, verify};
use rungs_report::format::grouped;
use rungs_spec::dataset::Dataset;
use serde::Serialize;

use super::{Opened, Unit, images, open, progress};
use crate::cli::data::VerifyArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Files named of each kind of trouble, for people; `--json` names all.
const NAMED: usize = 20;

/// The report as it is printed.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    name: &'a str,
    path: String,
    layout: &'static str,
    digest: Option<&'a str>,
    #[serde(flatten)]
    report: &'a Report,
    /// What is wrong, a line each; empty if nothing is.
    wrong: &'a [String],
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> anyhow::Result<()> {
    let opened = open(context, &args.name)?;
    let known = rungs_spec::dataset::find(&args.name);
    let bar = progress(context, "verify", Unit::Images, images(&opened.splits));
    let side = known.and_then(|known| known.side);
    let report = verify(&opened.splits, side, &|n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    let digest = digest(&report);
    let wrong = wrong(known, &opened, &report, digest.as_deref());
    if context.json {
        output::print_json(&Verified {
            name: &args.name,
            path: opened.path.display().to_string(),
            layout: opened.layout.name(),
            digest: digest.as_deref(),
            report: &report,
            wrong: &wrong,
        })?;
    } else {
        output::print(&text(
            &args.name,
            &opened,
            &report,
            digest.as_deref(),
            &wrong,
        ))?;
    }
    match wrong.len() {
        0 => Ok(()),
        n => Err(Failure::Run(format!("{}: {n} things are wrong", args.name)).into()),
    }
}

/// The digest of everything; none if an image could not be read.
fn digest(report: &Report) -> Option<String> {
    let digests: Option<Vec<(Split, &str)>> = report
        .splits
        .iter()
        .map(|of| {
            let split = Split::ALL
                .into_iter()
                .find(|split| split.word() == of.split)?;
            Some((split, of.digest.as_deref()?))
        })
        .collect();
    digests.map(digest_of_splits)
}

/// What is wrong, a line each.
fn wrong(
    known: Option<&Dataset>,
    opened: &Opened,
    report: &Report,
    digest: Option<&str>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for of in &report.splits {
        let split = of.split;
        if let Some(known) = known {
            wrong.extend(against_catalogue(known, of, opened));
        }
        // Each with its file and line: these are the texts with which training refuses the data.
        wrong.extend(of.annotations.iter().map(|what| format!("{split}: {what}")));
        let kinds = [
            ("images cannot be read or decoded", &of.undecodable),
            ("images are not of the dataset's size", &of.wrong_size),
        ];
        for (kind, places) in kinds {
            if !places.is_empty() {
                wrong.push(format!(
                    "{split}: {} {kind}: {}",
                    places.len(),
                    named(places)
                ));
            }
        }
    }
    if known.is_some() && report.splits.len() < Split::ALL.len() {
        wrong.push("one of the splits train and val is missing".to_owned());
    }
    if !report.in_both.is_empty() {
        let pairs: Vec<String> = report
            .in_both
            .iter()
            .map(|[a, b]| format!("{a} = {b}"))
            .collect();
        wrong.push(format!(
            "{} images are in both splits: {}",
            pairs.len(),
            named(&pairs)
        ));
    }
    let added = opened.registered.as_ref().and_then(|r| r.digest.as_deref());
    if let (Some(added), Some(digest)) = (added, digest)
        && added != digest
    {
        wrong.push(format!(
            "its digest is {digest}, it was {added} when it was added: the images have changed since"
        ));
    }
    wrong
}

/// Counts that are not the catalogue's.
fn against_catalogue(known: &Dataset, of: &SplitReport, opened: &Opened) -> Vec<String> {
    let mut wrong = Vec::new();
    let train = of.split == Split::Train.word();
    let (images, [fewest, most]) = if train {
        (known.train, known.train_per_class)
    } else {
        (known.val, known.val_per_class)
    };
    let split = of.split;
    if of.per_class.len() as u64 != u64::from(known.classes) {
        let found = grouped(of.per_class.len() as u64);
        wrong.push(format!(
            "{split}: {found} classes, {} has {}",
            known.title, known.classes
        ));
    }
    if of.images as u64 != images {
        let (found, images) = (grouped(of.images as u64), grouped(images));
        wrong.push(format!(
            "{split}: {found} images, {} has {images}",
            known.title
        ));
    }
    let names = opened.splits.iter().find(|(s, _)| s.word() == split);
    let names = names.map_or(&[][..], |(_, dataset)| dataset.class_names());
    let off: Vec<String> = of
        .per_class
        .iter()
        .enumerate()
        .filter(|(_, count)| !(fewest..=most).contains(count))
        .map(|(class, count)| {
            let name = names
                .get(class)
                .cloned()
                .unwrap_or_else(|| class.to_string());
            format!("{name} has {count}")
        })
        .collect();
    if !off.is_empty() {
        let range = if fewest == most {
            fewest.to_string()
        } else {
            format!("{fewest} to {most}")
        };
        wrong.push(format!(
            "{split}: {} classes have not the {range} images that they should: {}",
            off.len(),
            named(&off)
        ));
    }
    wrong
}

fn named(places: &[String]) -> String {
    let more = places.len().saturating_sub(NAMED);
    let first = places[..places.len() - more].join("; ");
    match more {
        0 => first,
        _ => format!("{first}; and {more} more (--json names all)"),
    }
}

fn text(
    name: &str,
    opened: &Opened,
    report: &Report,
    digest: Option<&str>,
    wrong: &[String],
) -> String {
    let mut lines = vec![format!(
        "{name}: {}, layout {}, digest {}",
        opened.path.display(),
        opened.layout.name(),
        digest.unwrap_or("none: not every image can be read")
    )];
    for of in &report.splits {
        let (fewest, most) = (of.per_class.iter().min(), of.per_class.iter().max());
        lines.push(format!(
            "{:5} {:>9} images, {} classes of {} to {}, {}x{} to {}x{} pixels",
            of.split,
            grouped(of.images as u64),
            grouped(of.per_class.len() as u64),
            grouped(fewest.copied().unwrap_or(0)),
            grouped(most.copied().unwrap_or(0)),
            of.smallest[0],
            of.smallest[1],
            of.largest[0],
            of.largest[1]
        ));
    }
    match wrong {
        [] => lines.push("nothing is wrong".to_owned()),
        wrong => lines.extend(wrong.iter().map(|line| format!("WRONG {line}"))),
    }
    lines.join("\n")
}
