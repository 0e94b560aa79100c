//! `synthetic`: a seeded test double of 32x32 RGB images in 10 classes. It tests programs; its
//! numbers say nothing about the paper, and it never stands in for real data.
//!
//! A class is one of five textures at one of two scales, in random colours with noise: something
//! that a small network learns, and that survives flips, crops and colour jitter.

use crate::dataset::{Channels, Dataset, Image, Split};
use crate::error::DataError;
use crate::random::{Purpose, Stream};

const SIDE: usize = 32;
const BYTES: usize = SIDE * SIDE * 3;
const TEXTURES: [&str; 5] = ["horizontal", "vertical", "diagonal", "checks", "rings"];
const PERIODS: [f64; 2] = [5.0, 16.0];

/// One split, made when opened (6 MB of training images).
pub struct Synthetic {
    images: Vec<u8>,
    class_names: Vec<String>,
}

impl Synthetic {
    /// As many images as the catalogue says; always the same.
    pub fn new(split: Split) -> Self {
        let entry =
            rungs_spec::dataset::find("synthetic").expect("the catalogue has the test double");
        let (n, split) = match split {
            Split::Train => (entry.train as usize, 0),
            Split::Val => (entry.val as usize, 1),
        };
        let mut images = Vec::with_capacity(n * BYTES);
        for index in 0..n {
            let mut stream = Stream::new(Purpose::Synthetic, 1, split, index as u64);
            draw(index % 10, &mut stream, &mut images);
        }
        let class_names = (0..10)
            .map(|class| format!("{} {}", ["fine", "coarse"][class / 5], TEXTURES[class % 5]))
            .collect();
        Synthetic {
            images,
            class_names,
        }
    }
}

/// Appends one image of the class.
fn draw(class: usize, stream: &mut Stream, into: &mut Vec<u8>) {
    let wave = std::f64::consts::TAU / PERIODS[class / 5];
    let (phase_x, phase_y) = (stream.uniform(0.0, 32.0), stream.uniform(0.0, 32.0));
    let slant = if stream.unit() < 0.5 { 1.0 } else { -1.0 };
    let dark: [f64; 3] = std::array::from_fn(|_| stream.uniform(10.0, 100.0));
    let light: [f64; 3] = std::array::from_fn(|_| stream.uniform(130.0, 245.0));
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (u, v) = (x as f64 + phase_x, y as f64 + phase_y);
            let level = match class % 5 {
                0 => libm::sin(wave * v),
                1 => libm::sin(wave * u),
                2 => libm::sin(wave * (u + slant * v) * std::f64::consts::FRAC_1_SQRT_2),
                3 => libm::sin(wave * u) * libm::sin(wave * v),
                _ => libm::sin(wave * libm::hypot(u - 32.0, v - 32.0)),
            };
            let share = 0.5 + 0.5 * level;
            for channel in 0..3 {
                let value = dark[channel]
                    + (light[channel] - dark[channel]) * share
                    + stream.uniform(-12.0, 12.0);
                into.push(value.round().clamp(0.0, 255.0) as u8);
            }
        }
    }
}

impl Dataset for Synthetic {
    fn name(&self) -> &str {
        "synthetic"
    }
    fn len(&self) -> usize {
        self.images.len() / BYTES
    }
    fn classes(&self) -> usize {
        self.class_names.len()
    }
    fn class_names(&self) -> &[String] {
        &self.class_names
    }
    fn label(&self, index: usize) -> i64 {
        (index % 10) as i64
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        into.set(
            SIDE,
            SIDE,
            Channels::Rgb,
            &self.images[index * BYTES..(index + 1) * BYTES],
        );
        Ok(())
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        into.extend_from_slice(&self.images[index * BYTES..(index + 1) * BYTES]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_sizes_of_the_catalogue_and_the_same_bytes_everywhere() {
        let (train, val) = (Synthetic::new(Split::Train), Synthetic::new(Split::Val));
        assert_eq!((train.len(), val.len(), train.classes()), (2048, 512, 10));
        assert_ne!(train.images[..BYTES], val.images[..BYTES]);
        assert_eq!(&crate::digest(&val).unwrap()[..16], "915b837e5764a129");
    }

    /// Horizontal gradients tell "vertical" from "horizontal": the structure is in the pixels.
    #[test]
    fn classes_differ_in_structure() {
        let train = Synthetic::new(Split::Train);
        let mut image = Image::default();
        for index in 0..100 {
            let gradient = |image: &Image, dx, dy| -> f64 {
                (0..31 * 31)
                    .map(|i| {
                        let (x, y) = (i % 31, i / 31);
                        (f64::from(image.rgb(x + dx, y + dy)[1]) - f64::from(image.rgb(x, y)[1]))
                            .abs()
                    })
                    .sum()
            };
            train.image(index, &mut image).unwrap();
            let (across, down) = (gradient(&image, 1, 0), gradient(&image, 0, 1));
            match train.class_names()[train.label(index) as usize].as_str() {
                "fine horizontal" | "coarse horizontal" => assert!(down > 1.1 * across, "{index}"),
                "fine vertical" | "coarse vertical" => assert!(across > 1.1 * down, "{index}"),
                _ => {}
            }
        }
    }
}
