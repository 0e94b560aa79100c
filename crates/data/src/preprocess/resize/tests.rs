use super::*;
use crate::dataset::Channels;
use crate::preprocess::tests::picture;

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
    let image = picture(9, 9, Channels::Rgb);
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
    let image = picture(20, 30, Channels::Rgb);
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

/// The definition: each value is the sum of the products of all sources, in their order, down and then
/// across, and rounded.
fn by_definition(image: &Image, window: &Window) -> Vec<f32> {
    let weights = |from: usize, to: usize, out: usize| -> Vec<f32> {
        let scale = from as f64 / to as f64;
        let centre = (out as f64 + 0.5) * scale;
        if !window.antialias || scale <= 1.0 {
            let centre = (centre - 0.5).clamp(0.0, (from - 1) as f64);
            let start = (centre as usize).min(from.saturating_sub(2));
            let share = (centre - start as f64) as f32;
            let mut all = vec![0.0; from.max(2)];
            (all[start], all[start + 1]) = (1.0 - share, share);
            return all;
        }
        let weight = |k: usize| (1.0 - (k as f64 + 0.5 - centre).abs() / scale).max(0.0);
        let sum: f64 = (0..from).map(weight).sum();
        (0..from).map(|k| (weight(k) / sum) as f32).collect()
    };
    let Window {
        region,
        full,
        offset,
        size,
        flip,
        ..
    } = *window;
    let colours = if image.channels == Channels::Grey {
        1
    } else {
        3
    };
    let mut all = Vec::new();
    for y in 0..size {
        let down = weights(region.height, full[1], offset[1] + y);
        let mixed: Vec<[f32; 3]> = (0..region.width)
            .map(|x| {
                let mut sum = [0.0f32; 3];
                for (k, weight) in down[..region.height].iter().enumerate() {
                    let pixel = image.rgb(region.x + x, region.y + k);
                    (0..3).for_each(|c| sum[c] += weight * f32::from(pixel[c]));
                }
                sum
            })
            .collect();
        for x in 0..size {
            let x = if flip { size - 1 - x } else { x };
            let mut across = weights(region.width, full[0], offset[0] + x);
            across.truncate(region.width);
            let mut sum = [0.0f32; 3];
            for (pixel, weight) in mixed.iter().zip(across) {
                (0..3).for_each(|c| sum[c] += weight * pixel[c]);
            }
            all.extend(sum[..colours].iter().map(|v| super::whole(*v)));
        }
    }
    all
}

/// However few sources are read: leaving out those that weigh nothing changes no bit.
#[test]
fn equals_the_definition_to_the_bit() {
    let mut stream = crate::random::Stream::new(crate::random::Purpose::Synthetic, 21, 0, 0);
    for round in 0..300 {
        let mut upto = |n: u64| 1 + stream.below(n) as usize;
        let (width, height, size) = (upto(90), upto(90), upto(24));
        let channels = [Channels::Grey, Channels::Rgb, Channels::Rgbx][round % 3];
        let image = picture(width, height, channels);
        let region = Rect {
            x: upto(width as u64) - 1,
            y: upto(height as u64) - 1,
            width: 0,
            height: 0,
        };
        let region = Rect {
            width: upto((width - region.x) as u64),
            height: upto((height - region.y) as u64),
            ..region
        };
        let full = [size + upto(9) - 1, size + upto(9) - 1];
        let window = Window {
            region,
            full,
            offset: [0, 1].map(|axis| upto((full[axis] - size + 1) as u64) - 1),
            size,
            flip: round % 2 == 1,
            antialias: round % 4 < 3,
        };
        assert_eq!(
            rows(&image, &window),
            by_definition(&image, &window),
            "{window:?} {channels:?}"
        );
    }
}
