//! Writing files so that they are there, whole, after a power loss: their bytes are synced before their
//! name is, and so are the names of the directories that were made for them.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file beside its place, syncs it, and moves it there. When this returns, it survives a power
/// loss; before that, what was there before does.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = parent_of(path);
    create_dir(parent)?;
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
    sync_dir(parent)
}

/// Creates a directory and those above it that are missing. One that is there already is no error.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent_of(dir);
    create_dir(parent)?;
    match std::fs::create_dir(dir) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    sync_dir(parent)
}

/// Waits until the names in a directory are on the disk: what was made, moved and removed there.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The directory of a file. That of a bare name is the current one, whose empty path cannot be opened.
pub fn parent_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_in_directories_that_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/newer/recipe.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let names: Vec<_> = std::fs::read_dir(parent_of(&path)).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_in_the_way_of_a_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(create_dir(&dir.path().join("file")).is_err());
        assert!(create_dir(&dir.path().join("file/below")).is_err());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        assert_eq!(parent_of(Path::new("x.csv")), Path::new("."));
        assert_eq!(parent_of(Path::new("/x/y")), Path::new("/x"));
    }
}
