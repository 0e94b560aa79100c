//! `runner cancel`, `retry`, `priority`, `pause`, `resume`: leaves a request, and carries it out itself where no
//! scheduler is there to do it.

use std::time::Duration;

use anyhow::bail;
use rungs_spec::home::Request;
use rungs_store::requests;

use crate::cli::{PriorityArgs, RunArgs};
use crate::context::Context;
use crate::executor::{local, slurm};
use crate::output;
use crate::scheduler::catchup::Orphan;
use crate::scheduler::requests::carry_out_all;
use crate::scheduler::{SchedulerLock, catchup};

pub(super) async fn cancel(context: &Context, args: &RunArgs) -> anyhow::Result<()> {
    let run = context.must_read().await?.find_run(&args.run).await?;
    let done = format!("cancelled {}", run.short());
    ask(context, &Request::Cancel { run }, &done).await
}

pub(super) async fn retry(context: &Context, args: &RunArgs) -> anyhow::Result<()> {
    let run = context.must_read().await?.find_run(&args.run).await?;
    let done = format!("queued {} again", run.short());
    ask(context, &Request::Retry { run }, &done).await
}

pub(super) async fn priority(context: &Context, args: &PriorityArgs) -> anyhow::Result<()> {
    let run = context.must_read().await?.find_run(&args.run).await?;
    let priority = args.priority;
    let done = format!("{} waits with priority {priority}", run.short());
    ask(context, &Request::Priority { run, priority }, &done).await
}

pub(super) async fn pause(context: &Context) -> anyhow::Result<()> {
    let done = "paused: runs that train go on, no new attempt starts until `runner resume`";
    ask(context, &Request::Pause, done).await
}

pub(super) async fn resume(context: &Context) -> anyhow::Result<()> {
    ask(context, &Request::Resume, "resumed").await
}

async fn ask(context: &Context, request: &Request, done: &str) -> anyhow::Result<()> {
    context.must_read().await?;
    let path = requests::write(&context.home.requests(), request)?;
    let mut waited = Duration::ZERO;
    let mut nobody = false;
    while path.exists() {
        if let Some(lock) = SchedulerLock::try_take(&context.home)? {
            nobody = true;
            let (ledger, orphans) = catchup::open(&context.home, &context.database(), lock).await?;
            for run in carry_out_all(&ledger, None).await? {
                // Nobody watches this trainer, so nobody else will tell it.
                for orphan in orphans.iter().filter(|o| o.id.run == run) {
                    tell_to_leave(orphan).await;
                }
            }
            break;
        }
        if waited > Duration::from_secs(10) {
            bail!(
                "the scheduler of {} has not answered for 10 s; the request stays in {} and is \
                 carried out when it does",
                context.home.dir().display(),
                path.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        waited += Duration::from_millis(50);
    }
    if let Some(reason) = requests::take_refusal(&path) {
        bail!("{reason}");
    }
    if context.json {
        return output::print_json(&serde_json::json!({ "done": done }));
    }
    output::print(done)?;
    if nobody && matches!(request, Request::Retry { .. } | Request::Resume) && !context.quiet {
        eprintln!(
            "no scheduler is there: `runner daemon` (or a `runner reproduce`) runs what is queued"
        );
    }
    Ok(())
}

async fn tell_to_leave(orphan: &Orphan) {
    match &orphan.job {
        Some(job) => {
            if let Err(refusal) = slurm::commands::cancel(job).await {
                tracing::warn!("cannot cancel {}: {refusal}", job.shown());
            }
        }
        None if orphan.pid != 0 => local::terminate(orphan.pid),
        None => {}
    }
}
