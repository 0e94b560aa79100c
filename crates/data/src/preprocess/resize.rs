//! Step 2, second half: resizing by bilinear interpolation. Pixels are squares whose centres lie at
//! half-integers, edges repeat; equal to PyTorch's `upsample_bilinear2d(align_corners=False)` and
//! OpenCV's `INTER_LINEAR`. With `antialias` the triangle widens when shrinking, as in Pillow and
//! torchvision; the paper's framework does not do that. Results are rounded to bytes, as all of these
//! do with images of bytes.
//!
//! Each output row is made when it is needed: the source rows are mixed first, in one pass that the
//! compiler vectorises, then the columns are gathered. No more of the image is read than the wanted square
//! needs.

use multiversion::multiversion;

use crate::dataset::{Channels, Image};
use crate::preprocess::axis::Axis;
use crate::preprocess::crop::Rect;

/// Which part of which resize is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Part of the image that is resized; nothing outside it is read.
    pub region: Rect,
    /// Width and height that it is resized to.
    pub full: [usize; 2],
    /// Left and top edge of the wanted square in that.
    pub offset: [usize; 2],
    /// Side of the wanted square.
    pub size: usize,
    /// Columns in reverse.
    pub flip: bool,
    /// Widen the filter when shrinking.
    pub antialias: bool,
}

