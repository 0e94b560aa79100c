//! How attempts begin: the best run that waits is claimed for a slot, and its trainer started here
//! ([`super::submit`] has Slurm start it).

use rungs_spec::protocol::FailureClass;

use super::driver::{Driver, News};
use super::ending::{Ending, Exit};
use super::ledger::run_file;
use super::machine::{AttemptId, Handle, Input, Work};
use crate::executor::local;
use crate::failure::paragraph;
use crate::{clock, slots};

impl Driver {
    /// Claims the best run that waits. One whose recipe is gone or damaged fails, and the others go on.
    pub(super) async fn claim(&self, slot: usize) -> anyhow::Result<Input> {
        let (store, name) = (&self.ledger.store, &self.shares.slots[slot]);
        loop {
            let claim = match self.shares.jobs {
                true => store.claim_ahead(name).await?,
                false => store.claim(name).await?,
            };
            let Some(claim) = claim else {
                return Ok(Input::Claimed { slot, claim: None });
            };
            let id = AttemptId {
                run: claim.run,
                attempt: claim.attempt,
            };
            match run_file(&self.ledger.home, &id.run) {
                Ok(file) => {
                    let work = Work {
                        threads: file.compute_threads,
                        tries: claim.tries,
                        // On a cluster Slurm sees to it.
                        alone: file.timing && !self.shares.jobs,
                        id,
                    };
                    let claim = Some(work);
                    return Ok(Input::Claimed { slot, claim });
                }
                Err(error) => {
                    let dir = self.ledger.home.run(&id.run);
                    let message = format!(
                        "{}. Was something removed or changed in {}? Remove that directory, and the \
                         next `runner reproduce` trains the run anew",
                        paragraph(&error),
                        dir.dir().display()
                    );
                    self.give_up(&id, FailureClass::Permanent, message).await?;
                }
            }
        }
    }

    /// Starts the trainer of an attempt on this machine.
    pub(super) async fn start(&self, slot: usize, id: AttemptId) -> anyhow::Result<Input> {
        let name = &self.shares.slots[slot];
        let launch = local::Launch {
            trainer: &self.trainer.path,
            run_dir: &self.ledger.home.run(&id.run),
            attempt: id.attempt,
            visible_devices: slots::visible_devices(&self.trainer.info, name),
        };
        let started = match launch.start() {
            Ok(started) => started,
            Err(error) => {
                let message = paragraph(&error);
                let ending = Ending {
                    exit: Exit::Unseen,
                    finished: false,
                    progressed: false,
                    failed: Some((FailureClass::Transient, message)),
                    log_tail: String::new(),
                };
                return Ok(Input::Ended {
                    id,
                    ending,
                    now_ms: clock::now_ms(),
                });
            }
        };
        let pid = started.pid;
        tracing::info!(run = id.run.short(), attempt = id.attempt, pid, slot = %name, "started");
        self.ledger
            .store
            .set_pid(&id.run, id.attempt, pid, name)
            .await?;
        let tell = self.tell.clone();
        let ended = id.clone();
        tokio::spawn(async move {
            let exit = started.wait().await;
            // If nobody listens any more, this process is leaving.
            tell.send(News::Ended(ended, exit)).ok();
        });
        Ok(Input::Started {
            id,
            handle: Handle::Process(pid),
        })
    }
}
