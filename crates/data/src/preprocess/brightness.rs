//! Step 4c: brightness. A coefficient c makes c x.

use crate::preprocess::affine::Affine;

/// The factor for a coefficient.
pub fn affine(coefficient: f64) -> Affine {
    Affine::scale([coefficient; 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// recipes.md section 7, trap 12.
    #[test]
    fn trap_12_brightness_scales_and_stays_in_float() {
        for value in affine(0.6).apply([128.0; 3]) {
            assert!((value - 76.8).abs() < 1e-12);
        }
    }
}
