//! Writing files so that they are whole after a crash, and saying clearly why one cannot be written.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// Writes a file beside its place, syncs it, and moves it there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    try_write(path, bytes).map_err(|error| explain(path, error))
}

fn try_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The parent of a bare name is empty, and an empty path cannot be opened.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // Leave no half-written file behind; the first error is the one that matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(parent)?.sync_all()
}

/// One paragraph about a file that cannot be written: which, why, and the cure.
pub fn explain(path: &Path, error: io::Error) -> anyhow::Error {
    let cure = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or choose another home with --home"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make its directory writable, or choose another home with --home"
        }
        _ => "check its directory, or choose another home with --home",
    };
    anyhow::Error::new(error).context(format!("cannot write {}; {cure}", path.display()))
}

/// Reads a file that must be there.
pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/recipe.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), "two");
        let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left");
    }

    #[test]
    fn the_error_names_the_file_and_the_cure() {
        let error = explain(Path::new("/x/y"), io::ErrorKind::StorageFull.into());
        let text = crate::failure::paragraph(&error);
        assert!(
            text.contains("/x/y") && text.contains("free some space"),
            "{text}"
        );
    }
}
