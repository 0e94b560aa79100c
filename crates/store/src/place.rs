//! Where the database lies. SQLite's write-ahead log needs shared memory, which no network file system
//! gives: a home on one keeps its database on the local disk.

use std::path::{Path, PathBuf};

use rungs_spec::home::Home;

/// The database of a home: the one named by `--db` or RUNGS_DB, else HOME/rungs.db, but
/// `$XDG_STATE_HOME/rungs/HASH.db` when the home lies on a network file system.
pub fn database_path(home: &Home, flag: Option<&Path>) -> PathBuf {
    if let Some(path) = flag {
        return path.to_owned();
    }
    if let Some(path) = std::env::var_os("RUNGS_DB").filter(|v| !v.is_empty()) {
        return path.into();
    }
    if on_network(home.dir()) {
        local_database(home, &state_home())
    } else {
        home.database()
    }
}

/// `STATE/rungs/HASH.db`, by the absolute path of the home: two homes never share a database.
fn local_database(home: &Home, state: &Path) -> PathBuf {
    let absolute = std::fs::canonicalize(home.dir())
        .or_else(|_| std::path::absolute(home.dir()))
        .unwrap_or_else(|_| home.dir().to_owned());
    let hash = blake3::hash(absolute.as_os_str().as_encoded_bytes()).to_hex();
    state.join("rungs").join(format!("{}.db", &hash[..16]))
}

/// `$XDG_STATE_HOME`, else `~/.local/state`, else the directory for temporary files.
fn state_home() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_STATE_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
}

/// Whether a directory (or the nearest one above it that exists) lies on a network file system. One
/// that cannot be asked counts as local: opening the database then says what is wrong.
pub fn on_network(dir: &Path) -> bool {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    absolute
        .ancestors()
        .find_map(|d| rustix::fs::statfs(d).ok())
        .is_some_and(|s| is_network(s.f_type & 0xffff_ffff))
}

/// By the numbers of statfs(2).
fn is_network(kind: i64) -> bool {
    const NFS: i64 = 0x6969;
    const SMB: i64 = 0x517b;
    const CIFS: i64 = 0xff53_4d42;
    const SMB2: i64 = 0xfe53_4d42;
    const LUSTRE: i64 = 0x0bd0_0bd0;
    const BEEGFS: i64 = 0x1983_0326;
    /// sshfs and many cluster file systems; local FUSE mounts are rare and lose nothing.
    const FUSE: i64 = 0x6573_5546;
    const CEPH: i64 = 0x00c3_6400;
    const GPFS: i64 = 0x4750_4653;
    const V9FS: i64 = 0x0102_1997;
    const AFS: i64 = 0x5346_414f;
    [
        NFS, SMB, CIFS, SMB2, LUSTRE, BEEGFS, FUSE, CEPH, GPFS, V9FS, AFS,
    ]
    .contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins() {
        let home = Home("/somewhere".into());
        assert_eq!(
            database_path(&home, Some(Path::new("/x/y.db"))),
            Path::new("/x/y.db")
        );
    }

    #[test]
    fn homes_on_a_network_get_databases_of_their_own() {
        let state = Path::new("/state");
        let a = local_database(&Home("/net/a".into()), state);
        assert!(
            a.starts_with("/state/rungs") && a.extension().is_some_and(|e| e == "db"),
            "{}",
            a.display()
        );
        assert_ne!(a, local_database(&Home("/net/b".into()), state));
        assert!(is_network(0x6969) && is_network(0xff53_4d42) && !is_network(0xef53));
    }

    #[test]
    fn a_home_that_does_not_exist_yet_is_judged_by_the_directory_above() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            on_network(&dir.path().join("not/yet")),
            on_network(dir.path())
        );
    }
}
