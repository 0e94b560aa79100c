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
                    let mut first = true;
                    for (group, weights) in weights.chunks(4).enumerate() {
                        let mut lines: [&[u8]; 4] = [&[]; 4];
                        for (k, into) in lines[..weights.len()].iter_mut().enumerate() {
                            *into = line(start + group * 4 + k);
                        }
                        add(lines, weights, first, &mut self.mixed);
                        first = false;
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

/// Adds one to four lines by their weights, to nothing if they are the first. Sums are formed in the order
/// of the lines, whatever their number.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn add(lines: [&[u8]; 4], weights: &[f32], first: bool, mixed: &mut [f32]) {
    match (weights, first) {
        (&[a], true) => blend::<1, true>(lines, [a], mixed),
        (&[a, b], true) => blend::<2, true>(lines, [a, b], mixed),
        (&[a, b, c], true) => blend::<3, true>(lines, [a, b, c], mixed),
        (&[a, b, c, d], true) => blend::<4, true>(lines, [a, b, c, d], mixed),
        (&[a], false) => blend::<1, false>(lines, [a], mixed),
        (&[a, b], false) => blend::<2, false>(lines, [a, b], mixed),
        (&[a, b, c], false) => blend::<3, false>(lines, [a, b, c], mixed),
        (&[a, b, c, d], false) => blend::<4, false>(lines, [a, b, c, d], mixed),
        _ => {}
    }
}

#[inline(always)]
fn blend<const N: usize, const FIRST: bool>(
    lines: [&[u8]; 4],
    weights: [f32; N],
    mixed: &mut [f32],
) {
    let lines: [&[u8]; N] = std::array::from_fn(|k| &lines[k][..mixed.len()]);
    for (at, mixed) in mixed.iter_mut().enumerate() {
        let mut sum = if FIRST { 0.0 } else { *mixed };
        for k in 0..N {
            sum += weights[k] * f32::from(lines[k][at]);
        }
        *mixed = sum;
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
    match axis.taps {
        2 => {
            let weights = axis.weights.as_chunks::<2>().0;
            for ((pixel, start), [a, b]) in row.iter_mut().zip(&axis.start).zip(weights) {
                let [left, right] = [&line[*start], &line[*start + 1]];
                for c in 0..C {
                    pixel[c] = whole(a * left[c] + b * right[c]);
                }
            }
        }
        3 => gather_few::<C, 3>(axis, line, row),
        4 => gather_few::<C, 4>(axis, line, row),
        5 => gather_few::<C, 5>(axis, line, row),
        6 => gather_few::<C, 6>(axis, line, row),
        _ => {
            for (out, pixel) in row.iter_mut().enumerate() {
                let (start, weights) = axis.taps(out);
                *pixel = interpolated(weights, &line[start..]);
            }
        }
    }
}

/// As [`gather`], for a number of taps that the compiler knows.
#[inline(always)]
fn gather_few<const C: usize, const TAPS: usize>(
    axis: &Axis,
    line: &[[f32; C]],
    row: &mut [[f32; 4]],
) {
    let weights = axis.weights.as_chunks::<TAPS>().0;
    for ((pixel, start), weights) in row.iter_mut().zip(&axis.start).zip(weights) {
        *pixel = interpolated(weights, &line[*start..][..TAPS]);
    }
}

#[inline(always)]
fn interpolated<const C: usize>(weights: &[f32], sources: &[[f32; C]]) -> [f32; 4] {
    let mut sum = [0.0; C];
    for (weight, source) in weights.iter().zip(sources) {
        for c in 0..C {
            sum[c] += weight * source[c];
        }
    }
    let mut pixel = [0.0; 4];
    for c in 0..C {
        pixel[c] = whole(sum[c]);
    }
    pixel
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
mod tests;
