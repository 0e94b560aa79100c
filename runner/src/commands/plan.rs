//! `runner plan`: the runs that `reproduce` would do.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use rungs_report::format::duration;
use rungs_report::history::History;
use rungs_report::plan::PlanReport;
use rungs_spec::RunKey;
use rungs_spec::plan::{Plan, explain};
use rungs_spec::result::RunState;
use rungs_spec::settle::Settlement;
use rungs_store::{RunFilter, Store};

use crate::cli::PlanArgs;
use crate::context::{self, Context};
use crate::output;

pub(super) async fn run(context: &Context, args: &PlanArgs) -> anyhow::Result<()> {
    if let Some(cell) = &args.explain {
        return explain_cell(context, args, cell).await;
    }
    let world = context.world_of_trainer()?;
    let store = context.reader().await?;
    let plans = context::plans(context, store.as_ref(), &world, &args.selection).await?;
    let report = report(store.as_ref(), &plans).await?;
    if context.json {
        return output::print_json(&report);
    }
    let changes = super::changes::text(&context.home, &plans, &args.selection.set)?;
    output::print(&(text(&plans, &report) + &changes))
}

/// The report over these plans, with estimates from all runs that were finished here.
pub(super) async fn report(store: Option<&Store>, plans: &[Plan]) -> anyhow::Result<PlanReport> {
    let (standings, recent) = match store {
        None => (BTreeMap::new(), BTreeMap::new()),
        Some(store) => {
            let runs = plans.iter().flat_map(|plan| &plan.runs);
            let keys: BTreeSet<RunKey> = runs.map(|run| run.key.clone()).collect();
            // Newest first; a few hundred say as much about speed as ten thousand.
            let filter = RunFilter {
                states: vec![RunState::Done],
                limit: Some(300),
                ..RunFilter::default()
            };
            let recent = store.runs(&filter).await?;
            let recent: Vec<RunKey> = recent.into_iter().map(|row| row.key).collect();
            (
                store
                    .standings(&keys.into_iter().collect::<Vec<_>>())
                    .await?,
                store.results(&recent).await?,
            )
        }
    };
    let history = History::of(recent.values());
    Ok(PlanReport::build(
        &plans.iter().collect::<Vec<_>>(),
        &standings,
        &history,
    ))
}

fn text(plans: &[Plan], report: &PlanReport) -> String {
    let mut text = String::new();
    for plan in plans {
        let profile = plan
            .profile
            .as_deref()
            .map_or("as written".to_owned(), |p| format!("profile {p}"));
        text += &format!(
            "{}: {} ({profile})\n",
            plan.experiment.name, plan.experiment.title
        );
        text += &format!("{}\n", rungs_report::profile::profile_note(plan));
    }
    text += "\n";
    text += &report.text();
    if !report.runs.is_empty() && report.count(RunState::Done) == report.runs.len() {
        text += "all done\n";
    }
    text
}

/// Where each value of one cell's recipe comes from.
async fn explain_cell(context: &Context, args: &PlanArgs, cell: &str) -> anyhow::Result<()> {
    let (row, column) = cell.split_once('/').with_context(|| {
        format!("--explain {cell}: name a cell as ROW/COLUMN, such as warmup/bs256")
    })?;
    let world = context.world()?;
    let store = context.reader().await?;
    let options = context::options(&args.selection);
    let mut all = Vec::new();
    for named in &args.selection.experiments {
        let experiment = context::experiment(context, store.as_ref(), &world, named).await?;
        let settlement = explain(&experiment, &options, row, column)?;
        all.push((experiment.name.clone(), settlement));
    }
    if context.json {
        let json: Vec<_> = all
            .iter()
            .map(|(experiment, settlement)| {
                serde_json::json!({
                    "experiment": experiment, "row": row, "column": column,
                    "recipe": settlement.recipe, "keys": settlement.keys,
                })
            })
            .collect();
        return output::print_json(&json);
    }
    let text: Vec<String> = all
        .iter()
        .map(|(_, settlement)| explained(settlement))
        .collect();
    output::print(&text.join("\n"))
}

fn explained(settlement: &Settlement) -> String {
    let width = |of: fn(&rungs_spec::settle::Settled) -> usize| {
        settlement.keys.iter().map(of).max().unwrap_or(0).min(60)
    };
    let key_width = width(|k| k.key.len());
    let value_width = width(|k| k.value.chars().count()).min(36);
    let mut text = String::new();
    for key in &settlement.keys {
        let overrode: Vec<String> = key
            .overrode
            .iter()
            .rev()
            .map(|(value, from)| format!("{value} of {from}"))
            .collect();
        let over = if overrode.is_empty() {
            String::new()
        } else {
            format!(", over {}", overrode.join(", "))
        };
        text += &format!(
            "{:key_width$}  {:value_width$}  {}{over}\n",
            key.key, key.value, key.from
        );
    }
    text
}

/// `about 4 min 10 s of work`, for people.
pub(super) fn work_left(report: &PlanReport) -> Option<String> {
    report
        .estimate_s
        .filter(|s| *s > 0.0)
        .map(|s| format!("about {} of work", duration(s)))
}
