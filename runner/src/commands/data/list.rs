//! `runner data list`: the datasets of this home, then those of the catalogue.

use std::collections::BTreeMap;

use rungs_report::format::grouped;
use rungs_spec::dataset::DATASETS;
use rungs_store::dataset::Registered;
use serde::Serialize;

use super::short;
use crate::context::Context;
use crate::output;

/// One dataset.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    /// In HOME/datasets.toml.
    registered: bool,
    /// Somewhere, registered or in a usual place.
    found: bool,
    path: Option<String>,
    layout: Option<String>,
    classes: Option<u64>,
    train: Option<u64>,
    val: Option<u64>,
    digest: Option<String>,
    /// Of the catalogue.
    source: Option<&'static str>,
    #[serde(skip)]
    place: String,
}

pub(super) fn run(context: &Context) -> anyhow::Result<()> {
    let registered = rungs_store::dataset::registered(&context.home)?;
    let lines: Vec<Line> = registered
        .iter()
        .map(|(name, registered)| line(context, name, Some(registered)))
        .chain(
            DATASETS
                .iter()
                .filter(|known| !registered.contains_key(known.name))
                .map(|known| line(context, known.name, None)),
        )
        .collect();
    if context.json {
        return output::print_json(&lines);
    }
    output::print(&table(&lines))
}

fn line(context: &Context, name: &str, registered: Option<&Registered>) -> Line {
    let catalogue = DATASETS.iter().find(|known| known.name == name);
    let found = rungs_store::dataset::find(&context.home, name);
    let path = match registered {
        Some(registered) => Some(registered.path.clone()),
        None => found.as_ref().ok().and_then(|found| found.path.clone()),
    };
    let place = match (&path, found.is_ok()) {
        (Some(path), true) => path.display().to_string(),
        (Some(path), false) => format!("{} is gone", path.display()),
        (None, true) => "made from a seed".to_owned(),
        (None, false) => format!("not here: runner data fetch {name}"),
    };
    let count =
        |of: fn(&Registered) -> Option<u64>, known: Option<u64>| registered.and_then(of).or(known);
    Line {
        name: name.to_owned(),
        registered: registered.is_some(),
        found: found.is_ok(),
        path: path.map(|path| path.display().to_string()),
        layout: registered.and_then(|r| r.layout.clone()),
        classes: count(|r| r.classes, catalogue.map(|c| u64::from(c.classes))),
        train: count(
            |r| r.train.as_ref().map(|s| s.images),
            catalogue.map(|c| c.train),
        ),
        val: count(
            |r| r.val.as_ref().map(|s| s.images),
            catalogue.map(|c| c.val),
        ),
        digest: registered.and_then(|r| r.digest.clone()),
        source: catalogue.map(|c| c.source),
        place,
    }
}

fn table(lines: &[Line]) -> String {
    let mut rows: BTreeMap<usize, [String; 5]> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let number = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), grouped);
        rows.insert(
            at,
            [
                line.name.clone(),
                format!("{} + {} images", number(line.train), number(line.val)),
                format!("{} classes", number(line.classes)),
                line.digest.as_deref().map_or("-", short).to_owned(),
                line.place.clone(),
            ],
        );
    }
    let width = |column: usize| {
        rows.values()
            .map(|r| r[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    rows.values()
        .map(|[name, images, classes, digest, place]| {
            format!(
                "{name:a$}  {images:>b$}  {classes:>c$}  {digest:d$}  {place}",
                a = widths[0],
                b = widths[1],
                c = widths[2],
                d = widths[3]
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}
