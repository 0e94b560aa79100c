//! What was made for one visitor is kept for the next: tables of thousands of cells take a second to make
//! and are asked for by many at once.
//!
//! What is kept counts as long as nothing has changed. Something that is slow to make is shown for a few
//! seconds although the home has moved on, while one task makes it anew; a page says which change it was
//! made at, and a page that is open asks for what it was told of ([`at_least`]), so that nobody is left with
//! the old one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use rungs_spec::home::Home;

use crate::error::Failure;

/// What takes less is always made anew when something has changed.
const SLOW: Duration = Duration::from_millis(100);
/// Longest that something old is shown; longer only where making it takes most of that. It is made anew long
/// before that, if anybody asks: on a busy machine the making takes seconds, and nobody shall wait for it.
const STALE: Duration = Duration::from_secs(20);
/// Longest that anything counts as new, should a file have changed that no stamp tells of.
pub const KEPT: Duration = Duration::from_secs(60);
/// Most that is kept at once; what was asked for longest ago goes first.
const MOST: usize = 48;
/// Between two makings: this many times what one takes, so that making anew does not fill a core.
const REST: u32 = 4;
/// The header of [`at_least`].
const HEADER: &str = "rungs-at-least";

/// The state of a home that something was made from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Change counter of the database.
    pub counter: u64,
    /// Which file the database is.
    pub db: Option<(u64, u64)>,
    /// Digest of what else it was made from: names, times and sizes of the files that plans are made from
    /// ([`files`]), or the runs of a chart, of which no counter tells.
    pub made_of: Option<blake3::Hash>,
}

impl Stamp {
    /// Whether something of this stamp knows all that something of the other does.
    fn covers(&self, other: &Stamp) -> bool {
        self.of_the_same(other) && self.counter >= other.counter
    }

    fn of_the_same(&self, other: &Stamp) -> bool {
        (self.db, self.made_of) == (other.db, other.made_of)
    }
}

/// Digest of what is known of the files that plans are made from, without reading them.
pub fn files(home: &Home, experiments: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        if let Ok(of) = std::fs::metadata(path) {
            let facts = [
                of.ino(),
                of.len(),
                of.mtime().cast_unsigned(),
                of.mtime_nsec().cast_unsigned(),
            ];
            hasher.update(path.as_os_str().as_encoded_bytes());
            facts.iter().for_each(|fact| {
                hasher.update(&fact.to_le_bytes());
            });
        }
    };
    add(&home.datasets());
    add(&home.machine());
    let mut names: Vec<_> = std::fs::read_dir(experiments)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort_unstable();
    names.iter().for_each(|path| add(path));
    hasher.finalize()
}

tokio::task_local! {
    /// The change that the answer must know of.
    static AT_LEAST: u64;
}

/// Middleware: a request that names a change (`Rungs-At-Least: COUNTER`) is answered with nothing older.
pub async fn at_least(request: Request, next: Next) -> Response {
    let named = request.headers().get(HEADER);
    let named = named.and_then(|value| value.to_str().ok()?.parse().ok());
    AT_LEAST.scope(named.unwrap_or(0), next.run(request)).await
}

/// Values by key.
pub struct Remembered<V>(Mutex<HashMap<String, Arc<Slot<V>>>>);

struct Slot<V> {
    entry: Mutex<Option<Entry<V>>>,
    asked: Mutex<Instant>,
    /// Held by who makes it.
    making: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    of: Stamp,
    begun: Instant,
    took: Duration,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Remembered(Mutex::default())
    }
}

impl<V: Clone + Send + 'static> Remembered<V> {
    /// What is kept under `key`, if it holds for `now`; else what `make` makes, once for all who wait.
    /// `make` is given after `now` was read, so that it knows at least that. Errors are not kept.
    pub async fn get<F, M>(&self, key: &str, now: Stamp, make: M) -> Result<V, Failure>
    where
        F: Future<Output = Result<(Stamp, V), Failure>> + Send + 'static,
        M: FnOnce() -> F,
    {
        let wanted = AT_LEAST.try_with(|n| *n).unwrap_or(0);
        let slot = self.slot(key);
        if let Some(entry) = slot.entry() {
            if entry.holds(&now) {
                return Ok(entry.value);
            }
            if entry.may_be_shown(&now, wanted) {
                if entry.begun.elapsed() > (entry.took * REST).min(STALE / 4)
                    && let Ok(making) = slot.making.clone().try_lock_owned()
                {
                    let made = make();
                    tokio::spawn(async move {
                        // Who asks next is told why it failed.
                        let _ = slot.fill(made).await;
                        drop(making);
                    });
                }
                return Ok(entry.value);
            }
        }
        let _making = slot.making.lock().await;
        match slot.entry() {
            Some(entry) if entry.holds(&now) => Ok(entry.value),
            _ => slot.fill(make()).await,
        }
    }

    fn slot(&self, key: &str) -> Arc<Slot<V>> {
        let mut slots = held(&self.0);
        if let Some(slot) = slots.get(key) {
            *held(&slot.asked) = Instant::now();
            return slot.clone();
        }
        while slots.len() >= MOST {
            let oldest = slots.iter().min_by_key(|(_, slot)| *held(&slot.asked));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            slots.remove(&oldest);
        }
        let slot = Arc::new(Slot {
            entry: Mutex::new(None),
            asked: Mutex::new(Instant::now()),
            making: Arc::default(),
        });
        slots.insert(key.to_owned(), slot.clone());
        slot
    }
}

