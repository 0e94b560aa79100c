//! Who holds the lock of a file? Asked of /proc/locks, because trying the lock, even for an instant,
//! could turn away who starts at that moment.

use std::path::Path;

/// The process that holds a lock (flock) on a file; 0 if it is of another process namespace. Creates
/// nothing and disturbs nobody.
pub fn holder_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(path).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let device = (
        rustix::fs::major(meta.dev()).into(),
        rustix::fs::minor(meta.dev()).into(),
    );
    let written = std::fs::read_to_string(path).ok();
    let written = written.and_then(|text| text.trim().parse().ok());
    flock_holder(&locks, device, meta.ino(), written)
}

/// `1: FLOCK  ADVISORY  WRITE 123 08:01:4711 0 EOF`: process 123 holds inode 4711 of device 8:1, in
/// hex. Inode numbers repeat across file systems, so the device must be the same, or, as some file
/// systems (btrfs, overlayfs) tell `stat` another device than they lock, the process must be the one
/// that is `written` into the file by who locks it.
fn flock_holder(locks: &str, device: (u64, u64), inode: u64, written: Option<u32>) -> Option<u32> {
    let mut by_pid = None;
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words.as_slice() else {
            continue;
        };
        let mut place = place.split(':');
        let hex = |word: Option<&str>| u64::from_str_radix(word.unwrap_or_default(), 16).ok();
        let of = (hex(place.next()), hex(place.next()));
        let of_inode: Option<u64> = place.next().and_then(|word| word.parse().ok());
        if of_inode != Some(inode) {
            continue;
        }
        let pid = pid.parse().unwrap_or(0);
        if of == (Some(device.0), Some(device.1)) {
            return Some(pid);
        }
        if pid != 0 && written == Some(pid) {
            by_pid = Some(pid);
        }
    }
    by_pid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_found_by_device_and_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 708 08:01:4711 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 98 fe:10:815 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 99 08:01:815 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 100 08:01:816 0 EOF\n";
        assert_eq!(flock_holder(locks, (8, 1), 815, None), Some(99));
        assert_eq!(flock_holder(locks, (0xfe, 0x10), 815, None), Some(98));
        assert_eq!(flock_holder(locks, (8, 1), 4711, None), None, "not a flock");
        let waits = flock_holder(locks, (8, 1), 816, None);
        assert_eq!(waits, None, "only waits for it");
    }

    #[test]
    fn an_inode_of_another_file_system_is_another_file_unless_its_holder_signed_this_one() {
        let locks = "2: FLOCK  ADVISORY  WRITE 98 fe:10:815 0 EOF\n";
        assert_eq!(flock_holder(locks, (0, 0x2a), 815, None), None);
        assert_eq!(flock_holder(locks, (0, 0x2a), 815, Some(97)), None);
        assert_eq!(flock_holder(locks, (0, 0x2a), 815, Some(98)), Some(98));
    }

    #[test]
    fn this_process_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        assert_eq!(holder_of(&path), None);
        let file = std::fs::File::create(&path).unwrap();
        assert_eq!(holder_of(&path), None);
        file.lock().unwrap();
        // Signed as well, for the file systems that need it.
        std::fs::write(&path, std::process::id().to_string()).unwrap();
        assert_eq!(holder_of(&path), Some(std::process::id()));
    }
}
