//! How busy the GPUs of this machine are, as its driver says; nothing where there is none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::sync::Mutex;

use crate::human::bytes;

/// Asked at most this often, however many pages are open.
const EVERY: Duration = Duration::from_secs(3);
/// A driver that hangs holds no page up for longer.
const PATIENCE: Duration = Duration::from_millis(800);

/// One GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Percent of the time in which something computed.
    pub busy: u8,
    /// Bytes.
    pub used: u64,
    /// Bytes.
    pub total: u64,
}

impl Use {
    /// `87 % busy, 12.3 of 80.0 GB`
    pub fn words(&self) -> String {
        let (used, total) = (bytes(self.used), bytes(self.total));
        format!("GPU {} % busy, {used} of {total}", self.busy)
    }
}

type Known = Option<(Instant, BTreeMap<u32, Use>)>;
static KNOWN: Mutex<Known> = Mutex::const_new(None);

/// By index, as `cuda:INDEX`.
pub async fn uses() -> BTreeMap<u32, Use> {
    let mut known = KNOWN.lock().await;
    if let Some((at, uses)) = known.as_ref()
        && at.elapsed() < EVERY
    {
        return uses.clone();
    }
    let uses = ask().await.unwrap_or_default();
    *known = Some((Instant::now(), uses.clone()));
    uses
}

async fn ask() -> Option<BTreeMap<u32, Use>> {
    let mut command = Command::new("nvidia-smi");
    command
        .args([
            "--query-gpu=index,utilization.gpu,memory.used,memory.total",
            "--format=csv,noheader,nounits",
        ])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .ok()?
        .ok()?;
    Some(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines such as `0, 87, 12345, 81559`: index, percent, MiB, MiB. What a driver does not know it writes as
/// `[N/A]`; that GPU is left out.
fn parse(text: &str) -> BTreeMap<u32, Use> {
    let line = |line: &str| {
        let mut words = line.split(',').map(str::trim);
        let index = words.next()?.parse().ok()?;
        let busy = words.next()?.parse().ok()?;
        let mut mib = || Some(words.next()?.parse::<u64>().ok()? << 20);
        let (used, total) = (mib()?, mib()?);
        Some((index, Use { busy, used, total }))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_prints() {
        let uses = parse("0, 87, 11725, 81559\n1, [N/A], 3, 4\ngarbage\n\n");
        assert_eq!(uses.len(), 1);
        assert_eq!(uses[&0].words(), "GPU 87 % busy, 12.3 GB of 85.5 GB");
        assert!(parse("").is_empty());
    }
}
