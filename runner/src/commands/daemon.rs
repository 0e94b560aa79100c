//! `runner daemon`: runs what is queued until stopped.

use std::time::Duration;

use anyhow::bail;

use crate::cli::DaemonArgs;
use crate::context::Context;
use crate::executor::Executor;
use crate::interrupt;
use crate::scheduler::SchedulerLock;
use crate::scheduler::driver::{Driver, Goal};
use crate::trainer::Trainer;

/// A command that only looks may hold the lock for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context, args: &DaemonArgs) -> anyhow::Result<()> {
    let stop = interrupt::listen()?;
    let executor = Executor::of(args.executor.executor, &context.home).await?;
    let trainer = Trainer::of_home(&context.home, &executor)?;
    let lock = take_lock(context).await?;
    let driver = Driver::open(
        &context.home,
        &context.database(),
        lock,
        trainer,
        executor.clone(),
        args.executor.slots,
    )
    .await?;
    if !context.quiet {
        let stops = match executor {
            Executor::Local => "lets the trainers write a checkpoint and stops",
            Executor::Slurm(_) => "leaves; jobs go on in Slurm",
        };
        eprintln!(
            "running what is queued in {}; Ctrl-C {stops}",
            context.home.dir().display()
        );
    }
    driver.run(Goal::Stopped, stop).await
}

/// The lock, or who has it.
pub(super) async fn take_lock(context: &Context) -> anyhow::Result<SchedulerLock> {
    let begin = tokio::time::Instant::now();
    loop {
        if let Some(lock) = SchedulerLock::try_take(&context.home)? {
            return Ok(lock);
        }
        if begin.elapsed() > PATIENCE {
            let who = SchedulerLock::holder(&context.home)
                .map_or_else(String::new, |pid| format!(", process {pid}"));
            bail!(
                "the home {} has a scheduler already{who}; there is one per home: stop that one, or \
                 choose another home with --home",
                context.home.dir().display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