impl<V: Clone> Slot<V> {
    fn entry(&self) -> Option<Entry<V>> {
        held(&self.entry).clone()
    }

    async fn fill(
        &self,
        made: impl Future<Output = Result<(Stamp, V), Failure>>,
    ) -> Result<V, Failure> {
        let begun = Instant::now();
        let (of, value) = made.await?;
        *held(&self.entry) = Some(Entry {
            value: value.clone(),
            of,
            begun,
            took: begun.elapsed(),
        });
        Ok(value)
    }
}

impl<V> Entry<V> {
    /// Whether it is what would be made now.
    fn holds(&self, now: &Stamp) -> bool {
        self.of.covers(now) && self.begun.elapsed() < KEPT
    }

    /// Whether it is shown while it is made anew, because the home has moved on to `now` or it has been kept
    /// for long.
    fn may_be_shown(&self, now: &Stamp, wanted: u64) -> bool {
        let moved_on = !self.of.covers(now);
        self.took >= SLOW
            && self.of.of_the_same(now)
            && self.of.counter >= wanted
            && (!moved_on || self.begun.elapsed() < STALE.max(self.took * 2 * REST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    fn at(counter: u64) -> Stamp {
        Stamp {
            counter,
            ..Stamp::default()
        }
    }

    /// Makes values that say how many were made before, each from the state `counter`.
    async fn ask(
        kept: &Remembered<u64>,
        made: &Arc<AtomicU64>,
        counter: u64,
        takes: Duration,
    ) -> u64 {
        let made = made.clone();
        kept.get("key", at(counter), || async move {
            tokio::time::sleep(takes).await;
            Ok((at(counter), made.fetch_add(1, SeqCst)))
        })
        .await
        .expect("made")
    }

    #[tokio::test]
    async fn quick_things_are_made_anew_with_every_change_and_kept_without() {
        let (kept, made) = (Remembered::default(), Arc::default());
        let quick = Duration::from_millis(1);
        assert_eq!(ask(&kept, &made, 1, quick).await, 0);
        assert_eq!(ask(&kept, &made, 1, quick).await, 0);
        assert_eq!(ask(&kept, &made, 2, quick).await, 1);
        // Who saw an older state is content with what is newer.
        assert_eq!(ask(&kept, &made, 1, quick).await, 1);
    }

    #[tokio::test]
    async fn slow_things_are_shown_old_while_they_are_made_unless_more_is_asked_for() {
        let (kept, made) = (Remembered::default(), Arc::default());
        let slow = Duration::from_millis(150);
        assert_eq!(ask(&kept, &made, 1, slow).await, 0);
        assert_eq!(ask(&kept, &made, 2, slow).await, 0, "the old one, at once");
        let told = AT_LEAST.scope(2, ask(&kept, &made, 2, slow)).await;
        assert_eq!(told, 1, "it was told of the change");
        tokio::time::sleep(slow * (REST + 1)).await;
        assert_eq!(ask(&kept, &made, 3, slow).await, 1, "old, and made anew");
        tokio::time::sleep(slow * 2).await;
        assert_eq!(ask(&kept, &made, 3, slow).await, 2);
    }

    #[tokio::test]
    async fn many_at_once_have_it_made_once() {
        let (kept, made) = (Arc::new(Remembered::default()), Arc::default());
        let asking: Vec<_> = (0..20)
            .map(|_| {
                let (kept, made) = (Arc::clone(&kept), Arc::clone(&made));
                tokio::spawn(async move { ask(&kept, &made, 1, Duration::from_millis(30)).await })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.expect("asked"), 0);
        }
        assert_eq!(made.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn failures_are_not_kept_and_the_least_asked_for_goes_first() {
        let kept = Remembered::<u64>::default();
        let failed = kept
            .get("key", at(1), || async { Err(Failure::internal("no")) })
            .await;
        assert!(failed.is_err());
        for n in 0..MOST as u64 + 5 {
            let of = kept
                .get(&n.to_string(), at(1), || async move { Ok((at(1), n)) })
                .await;
            assert_eq!(of.expect("made"), n);
        }
        let slots = held(&kept.0);
        assert_eq!(slots.len(), MOST);
        assert!(!slots.contains_key("key") && slots.contains_key("52"));
    }
}
