//! Step 5: "add PCA noise with a coefficient sampled from a normal distribution N(0, 0.1)" (section 2.1):
//! AlexNet's lighting noise. One colour an image, not one a pixel.

use crate::random::Stream;

/// Eigenvalues of the colours of ImageNet on the 0..255 scale.
pub const EIGENVALUES: [f64; 3] = [55.46, 4.794, 1.148];
/// Columns are the eigenvectors; rows are R, G, B.
pub const EIGENVECTORS: [[f64; 3]; 3] = [
    [-0.5675, 0.7192, 0.4009],
    [-0.5808, -0.0045, -0.8140],
    [-0.5836, -0.6948, 0.4203],
];

/// Coefficients of the three components.
pub fn draw(std: f64, stream: &mut Stream) -> [f64; 3] {
    // `+ 0.0` turns the -0 of std = 0 into 0.
    std::array::from_fn(|_| std * stream.normal() + 0.0)
}

/// What the coefficients add to R, G, B.
pub fn noise(coefficients: [f64; 3]) -> [f64; 3] {
    EIGENVECTORS.map(|row| {
        (0..3)
            .map(|k| row[k] * EIGENVALUES[k] * coefficients[k])
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    /// recipes.md section 7, trap 13: the standard deviation of what is added to R is known, 3.17 on the 0..255 scale.
    #[test]
    fn trap_13_noise_has_its_standard_deviation() {
        let n = 100_000;
        let red: Vec<f64> = (0..n)
            .map(|i| noise(draw(0.1, &mut Stream::new(Purpose::Augment, 2, 0, i)))[0])
            .collect();
        let mean = red.iter().sum::<f64>() / n as f64;
        let std = (red.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        assert!(
            mean.abs() < 0.05 && (std - 3.17).abs() < 0.04,
            "mean {mean}, std {std}"
        );
    }

    #[test]
    fn zero_is_no_noise() {
        assert_eq!(
            noise(draw(0.0, &mut Stream::new(Purpose::Augment, 2, 0, 0))),
            [0.0; 3]
        );
    }
}