/// One row of the wanted square; the values are whole numbers, 0..=255.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// One value a pixel, of a grey image.
    Grey(&'a [f32]),
    /// R, G, B and nothing.
    Colour(&'a [[f32; 4]]),
}

impl Row<'_> {
    /// The values as bytes.
    pub fn bytes(self, out: &mut [[u8; 3]]) {
        match self {
            Row::Grey(row) => {
                for (out, value) in out.iter_mut().zip(row) {
                    *out = [low_byte(*value); 3];
                }
            }
            Row::Colour(row) => narrow(row, out),
        }
    }
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn narrow(row: &[[f32; 4]], out: &mut [[u8; 3]]) {
    for (out, [r, g, b, _]) in out.iter_mut().zip(row) {
        *out = [low_byte(*r), low_byte(*g), low_byte(*b)];
    }
}

/// A whole number from 0 to 255 as a byte; faster than `as`, which also looks for what is none.
#[inline(always)]
fn low_byte(value: f32) -> u8 {
    (value + NO_FRACTION).to_bits() as u8
}

/// Added to a float below 2^22, it leaves no bits for a fraction, and the number in the lowest ones.
const NO_FRACTION: f32 = 8_388_608.0;

/// Buffers of the resize, reused from image to image.
#[derive(Debug, Default)]
pub struct Resizer {
    columns: Axis,
    lines: Axis,
    /// The last window, and what it needs.
    planned: Option<(Window, Rect)>,
    mixed: Vec<f32>,
    grey: Vec<f32>,
    colour: Vec<[f32; 4]>,
}

impl Resizer {
    /// Prepares for a window; the part of the image that it needs.
    pub fn plan(&mut self, window: &Window) -> Rect {
        if let Some((last, needed)) = self.planned
            && last == *window
        {
            return needed;
        }
        let Window {
            region,
            full,
            offset,
            size,
            flip,
            antialias,
        } = *window;
        let columns = self
            .columns
            .build(region.width, full[0], offset[0], size, antialias);
        let lines = self
            .lines
            .build(region.height, full[1], offset[1], size, antialias);
        if flip {
            self.columns.reverse();
        }
        let needed = Rect {
            x: region.x + columns.start,
            y: region.y + lines.start,
            width: columns.len(),
            height: lines.len(),
        };
        self.planned = Some((*window, needed));
        needed
    }

    /// Calls `each` with the number and the values of every row of the window of the last
    /// [`Resizer::plan`]. `image` is the part of the whole one that begins at `origin` and has at least what is needed.
    pub fn rows(
        &mut self,
        image: &Image,
        origin: [usize; 2],
        mut each: impl FnMut(usize, Row<'_>),
    ) {
        let Some((Window { size, .. }, needed)) = self.planned else {
            return;
        };
        let channels = image.channels.count();
        let (left, top) = (needed.x - origin[0], needed.y - origin[1]);
        let (width, step) = (needed.width * channels, image.width * channels);
        self.mixed.resize(width, 0.0);
        self.grey.resize(size, 0.0);
        self.colour.resize(size, [0.0; 4]);
        let line = |at: usize| &image.data[(top + at) * step + left * channels..][..width];
        for out in 0..size {
            let (start, weights) = self.lines.taps(out);
            match weights {
                [a, b] => mix(line(start), line(start + 1), [*a, *b], &mut self.mixed),
                _ => {
                    self.mixed.fill(0.0);
                    for (k, weight) in weights.iter().enumerate() {
                        add(line(start + k), *weight, &mut self.mixed);
                    }
                }
            }
            let row = match image.channels {
                Channels::Grey => {
                    gather_grey(&self.columns, &self.mixed, &mut self.grey);
                    Row::Grey(&self.grey)
                }
                Channels::Rgb => {
                    gather_rgb(&self.columns, &self.mixed, &mut self.colour);
                    Row::Colour(&self.colour)
                }
                Channels::Rgbx => {
                    gather_rgbx(&self.columns, &self.mixed, &mut self.colour);
                    Row::Colour(&self.colour)
                }
            };
            each(out, row);
        }
    }

    /// Mean colour of the window of the last [`Resizer::plan`]; arguments as of [`Resizer::rows`].
    pub fn mean(&mut self, image: &Image, origin: [usize; 2]) -> [f64; 3] {
        let mut sum = [0.0; 3];
        self.rows(image, origin, |_, row| match row {
            Row::Grey(row) => {
                let row: f64 = row.iter().map(|v| f64::from(*v)).sum();
                sum.iter_mut().for_each(|s| *s += row);
            }
            Row::Colour(row) => {
                for pixel in row {
                    (0..3).for_each(|c| sum[c] += f64::from(pixel[c]));
                }
            }
        });
        let size = self.grey.len();
        sum.map(|s| s / (size * size) as f64)
    }
}

/// The nearest whole number of a value from 0 to 2^22, halves to even: many times faster than
/// `round_ties_even`, which is a function call on baseline x86-64.
#[inline(always)]
pub fn whole(value: f32) -> f32 {
    (value + NO_FRACTION) - NO_FRACTION
}

/// Two lines by their weights.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn mix(up: &[u8], down: &[u8], weights: [f32; 2], mixed: &mut [f32]) {
    for ((mixed, up), down) in mixed.iter_mut().zip(up).zip(down) {
        *mixed = weights[0] * f32::from(*up) + weights[1] * f32::from(*down);
    }
}

/// One more line by its weight.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn add(line: &[u8], weight: f32, mixed: &mut [f32]) {
    for (mixed, value) in mixed.iter_mut().zip(line) {
        *mixed += weight * f32::from(*value);
    }
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn gather_rgb(axis: &Axis, line: &[f32], row: &mut [[f32; 4]]) {
    gather::<3>(axis, line.as_chunks().0, row);
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn gather_rgbx(axis: &Axis, line: &[f32], row: &mut [[f32; 4]]) {
    gather::<4>(axis, line.as_chunks().0, row);
}

/// Interpolates along a line of pixels of `C` values.
#[inline(always)]
fn gather<const C: usize>(axis: &Axis, line: &[[f32; C]], row: &mut [[f32; 4]]) {
    if axis.taps == 2 {
        let weights = axis.weights.as_chunks::<2>().0;
        for ((pixel, start), [a, b]) in row.iter_mut().zip(&axis.start).zip(weights) {
            let [left, right] = [&line[*start], &line[*start + 1]];
            for c in 0..C {
                pixel[c] = whole(a * left[c] + b * right[c]);
            }
        }
        return;
    }
    for (out, pixel) in row.iter_mut().enumerate() {
        let (start, weights) = axis.taps(out);
        let mut sum = [0.0; C];
        for (weight, source) in weights.iter().zip(&line[start..]) {
            for c in 0..C {
                sum[c] += weight * source[c];
            }
        }
        for c in 0..C {
            pixel[c] = whole(sum[c]);
        }
    }
}

fn gather_grey(axis: &Axis, line: &[f32], row: &mut [f32]) {
    if axis.taps == 2 {
        let weights = axis.weights.as_chunks::<2>().0;
        for ((pixel, start), [a, b]) in row.iter_mut().zip(&axis.start).zip(weights) {
            *pixel = whole(a * line[*start] + b * line[*start + 1]);
        }
        return;
    }
    for (out, pixel) in row.iter_mut().enumerate() {
        let (start, weights) = axis.taps(out);
        let products = weights.iter().zip(&line[start..]).map(|(w, s)| w * s);
        *pixel = whole(products.sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Channels;

    fn resized(
        image: &Image,
        region: Rect,
        full: [usize; 2],
        size: usize,
        antialias: bool,
        flip: bool,
    ) -> Vec<f32> {
        let window = Window {
            region,
            full,
            offset: [0; 2],
            size,
            flip,
            antialias,
        };
        rows(image, &window)
    }

    /// All values of the window, as many a pixel as the image has (RGB) or one.
    fn rows(image: &Image, window: &Window) -> Vec<f32> {
        let mut all = Vec::new();
        let mut resizer = Resizer::default();
        resizer.plan(window);
        resizer.rows(image, [0, 0], |_, row| match row {
            Row::Grey(row) => all.extend_from_slice(row),
            Row::Colour(row) => all.extend(row.iter().flat_map(|pixel| &pixel[..3])),
        });
        all
    }

    fn whole(image: &Image) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width: image.width,
            height: image.height,
        }
    }

    fn grey(width: usize, height: usize, data: &[u8]) -> Image {
        Image {
            width,
            height,
            channels: Channels::Grey,
            data: data.to_vec(),
        }
    }

    fn assert_close(got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        assert!(
            got.iter().zip(want).all(|(a, b)| (a - b).abs() < 0.501),
            "{got:?} {want:?}"
        );
    }

    /// Values from `torch.nn.functional.interpolate(mode="bilinear", align_corners=False, antialias=...)` of
    /// PyTorch 2.13 in FP64, on the image whose pixel (x, y) is (37 x + 91 y + 13 x y) mod 256.
    #[test]
    fn equals_pytorch() {
        #[rustfmt::skip]
        let cases: [(usize, usize, bool, [f32; 16]); 4] = [
            (3, 2, false, [0.0, 23.125, 50.875, 74.0, 22.75, 47.9062, 78.0938, 103.25,
                           68.25, 97.4688, 132.5312, 161.75, 91.0, 122.25, 159.75, 191.0]),
            (7, 5, false, [25.8594, 93.4531, 133.0469, 196.6406, 145.7031, 145.7344, 101.7656, 117.7969,
                           105.5469, 134.0156, 118.4844, 162.9531, 129.3906, 58.2969, 183.2031, 108.1094]),
            (11, 9, true, [113.182, 136.5162, 133.9638, 103.7005, 130.037, 143.5374, 130.9959, 131.28,
                           119.6667, 149.2846, 140.3122, 147.5908, 159.0063, 148.5514, 147.9857, 153.419]),
            (3, 5, true, [22.75, 47.9062, 78.0937, 103.25, 128.9167, 163.5521, 165.1146, 133.0833,
                          85.75, 129.8646, 142.8021, 120.25, 85.25, 138.8438, 131.1562, 64.75]),
        ];
        for (width, height, antialias, want) in cases {
            let data: Vec<u8> = (0..height)
                .flat_map(|y| (0..width).map(move |x| ((37 * x + 91 * y + 13 * x * y) % 256) as u8))
                .collect();
            let image = grey(width, height, &data);
            assert_close(
                &resized(&image, whole(&image), [4, 4], 4, antialias, false),
                &want,
            );
        }
    }

    #[test]
    fn the_same_size_is_the_same_image_and_flip_mirrors_it() {
        let image = crate::preprocess::tests::picture(9, 9, Channels::Rgb);
        let same = resized(&image, whole(&image), [9, 9], 9, false, false);
        let flipped = resized(&image, whole(&image), [9, 9], 9, false, true);
        for y in 0..9 {
            for x in 0..9 {
                let want = image.rgb(x, y).map(f32::from);
                assert_eq!(same[(y * 9 + x) * 3..][..3], want);
                assert_eq!(flipped[(y * 9 + 8 - x) * 3..][..3], want);
            }
        }
    }

    #[test]
    fn a_window_is_a_part_of_the_whole_and_nothing_outside_the_region_counts() {
        let image = crate::preprocess::tests::picture(20, 30, Channels::Rgb);
        let all = resized(&image, whole(&image), [40, 40], 40, false, false);
        let window = Window {
            region: whole(&image),
            full: [40, 40],
            offset: [3, 7],
            size: 11,
            flip: false,
            antialias: false,
        };
        for (y, row) in rows(&image, &window).chunks_exact(33).enumerate() {
            assert_eq!(row, &all[((y + 7) * 40 + 3) * 3..][..33]);
        }

        let region = Rect {
            x: 4,
            y: 5,
            width: 6,
            height: 8,
        };
        let cut: Vec<u8> = (5..13)
            .flat_map(|y| (4..10).flat_map(move |x| [(x, y)]))
            .flat_map(|(x, y)| image.rgb(x, y))
            .collect();
        let cut = Image {
            width: 6,
            height: 8,
            channels: Channels::Rgb,
            data: cut,
        };
        assert_eq!(
            resized(&image, region, [15, 15], 15, false, false),
            resized(&cut, whole(&cut), [15, 15], 15, false, false)
        );
    }

    #[test]
    fn one_pixel_fills_everything() {
        let dot = grey(1, 1, &[77]);
        for antialias in [false, true] {
            assert_close(
                &resized(&dot, whole(&dot), [5, 5], 5, antialias, false),
                &[77.0; 25],
            );
        }
    }

    /// A fine checkerboard shrunk by 4: the wide filter averages it away, the plain one does not.
    #[test]
    fn antialias_averages_what_the_plain_filter_skips() {
        let board: Vec<u8> = (0..32 * 32)
            .map(|i| {
                if (i % 32 / 2 + i / 32 / 2) % 2 == 0 {
                    255
                } else {
                    0
                }
            })
            .collect();
        let board = grey(32, 32, &board);
        let spread = |values: &[f32]| {
            values
                .iter()
                .fold(0.0f32, |worst, v| worst.max((v - 127.5).abs()))
        };
        let wide = resized(&board, whole(&board), [8, 8], 8, true, false);
        assert!(spread(&wide[9..15]) < 8.0, "{wide:?}");
        let ramp: Vec<u8> = (0..64 * 4).map(|i| (i % 64 * 4) as u8).collect();
        let ramp = grey(64, 4, &ramp);
        let shrunk = resized(&ramp, whole(&ramp), [8, 8], 4, true, false);
        // Inside, a ramp shrinks to a ramp: centre of output 1 is source 12.
        assert!((shrunk[1] - 46.0).abs() < 0.51, "{shrunk:?}");
    }
}
