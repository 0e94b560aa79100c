//! The same work on many things, on all threads of the machine.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::DataError;

/// `work(0)`, ..., `work(count - 1)`, in order; no more is begun after an error.
pub(crate) fn map<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, DataError> + Sync,
) -> Result<Vec<T>, DataError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take = || -> Result<Vec<(usize, T)>, DataError> {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let made = work(index).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            done.push((index, made));
        }
        Ok(done)
    };
    let mut done = std::thread::scope(|scope| {
        let crew: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(take)).collect();
        let mut done = take()?;
        for worker in crew {
            let theirs = worker.join().unwrap_or_else(|_| {
                Err(DataError::Panic(
                    "in a thread that reads a dataset".to_owned(),
                ))
            })?;
            done.extend(theirs);
        }
        Ok::<_, DataError>(done)
    })?;
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_the_first_error_ends_it() {
        let squares = map(1000, |i| Ok(i * i)).unwrap();
        assert_eq!(squares, (0..1000).map(|i| i * i).collect::<Vec<_>>());
        assert_eq!(map(0, Ok).unwrap(), Vec::<usize>::new());
        let begun = AtomicUsize::new(0);
        let error = map(1_000_000, |i| {
            begun.fetch_add(1, Ordering::Relaxed);
            if i == 10 {
                return Err(DataError::Recipe("ten".to_owned()));
            }
            Ok(())
        });
        assert!(error.unwrap_err().to_string().contains("ten"));
        assert!(begun.into_inner() < 1_000_000);
    }
}
