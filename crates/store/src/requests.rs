//! HOME/requests/: what server and CLI ask of the scheduler, one file each, carried out in order.

use std::path::{Path, PathBuf};

use rungs_spec::home::Request;
use uuid::Uuid;

use crate::durable;
use crate::error::StoreError;

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Its file: what [`remove`] takes.
    pub path: PathBuf,
    /// What is asked; the error says why the file is no request.
    pub request: Result<Request, StoreError>,
}

/// Puts a request into the directory (made if need be), whole or not at all. Returns its file. UUIDv7
/// names sort by time, so requests are carried out in the order in which they were made.
pub fn write(dir: &Path, request: &Request) -> Result<PathBuf, StoreError> {
    let doing = "cannot write the request (is the disk full, the home writable?)";
    let path = dir.join(format!("{}.json", Uuid::now_v7()));
    let text = serde_json::to_string_pretty(request).map_err(|e| StoreError::Content {
        path: path.clone(),
        message: format!("the request has no JSON: {e}"),
    })?;
    durable::write(&path, text.as_bytes()).map_err(|e| StoreError::file(&path, doing, e))?;
    Ok(path)
}

/// Requests that wait, oldest first. A missing directory has none.
pub fn list(dir: &Path) -> Result<Vec<Waiting>, StoreError> {
    let error = |e| StoreError::file(dir, "cannot list the requests", e);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(error(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
        if path.extension().is_some_and(|e| e == "json") && Uuid::parse_str(stem).is_ok() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths
        .into_iter()
        .map(|path| Waiting {
            request: read(&path),
            path,
        })
        .collect())
}

fn read(path: &Path) -> Result<Request, StoreError> {
    let text =
        std::fs::read_to_string(path).map_err(|e| StoreError::file(path, "cannot be read", e))?;
    serde_json::from_str(&text).map_err(|e| StoreError::Content {
        path: path.to_owned(),
        message: format!("this is not a request: {e}. Remove the file"),
    })
}

/// Takes a request off: it was carried out, or cannot be. One that is gone already is no error. A power
/// loss does not bring it back, for by then a later one may have said the opposite.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    let error = |e| StoreError::file(path, "cannot be removed", e);
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(error(e)),
        Ok(()) => durable::sync_dir(durable::parent_of(path)).map_err(error),
    }
}

/// Leaves the reason why a request is refused beside it, for who asked. Before [`remove`]: who finds the
/// request gone and no reason may take it for carried out.
pub fn refuse(request: &Path, reason: &str) -> Result<(), StoreError> {
    let path = refusal_path(request);
    durable::write(&path, reason.as_bytes())
        .map_err(|e| StoreError::file(&path, "cannot be written", e))
}

/// Why a request was refused, if it was; asked once by who wrote it.
pub fn take_refusal(request: &Path) -> Option<String> {
    let path = refusal_path(request);
    let reason = std::fs::read_to_string(&path).ok()?;
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::warn!(file = %path.display(), %error, "cannot remove a refusal");
    }
    Some(reason)
}

fn refusal_path(request: &Path) -> PathBuf {
    request.with_extension("refused.txt")
}

/// The file of the request of that id; `None` where the text is no id, so that no text becomes a path.
pub fn path_of(dir: &Path, id: &str) -> Option<PathBuf> {
    let id = Uuid::parse_str(id).ok()?;
    Some(dir.join(format!("{}.json", id.hyphenated())))
}
