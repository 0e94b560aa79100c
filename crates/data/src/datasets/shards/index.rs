//! What is in one shard, and where.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::datasets::MOST_CLASSES;
use crate::datasets::files::is_image;
use crate::error::DataError;

/// A label has no more bytes than this.
const LONGEST_LABEL: u64 = 1 << 20;

/// An image of a shard.
#[derive(Debug)]
pub(super) struct Member {
    /// In the archive, without `./`.
    pub name: String,
    pub label: u32,
    /// Of its bytes in the file.
    pub offset: u64,
    pub size: u64,
}

/// The images of one shard with their labels, from its headers alone.
pub(super) fn index(path: &Path) -> Result<Vec<Member>, DataError> {
    let file = File::open(path).map_err(|source| DataError::io(path, source))?;
    let length = file
        .metadata()
        .map_err(|source| DataError::io(path, source))?
        .len();
    let bad = |error: std::io::Error| {
        DataError::bad(
            path,
            format!("is no whole tar file: {error}"),
            "make or fetch it again",
        )
    };
    let (mut images, mut labels) = (Vec::new(), HashMap::new());
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let at = |problem: String| {
            DataError::bad(
                path,
                format!("{name:?} at byte {offset}: {problem}"),
                "make or fetch the shard again",
            )
        };
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(at(format!(
                "{size} bytes are announced, the file ends before: it is cut short"
            )));
        }
        let (key, end) = name.rsplit_once('.').unwrap_or((&name, ""));
        match end {
            "cls" | "json" => {
                let mut text = String::new();
                let read = entry.by_ref().take(LONGEST_LABEL).read_to_string(&mut text);
                read.map_err(|error| at(error.to_string()))?;
                if let Some(label) = label(end, &text).map_err(at)? {
                    labels.insert(key.to_owned(), label);
                }
            }
            _ if is_image(file_name(&name)) => images.push((name, offset, size)),
            _ => {}
        }
    }
    let mut members = Vec::with_capacity(images.len());
    for (name, offset, size) in images {
        let key = name.rsplit_once('.').map_or(name.as_str(), |(key, _)| key);
        match labels.get(key) {
            Some(label) => members.push(Member {
                label: *label,
                name,
                offset,
                size,
            }),
            // `KEY.seg.png` beside `KEY.jpg`: a picture of a sample, not a sample.
            None if file_name(key).contains('.') => {}
            None => {
                return Err(DataError::bad(
                    path,
                    format!("{name:?} at byte {offset} has no label"),
                    format!(
                        "put its class, a number from 0, into {key}.cls or the \"label\" of {key}.json"
                    ),
                ));
            }
        }
    }
    Ok(members)
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The class in a `.cls` or `.json` file; a JSON without a label says nothing of it. Error: it is none.
fn label(end: &str, text: &str) -> Result<Option<u32>, String> {
    let number = match end {
        "cls" => text.trim().parse::<u64>().ok(),
        _ => {
            let value: serde_json::Value =
                serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
            match value.get("label").or_else(|| value.get("cls")) {
                None => return Ok(None),
                Some(label) => label.as_u64(),
            }
        }
    };
    match number {
        Some(number) if number < MOST_CLASSES as u64 => Ok(Some(number as u32)),
        _ => Err(format!(
            "expected a class, a whole number from 0 to {}, found {:?}",
            MOST_CLASSES - 1,
            text.chars().take(40).collect::<String>()
        )),
    }
}
