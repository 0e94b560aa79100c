//! Writes down what became of attempts and what the slots do.

use rungs_spec::home::JournalEntry;
use rungs_spec::protocol::FailureClass;
use rungs_store::{AttemptEnd, SlotRow};

use super::driver::Driver;
use super::ending::Verdict;
use super::machine::AttemptId;
use crate::clock;

impl Driver {
    pub(super) async fn record(&self, id: &AttemptId, verdict: Verdict) -> anyhow::Result<()> {
        let AttemptId { run, attempt } = id;
        let end = match verdict {
            Verdict::Finished => AttemptEnd::Finished,
            Verdict::Checkpointed => AttemptEnd::Checkpointed,
            Verdict::Killed { retry_at_ms } => {
                if let Some(at) = retry_at_ms {
                    let wait_s = (at - clock::now_ms()).max(0) / 1_000 + 1;
                    tracing::warn!(
                        run = run.short(),
                        attempt,
                        "killed again before it wrote a checkpoint; goes on in {wait_s} s"
                    );
                }
                AttemptEnd::Killed { retry_at_ms }
            }
            Verdict::Transient {
                message,
                retry_at_ms,
            } => {
                tracing::warn!(run = run.short(), attempt, "will be tried again: {message}");
                AttemptEnd::Transient {
                    message,
                    retry_at_ms,
                }
            }
            Verdict::Permanent { message, .. } => AttemptEnd::Permanent { message },
        };
        self.ledger.store.attempt_ended(run, *attempt, end).await?;
        Ok(())
    }

    pub(super) async fn give_up(
        &self,
        id: &AttemptId,
        class: FailureClass,
        message: String,
    ) -> anyhow::Result<()> {
        let AttemptId { run, attempt } = id;
        tracing::error!(run = run.short(), attempt, "failed: {message}");
        let failed = JournalEntry::Failed {
            run: run.clone(),
            class,
            message: message.clone(),
        };
        self.ledger.decide(vec![failed]).await?;
        self.ledger
            .store
            .attempt_ended(run, *attempt, AttemptEnd::Permanent { message })
            .await?;
        Ok(())
    }

    /// Tells the database what the slots do, when that changed.
    pub(super) async fn tell_slots(&mut self) -> anyhow::Result<()> {
        let row = |slot: String, device: String| SlotRow {
            slot,
            device,
            threads: 1,
            run: None,
            attempt: None,
            updated_at_ms: 0,
        };
        // A place in Slurm's queue is worth a line only while there is a job in it.
        let here = if self.shares.jobs {
            &[]
        } else {
            self.shares.slots.as_slice()
        };
        let device = |slot: &String| slot.split(':').next().unwrap_or_default().to_owned();
        let mut rows: Vec<SlotRow> = here.iter().map(|s| row(s.clone(), device(s))).collect();
        for (id, _) in self.machine.alive() {
            let Some(at) = self.machine.slot_of(id) else {
                continue;
            };
            let at = match self.jobs.slot(id) {
                Some((slot, state)) => {
                    rows.push(row(slot, state));
                    rows.len() - 1
                }
                None if at >= here.len() => {
                    let slot = format!("adopted:{}", at - here.len());
                    rows.push(row(slot, "cpu".to_owned()));
                    rows.len() - 1
                }
                None => at,
            };
            if let Some(row) = rows.get_mut(at) {
                row.run = Some(id.run.clone());
                row.attempt = Some(id.attempt);
            }
        }
        if rows != self.slots_told {
            self.ledger.store.set_slots(&rows).await?;
            self.slots_told = rows;
        }
        Ok(())
    }
}
