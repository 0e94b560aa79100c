//! `runner list`: the experiments with what is done of them, or a catalogue.

use rungs_report::format::{count, grouped};
use rungs_spec::plan::{Options, World as _};
use rungs_spec::refinement::ParameterDefault;
use rungs_spec::result::RunState;
use rungs_spec::{dataset, metric, model, recipe::Variant, refinement};
use rungs_store::Store;
use serde_json::{Value, json};

use crate::cli::ListArgs;
use crate::context::Context;
use crate::output;

pub(super) async fn run(context: &Context, args: &ListArgs) -> anyhow::Result<()> {
    let rows = if args.refinements {
        refinements()
    } else if args.models {
        models()?
    } else if args.datasets {
        datasets(context)
    } else if args.metrics {
        metrics()
    } else {
        experiments(context).await?
    };
    if context.json {
        let all: Vec<&Value> = rows.iter().map(|row| &row.json).collect();
        return output::print_json(&all);
    }
    output::print(&columns(&rows))
}

/// One thing of a list.
struct Row {
    /// Columns for people.
    cells: Vec<String>,
    json: Value,
}

/// Columns side by side; the last one is as long as it likes.
fn columns(rows: &[Row]) -> String {
    let count = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|i| {
            rows.iter()
                .filter_map(|row| row.cells.get(i))
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.cells.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count());
            line += &format!("{cell}{}  ", " ".repeat(pad));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

async fn experiments(context: &Context) -> anyhow::Result<Vec<Row>> {
    let store = context.reader().await?;
    let world = context.world_of_trainer()?;
    let mut rows = Vec::new();
    for name in world.experiment_names() {
        rows.push(
            match experiment(context, store.as_ref(), &world, &name).await {
                Ok(row) => row,
                // One bad file does not hide the others.
                Err(error) => {
                    let error = crate::failure::paragraph(&error);
                    Row {
                        cells: vec![name.clone(), String::new(), format!("bad file: {error}")],
                        json: json!({ "experiment": name, "error": error }),
                    }
                }
            },
        );
    }
    Ok(rows)
}

async fn experiment(
    context: &Context,
    store: Option<&Store>,
    world: &rungs_store::world::HomeWorld,
    name: &str,
) -> anyhow::Result<Row> {
    let experiment = world.experiment(name)?;
    let mut profiles = Vec::new();
    let mut shown = Vec::new();
    let names: Vec<Option<String>> = if experiment.profiles.is_empty() {
        vec![None]
    } else {
        experiment.profiles.keys().cloned().map(Some).collect()
    };
    for profile in names {
        let options = Options {
            profile: profile.clone(),
            ..Options::default()
        };
        let select = rungs_report::Select::Best;
        let view =
            rungs_server::view::table(store, &context.home, world, name, select, &options).await?;
        let runs = view.plan.runs.len();
        let done = view
            .results
            .values()
            .filter(|r| r.state == RunState::Done)
            .count();
        let label = profile.as_deref().unwrap_or("as written");
        shown.push(format!("{label} {done}/{runs}"));
        profiles.push(json!({
            "profile": profile, "runs": runs, "done": done,
            "default": profile == experiment.default_profile,
        }));
    }
    Ok(Row {
        cells: vec![name.to_owned(), shown.join(", "), experiment.title.clone()],
        json: json!({
            "experiment": name, "title": experiment.title, "paper": experiment.paper,
            "profiles": profiles,
        }),
    })
}

fn refinements() -> Vec<Row> {
    refinement::REFINEMENTS
        .iter()
        .map(|r| {
            let parameters: Vec<String> = r
                .parameters
                .iter()
                .map(|p| match p.default {
                    ParameterDefault::Is(value) => format!("{} = {value}", p.name),
                    ParameterDefault::OfRecipe => p.name.to_owned(),
                    ParameterDefault::Required(_) => format!("{} = needed", p.name),
                })
                .collect();
            let with = if parameters.is_empty() {
                String::new()
            } else {
                format!(" ({})", parameters.join(", "))
            };
            Row {
                cells: vec![
                    r.id.to_owned(),
                    format!("section {}", r.section),
                    format!("{}{with}", r.what),
                ],
                json: json!({
                    "id": r.id, "title": r.title, "section": r.section, "what": r.what,
                    "parameters": r.defaults(),
                    "parameter_names": r.parameters.iter().map(|p| p.name).collect::<Vec<_>>(), "excludes": r.excludes,
                }),
            }
        })
        .collect()
}

fn models() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for info in model::MODELS {
        let built = model::Model::published(info.name, Variant::Paper)?;
        let counts = model::counts(&built, info.input_size);
        rows.push(Row {
            cells: vec![
                info.name.to_owned(),
                format!("{} parameters", count(counts.parameters as f64)),
                format!("{} MACs", count(counts.macs as f64)),
                format!("{} px", info.input_size),
                info.source.to_owned(),
            ],
            json: json!({
                "name": info.name, "input_size": info.input_size, "depths": info.depths,
                "parameters": counts.parameters, "macs": counts.macs, "source": info.source,
            }),
        });
    }
    Ok(rows)
}

fn datasets(context: &Context) -> Vec<Row> {
    dataset::DATASETS
        .iter()
        .map(|d| {
            // Not found is an answer here, not an error.
            let path = rungs_store::dataset::dataset_path(&context.home, d.name);
            let place = match &path {
                Ok(Some(path)) => path.display().to_string(),
                Ok(None) => "made from a seed".to_owned(),
                Err(_) => "not found".to_owned(),
            };
            Row {
                cells: vec![
                    d.name.to_owned(),
                    format!("{} + {} images", grouped(d.train), grouped(d.val)),
                    format!("{} classes", d.classes),
                    place,
                    d.source.to_owned(),
                ],
                json: json!({
                    "name": d.name, "version": d.version, "title": d.title, "classes": d.classes,
                    "train": d.train, "val": d.val, "source": d.source,
                    "path": path.as_ref().ok().cloned().flatten(), "found": path.is_ok(),
                }),
            }
        })
        .collect()
}

fn metrics() -> Vec<Row> {
    metric::METRICS
        .iter()
        .map(|m| {
            let better = match m.direction {
                metric::Direction::Higher => "higher is better",
                metric::Direction::Lower => "lower is better",
                metric::Direction::None => "",
            };
            Row {
                cells: vec![
                    m.name.to_owned(),
                    m.unit.to_owned(),
                    better.to_owned(),
                    m.title.to_owned(),
                ],
                json: json!({
                    "name": m.name, "title": m.title, "unit": m.unit, "digits": m.digits,
                    "better": match m.direction {
                        metric::Direction::Higher => Some("higher"),
                        metric::Direction::Lower => Some("lower"),
                        metric::Direction::None => None,
                    },
                }),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |a: &str, b: &str| Row {
            cells: vec![a.to_owned(), b.to_owned()],
            json: Value::Null,
        };
        assert_eq!(
            columns(&[row("γ", "x"), row("long", "")]),
            "γ     x\nlong\n"
        );
    }
}
