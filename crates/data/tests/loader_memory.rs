//! The loader's memory at ImageNet's size: bounded, and flat over time. The only test of its process, whose
//! memory is the loader's.

mod support;

use std::sync::Arc;

use rungs_data::files::Files;
use rungs_data::{Dataset, Loader, LoaderConfig, Output, Pixels};
use rungs_spec::recipe::Augment;

/// A line of /proc/self/status, MiB.
fn status_mib(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// The most memory that is resident from here on will be known.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Most memory resident in the first and in the last 20 batches of 256, MiB.
fn forty_batches(data: &Arc<dyn Dataset>, output: Output) -> [u64; 2] {
    forget_peak();
    let small = support::config(256, 2);
    let config = LoaderConfig {
        input_size: 224,
        output,
        augment: Augment {
            resize_short: 256,
            ..small.augment
        },
        ..small
    };
    let (mut early, mut batches) = (0, 0);
    for batch in Loader::train(data.clone(), &config, 0, 0).unwrap() {
        // Read while the next one is made, as a step of training does.
        let values = match batch.unwrap().images {
            Pixels::F32(ref values) => values.iter().filter(|v| v.is_finite()).count(),
            Pixels::Bytes { ref pixels, .. } => pixels.len(),
            Pixels::F64(_) => 0,
        };
        assert_eq!(values, 256 * 224 * 224 * 3);
        batches += 1;
        if batches == 20 {
            early = status_mib("VmHWM:");
            forget_peak();
        }
    }
    assert_eq!(batches, 40);
    [early, status_mib("VmHWM:")]
}

#[test]
#[ignore = "long: twice ten thousand photographs"]
fn memory_is_bounded_and_flat_at_batch_256_and_224_pixels() {
    let Some(dir) = support::real("imagenet-sample", "imagenet-sample-200.tar") else {
        return;
    };
    let files = Files::below(&dir).unwrap().repeated(40 * 256);
    let data: Arc<dyn Dataset> = Arc::new(files);
    for output in [Output::Bytes, Output::Floats] {
        let [early, late] = forty_batches(&data, output);
        eprintln!("{output:?}: {early} MiB in the first 20 batches, {late} in the next 20");
        assert!(
            early <= 400 && late <= early + 16,
            "{output:?}: {early} MiB, then {late}"
        );
    }
}
