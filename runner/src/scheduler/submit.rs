//! Submitting runs to Slurm, and waiting while it takes none.

use std::time::Duration;

use rungs_spec::RunKey;
use rungs_spec::result::RunState;
use rungs_store::RunFilter;
use tokio::time::Instant;

use super::driver::{Driver, News};
use super::ledger::run_file;
use super::machine::{AttemptId, Handle, Input};
use crate::executor::slurm::commands::{self, Submission};
use crate::executor::slurm::{Config, Job};

/// Time after which Slurm is asked again whether it takes a job.
const CLOSED: Duration = Duration::from_secs(15);

/// Time after which a run is looked at again whose teacher's job was just over.
const SOON: Duration = Duration::from_secs(1);

impl Driver {
    /// Writes a job into the run directory and has it submitted; the answer comes as [`News`].
    pub(super) async fn submit(
        &mut self,
        id: AttemptId,
        config: Config,
    ) -> anyhow::Result<Option<Input>> {
        let run_dir = self.ledger.home.run(&id.run);
        let Some(after) = self.must_succeed_before(&id.run).await? else {
            // The job that it would wait for is just over, or has no number yet.
            self.jobs.closed_until = Some(Instant::now() + SOON);
            return Ok(Some(Input::Refused { id }));
        };
        let job = Job::new(&id.run, id.attempt);
        job.write_script(&run_dir, &self.trainer.path)?;
        job.write(&run_dir)?;
        let submission = Submission {
            job: job.clone(),
            run_dir,
            after,
            alone: run_file(&self.ledger.home, &id.run)?.timing,
        };
        self.jobs.follow(id.clone(), job, true);
        let (tell, turn) = (self.tell.clone(), self.submitting.clone());
        tokio::spawn(async move {
            // One after the other: Slurm does no more at a time either.
            let _turn = turn.lock().await;
            let answer = commands::submit(&config, &submission).await;
            // If nobody listens any more, who comes next finds the job by its name.
            tell.send(News::Submitted(id, answer)).ok();
        });
        Ok(None)
    }

    /// Jobs of the runs that a run depends on, of those that are not done; `None` if one of them has
    /// no job.
    async fn must_succeed_before(&self, run: &RunKey) -> anyhow::Result<Option<Vec<u64>>> {
        let filter = RunFilter {
            prefix: Some(run.to_string()),
            ..RunFilter::default()
        };
        let rows = self.ledger.store.runs(&filter).await?;
        let numbers = rows
            .iter()
            .flat_map(|row| &row.waits_for)
            .map(|on| self.jobs.of(on).and_then(|followed| followed.job.number));
        Ok(numbers.collect())
    }

    /// Slurm has answered to a submission.
    pub(super) async fn submitted(
        &mut self,
        id: AttemptId,
        answer: Result<u64, String>,
    ) -> anyhow::Result<bool> {
        let run_dir = self.ledger.home.run(&id.run);
        let Some(at) = self.jobs.followed.iter().position(|f| f.id == id) else {
            return Ok(false);
        };
        match answer {
            Ok(number) => {
                let followed = &mut self.jobs.followed[at];
                followed.job.number = Some(number);
                followed.submitting = false;
                followed.since = Instant::now();
                followed.job.write(&run_dir)?;
                let slot = followed.job.slot();
                self.jobs.refusal.clear();
                tracing::info!(
                    run = id.run.short(),
                    attempt = id.attempt,
                    job = number,
                    "submitted"
                );
                let AttemptId { run, attempt } = &id;
                self.ledger.store.adopt(run, *attempt, None, &slot).await?;
                let handle = Handle::Job;
                self.feed(Input::Started { id, handle }).await
            }
            Err(refusal) => {
                self.jobs.followed.remove(at).job.remove(&run_dir);
                self.jobs.closed_until = Some(Instant::now() + CLOSED);
                if self.jobs.refusal != refusal {
                    tracing::warn!(
                        "Slurm takes no more jobs now ({refusal}); waiting, and asking again every \
                         {} s",
                        CLOSED.as_secs()
                    );
                    self.jobs.refusal = refusal;
                }
                self.feed(Input::Refused { id }).await
            }
        }
    }

    /// Says that runs wait because no more jobs may be submitted, once.
    pub(super) async fn tell_full(&mut self) -> anyhow::Result<()> {
        if self.executor.slurm().is_none() {
            return Ok(());
        }
        let full = self.machine.is_full() && self.jobs.closed_until.is_none();
        if full && !self.jobs.told_full {
            let filter = RunFilter {
                states: vec![RunState::Queued],
                ..RunFilter::default()
            };
            let waiting = self.ledger.store.count_runs(&filter).await?;
            if waiting > 0 {
                self.jobs.told_full = true;
                tracing::warn!(
                    "all {} jobs that slurm.toml allows (max_jobs) are in Slurm's queue; {waiting} \
                     runs wait until one of them is over",
                    self.shares.slots.len()
                );
            }
        } else if !full {
            self.jobs.told_full = false;
        }
        Ok(())
    }
}
