//! Step 2, second half: resizing by bilinear interpolation. Pixels are squares whose centres lie at
//! half-integers, edges repeat; equal to PyTorch's `upsample_bilinear2d(align_corners=False)` and
//! OpenCV's `INTER_LINEAR`. With `antialias` the triangle widens when shrinking, as in Pillow and
//! torchvision; the paper's framework does not do that.
//!
//! Each output row is made when it is needed: the source rows are mixed first, in one pass that the
//! compiler vectorises, then the columns are gathered.

use crate::dataset::Image;
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

/// Buffers of the resize, reused from image to image.
#[derive(Debug, Default)]
pub struct Resizer {
    columns: Axis,
    lines: Axis,
    mixed: Vec<f32>,
    row: Vec<f32>,
}

impl Resizer {
    /// Calls `each` with the number and the values of every row of the window: `size` pixels of as many
    /// values as the image has channels, 0..255.
    pub fn rows(&mut self, image: &Image, window: &Window, mut each: impl FnMut(usize, &[f32])) {
        let Rect {
            x,
            y,
            width,
            height,
        } = window.region;
        let channels = image.channels.count();
        self.columns.build(
            width,
            window.full[0],
            window.offset[0],
            window.size,
            window.antialias,
        );
        self.lines.build(
            height,
            window.full[1],
            window.offset[1],
            window.size,
            window.antialias,
        );
        if window.flip {
            self.columns.reverse();
        }
        self.mixed.resize(width * channels, 0.0);
        self.row.resize(window.size * channels, 0.0);
        let line =
            |at: usize| &image.data[((y + at) * image.width + x) * channels..][..width * channels];
        for out in 0..window.size {
            let (start, weights) = self.lines.taps(out);
            match weights {
                [a, b] => {
                    for ((mixed, up), down) in
                        self.mixed.iter_mut().zip(line(start)).zip(line(start + 1))
                    {
                        *mixed = a * f32::from(*up) + b * f32::from(*down);
                    }
                }
                _ => {
                    self.mixed.fill(0.0);
                    for (k, weight) in weights.iter().enumerate() {
                        for (mixed, value) in self.mixed.iter_mut().zip(line(start + k)) {
                            *mixed += weight * f32::from(*value);
                        }
                    }
                }
            }
            if channels == 1 {
                self.columns.gather::<1>(&self.mixed, &mut self.row);
            } else {
                self.columns.gather::<3>(&self.mixed, &mut self.row);
            }
            each(out, &self.row);
        }
    }

    /// Mean colour of the window.
    pub fn mean(&mut self, image: &Image, window: &Window) -> [f64; 3] {
        let channels = image.channels.count();
        let mut sum = [0.0; 3];
        self.rows(image, window, |_, row| {
            for pixel in row.chunks_exact(channels) {
                for (c, sum) in sum.iter_mut().enumerate() {
                    *sum += f64::from(pixel[c % channels]);
                }
            }
        });
        sum.map(|s| s / (window.size * window.size) as f64)
    }
}

/// Weights along one axis: output `i` is the sum of `taps` sources from `start[i]`.
#[derive(Debug, Default)]
struct Axis {
    taps: usize,
    start: Vec<usize>,
    weights: Vec<f32>,
}

impl Axis {
    /// Outputs `offset..offset + size` of a resize of `from` sources to `to` outputs.
    fn build(&mut self, from: usize, to: usize, offset: usize, size: usize, antialias: bool) {
        let scale = from as f64 / to as f64;
        self.start.clear();
        self.weights.clear();
        if antialias && scale > 1.0 {
            self.build_wide(from, scale, offset, size);
            return;
        }
        self.taps = from.min(2);
        for out in offset..offset + size {
            let centre = ((out as f64 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f64);
            // The last source alone is the second of two, so that both are inside.
            let start = (centre as usize).min(from - self.taps);
            let share = (centre - start as f64) as f32;
            self.start.push(start);
            match self.taps {
                1 => self.weights.push(1.0),
                _ => self.weights.extend([1.0 - share, share]),
            }
        }
    }

    fn build_wide(&mut self, from: usize, scale: f64, offset: usize, size: usize) {
        self.taps = (2 * scale.ceil() as usize + 1).min(from);
        for out in offset..offset + size {
            let centre = (out as f64 + 0.5) * scale;
            let start = ((centre - scale + 0.5).max(0.0) as usize).min(from - self.taps);
            let weight =
                |k: usize| (1.0 - ((start + k) as f64 + 0.5 - centre).abs() / scale).max(0.0);
            let sum: f64 = (0..self.taps).map(weight).sum();
            self.start.push(start);
            self.weights
                .extend((0..self.taps).map(|k| (weight(k) / sum) as f32));
        }
    }

    fn taps(&self, out: usize) -> (usize, &[f32]) {
        (
            self.start[out],
            &self.weights[out * self.taps..][..self.taps],
        )
    }

    /// Outputs in reverse order.
    fn reverse(&mut self) {
        self.start.reverse();
        self.weights.reverse();
        self.weights
            .chunks_exact_mut(self.taps)
            .for_each(<[f32]>::reverse);
    }

    /// Interpolates along a line of pixels of `C` values.
    fn gather<const C: usize>(&self, line: &[f32], row: &mut [f32]) {
        let line = line.as_chunks::<C>().0;
        let row = row.as_chunks_mut::<C>().0;
        if self.taps == 2 {
            let weights = self.weights.as_chunks::<2>().0;
            for ((pixel, start), [a, b]) in row.iter_mut().zip(&self.start).zip(weights) {
                let [left, right] = [&line[*start], &line[*start + 1]];
                *pixel = std::array::from_fn(|c| a * left[c] + b * right[c]);
            }
            return;
        }
        for (out, pixel) in row.iter_mut().enumerate() {
            let (start, weights) = self.taps(out);
            *pixel = std::array::from_fn(|c| {
                weights
                    .iter()
                    .zip(&line[start..])
                    .map(|(weight, source)| weight * source[c])
                    .sum()
            });
        }
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
        let mut all = Vec::new();
        Resizer::default().rows(image, &window, |_, row| all.extend_from_slice(row));
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
            got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3),
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
        Resizer::default().rows(&image, &window, |y, row| {
            assert_eq!(row, &all[((y + 7) * 40 + 3) * 3..][..33]);
        });

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
        assert!((shrunk[1] - 46.0).abs() < 0.01, "{shrunk:?}");
    }
}
