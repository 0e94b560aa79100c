//! Step 4a: hue. A coefficient c turns the colour by (c - 1) pi in the plane of I and Q of YIQ, as the
//! authors' framework (MXNet's `HueJitterAug`) does it, with its constants.

use crate::preprocess::affine::Affine;

const TO_YIQ: Affine = Affine {
    matrix: [
        [0.299, 0.587, 0.114],
        [0.596, -0.274, -0.321],
        [0.211, -0.523, 0.311],
    ],
    shift: [0.0; 3],
};
const FROM_YIQ: Affine = Affine {
    matrix: [
        [1.0, 0.956, 0.621],
        [1.0, -0.272, -0.647],
        [1.0, -1.107, 1.705],
    ],
    shift: [0.0; 3],
};

/// The rotation for a coefficient; 1 is exactly nothing (the constants alone are off by 0.002).
pub fn affine(coefficient: f64) -> Affine {
    if coefficient == 1.0 {
        return Affine::IDENTITY;
    }
    let angle = (coefficient - 1.0) * std::f64::consts::PI;
    let (sin, cos) = libm::sincos(angle);
    let turn = Affine::linear([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]);
    TO_YIQ.then(&turn).then(&FROM_YIQ)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::LUMA;

    fn luma(rgb: [f64; 3]) -> f64 {
        (0..3).map(|c| LUMA[c] * rgb[c]).sum()
    }

    #[test]
    fn brightness_and_greys_stay() {
        let rgb = [200.0, 30.0, 90.0];
        for coefficient in [0.6, 0.85, 1.0, 1.3, 1.4] {
            let turned = affine(coefficient).apply(rgb);
            assert!((luma(turned) - luma(rgb)).abs() < 0.5, "{turned:?}");
            for value in affine(coefficient).apply([128.0; 3]) {
                assert!((value - 128.0).abs() < 0.5, "{value}");
            }
        }
    }

    #[test]
    fn there_and_back_is_the_same_colour_and_half_a_turn_is_the_opposite() {
        let rgb = [200.0, 30.0, 90.0];
        for (there, back) in [(1.3, 0.7), (0.6, 1.4)] {
            for (a, b) in affine(there).then(&affine(back)).apply(rgb).iter().zip(rgb) {
                assert!((a - b).abs() < 0.7);
            }
        }
        // Red's chroma (I, Q) = (0.596, 0.211) is negated by half a turn, its luma is kept.
        let opposite = affine(2.0).apply([255.0, 0.0, 0.0]);
        for (got, want) in opposite.iter().zip([
            2.0 * 0.299 * 255.0 - 255.0,
            2.0 * 0.299 * 255.0,
            2.0 * 0.299 * 255.0,
        ]) {
            assert!((got - want).abs() < 1.0, "{opposite:?}");
        }
    }
}
