//! HOME/scheduler.lock: held by the one scheduler of a home for as long as it lives.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use anyhow::Context as _;
use rungs_spec::home::Home;
use rungs_store::durable;
use rungs_store::locks::holder_of;
use rustix::fs::{FlockOperation, flock};

/// Proof that this process is the scheduler of the home. Dropping it lets the next one in.
#[derive(Debug)]
pub struct SchedulerLock {
    _file: File,
}

impl SchedulerLock {
    /// Takes the lock if it is free; `None` if another process holds it. Creates the home.
    pub fn try_take(home: &Home) -> anyhow::Result<Option<SchedulerLock>> {
        durable::create_dir(home.dir()).with_context(|| unusable(home))?;
        let path = home.scheduler_lock();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| unusable(home))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot lock {}; the home must lie on a file system with locks: choose \
                         another with --home",
                        path.display()
                    )
                });
            }
        }
        // For people: who it is.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .with_context(|| unusable(home))?;
        Ok(Some(SchedulerLock { _file: file }))
    }

    /// The process that holds it, if one does. Creates nothing and disturbs nobody.
    pub fn holder(home: &Home) -> Option<u32> {
        holder_of(&home.scheduler_lock())
    }
}

/// Says that this process waits to become the scheduler: it will look after trainers that it finds.
#[derive(Debug)]
pub struct Waiting {
    _file: File,
}

impl Waiting {
    /// Until it is dropped.
    pub fn announce(home: &Home) -> anyhow::Result<Waiting> {
        let file = Self::file(home)?;
        flock(&file, FlockOperation::LockShared).with_context(|| unusable(home))?;
        Ok(Waiting { _file: file })
    }

    /// Whether another process waits.
    pub fn anybody(home: &Home) -> anyhow::Result<bool> {
        let file = Self::file(home)?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
    }

    fn file(home: &Home) -> anyhow::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(home.dir().join("watchers.lock"))
            .with_context(|| unusable(home))
    }
}

fn unusable(home: &Home) -> String {
    format!(
        "cannot write in the home {}; make it writable, free some space there, or choose another \
         with --home or RUNGS_HOME",
        home.dir().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it_and_it_is_free_again_after() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("new/home"));
        assert_eq!(SchedulerLock::holder(&home), None);
        let held = SchedulerLock::try_take(&home).unwrap();
        assert!(held.is_some());
        assert!(SchedulerLock::try_take(&home).unwrap().is_none());
        assert_eq!(SchedulerLock::holder(&home), Some(std::process::id()));
        drop(held);
        assert!(SchedulerLock::try_take(&home).unwrap().is_some());
    }

    #[test]
    fn who_waits_is_seen_until_it_stops() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().to_owned());
        assert!(!Waiting::anybody(&home).unwrap());
        let (one, two) = (
            Waiting::announce(&home).unwrap(),
            Waiting::announce(&home).unwrap(),
        );
        drop(one);
        assert!(Waiting::anybody(&home).unwrap());
        drop(two);
        assert!(!Waiting::anybody(&home).unwrap());
    }
}
