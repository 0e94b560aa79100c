//! Exponential moving average with the raw line kept behind it.

/// EMA of y with `weight` on the past, corrected for its start so that the first values are not
/// pulled to zero. A non-finite value stays a gap and leaves the average as it was.
pub(super) fn ema(points: &[(f64, f64)], weight: f64) -> Vec<(f64, f64)> {
    let (mut sum, mut norm) = (0.0, 0.0);
    points
        .iter()
        .map(|&(x, y)| {
            if !y.is_finite() {
                return (x, f64::NAN);
            }
            sum = weight * sum + (1.0 - weight) * y;
            norm = weight * norm + (1.0 - weight);
            (x, sum / norm)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_the_first_value_and_keeps_gaps() {
        let got = ema(&[(0.0, 2.0), (1.0, f64::NAN), (2.0, 4.0)], 0.5);
        assert_eq!(got[0], (0.0, 2.0));
        assert!(got[1].1.is_nan());
        assert!((got[2].1 - 10.0 / 3.0).abs() < 1e-12);
    }
}
