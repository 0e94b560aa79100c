//! Steps 2 to 5 as the authors' released code does them (`variant = "gluoncv"`): brightness, contrast and
//! saturation in random order, and every step, PCA noise included, rounded and clamped to bytes.
//! Hue, which the released code leaves out, comes after them if the recipe asks for it.

use crate::dataset::Image;
use crate::preprocess::affine::Affine;
use crate::preprocess::draw::Draw;
use crate::preprocess::resize::{Resizer, Row, whole};
use crate::preprocess::{brightness, contrast, hue, pca, saturation};

/// Leaves `size * size` RGB pixels with whole values 0..=255 in `pixels`. The window is that of the
/// resizer's last plan.
pub(crate) fn byte_steps(
    image: &Image,
    origin: [usize; 2],
    draw: &Draw,
    resizer: &mut Resizer,
    pixels: &mut Vec<[f32; 4]>,
) {
    pixels.clear();
    resizer.rows(image, origin, |_, row| match row {
        Row::Grey(row) => pixels.extend(row.iter().map(|grey| [*grey, *grey, *grey, 0.0])),
        Row::Colour(row) => pixels.extend_from_slice(row),
    });
    for step in draw.order {
        match step {
            0 if draw.brightness != 1.0 => apply(&brightness::affine(draw.brightness), pixels),
            1 if draw.contrast != 1.0 => {
                let mean = mean(pixels);
                apply(&contrast::affine(draw.contrast, mean), pixels);
            }
            2 if draw.saturation != 1.0 => apply(&saturation::affine(draw.saturation), pixels),
            _ => {}
        }
    }
    if draw.hue != 1.0 {
        apply(&hue::affine(draw.hue), pixels);
    }
    if draw.pca != [0.0; 3] {
        apply(&Affine::shift(pca::noise(draw.pca)), pixels);
    }
}

/// Nearest byte, halves to even, as OpenCV's `saturate_cast`.
#[inline(always)]
fn byte(value: f32) -> f32 {
    whole(value.clamp(0.0, 255.0))
}

fn mean(pixels: &[[f32; 4]]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for pixel in pixels {
        (0..3).for_each(|c| sum[c] += f64::from(pixel[c]));
    }
    sum.map(|s| s / pixels.len() as f64)
}

fn apply(affine: &Affine, pixels: &mut [[f32; 4]]) {
    let matrix = affine.matrix();
    for pixel in pixels {
        let [r, g, b, _] = *pixel;
        for c in 0..3 {
            let [x, y, z, shift] = matrix[c];
            pixel[c] = byte(x * r + y * g + z * b + shift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Channels;
    use crate::preprocess::crop::Rect;
    use crate::preprocess::resize::Window;

    fn neutral() -> Draw {
        Draw {
            crop: Rect {
                x: 0,
                y: 0,
                width: 4,
                height: 4,
            },
            flip: false,
            hue: 1.0,
            saturation: 1.0,
            brightness: 1.0,
            contrast: 1.0,
            pca: [0.0; 3],
            order: [0, 1, 2],
        }
    }

    fn run(data: Vec<u8>, draw: Draw) -> Vec<f32> {
        let image = Image {
            width: 4,
            height: 4,
            channels: Channels::Rgb,
            data,
        };
        let window = Window {
            region: draw.crop,
            full: [4; 2],
            offset: [0; 2],
            size: 4,
            flip: false,
            antialias: false,
        };
        let (mut pixels, mut resizer) = (Vec::new(), Resizer::default());
        resizer.plan(&window);
        byte_steps(&image, [0, 0], &draw, &mut resizer, &mut pixels);
        pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect()
    }

    #[test]
    fn byte_rounds_halves_to_even_and_clamps() {
        for (value, want) in [
            (-3.0, 0.0),
            (0.5, 0.0),
            (1.5, 2.0),
            (76.8, 77.0),
            (254.6, 255.0),
            (300.0, 255.0),
        ] {
            assert_eq!(byte(value), want);
        }
        (0..255_000)
            .map(|i| i as f32 / 1000.0)
            .for_each(|v| assert_eq!(byte(v), v.round_ties_even()));
    }

    /// recipes.md section 7, trap 12.
    #[test]
    fn trap_12_a_uniform_image_stays_under_contrast_and_saturation_and_brightness_rounds() {
        let grey = vec![128; 48];
        let still = Draw {
            contrast: 0.6,
            saturation: 1.4,
            ..neutral()
        };
        assert!(run(grey.clone(), still).iter().all(|v| *v == 128.0));
        // 76.8 in floats.
        assert!(
            run(
                grey,
                Draw {
                    brightness: 0.6,
                    ..neutral()
                }
            )
            .iter()
            .all(|v| *v == 77.0)
        );
    }

    /// Clamping makes the order matter: bright first saturates, and what saturated stays flat.
    #[test]
    fn steps_clamp_one_after_the_other() {
        let data: Vec<u8> = (0..16)
            .flat_map(|i| [if i < 8 { 220 } else { 40 }; 3])
            .collect();
        let first = Draw {
            brightness: 1.4,
            contrast: 0.6,
            order: [0, 1, 2],
            ..neutral()
        };
        let last = Draw {
            order: [1, 0, 2],
            ..first
        };
        let (first, last) = (run(data.clone(), first), run(data, last));
        // 255 and 56 with mean 155.5 -> 215.2, 95.8; in the other order 184 and 76 -> 257.6, 106.4.
        assert_eq!((first[0], first[47]), (215.0, 96.0));
        assert_eq!((last[0], last[47]), (255.0, 106.0));
    }
}
