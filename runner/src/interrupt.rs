//! Ctrl-C once: trainers write a checkpoint and stop. Twice: at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::scheduler::machine::Stop;

/// A channel that says how to stop. SIGINT, SIGTERM and SIGHUP ask for a checkpoint first, and a
/// second one ends everything at once.
pub fn listen() -> anyhow::Result<watch::Receiver<Option<Stop>>> {
    let (tell, told) = watch::channel(None);
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let received = tokio::select! {
                received = interrupts.recv() => received,
                received = terminations.recv() => received,
                received = hangups.recv() => received,
            };
            if received.is_none() {
                return;
            }
            tell.send_modify(|how| {
                *how = Some(if how.is_some() {
                    Stop::AtOnce
                } else {
                    Stop::Checkpoint
                });
            });
        }
    });
    Ok(told)
}
