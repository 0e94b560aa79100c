//! What a loader does when something goes wrong: errors in the order of the batches, never panics and hangs.

mod support;

use std::sync::Arc;

use rungs_data::{Batch, DataError, Dataset, Image, Loader, LoaderConfig, Pixels};
use support::{config, synthetic};

#[test]
fn a_batch_larger_than_the_dataset_is_refused() {
    for batch_size in [0, 51] {
        let Err(error) = Loader::train(synthetic(50), &config(batch_size, 1), 0, 0) else {
            panic!("started")
        };
        assert!(
            error.to_string().contains("set it between 1 and 50"),
            "{error}"
        );
    }
}

/// A dataset with images that fail in some way.
struct Faulty(fn(usize) -> Result<(), DataError>);

impl Dataset for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }
    fn len(&self) -> usize {
        40
    }
    fn classes(&self) -> usize {
        1
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, _: usize) -> i64 {
        0
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        (self.0)(index)?;
        into.set(2, 2, rungs_data::dataset::Channels::Grey, &[200; 4]);
        Ok(())
    }
    fn bytes(&self, _: usize, _: &mut Vec<u8>) -> Result<(), DataError> {
        Ok(())
    }
}

fn corrupt(index: usize) -> Result<(), DataError> {
    if index % 10 == 3 {
        return Err(DataError::Corrupt {
            place: format!("image {index} of faulty"),
            problem: "not a JPEG".to_owned(),
        });
    }
    Ok(())
}

#[test]
fn corrupt_images_are_tolerated_up_to_max_corrupt() {
    for workers in [0, 1, 3] {
        let config = LoaderConfig {
            max_corrupt: 4,
            ..config(8, workers)
        };
        let batches: Vec<Batch> = Loader::eval(Arc::new(Faulty(corrupt)), &config, 8)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(batches.iter().map(|b| b.corrupt.len()).sum::<usize>(), 4);
        let Pixels::F32(values) = &batches[0].images else {
            panic!("doubles")
        };
        let size = 16 * 16 * 3;
        assert!(values[3 * size..4 * size].iter().all(|v| *v == 0.0));
        assert!(values[2 * size..3 * size].iter().all(|v| *v != 0.0));

        let strict = LoaderConfig {
            max_corrupt: 2,
            ..config
        };
        let results: Vec<_> = Loader::eval(Arc::new(Faulty(corrupt)), &strict, 8)
            .unwrap()
            .collect();
        // Images 3, 13 and 23 lie in batches 0, 1 and 2: the third is one too many, and the last word.
        assert_eq!(results.len(), 3);
        let error = results[2].as_ref().unwrap_err().to_string();
        assert!(
            error.starts_with("3 images of faulty cannot be decoded, the recipe tolerates 2"),
            "{error}"
        );
        assert!(
            error.contains("image 23 of faulty") && error.contains("not a JPEG"),
            "{error}"
        );
    }
}

#[test]
fn errors_and_panics_of_workers_reach_the_caller_in_order() {
    fn panics(index: usize) -> Result<(), DataError> {
        assert!(index != 17, "seventeen");
        Ok(())
    }
    fn fails(index: usize) -> Result<(), DataError> {
        match index {
            17 => Err(DataError::Io {
                path: "disk".into(),
                source: std::io::Error::other("gone"),
            }),
            _ => Ok(()),
        }
    }
    for workers in [0, 1, 3] {
        for (fault, message) in [
            (panics as fn(usize) -> _, "seventeen"),
            (fails, "disk: cannot be read: gone"),
        ] {
            let results: Vec<_> = Loader::eval(Arc::new(Faulty(fault)), &config(8, workers), 8)
                .unwrap()
                .collect();
            assert_eq!(results.len(), 3, "batches 0 and 1, then the error");
            assert!(results[..2].iter().all(Result::is_ok));
            let error = results[2].as_ref().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
