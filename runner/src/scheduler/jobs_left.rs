//! What became of the jobs that an earlier scheduler left in Slurm.

use rungs_spec::RunKey;
use rungs_spec::home::RunDir;
use rungs_spec::protocol::FailureClass;
use rungs_store::Store;

use super::ending::Exit;
use super::jobs::past_end;
use crate::executor::slurm::{Job, Outcome, Queue, commands, job, outcome};

/// Slurm's queue, asked at most once, and only where a run has a job.
#[derive(Debug, Default)]
pub(super) struct JobsLeft {
    queue: Option<Option<Queue>>,
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Left {
    /// It waits or works, or Slurm does not say.
    Alive {
        /// The job.
        job: Job,
        /// Attempt that it is at.
        attempt: u32,
    },
    /// It is over.
    Over {
        /// Attempt that it was at.
        attempt: u32,
        /// How that one ended.
        exit: Exit,
        /// Why, if that was no fault of the trainer.
        failed: Option<(FailureClass, String)>,
    },
}

impl JobsLeft {
    /// What became of the job of a run; `None` if it has none.
    pub(super) async fn of(&mut self, run_dir: &RunDir) -> anyhow::Result<Option<Left>> {
        let Some(job) = Job::read(run_dir)? else {
            return Ok(None);
        };
        let attempt = job.attempt(run_dir);
        let exit = job::exit_of(run_dir, attempt);
        let over = match exit {
            // Known without Slurm.
            Some(Exit::Status(0 | 1)) => outcome(None, exit, false),
            _ => match self.queue().await {
                // Nobody knows: as if alive. Who follows it asks again.
                None => Outcome::Alive,
                Some(queue) => match queue.find(&job) {
                    Some(listed) => outcome(Some(listed), exit, false),
                    None => outcome(commands::accounted(&job).await.as_ref(), exit, false),
                },
            },
        };
        Ok(Some(match over {
            Outcome::Over { exit, failed } => Left::Over {
                attempt,
                exit,
                failed,
            },
            Outcome::Alive | Outcome::Stuck(_) | Outcome::Unclear => Left::Alive { job, attempt },
        }))
    }

    async fn queue(&mut self) -> Option<&Queue> {
        if self.queue.is_none() {
            let answer = Queue::ask().await;
            self.queue = Some(match answer {
                Ok(queue) => Some(queue),
                Err(refusal) => {
                    tracing::warn!(
                        "Slurm does not say how the jobs of this home are ({refusal}); they count \
                         as alive"
                    );
                    None
                }
            });
        }
        self.queue.as_ref().and_then(Option::as_ref)
    }
}

/// Cancels what is left of the job of a cancelled run. What cannot be reached now is tried again by the
/// next command.
pub(super) async fn cancel(run: &RunKey, run_dir: &RunDir) -> anyhow::Result<()> {
    let Some(job) = Job::read(run_dir)? else {
        return Ok(());
    };
    match commands::cancel(&job).await {
        Ok(()) => {
            tracing::info!(run = run.short(), "cancelled {}", job.shown());
            job.remove(run_dir);
        }
        Err(refusal) => tracing::warn!("cannot cancel {}: {refusal}", job.shown()),
    }
    Ok(())
}

/// Tells the store of the attempts of a job before the one that it is at.
pub(super) async fn tell_past(
    store: &Store,
    run: &RunKey,
    run_dir: &RunDir,
    attempt: u32,
) -> anyhow::Result<()> {
    for past in 1..attempt {
        // Without effect on an attempt whose end is known.
        let end = past_end(job::exit_of(run_dir, past));
        store.attempt_ended(run, past, end).await?;
    }
    Ok(())
}
