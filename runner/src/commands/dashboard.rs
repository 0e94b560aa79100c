//! `runner dashboard`: the server and a scheduler in one process.

use std::time::Duration;

use tokio::sync::watch;

use crate::cli::DashboardArgs;
use crate::context::Context;
use crate::executor::Executor;
use crate::scheduler::SchedulerLock;
use crate::scheduler::driver::{Driver, Goal};
use crate::scheduler::machine::Stop;
use crate::trainer::Trainer;
use crate::{interrupt, output};

/// Time between two tries to become the scheduler, while another process is.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, args: &DashboardArgs) -> anyhow::Result<()> {
    let stop = interrupt::listen()?;
    std::fs::create_dir_all(context.home.dir())
        .map_err(|error| crate::files::explain(context.home.dir(), error))?;
    let executor = Executor::of(args.executor.executor, &context.home).await?;
    let listen = rungs_server::bind(&context.home, args.bind).await?;
    if context.json {
        let (address, url, link) = (listen.address, &listen.url, &listen.link);
        output::print_json(&serde_json::json!({ "address": address, "url": url, "link": link }))?;
    } else {
        output::print(&format!(
            "Dashboard of {}: {}",
            context.home.dir().display(),
            listen.url
        ))?;
        if let Some(link) = &listen.link {
            output::print(&format!(
                "To change things from a browser, open this once: {link}"
            ))?;
        }
    }
    let mut served = stop.clone();
    let until = async move {
        // An error means that nobody can say stop any more.
        served.wait_for(Option::is_some).await.ok();
    };
    let server = rungs_server::serve(listen, context.home.clone(), context.database(), until);
    // Pages without a trainer are still worth reading.
    match Trainer::of_home(&context.home, &executor) {
        Ok(trainer) => {
            let scheduler = async {
                let outcome = schedule(context, args, trainer, executor, stop).await;
                if let Err(error) = &outcome {
                    let why = crate::failure::paragraph(error);
                    tracing::error!("nothing is trained any more, pages stay up: {why}");
                }
                outcome
            };
            let ((), scheduled) = tokio::join!(server, scheduler);
            scheduled
        }
        Err(error) => {
            tracing::warn!(
                "nothing will be trained: {}",
                crate::failure::paragraph(&error)
            );
            server.await;
            Ok(())
        }
    }
}

/// Schedules, as soon as nobody else does, until stopped.
async fn schedule(
    context: &Context,
    args: &DashboardArgs,
    trainer: Trainer,
    executor: Executor,
    mut stop: watch::Receiver<Option<Stop>>,
) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        if stop.borrow().is_some() {
            return Ok(());
        }
        if let Some(lock) = SchedulerLock::try_take(&context.home)? {
            let db = context.database();
            let slots = args.executor.slots;
            let driver = Driver::open(&context.home, &db, lock, trainer, executor, slots).await?;
            return driver.run(Goal::Stopped, stop).await;
        }
        if !told {
            told = true;
            tracing::info!("another process schedules this home; taking over when it leaves");
        }
        tokio::select! {
            () = tokio::time::sleep(PATIENCE) => {}
            changed = stop.changed() => changed?,
        }
    }
}
