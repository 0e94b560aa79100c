//! Reading and writing files, and saying clearly why one cannot be.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use rungs_store::durable;

/// Writes a file whole or not at all; it survives a power loss ([`durable::write`]).
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    durable::write(path, bytes).map_err(|error| explain(path, error))
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
    fn the_error_names_the_file_and_the_cure() {
        let error = explain(Path::new("/x/y"), io::ErrorKind::StorageFull.into());
        let text = crate::failure::paragraph(&error);
        assert!(
            text.contains("/x/y") && text.contains("free some space"),
            "{text}"
        );
    }
}
