//! Step 4d: contrast (0 in the paper). A coefficient c makes c x + (1 - c) m, where m is the mean grey
//! value of the whole cropped image.

use crate::preprocess::LUMA;
use crate::preprocess::affine::Affine;

/// The mix for a coefficient and the mean colour of the image it is applied to.
pub fn affine(coefficient: f64, mean: [f64; 3]) -> Affine {
    let grey: f64 = (0..3).map(|c| LUMA[c] * mean[c]).sum();
    let mut affine = Affine::scale([coefficient; 3]);
    affine.shift = [(1.0 - coefficient) * grey; 3];
    affine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_mean_grey_and_scales_the_distance_to_it() {
        let step = affine(0.6, [100.0, 100.0, 100.0]);
        assert!(
            step.apply([100.0; 3])
                .iter()
                .all(|x| (x - 100.0).abs() < 1e-9)
        );
        assert!(
            step.apply([200.0; 3])
                .iter()
                .all(|x| (x - 160.0).abs() < 1e-9)
        );
    }
}
