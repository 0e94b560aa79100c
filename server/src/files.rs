//! The files of a run: as downloads, and its log as it grows.

use std::convert::Infallible;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use rungs_spec::home::RunDir;
use tokio::io::AsyncReadExt;

use crate::error::Failure;
use crate::state::Dashboard;

/// How often a log that is watched is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Bytes sent at once.
const BLOCK: usize = 64 * 1024;

/// A file that may be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Below the run's directory.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// The whitelist: what a run is known to leave, as far as it is there. Names come from this list and never
/// from an address; links are left out, for they may lead anywhere.
pub fn artifacts(dir: &RunDir) -> Vec<Artifact> {
    let mut names = vec![
        "recipe.json".to_owned(),
        "environment.json".to_owned(),
        "log.txt".to_owned(),
    ];
    let list = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let events = list(dir.dir()).into_iter();
    names.extend(events.filter(|name| RunDir::attempt_number(name).is_some()));
    // A linked directory leads elsewhere too.
    let checkpoints = dir.checkpoints();
    if std::fs::symlink_metadata(&checkpoints).is_ok_and(|m| m.is_dir()) {
        let files = list(&checkpoints).into_iter().filter(|n| is_checkpoint(n));
        names.extend(files.map(|name| format!("checkpoints/{name}")));
    }
    let there = |name: String| {
        let found = std::fs::symlink_metadata(dir.dir().join(&name)).ok()?;
        let size = found.len();
        found.is_file().then_some(Artifact { name, size })
    };
    names.into_iter().filter_map(there).collect()
}

/// `3-last.safetensors`
fn is_checkpoint(name: &str) -> bool {
    let stem = name.strip_suffix(".safetensors");
    stem.and_then(|stem| stem.split_once('-'))
        .is_some_and(|(attempt, kind)| {
            attempt.bytes().all(|b| b.is_ascii_digit())
                && !attempt.is_empty()
                && matches!(kind, "last" | "best" | "previous")
        })
}

async fn dir_of(dashboard: &Dashboard, prefix: &str) -> Result<RunDir, Failure> {
    let store = dashboard.some_store().await?;
    Ok(dashboard.home().run(&store.find_run(prefix).await?))
}

/// `GET /runs/{run}/files/{name}`: a file of the whitelist, byte for byte.
pub async fn get(
    State(dashboard): State<Dashboard>,
    UrlPath((prefix, name)): UrlPath<(String, String)>,
) -> Result<Response, Failure> {
    let dir = dir_of(&dashboard, &prefix).await?;
    let known = artifacts(&dir);
    let Some(artifact) = known.iter().find(|a| a.name == name) else {
        let names: Vec<&str> = known.iter().map(|a| a.name.as_str()).collect();
        let message = format!(
            "The run has no file {name:?}; there are: {}",
            names.join(", ")
        );
        return Err(Failure::not_found("no_such_file", message));
    };
    let path = dir.dir().join(&artifact.name);
    let refuse = |e| Failure::internal(format!("{} cannot be read: {e}.", path.display()));
    let file = tokio::fs::File::open(&path).await.map_err(refuse)?;
    let kind = match path.extension().and_then(|e| e.to_str()) {
        Some("json") => "application/json",
        Some("jsonl") => "application/x-ndjson",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let run: String = prefix.chars().take(12).collect();
    let save = format!(
        "attachment; filename=\"{run}-{}\"",
        artifact.name.replace('/', "-")
    );
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(save) = HeaderValue::from_str(&save) {
        headers.insert(header::CONTENT_DISPOSITION, save);
    }
    // A file that grows meanwhile is sent as it was: the length was promised.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(artifact.size));
    let body = Body::from_stream(blocks(file.take(artifact.size)));
    Ok((headers, body).into_response())
}

fn blocks(file: tokio::io::Take<tokio::fs::File>) -> impl Stream<Item = std::io::Result<Vec<u8>>> {
    futures_util::stream::unfold(file, |mut file| async move {
        let mut block = vec![0; BLOCK];
        match file.read(&mut block).await {
            Ok(0) => None,
            Ok(n) => {
                block.truncate(n);
                Some((Ok(block), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    })
}

/// Query of a log that is watched.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Follow {
    /// Byte after the last one that is known.
    #[serde(default)]
    from: u64,
}

/// `GET /api/v1/runs/{run}/log?from=BYTE`: `log` events with the new lines as a JSON string, each with the byte
/// behind it as its id, so that a browser that was cut off goes on from there.
pub async fn follow(
    State(dashboard): State<Dashboard>,
    UrlPath(prefix): UrlPath<String>,
    Query(follow): Query<Follow>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let path = dir_of(&dashboard, &prefix).await?.log();
    let again = headers.get("last-event-id");
    let again = again.and_then(|id| id.to_str().ok()?.parse().ok());
    let from = again.unwrap_or(follow.from);
    let stream = futures_util::stream::unfold((path, from), |(path, from)| async move {
        loop {
            // A log that is gone, or was cut, says nothing until it is longer again.
            if let Ok((text, to)) = news(&path, from)
                && to > from
                && let Ok(event) = Event::default()
                    .event("log")
                    .id(to.to_string())
                    .json_data(&text)
            {
                return Some((Ok(event), (path, to)));
            }
            tokio::time::sleep(EVERY).await;
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Whole lines behind byte `from`, and the byte behind them. A line longer than a block comes in pieces.
fn news(path: &PathBuf, from: u64) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BLOCK as u64).read_to_end(&mut bytes)?;
    let whole = match bytes.iter().rposition(|b| *b == b'\n') {
        Some(end) => end + 1,
        None if bytes.len() == BLOCK => BLOCK,
        None => 0,
    };
    let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
    Ok((text, from + whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_files_are_listed_and_no_links() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = RunDir(home.path().to_owned());
        std::fs::create_dir(dir.checkpoints()).expect("made");
        for name in [
            "recipe.json",
            "attempt-1.jsonl",
            "attempt-0.jsonl",
            "trainer.lock",
            "job.sh",
            "checkpoints/1-last.safetensors",
            "checkpoints/-last.safetensors",
            "checkpoints/1-last.safetensors.tmp",
            "checkpoints/x.sh",
        ] {
            std::fs::write(dir.dir().join(name), "text").expect("written");
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.log()).expect("linked");
        let names: Vec<String> = artifacts(&dir).into_iter().map(|a| a.name).collect();
        assert_eq!(
            names,
            [
                "recipe.json",
                "attempt-1.jsonl",
                "checkpoints/1-last.safetensors"
            ]
        );
    }

    #[test]
    fn news_are_whole_lines() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("log.txt");
        std::fs::write(&path, "one\ntwo\nthr").expect("written");
        let news = |from| news(&path, from).expect("read");
        assert_eq!(news(0), ("one\ntwo\n".to_owned(), 8));
        assert_eq!(news(4), ("two\n".to_owned(), 8));
        assert_eq!(news(8), (String::new(), 8));
        assert_eq!(news(800), (String::new(), 800));
    }
}
