//! `runner reproduce`: plans, queues, runs, shows progress, prints the table beside the paper's.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use rungs_report::Select;
use rungs_report::table::Table;
use rungs_spec::RunKey;
use rungs_spec::home::Request;
use rungs_spec::plan::{Options, Plan};
use rungs_spec::result::RunState;
use rungs_store::{Store, requests};

use super::plan::work_left;
use crate::cli::ReproduceArgs;
use crate::context::{self, Context};
use crate::executor::Executor;
use crate::failure::Failure;
use crate::progress::{self, Wanted};
use crate::scheduler::apply;
use crate::trainer::Trainer;
use crate::{files, output, runfile};

mod attend;

pub(super) async fn run(context: &Context, args: &ReproduceArgs) -> anyhow::Result<()> {
    let ReproduceArgs {
        selection,
        executor,
        check,
    } = args;
    // A wrong name is refused before anything is made, a missing trainer before anything is queued.
    let options = context::options(selection);
    let store = context.reader().await?;
    context::plans(context, store.as_ref(), &context.world()?, selection).await?;
    let slots = executor.slots;
    let executor = Executor::of(executor.executor, &context.home).await?;
    let trainer = Trainer::of_home(&context.home, &executor)?;
    let plans = context::plans(context, store.as_ref(), &context.world()?, selection).await?;
    let wanted = Wanted::of(&plans);
    let before = states(store.as_ref(), &wanted.keys()).await?;
    runfile::datasets(
        &context.home,
        plans.iter().flat_map(|plan| apply::to_queue(plan, &before)),
    )?;
    let report = super::plan::report(store.as_ref(), &plans).await?;
    drop(store);
    let undone = report.runs.len() - report.count(RunState::Done);
    if !context.quiet {
        // Before the request: the scheduler writes it into the journal that this reads.
        let changes = super::changes::text(&context.home, &plans, &options.set)?;
        eprint!("{changes}");
    }

    let requests = ask(context, &plans, &options)?;
    if undone > 0 && !context.quiet {
        let work = work_left(&report).map_or_else(String::new, |work| format!(", {work}"));
        eprintln!(
            "{undone} of {} runs to train{work}; home {}",
            report.runs.len(),
            context.home.dir().display()
        );
    }
    let attend = attend::Attend {
        context,
        trainer,
        executor,
        slots,
        wanted: &wanted,
        requests,
    };
    attend.until_settled(undone > 0).await?;
    finish(context, &plans, undone == 0, *check).await
}

async fn states(
    store: Option<&Store>,
    keys: &BTreeSet<RunKey>,
) -> anyhow::Result<std::collections::BTreeMap<RunKey, RunState>> {
    let Some(store) = store else {
        return Ok(Default::default());
    };
    let keys: Vec<RunKey> = keys.iter().cloned().collect();
    let standings = store.standings(&keys).await?;
    Ok(standings
        .into_iter()
        .map(|(key, standing)| (key, standing.state))
        .collect())
}

/// Leaves the experiment's text in the home and a request for the scheduler, one per experiment.
fn ask(context: &Context, plans: &[Plan], options: &Options) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for plan in plans {
        let experiment = &plan.experiment;
        let path = context
            .home
            .experiments()
            .join(format!("{}.toml", experiment.hash));
        if !path.exists() {
            files::write_atomically(&path, experiment.text.as_bytes())?;
        }
        let Options {
            profile: _,
            seeds,
            set,
            rows,
            columns,
        } = options.clone();
        let request = Request::Apply {
            experiment: experiment.name.clone(),
            hash: experiment.hash.clone(),
            profile: plan.profile.clone(),
            seeds,
            set,
            rows,
            columns,
        };
        written.push(requests::write(&context.home.requests(), &request)?);
    }
    Ok(written)
}

/// Prints the tables and judges the outcome.
async fn finish(
    context: &Context,
    plans: &[Plan],
    nothing_new: bool,
    check: bool,
) -> anyhow::Result<()> {
    let store = Store::open_reader(&context.database()).await?;
    let mut tables = Vec::new();
    let mut failures = Vec::new();
    for plan in plans {
        let keys: Vec<RunKey> = plan.runs.iter().map(|run| run.key.clone()).collect();
        let results = store.results(&keys).await?;
        for result in results.values() {
            let why = result
                .failure
                .as_ref()
                .map_or("", |failure| failure.message.as_str());
            match result.state {
                RunState::Failed => failures.push(format!("{} failed: {why}", result.key.short())),
                RunState::Cancelled => {
                    failures.push(format!("{} was cancelled", result.key.short()))
                }
                RunState::Blocked | RunState::Queued => failures.push(format!(
                    "{} waits for a run that failed or was cancelled",
                    result.key.short()
                )),
                RunState::New | RunState::Running | RunState::Done => {}
            }
        }
        tables.push(rungs_report::table::build(plan, &results, Select::Best));
    }
    print(context, &tables)?;
    if !context.quiet && !context.json {
        let command = "runner export";
        let name = &plans[0].experiment.name;
        if plans.iter().all(|plan| plan.runs.is_empty()) {
            eprintln!(
                "Drawn by `{command} {name} --format svg` (or png), and in `runner dashboard`."
            );
            return Ok(());
        }
        if nothing_new {
            eprintln!("Nothing was retrained: all runs were done already.");
        }
        eprintln!(
            "More: `runner dashboard` shows the curves, `{command} {name} --format html` (or csv, \
             json, markdown, latex) writes the table to a file."
        );
    }
    failures.sort();
    failures.dedup();
    if !failures.is_empty() {
        bail!(Failure::Run(format!(
            "{} of the runs did not finish: {}. `runner show RUN` tells more, and another `runner \
             reproduce` tries them again.",
            failures.len(),
            failures.join("; ")
        )));
    }
    if check {
        let contradictions: Vec<String> = tables.iter().flat_map(Table::contradictions).collect();
        if !contradictions.is_empty() {
            bail!(Failure::Check(format!(
                "--check: {} results contradict the paper: {}",
                contradictions.len(),
                contradictions.join("; ")
            )));
        }
    }
    Ok(())
}

fn print(context: &Context, tables: &[Table]) -> anyhow::Result<()> {
    if context.json {
        return match tables {
            [one] => output::print_json(one),
            several => output::print_json(&several),
        };
    }
    let texts: Vec<String> = tables.iter().map(super::table_text).collect();
    output::print(&texts.join("\n"))
}
