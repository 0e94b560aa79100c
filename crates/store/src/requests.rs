//! HOME/requests/: what server and CLI ask of the scheduler, one file each, carried out in order.

use std::io::Write;
use std::path::{Path, PathBuf};

use rungs_spec::home::Request;
use uuid::Uuid;

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
    std::fs::create_dir_all(dir).map_err(|e| StoreError::file(dir, doing, e))?;
    let name = Uuid::now_v7();
    let (tmp, path) = (
        dir.join(format!(".{name}.tmp")),
        dir.join(format!("{name}.json")),
    );
    let text = serde_json::to_string_pretty(request).map_err(|e| StoreError::Content {
        path: path.clone(),
        message: format!("the request has no JSON: {e}"),
    })?;
    let put = || -> std::io::Result<()> {
        let mut file = std::fs::File::create_new(&tmp)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&tmp, &path)
    };
    put().map_err(|e| StoreError::file(&path, doing, e))?;
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

/// Takes a request off: it was carried out, or cannot be. One that is gone already is no error.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::file(path, "cannot be removed", e))
        }
        _ => Ok(()),
    }
}
