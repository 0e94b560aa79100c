//! Carries out what server and command line ask of the scheduler.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use rungs_spec::RunKey;
use rungs_spec::experiment::Experiment;
use rungs_spec::home::{JournalEntry, Request};
use rungs_spec::plan::{Options, Plan};
use rungs_spec::protocol::TrainerInfo;
use rungs_spec::result::{RunResult, RunState};
use rungs_store::world::HomeWorld;
use rungs_store::{RunFilter, requests};

use super::apply;
use super::ledger::Ledger;
use crate::{failure, files, runfile};

/// Carries out all requests that wait, in their order. Returns the runs that were cancelled. One
/// that cannot be carried out is refused: its reason is left beside it for who asked.
pub async fn carry_out_all(
    ledger: &Ledger,
    info: Option<&TrainerInfo>,
) -> anyhow::Result<Vec<RunKey>> {
    let mut cancelled = Vec::new();
    for waiting in requests::list(&ledger.home.requests())? {
        let outcome = match waiting.request {
            Ok(request) => carry_out(ledger, info, request).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(runs) => cancelled.extend(runs),
            Err(error) => {
                let reason = failure::paragraph(&error);
                tracing::warn!(request = %waiting.path.display(), "refused a request: {reason}");
                requests::refuse(&waiting.path, &reason)?;
            }
        }
        requests::remove(&waiting.path)?;
    }
    Ok(cancelled)
}

async fn carry_out(
    ledger: &Ledger,
    info: Option<&TrainerInfo>,
    request: Request,
) -> anyhow::Result<Vec<RunKey>> {
    match request {
        Request::Apply {
            experiment,
            hash,
            profile,
            seeds,
            set,
            rows,
            columns,
        } => {
            let Some(info) = info else {
                bail!(
                    "an experiment can only be applied where a trainer is; start `runner daemon`"
                );
            };
            let options = Options {
                profile,
                seeds,
                set,
                rows,
                columns,
            };
            apply_experiment(ledger, info, &experiment, &hash, &options).await?;
        }
        Request::Cancel { run } => match state_of(ledger, &run).await?.state {
            RunState::Done => bail!("run {} is done: there is nothing to cancel", run.short()),
            RunState::Cancelled => {}
            RunState::New
            | RunState::Blocked
            | RunState::Queued
            | RunState::Running
            | RunState::Failed => {
                ledger
                    .decide(vec![JournalEntry::Cancelled { run: run.clone() }])
                    .await?;
                return Ok(vec![run]);
            }
        },
        Request::Retry { run } => retry(ledger, run).await?,
        Request::Priority { run, priority } => {
            let state = state_of(ledger, &run).await?.state;
            if !matches!(state, RunState::Queued | RunState::Blocked) {
                bail!(
                    "run {} is {}: only a run that waits has a place in the queue",
                    run.short(),
                    state.word()
                );
            }
            ledger
                .decide(vec![JournalEntry::Priority { run, priority }])
                .await?;
        }
        Request::Pause if !ledger.store.paused().await? => {
            ledger.decide(vec![JournalEntry::Paused]).await?;
        }
        Request::Resume if ledger.store.paused().await? => {
            ledger.decide(vec![JournalEntry::Resumed]).await?;
        }
        Request::Pause | Request::Resume => {}
    }
    Ok(Vec::new())
}

async fn state_of(ledger: &Ledger, run: &RunKey) -> anyhow::Result<RunResult> {
    match ledger
        .store
        .results(std::slice::from_ref(run))
        .await?
        .remove(run)
    {
        Some(result) => Ok(result),
        None => bail!("there is no run {run} in this home; `runner runs` lists them"),
    }
}

/// Queues a failed or cancelled run again, and those it depends on if they are in the same state.
async fn retry(ledger: &Ledger, run: RunKey) -> anyhow::Result<()> {
    let first = state_of(ledger, &run).await?.state;
    if !matches!(
        first,
        RunState::Failed | RunState::Cancelled | RunState::New
    ) {
        bail!(
            "run {} is {}: only a failed or cancelled run can be retried",
            run.short(),
            first.word()
        );
    }
    let mut entries = Vec::new();
    let mut open = vec![run];
    while let Some(run) = open.pop() {
        let state = state_of(ledger, &run).await?.state;
        if matches!(
            state,
            RunState::Failed | RunState::Cancelled | RunState::New
        ) {
            // Those that are done already stay written down from the first time it was queued.
            let depends_on = waits_for(ledger, &run).await?;
            open.extend(depends_on.iter().cloned());
            entries.push(JournalEntry::Queued {
                run,
                depends_on,
                priority: 0,
            });
        }
    }
    ledger.decide(entries).await
}

async fn waits_for(ledger: &Ledger, run: &RunKey) -> anyhow::Result<Vec<RunKey>> {
    let filter = RunFilter {
        prefix: Some(run.to_string()),
        ..RunFilter::default()
    };
    let rows = ledger.store.runs(&filter).await?;
    Ok(rows.into_iter().flat_map(|row| row.waits_for).collect())
}

async fn apply_experiment(
    ledger: &Ledger,
    info: &TrainerInfo,
    name: &str,
    hash: &str,
    options: &Options,
) -> anyhow::Result<()> {
    let path = ledger.home.experiments().join(format!("{hash}.toml"));
    let text = files::read(&path)?;
    let experiment = Arc::new(Experiment::parse(name, &path.display().to_string(), &text)?);
    let world = HomeWorld::load(&ledger.home)?;
    let plan = rungs_spec::plan::build(experiment, options, &world)?;
    let keys: Vec<RunKey> = plan.runs.iter().map(|run| run.key.clone()).collect();
    let states: BTreeMap<RunKey, RunState> = ledger
        .store
        .results(&keys)
        .await?
        .into_iter()
        .map(|(key, result)| (key, result.state))
        .collect();
    write_recipes(ledger, info, &plan, &states)?;
    let entries = apply::decisions(&plan, options, &states, 0);
    if entries.len() == 1 && is_newest_application(ledger, &plan, options).await? {
        return Ok(());
    }
    ledger.decide(entries).await
}

/// All recipes are on the disk before the first run is queued.
fn write_recipes(
    ledger: &Ledger,
    info: &TrainerInfo,
    plan: &Plan,
    states: &BTreeMap<RunKey, RunState>,
) -> anyhow::Result<()> {
    let datasets = runfile::datasets(&ledger.home, apply::to_queue(plan, states))?;
    for run in apply::to_queue(plan, states) {
        runfile::write(
            &ledger.home,
            &runfile::build(&ledger.home, info, plan, run, &datasets)?,
        )?;
    }
    Ok(())
}

/// Whether the journal would only repeat itself.
async fn is_newest_application(
    ledger: &Ledger,
    plan: &Plan,
    options: &Options,
) -> anyhow::Result<bool> {
    let name = &plan.experiment.name;
    let applied = ledger.store.applied(Some(name)).await?;
    let newest = applied
        .iter()
        .filter(|a| a.profile == plan.profile)
        .max_by_key(|a| a.t_ms);
    Ok(newest.is_some_and(|a| {
        a.hash == plan.experiment.hash && a.seeds == plan.seeds && a.set == options.set
    }))
}
