//! Step 4b: saturation. A coefficient c mixes the colour with its grey: c x + (1 - c) grey(x).

use crate::preprocess::LUMA;
use crate::preprocess::affine::Affine;

/// The mix for a coefficient.
pub fn affine(coefficient: f64) -> Affine {
    let row = LUMA.map(|weight| weight * (1.0 - coefficient));
    let mut matrix = [row; 3];
    for (channel, row) in matrix.iter_mut().enumerate() {
        row[channel] += coefficient;
    }
    Affine::linear(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_between_grey_and_colour_and_keeps_greys() {
        let rgb = [200.0, 30.0, 90.0];
        let grey = 0.299 * 200.0 + 0.587 * 30.0 + 0.114 * 90.0;
        let close = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(close(affine(0.0).apply(rgb), [grey; 3]));
        assert!(close(affine(1.0).apply(rgb), rgb));
        assert!(close(
            affine(0.6).apply(rgb),
            rgb.map(|x| 0.6 * x + 0.4 * grey)
        ));
        assert!(close(affine(1.4).apply([128.0; 3]), [128.0; 3]));
    }
}
