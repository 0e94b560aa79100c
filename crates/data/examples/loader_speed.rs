//! How fast images are prepared: `cargo run --release -p rungs-data --example loader_speed`.
//! Real Fashion-MNIST where it is there, and synthetic images of ImageNet's usual size.
#![expect(clippy::print_stdout, reason = "a program that prints its results")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rungs_data::dataset::{Channels, Image};
use rungs_data::preprocess::{Layout, Pipeline, Scratch};
use rungs_data::random::{Purpose, Stream};
use rungs_data::{DataError, Loader, LoaderConfig, Output, Split, digest, open};
use rungs_spec::recipe::{Augment, Variant};

fn augment(resize_short: u32, antialias: bool) -> Augment {
    Augment {
        crop_area: [0.08, 1.0],
        crop_ratio: [0.75, 1.3333],
        flip: 0.5,
        hue: 0.4,
        saturation: 0.4,
        brightness: 0.4,
        contrast: 0.0,
        pca_std: 0.1,
        antialias,
        resize_short,
    }
}

/// Microseconds an image of `prepare`, the best of five times a fifth of a second.
fn time(mut prepare: impl FnMut(u64)) -> f64 {
    let mut index = 0;
    (0..5)
        .map(|_| {
            let (start, first) = (Instant::now(), index);
            while start.elapsed() < Duration::from_millis(200) {
                prepare(index);
                index += 1;
            }
            start.elapsed().as_secs_f64() * 1e6 / (index - first) as f64
        })
        .fold(f64::MAX, f64::min)
}

fn one(
    what: &str,
    image: &Image,
    size: u32,
    variant: Variant,
    antialias: bool,
) -> Result<(), DataError> {
    let pipeline = Pipeline::new(
        &augment(size.div_ceil(7) * 8, antialias),
        variant,
        size,
        Layout::ChannelsLast,
    )?;
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; (size * size * 3) as usize];
    let train = time(|index| {
        let mut stream = Stream::new(Purpose::Augment, 1, 0, index);
        pipeline.train(image, &mut stream, &mut scratch, &mut out);
    });
    let eval = time(|_| pipeline.evaluate(image, &mut scratch, &mut out));
    println!(
        "{what:<34} train {train:>8.2} us ({:>7.0}/s)   eval {eval:>8.2} us",
        1e6 / train
    );
    Ok(())
}

fn noise(width: usize, height: usize, channels: Channels) -> Image {
    let mut stream = Stream::new(Purpose::Synthetic, 1, 0, 0);
    let data = (0..width * height * channels.count())
        .map(|_| stream.below(256) as u8)
        .collect();
    Image {
        width,
        height,
        channels,
        data,
    }
}

fn main() -> Result<(), DataError> {
    println!("One thread, decoded image to normalised f32, all six steps:");
    one(
        "28x28 grey -> 28",
        &noise(28, 28, Channels::Grey),
        28,
        Variant::Paper,
        false,
    )?;
    one(
        "28x28 RGB -> 28",
        &noise(28, 28, Channels::Rgb),
        28,
        Variant::Paper,
        false,
    )?;
    one(
        "28x28 grey -> 28, gluoncv",
        &noise(28, 28, Channels::Grey),
        28,
        Variant::Gluoncv,
        false,
    )?;
    one(
        "500x375 RGB -> 224",
        &noise(500, 375, Channels::Rgb),
        224,
        Variant::Paper,
        false,
    )?;
    one(
        "500x375 RGB -> 224, antialias",
        &noise(500, 375, Channels::Rgb),
        224,
        Variant::Paper,
        true,
    )?;
    one(
        "500x375 RGBX -> 224, antialias",
        &noise(500, 375, Channels::Rgbx),
        224,
        Variant::Paper,
        true,
    )?;
    one(
        "500x375 RGB -> 224, gluoncv",
        &noise(500, 375, Channels::Rgb),
        224,
        Variant::Gluoncv,
        false,
    )?;

    let (name, data) = match open("fashion-mnist", None, Split::Train) {
        Ok(data) => ("fashion-mnist", data),
        Err(error) => {
            println!("SKIPPED fashion-mnist: {error}");
            ("synthetic", open("synthetic", None, Split::Train)?)
        }
    };
    let start = Instant::now();
    digest(data.as_ref())?;
    println!(
        "digest of {name}: {:.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    for workers in [0, 1, 2] {
        let config = LoaderConfig {
            seed: 1,
            batch_size: 64,
            input_size: 28,
            augment: augment(32, false),
            variant: Variant::Paper,
            max_corrupt: 0,
            layout: Layout::ChannelsLast,
            output: Output::Floats,
            workers,
        };
        let start = Instant::now();
        let mut images = 0;
        for epoch in 0..3 {
            for batch in Loader::train(Arc::clone(&data), &config, epoch, 0)? {
                images += batch?.len();
            }
        }
        let rate = images as f64 / start.elapsed().as_secs_f64();
        println!("loader on {name}, {workers} worker(s): {rate:.0} images/s");
    }
    Ok(())
}
