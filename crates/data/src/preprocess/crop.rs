//! Step 2: "randomly crop a rectangular region whose aspect ratio is randomly sampled in [3/4, 4/3]
//! and area randomly sampled in [8%, 100%]" (section 2.1).
//!
//! Ten tries at a rectangle that fits; then a centre crop of the nearest allowed aspect ratio.

use rungs_spec::recipe::Variant;

use crate::random::Stream;

const TRIES: usize = 10;

/// Whole pixels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: usize,
    /// Top edge.
    pub y: usize,
    /// At least 1.
    pub width: usize,
    /// At least 1.
    pub height: usize,
}

/// A random rectangle of a `width` x `height` image. The aspect ratio is log-uniform; in the authors' code
/// it is uniform, with width and height exchanged half of the time.
pub fn draw(
    area: [f64; 2],
    ratio: [f64; 2],
    variant: Variant,
    width: usize,
    height: usize,
    stream: &mut Stream,
) -> Rect {
    let pixels = (width * height) as f64;
    let log_ratio = ratio.map(libm::log);
    for _ in 0..TRIES {
        let target = stream.uniform(area[0], area[1]) * pixels;
        let aspect = match variant {
            Variant::Paper => libm::exp(stream.uniform(log_ratio[0], log_ratio[1])),
            Variant::Gluoncv => {
                let aspect = stream.uniform(ratio[0], ratio[1]);
                if stream.unit() < 0.5 {
                    aspect.recip()
                } else {
                    aspect
                }
            }
        };
        let w = libm::sqrt(target * aspect).round() as usize;
        let h = libm::sqrt(target / aspect).round() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let x = stream.below((width - w) as u64 + 1) as usize;
            let y = stream.below((height - h) as u64 + 1) as usize;
            return Rect {
                x,
                y,
                width: w,
                height: h,
            };
        }
    }
    centre(ratio, width, height)
}

/// The largest centred rectangle whose aspect ratio is allowed.
fn centre(ratio: [f64; 2], width: usize, height: usize) -> Rect {
    let aspect = width as f64 / height as f64;
    let (w, h) = if aspect < ratio[0] {
        (
            width,
            ((width as f64 / ratio[0]).round() as usize).clamp(1, height),
        )
    } else if aspect > ratio[1] {
        (
            ((height as f64 * ratio[1]).round() as usize).clamp(1, width),
            height,
        )
    } else {
        (width, height)
    };
    Rect {
        x: (width - w) / 2,
        y: (height - h) / 2,
        width: w,
        height: h,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const AREA: [f64; 2] = [0.08, 1.0];
    const RATIO: [f64; 2] = [0.75, 4.0 / 3.0];

    fn crops(variant: Variant, width: usize, height: usize, n: u64) -> Vec<Rect> {
        (0..n)
            .map(|i| {
                draw(
                    AREA,
                    RATIO,
                    variant,
                    width,
                    height,
                    &mut Stream::new(Purpose::Augment, 1, 1, i),
                )
            })
            .collect()
    }

    #[test]
    fn every_crop_lies_inside_and_keeps_to_the_ranges() {
        for r in crops(Variant::Paper, 500, 375, 5000) {
            assert!(r.x + r.width <= 500 && r.y + r.height <= 375);
            let (area, aspect) = (
                (r.width * r.height) as f64 / 187_500.0,
                r.width as f64 / r.height as f64,
            );
            assert!(
                (0.078..=1.0).contains(&area) && (0.74..1.35).contains(&aspect),
                "{r:?}"
            );
        }
    }

    /// On a large square, tries fail only at large areas: below half of it the area is uniform.
    #[test]
    fn area_is_uniform_and_aspect_is_log_uniform() {
        let small: Vec<Rect> = crops(Variant::Paper, 2000, 2000, 40_000)
            .into_iter()
            .filter(|r| r.width * r.height <= 2_000_000)
            .collect();
        let quarter = small
            .iter()
            .filter(|r| r.width * r.height <= 1_160_000)
            .count() as f64;
        assert!(
            (quarter / small.len() as f64 - 0.5).abs() < 0.015,
            "half of U[0.08, 0.5] lies under 0.29"
        );
        let wide = small.iter().filter(|r| r.width > r.height).count() as f64 / small.len() as f64;
        assert!(
            (wide - 0.5).abs() < 0.015,
            "log-uniform in [3/4, 4/3] is symmetric, {wide}"
        );
        let under = |limit: f64| {
            small
                .iter()
                .filter(|r| (r.width as f64) < limit * r.height as f64)
                .count() as f64
                / small.len() as f64
        };
        let expected = (0.9f64 / 0.75).ln() / (4.0f64 / 3.0 / 0.75).ln();
        assert!(
            (under(0.9) - expected).abs() < 0.015,
            "{} {expected}",
            under(0.9)
        );
    }

    #[test]
    fn gluoncv_aspect_is_uniform_with_sides_exchanged_half_of_the_time() {
        let small: Vec<f64> = crops(Variant::Gluoncv, 2000, 2000, 40_000)
            .into_iter()
            .filter(|r| r.width * r.height <= 2_000_000)
            .map(|r| r.width as f64 / r.height as f64)
            .collect();
        let share = |low: f64, high: f64| {
            small.iter().filter(|a| (low..high).contains(*a)).count() as f64 / small.len() as f64
        };
        // P(a < 0.9) = (P(u < 0.9) + P(1/u < 0.9)) / 2 with u uniform in [3/4, 4/3].
        let span = 4.0 / 3.0 - 0.75;
        let expected = ((0.9 - 0.75) / span + (4.0 / 3.0 - 1.0 / 0.9) / span) / 2.0;
        assert!(
            (share(0.0, 0.9) - expected).abs() < 0.015,
            "{} {expected}",
            share(0.0, 0.9)
        );
        assert!((share(0.0, 1.0) - 0.5).abs() < 0.015);
    }

    #[test]
    fn position_is_uniform() {
        let all = crops(Variant::Paper, 1000, 1000, 20_000);
        let mean = all
            .iter()
            .filter(|r| r.width < 900)
            .map(|r| r.x as f64 / (1000 - r.width) as f64);
        let (sum, n) = mean.fold((0.0, 0), |(s, n), x| (s + x, n + 1));
        assert!((sum / f64::from(n) - 0.5).abs() < 0.01);
    }

    /// A strip in which no try can fit ends in the centre crop of the nearest ratio.
    #[test]
    fn the_way_out_is_a_centre_crop() {
        let strip = draw(
            [1.0, 1.0],
            RATIO,
            Variant::Paper,
            1000,
            10,
            &mut Stream::new(Purpose::Augment, 0, 0, 0),
        );
        assert_eq!(
            strip,
            Rect {
                x: 493,
                y: 0,
                width: 13,
                height: 10
            }
        );
        assert_eq!(
            centre(RATIO, 6, 100),
            Rect {
                x: 0,
                y: 46,
                width: 6,
                height: 8
            }
        );
        assert_eq!(
            centre(RATIO, 28, 28),
            Rect {
                x: 0,
                y: 0,
                width: 28,
                height: 28
            }
        );
        let dot = draw(
            AREA,
            RATIO,
            Variant::Paper,
            1,
            1,
            &mut Stream::new(Purpose::Augment, 0, 0, 0),
        );
        assert_eq!(
            dot,
            Rect {
                x: 0,
                y: 0,
                width: 1,
                height: 1
            }
        );
    }
}
