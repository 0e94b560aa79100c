//! Preprocessing as a whole: any image of any size, and the same bits everywhere.

use proptest::prelude::*;
use rungs_data::dataset::{Channels, Image};
use rungs_data::preprocess::{Layout, Pipeline, Scratch};
use rungs_data::random::{Purpose, Stream, permutation};
use rungs_spec::recipe::{Augment, Variant};

fn augment(size: u32) -> Augment {
    Augment {
        crop_area: [0.08, 1.0],
        crop_ratio: [0.75, 1.3333],
        flip: 0.5,
        hue: 0.4,
        saturation: 0.4,
        brightness: 0.4,
        contrast: 0.0,
        pca_std: 0.1,
        antialias: false,
        resize_short: size.div_ceil(7) * 8,
    }
}

fn picture(width: usize, height: usize, channels: Channels) -> Image {
    let data = (0..width * height * channels.count())
        .map(|i| (i * i * 31 + i * 7) as u8)
        .collect();
    Image {
        width,
        height,
        channels,
        data,
    }
}

fn run(pipeline: &Pipeline, image: &Image, index: u64, train: bool) -> Vec<f32> {
    let mut out = vec![f32::NAN; pipeline.size() * pipeline.size() * 3];
    let mut scratch = Scratch::default();
    if train {
        let mut stream = Stream::new(Purpose::Augment, 1, 2, index);
        pipeline.train(image, &mut stream, &mut scratch, &mut out);
    } else {
        pipeline.evaluate(image, &mut scratch, &mut out);
    }
    out
}

proptest! {
    #[test]
    fn every_image_of_every_size_becomes_finite_values(
        width in 1usize..60, height in 1usize..60, size in 1u32..40, grey in any::<bool>(),
        gluoncv in any::<bool>(), antialias in any::<bool>(), contrast in 0.0f64..1.0, index in any::<u64>(),
    ) {
        let channels = if grey { Channels::Grey } else { Channels::Rgb };
        let variant = if gluoncv { Variant::Gluoncv } else { Variant::Paper };
        let augment = Augment { antialias, contrast, ..augment(size) };
        let pipeline = Pipeline::new(&augment, variant, size, Layout::ChannelsLast).unwrap();
        let image = picture(width, height, channels);
        for train in [true, false] {
            // The largest value without PCA noise is far below 20 standard deviations.
            prop_assert!(run(&pipeline, &image, index, train).iter().all(|v| v.is_finite() && v.abs() < 20.0));
        }
    }

    /// Interpolation invents nothing: without colour steps, values stay between darkest and brightest.
    #[test]
    fn without_colour_steps_values_stay_in_range(width in 1usize..50, height in 1usize..50, index in any::<u64>()) {
        let augment = Augment { hue: 0.0, saturation: 0.0, brightness: 0.0, pca_std: 0.0, ..augment(28) };
        let pipeline = Pipeline::new(&augment, Variant::Paper, 28, Layout::ChannelsLast).unwrap();
        let image = picture(width, height, Channels::Grey);
        let red = |byte: &u8| (f32::from(*byte) - 123.68) / 58.393;
        let low = image.data.iter().map(red).fold(f32::MAX, f32::min) - 1e-4;
        let high = image.data.iter().map(red).fold(f32::MIN, f32::max) + 1e-4;
        for pixel in run(&pipeline, &image, index, true).chunks_exact(3) {
            prop_assert!((low..=high).contains(&pixel[0]));
        }
    }
}

/// Bits of the random streams. If these must change, raise NUMERICS_VERSION.
#[test]
fn streams_are_pinned() {
    let mut stream = Stream::new(Purpose::Augment, 1, 2, 3);
    let got = format!(
        "{:016x} {:016x} {:016x} {}",
        stream.bits(),
        stream.uniform(0.6, 1.4).to_bits(),
        stream.normal().to_bits(),
        stream.below(1000)
    );
    assert_eq!(
        got,
        "5ea0b4376314f448 3ff448a177b448d4 3ff1061e4f4e59e1 612"
    );
    assert_eq!(permutation(1, 0, 10), [8, 5, 2, 9, 3, 4, 1, 0, 7, 6]);
}

/// Bits of prepared images. If these must change, raise NUMERICS_VERSION.
#[test]
fn prepared_images_are_pinned() {
    let hash = |variant, train, channels, antialias| {
        let augment = Augment {
            antialias,
            contrast: 0.2,
            ..augment(28)
        };
        let pipeline = Pipeline::new(&augment, variant, 28, Layout::ChannelsLast).unwrap();
        let mut hasher = blake3::Hasher::new();
        for index in 0..20 {
            let image = picture(30 + index, 50 - index, channels);
            for value in run(&pipeline, &image, index as u64, train) {
                hasher.update(&value.to_le_bytes());
            }
        }
        hasher.finalize().to_hex()[..8].to_owned()
    };
    let got = [
        hash(Variant::Paper, true, Channels::Rgb, false),
        hash(Variant::Paper, true, Channels::Grey, false),
        hash(Variant::Paper, true, Channels::Rgb, true),
        hash(Variant::Gluoncv, true, Channels::Rgb, false),
        hash(Variant::Paper, false, Channels::Rgb, false),
    ];
    assert_eq!(
        got.join(" "),
        "717ca862 2e932fd9 69bbe8d2 c04e73e6 5e59a63b"
    );
}
