//! What a loader promises: the same batches for any number of threads, resumable at any of them. What it does
//! when something goes wrong: loader_faults.rs.

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use rungs_data::dataset::Channels;
use rungs_data::preprocess::Layout;
use rungs_data::{
    Batch, DataError, Dataset, EvalSet, Image, Loader, LoaderConfig, Output, Pixels, Split, open,
    subset,
};
use rungs_spec::recipe::{Augment, Variant};
use support::{config, synthetic};

fn bits(batch: &Batch) -> (Vec<u64>, Vec<i64>, Vec<usize>) {
    let images = match &batch.images {
        Pixels::F32(v) => v.iter().map(|x| u64::from(x.to_bits())).collect(),
        Pixels::F64(v) => v.iter().map(|x| x.to_bits()).collect(),
        Pixels::Bytes { pixels, matrices } => pixels
            .iter()
            .map(|x| u64::from(*x))
            .chain(
                matrices
                    .as_flattened()
                    .as_flattened()
                    .iter()
                    .map(|x| u64::from(x.to_bits())),
            )
            .collect(),
    };
    (images, batch.labels.clone(), batch.indices.clone())
}

type Bits = Vec<(Vec<u64>, Vec<i64>, Vec<usize>)>;

fn train(data: &Arc<dyn Dataset>, config: &LoaderConfig, epoch: u64, first: u64) -> Bits {
    Loader::train(data.clone(), config, epoch, first)
        .unwrap()
        .map(|b| bits(&b.unwrap()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn threads_change_nothing_and_a_pass_can_start_anywhere(
        n in 1u64..70, batch in 1usize..20, seed in any::<u64>(), epoch in 0u64..5, share in 0.0f64..1.0,
        gluoncv in any::<bool>(),
    ) {
        prop_assume!(batch as u64 <= n);
        let data = synthetic(n);
        let variant = if gluoncv { Variant::Gluoncv } else { Variant::Paper };
        let with = |workers| LoaderConfig { seed, variant, ..config(batch, workers) };
        let alone = train(&data, &with(0), epoch, 0);
        prop_assert_eq!(alone.len() as u64, n / batch as u64);
        for workers in [1, 3] {
            prop_assert_eq!(&alone, &train(&data, &with(workers), epoch, 0));
        }
        let first = (share * alone.len() as f64) as usize;
        prop_assert_eq!(&alone[first..], &train(&data, &with(1), epoch, first as u64)[..]);
    }
}

#[test]
fn an_image_is_prepared_by_seed_epoch_and_index_alone() {
    let data = synthetic(60);
    let image_of = |batch_size: usize, seed: u64, epoch: u64, index: usize| {
        let config = LoaderConfig {
            seed,
            ..config(batch_size, 1)
        };
        let all = train(&data, &config, epoch, 0);
        let (batch, at) = all
            .iter()
            .find_map(|b| b.2.iter().position(|i| *i == index).map(|at| (b, at)))
            .unwrap();
        let size = batch.0.len() / batch.2.len();
        batch.0[at * size..][..size].to_vec()
    };
    let image = image_of(10, 1, 0, 17);
    assert_eq!(image, image_of(6, 1, 0, 17), "whatever the batch size");
    assert_ne!(image, image_of(10, 2, 0, 17), "another seed");
    assert_ne!(image, image_of(10, 1, 1, 17), "another epoch");
}

/// recipes.md section 7, trap 14.
#[test]
fn trap_14_training_drops_the_rest_and_evaluation_sees_every_image_once_in_order() {
    let data = synthetic(50);
    let seen: Vec<usize> = train(&data, &config(16, 2), 0, 0)
        .into_iter()
        .flat_map(|b| b.2)
        .collect();
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((seen.len(), once.len()), (48, 48));
    for workers in [0, 3] {
        let eval = Loader::eval(data.clone(), &config(16, workers), 16).unwrap();
        let sizes: Vec<Vec<usize>> = eval.map(|b| b.unwrap().indices.clone()).collect();
        assert_eq!(
            sizes.iter().map(Vec::len).collect::<Vec<_>>(),
            [16, 16, 16, 2]
        );
        assert_eq!(sizes.concat(), (0..50).collect::<Vec<_>>());
    }
}

/// As many images as ILSVRC2012 trains on, or evaluates; each is one grey pixel.
struct AsManyAsImageNet(usize);

impl Dataset for AsManyAsImageNet {
    fn name(&self) -> &str {
        "pixels"
    }
    fn len(&self) -> usize {
        self.0
    }
    fn classes(&self) -> usize {
        1000
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, index: usize) -> i64 {
        (index % 1000) as i64
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        into.set(1, 1, Channels::Grey, &[index as u8]);
        Ok(())
    }
    fn bytes(&self, _: usize, _: &mut Vec<u8>) -> Result<(), DataError> {
        unreachable!("nothing asks for a digest")
    }
}

/// recipes.md section 7, trap 14: the authors' iterator wrapped round and averaged 50,176 images.
#[test]
fn trap_14_all_50_000_are_evaluated_once_each() {
    let mut config = config(256, 2);
    (config.input_size, config.augment.resize_short) = (1, 1);
    let data = Arc::new(AsManyAsImageNet(50_000));
    let mut set = EvalSet::new(data, &config, 256).unwrap();
    for _ in 0..2 {
        let pass = set.pass().unwrap();
        let seen: Vec<usize> = pass.flat_map(|b| b.unwrap().indices.clone()).collect();
        assert!(seen.iter().copied().eq(0..50_000));
    }
}

/// recipes.md section 7, trap 27: floor(N / B) iterations an epoch, and each in an order of its own.
#[test]
fn trap_27_epochs_have_1251_iterations_and_orders_of_their_own() {
    let data: Arc<dyn Dataset> = Arc::new(AsManyAsImageNet(1_281_167));
    for (batch_size, iterations) in [(1024, 1251), (256, 5004)] {
        let mut config = config(batch_size, 0);
        (config.input_size, config.augment.resize_short) = (1, 1);
        let first_ids = [0, 1].map(|epoch| {
            let mut loader = Loader::train(data.clone(), &config, epoch, 0).unwrap();
            assert_eq!(loader.batches(), iterations);
            loader.next().unwrap().unwrap().indices[..10].to_vec()
        });
        assert_ne!(first_ids[0], first_ids[1]);
        let last = Loader::train(data.clone(), &config, 0, iterations - 1).unwrap();
        assert_eq!(last.count(), 1);
    }
}

#[test]
fn a_kept_evaluation_set_repeats_itself_whatever_the_batch_size() {
    let data = synthetic(50);
    let mut set = EvalSet::new(data.clone(), &config(16, 1), 16).unwrap();
    let pass =
        |set: &mut EvalSet| -> Bits { set.pass().unwrap().map(|b| bits(&b.unwrap())).collect() };
    // A pass that is given up is not taken for a whole one.
    assert_eq!(set.pass().unwrap().take(2).count(), 2);
    let first = pass(&mut set);
    assert_eq!(first, pass(&mut set));
    let mut other = EvalSet::new(data, &config(16, 0), 7).unwrap();
    let flat = |bits: Bits| -> Vec<u64> { bits.into_iter().flat_map(|b| b.0).collect() };
    assert_eq!(flat(first), flat(pass(&mut other)));
}

/// Callers may hold on to batches, or leave in the middle of a pass.
#[test]
fn no_deadlock_when_batches_are_kept_or_the_pass_is_given_up() {
    let data = synthetic(64);
    let all: Vec<Batch> = Loader::train(data.clone(), &config(4, 3), 0, 0)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(all.len(), 16);
    let mut loader = Loader::train(data, &config(4, 3), 0, 0).unwrap();
    assert!(loader.next().is_some());
    drop(loader);
}

/// `tensors:` passes through as it is: in order, in its own type, in either layout.
#[test]
fn tensors_come_in_order_unchanged_in_both_splits() {
    let (n, height, width) = (5usize, 2usize, 3usize);
    let values: Vec<f64> = (0..n * 3 * height * width)
        .map(|i| i as f64 / 7.0)
        .collect();
    let images: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let labels: Vec<u8> = (0..n as i64).flat_map(|l| l.to_le_bytes()).collect();
    let view = |dtype, shape: &[usize], data| {
        safetensors::tensor::TensorView::new(dtype, shape.to_vec(), data).unwrap()
    };
    let tensors = [
        (
            "images",
            view(safetensors::Dtype::F64, &[n, 3, height, width], &images),
        ),
        ("labels", view(safetensors::Dtype::I64, &[n], &labels)),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.safetensors");
    std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();

    let name = format!("tensors:{}", path.display());
    let size = 3 * height * width;
    for split in [Split::Train, Split::Val] {
        let data = open(&name, None, split).unwrap();
        assert_eq!((data.len(), data.classes()), (n, 5));
        for epoch in [0, 1] {
            let nchw = LoaderConfig {
                layout: Layout::Nchw,
                ..config(2, 1)
            };
            let batches: Vec<Batch> = Loader::train(data.clone(), &nchw, epoch, 0)
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(batches.len(), 2, "drop_last holds here too");
            assert_eq!((batches[1].height, batches[1].width), (height, width));
            assert_eq!(
                batches[1].images,
                Pixels::F64(values[2 * size..4 * size].to_vec())
            );
            assert_eq!(batches[1].labels, [2, 3]);
        }
        let mut eval = EvalSet::new(data, &config(2, 0), 2).unwrap();
        let last = eval.pass().unwrap().last().unwrap().unwrap();
        let Pixels::F64(got) = &last.images else {
            panic!("singles")
        };
        assert_eq!(
            (last.len(), got[1]),
            (1, values[4 * size + height * width]),
            "G of the first pixel"
        );
    }
    let Err(error) = subset(open(&name, None, Split::Train).unwrap(), Some(2)) else {
        panic!("cut")
    };
    assert!(
        error.to_string().contains("leave out train_subset"),
        "{error}"
    );
}

/// Image files of all kinds, large enough batches that all threads make one together.
#[test]
fn image_files_give_the_same_batches_for_any_number_of_threads_as_floats_and_as_bytes() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = rungs_data::files::Files::below(&dir).unwrap().repeated(64);
    let data: Arc<dyn Dataset> = Arc::new(files);
    let with = |workers, output, variant| {
        let large = config(20, workers);
        let augment = Augment {
            resize_short: 256,
            ..large.augment
        };
        LoaderConfig {
            input_size: 224,
            output,
            variant,
            augment,
            ..large
        }
    };
    for variant in [Variant::Paper, Variant::Gluoncv] {
        let floats = train(&data, &with(0, Output::Floats, variant), 0, 0);
        let bytes = train(&data, &with(0, Output::Bytes, variant), 0, 0);
        for workers in [1, 2, 7] {
            assert!(floats == train(&data, &with(workers, Output::Floats, variant), 0, 0));
            assert!(bytes == train(&data, &with(workers, Output::Bytes, variant), 0, 0));
        }
    }
}

/// What a device makes of bytes is what the loader makes of floats.
#[test]
fn bytes_with_their_matrices_are_the_floats() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files: Arc<dyn Dataset> = Arc::new(rungs_data::files::Files::below(&dir).unwrap());
    for (data, train) in [(files.clone(), true), (files, false), (synthetic(40), true)] {
        let batch = |output| {
            let config = LoaderConfig {
                output,
                ..config(16, 1)
            };
            let loader = match train {
                true => Loader::train(data.clone(), &config, 0, 0),
                false => Loader::eval(data.clone(), &config, 16),
            };
            loader.unwrap().next().unwrap().unwrap()
        };
        let (floats, bytes) = (batch(Output::Floats), batch(Output::Bytes));
        let (Pixels::F32(want), Pixels::Bytes { pixels, matrices }) =
            (&floats.images, &bytes.images)
        else {
            panic!("other pixels")
        };
        let size = 16 * 16 * 3;
        assert_eq!((want.len(), pixels.len()), (16 * size, 16 * size));
        for (image, matrix) in matrices.iter().enumerate() {
            for at in 0..size / 3 {
                let at = image * size + at * 3;
                for (c, m) in matrix.iter().enumerate() {
                    let value: f32 = (0..3)
                        .map(|k| m[k] * f32::from(pixels[at + k]))
                        .sum::<f32>()
                        + m[3];
                    assert!(
                        (value - want[at + c]).abs() < 1e-4,
                        "{value} {}",
                        want[at + c]
                    );
                }
            }
        }
    }
}
