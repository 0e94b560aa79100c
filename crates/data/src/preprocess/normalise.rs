//! Step 6: "normalize RGB channels by subtracting 123.68, 116.779, 103.939 and dividing by 58.393, 57.12,
//! 57.375" (section 2.1).

use crate::preprocess::affine::Affine;

/// Subtracted from R, G, B.
pub const MEAN: [f64; 3] = [123.68, 116.779, 103.939];
/// R, G, B are divided by it.
pub const STD: [f64; 3] = [58.393, 57.12, 57.375];

/// The step.
pub fn affine() -> Affine {
    Affine::shift(MEAN.map(|m| -m)).then(&Affine::scale(STD.map(f64::recip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_colour_is_zero_and_one_std_is_one() {
        let close = |a: [f64; 3], b: f64| a.iter().all(|x| (x - b).abs() < 1e-12);
        assert!(close(affine().apply(MEAN), 0.0));
        assert!(close(
            affine().apply(std::array::from_fn(|c| MEAN[c] + STD[c])),
            1.0
        ));
    }
}
