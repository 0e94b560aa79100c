//! What chance decides for one image in one epoch.

use rungs_spec::recipe::{Augment, Variant};

use crate::preprocess::crop::{self, Rect};
use crate::preprocess::{flip, pca};
use crate::random::Stream;

/// All draws of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Region that is resized to the input.
    pub crop: Rect,
    /// Mirrored left to right.
    pub flip: bool,
    /// Coefficient, 1 = unchanged.
    pub hue: f64,
    /// Coefficient, 1 = unchanged.
    pub saturation: f64,
    /// Coefficient, 1 = unchanged.
    pub brightness: f64,
    /// Coefficient, 1 = unchanged.
    pub contrast: f64,
    /// Coefficients of the three principal components.
    pub pca: [f64; 3],
    /// `gluoncv`: order of brightness (0), contrast (1), saturation (2).
    pub order: [usize; 3],
}

impl Draw {
    /// Every draw is made, used or not, and the crop, which takes a varying number of them, comes last:
    /// recipes that differ in one step share all other draws.
    pub fn new(
        augment: &Augment,
        variant: Variant,
        width: usize,
        height: usize,
        stream: &mut Stream,
    ) -> Self {
        let flip = flip::draw(augment.flip, stream);
        let mut coefficient = |x: f64| stream.uniform(1.0 - x, 1.0 + x);
        let hue = coefficient(augment.hue);
        let saturation = coefficient(augment.saturation);
        let brightness = coefficient(augment.brightness);
        let contrast = coefficient(augment.contrast);
        let pca = pca::draw(augment.pca_std, stream);
        let mut order = [0, 1, 2];
        stream.shuffle(&mut order);
        let crop = crop::draw(
            augment.crop_area,
            augment.crop_ratio,
            variant,
            width,
            height,
            stream,
        );
        Draw {
            crop,
            flip,
            hue,
            saturation,
            brightness,
            contrast,
            pca,
            order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tests::paper;
    use crate::random::Purpose;

    fn draws(augment: &Augment) -> Vec<Draw> {
        (0..20_000)
            .map(|i| {
                Draw::new(
                    augment,
                    Variant::Paper,
                    28,
                    28,
                    &mut Stream::new(Purpose::Augment, 3, 1, i),
                )
            })
            .collect()
    }

    #[test]
    fn coefficients_are_uniform_about_one() {
        let all = draws(&Augment {
            contrast: 0.2,
            ..paper(32)
        });
        let check = |of: fn(&Draw) -> f64, x: f64| {
            let values: Vec<f64> = all.iter().map(of).collect();
            assert!(values.iter().all(|v| (1.0 - x..1.0 + x).contains(v)));
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance =
                values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((mean - 1.0).abs() < 0.01 && (variance / (x * x / 3.0) - 1.0).abs() < 0.03);
        };
        check(|d| d.hue, 0.4);
        check(|d| d.saturation, 0.4);
        check(|d| d.brightness, 0.4);
        check(|d| d.contrast, 0.2);
    }

    #[test]
    fn every_order_of_the_byte_steps_is_equally_likely() {
        let all = draws(&paper(32));
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let share = all.iter().filter(|d| d.order == order).count() as f64 / all.len() as f64;
            assert!((share - 1.0 / 6.0).abs() < 0.012, "{order:?} {share}");
        }
    }

    #[test]
    fn leaving_a_step_out_changes_no_other_draw() {
        let (with, without) = (
            draws(&paper(32)),
            draws(&Augment {
                hue: 0.0,
                pca_std: 0.0,
                ..paper(32)
            }),
        );
        for (a, b) in with.iter().zip(&without) {
            assert_eq!((b.hue, b.pca), (1.0, [0.0; 3]));
            assert_eq!(
                Draw {
                    hue: a.hue,
                    pca: a.pca,
                    ..*b
                },
                *a
            );
        }
    }
}
