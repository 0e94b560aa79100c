//! Fetching a published file over HTTP: resumed where it stopped, checked, then moved to its place.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::files;

/// Tries without a byte more before giving up.
const TRIES: u32 = 3;
/// Longest time for one connection's body: a stalled server is left, and asked again for the rest.
const PATIENCE: Duration = Duration::from_secs(600);

/// A file as it is published.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Address.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// Fetches a file to `into`; one that is there with the right content is kept. What arrived of it stays
/// in `into.part` when it fails, and the next call asks for the rest. `progress` is told the bytes that
/// are there.
pub fn get(wanted: &Wanted, into: &Path, progress: &dyn Fn(u64)) -> anyhow::Result<()> {
    if into.is_file() && sha256(into)? == wanted.sha256 {
        return Ok(());
    }
    let part = PathBuf::from(format!("{}.part", into.display()));
    let mut tries = 0;
    loop {
        let have = part.metadata().map_or(0, |about| about.len());
        if have == wanted.size {
            break;
        }
        if have > wanted.size {
            remove(&part)?;
            continue;
        }
        let outcome = fetch(wanted, have, &part, progress);
        let now = part.metadata().map_or(0, |about| about.len());
        match outcome {
            Ok(()) if now >= wanted.size => {}
            Err(Trouble::Final(error)) => return Err(error),
            trouble => {
                tries = if now > have { 0 } else { tries + 1 };
                if tries >= TRIES {
                    return Err(unreachable(wanted, into, now, trouble));
                }
                // Not at once: a server that is busy or a line that is down needs a moment.
                std::thread::sleep(Duration::from_secs(u64::from(tries)));
            }
        }
    }
    let found = sha256(&part)?;
    if found != wanted.sha256 {
        remove(&part)?;
        bail!(
            "{} is not the published file: its SHA-256 is {found}, expected {}; what arrived was removed, try again \
             or take another address with --from",
            wanted.url,
            wanted.sha256
        );
    }
    std::fs::rename(&part, into).map_err(|error| files::explain(into, error))
}

/// Why a connection gave not all bytes.
enum Trouble {
    /// Another try may give more.
    Passing(String),
    /// It never will.
    Final(anyhow::Error),
}

/// Asks once for the bytes from `have` on, and appends what comes.
fn fetch(wanted: &Wanted, have: u64, part: &Path, progress: &dyn Fn(u64)) -> Result<(), Trouble> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(&wanted.url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request
        .call()
        .map_err(|error| Trouble::Passing(error.to_string()))?;
    let status = response.status();
    let range = response
        .headers()
        .get("content-range")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    // A server that knows no ranges sends everything again.
    let append = match status.as_u16() {
        200 => false,
        206 if range.starts_with(&format!("bytes {have}-")) => true,
        206 | 416 => {
            remove(part).map_err(Trouble::Final)?;
            return Err(Trouble::Passing(format!(
                "the server answered {status} to a range"
            )));
        }
        500..=599 | 408 | 429 => {
            return Err(Trouble::Passing(format!("the server answered {status}")));
        }
        _ => {
            return Err(Trouble::Final(anyhow::anyhow!(
                "{}: the server answered {status}; name another address that has the file with --from",
                wanted.url
            )));
        }
    };
    let failed = |error| Trouble::Final(files::explain(part, error));
    let mut file = File::options()
        .create(true)
        .write(true)
        .append(append)
        .truncate(!append)
        .open(part)
        .map_err(failed)?;
    let mut at = if append { have } else { 0 };
    // One byte more than wanted tells that it is another file.
    let mut body = response
        .into_body()
        .into_reader()
        .take(wanted.size - at + 1);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) => return Err(Trouble::Passing(error.to_string())),
        };
        file.write_all(&buffer[..n]).map_err(failed)?;
        at += n as u64;
        progress(at.min(wanted.size));
    }
    file.sync_all().map_err(failed)?;
    if at > wanted.size {
        remove(part).map_err(Trouble::Final)?;
        return Err(Trouble::Final(anyhow::anyhow!(
            "{} is not the published file: it has more than the {} bytes that were expected; what arrived was removed, \
             take another address with --from",
            wanted.url,
            wanted.size
        )));
    }
    Ok(())
}

fn unreachable(
    wanted: &Wanted,
    into: &Path,
    have: u64,
    trouble: Result<(), Trouble>,
) -> anyhow::Error {
    let why = match trouble {
        Err(Trouble::Passing(why)) => why,
        Err(Trouble::Final(error)) => error.to_string(),
        Ok(()) => "the connection ended early".to_owned(),
    };
    anyhow::anyhow!(
        "cannot fetch {} ({have} of {} bytes are here): {why}; connect this machine (HTTPS_PROXY is honoured) and run \
         this again, it goes on where it stopped; or fetch the file elsewhere and put it at {}",
        wanted.url,
        wanted.size,
        into.display()
    )
}

fn remove(part: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(files::explain(part, error))
        }
        _ => Ok(()),
    }
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).with_context(cannot)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
