//! Things made in order, ahead of the caller, by worker threads: the loaders of images of many sizes.
//!
//! Workers take numbers from a counter; the caller puts what comes back into order. At most `workers + 1`
//! things exist ahead of the caller.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::DataError;
use crate::worker::message;

/// Makes the thing of a number.
pub type Maker<T> = Box<dyn FnMut(u64) -> Result<T, DataError> + Send>;

/// An iterator over things `first..end`. Ends after the first error.
pub struct Ahead<T> {
    next: u64,
    end: u64,
    source: Source<T>,
}

enum Source<T> {
    Caller(Maker<T>),
    Threads(Threads<T>),
}

struct Threads<T> {
    tokens: Option<Sender<()>>,
    results: Receiver<(u64, Result<T, DataError>)>,
    early: BTreeMap<u64, Result<T, DataError>>,
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// `maker` is asked for one maker a worker, each with buffers of its own; 0 workers = the caller's
    /// thread. Error: no thread can be started.
    pub fn start(
        first: u64,
        end: u64,
        workers: usize,
        maker: impl Fn() -> Maker<T>,
    ) -> Result<Self, DataError> {
        if workers == 0 {
            let source = Source::Caller(maker());
            return Ok(Ahead {
                next: first,
                end,
                source,
            });
        }
        let counter = Arc::new(AtomicU64::new(first));
        let stop = Arc::new(AtomicBool::new(false));
        let ahead = workers + 1;
        let (tokens, token) = bounded(ahead);
        let (result, results) = bounded(ahead);
        for _ in 0..ahead {
            // The channel has room for every token.
            let _ = tokens.try_send(());
        }
        let mut handles = Vec::with_capacity(workers);
        for number in 0..workers {
            let (counter, stop) = (counter.clone(), stop.clone());
            let (token, result) = (Receiver::clone(&token), Sender::clone(&result));
            let mut make = maker();
            let work = move || {
                while token.recv().is_ok() && !stop.load(Ordering::Relaxed) {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let made = guarded(&mut make, number);
                    // There are never more results under way than tokens, so this does not block.
                    if result.send((number, made)).is_err() {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("loader-{number}"));
            match thread.spawn(work) {
                Ok(handle) => handles.push(handle),
                // With one thread the pass still completes, only slower.
                Err(_) if number > 0 => break,
                Err(error) => return Err(DataError::Threads(error)),
            }
        }
        let source = Source::Threads(Threads {
            tokens: Some(tokens),
            results,
            early: BTreeMap::new(),
            stop,
            handles,
        });
        Ok(Ahead {
            next: first,
            end,
            source,
        })
    }
}

/// A panic becomes an error.
fn guarded<T>(make: &mut Maker<T>, number: u64) -> Result<T, DataError> {
    let made = catch_unwind(AssertUnwindSafe(|| make(number)));
    made.unwrap_or_else(|panic| Err(DataError::Panic(message(panic.as_ref()))))
}

impl<T> Ahead<T> {
    /// Number behind the last thing.
    pub fn end(&self) -> u64 {
        self.end
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let made = match &mut self.source {
            Source::Caller(make) => guarded(make, self.next),
            Source::Threads(threads) => threads.take(self.next),
        };
        self.next = if made.is_ok() {
            self.next + 1
        } else {
            self.end
        };
        Some(made)
    }
}

impl<T> Threads<T> {
    fn take(&mut self, number: u64) -> Result<T, DataError> {
        let made = loop {
            if let Some(made) = self.early.remove(&number) {
                break made;
            }
            let Ok((done, made)) = self.results.recv() else {
                let all = "all loader threads ended early".to_owned();
                return Err(DataError::Panic(all));
            };
            self.early.insert(done, made);
        };
        if let Some(tokens) = &self.tokens {
            // Workers that have left need no token.
            let _ = tokens.try_send(());
        }
        made
    }
}

impl<T> Drop for Threads<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tokens = None;
        for handle in self.handles.drain(..) {
            // A worker's panic was caught and told already.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(workers: usize, first: u64, end: u64) -> Ahead<u64> {
        Ahead::start(first, end, workers, || {
            Box::new(|n| {
                std::thread::sleep(std::time::Duration::from_micros((n * 7919) % 300));
                match n {
                    50 => Err(DataError::Recipe("fifty".to_owned())),
                    60 => panic!("sixty"),
                    n => Ok(n * n),
                }
            })
        })
        .expect("starts")
    }

    #[test]
    fn things_come_in_order_for_any_number_of_workers() {
        for workers in [0, 1, 3] {
            let made: Vec<u64> = squares(workers, 3, 40).map(|x| x.expect("made")).collect();
            assert_eq!(made, (3..40).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_ends_it_and_a_panic_is_an_error() {
        for workers in [0, 2] {
            let made: Vec<_> = squares(workers, 45, 100).collect();
            assert_eq!(made.len(), 6, "{workers}");
            assert!(made[5].as_ref().unwrap_err().to_string().contains("fifty"));
            let made: Vec<_> = squares(workers, 58, 100).collect();
            assert!(made[2].as_ref().unwrap_err().to_string().contains("sixty"));
        }
        drop(squares(2, 0, 40).next());
    }
}
