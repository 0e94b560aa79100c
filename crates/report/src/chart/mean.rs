//! Several runs as one curve: their mean, and how far they spread.

use super::Band;

/// Mean at every x that any of the curves has, and mean plus and minus the sample standard deviation where
/// two or more have it. A value that is not finite makes its mean a gap: it is never averaged away.
pub fn mean_and_band(curves: &[Vec<(f64, f64)>], colour: usize) -> (Vec<(f64, f64)>, Band) {
    let mut mean = Vec::new();
    let mut band = Vec::new();
    let mut at = |x: f64, values: &mut dyn Iterator<Item = f64>| {
        // Welford's update keeps the digits of values that differ little.
        let (mut n, mut middle, mut squares) = (0.0, 0.0, 0.0);
        for value in values {
            n += 1.0;
            let before = value - middle;
            middle += before / n;
            squares += before * (value - middle);
        }
        mean.push((x, middle));
        if n > 1.0 {
            let sd = f64::sqrt(squares / (n - 1.0));
            band.push((x, middle - sd, middle + sd));
        }
    };
    let same = curves.windows(2).all(|pair| {
        pair[0].len() == pair[1].len() && pair[0].iter().zip(&pair[1]).all(|(a, b)| a.0 == b.0)
    });
    if let (true, Some(first)) = (same, curves.first()) {
        for (i, (x, _)) in first.iter().enumerate() {
            at(*x, &mut curves.iter().map(|curve| curve[i].1));
        }
    } else {
        let mut all: Vec<(f64, f64)> = curves.iter().flatten().copied().collect();
        all.retain(|p| p.0.is_finite());
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            at(group[0].0, &mut group.iter().map(|p| p.1));
        }
    }
    let points = band;
    (mean, Band { colour, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_and_its_spread() {
        let a = vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN)];
        let b = vec![(0.0, 3.0), (1.0, 2.0), (2.0, 1.0)];
        let (mean, band) = mean_and_band(&[a.clone(), b], 2);
        assert_eq!(mean[..2], [(0.0, 2.0), (1.0, 2.0)]);
        assert!(mean[2].1.is_nan(), "NaN is not averaged away");
        let sd = 2f64.sqrt();
        assert_eq!(band.points[0], (0.0, 2.0 - sd, 2.0 + sd));
        assert_eq!(band.points[1], (1.0, 2.0, 2.0));
        // A run that is further than the others: no spread of one.
        let (mean, band) = mean_and_band(&[a[..1].to_vec(), vec![(0.0, 2.0), (5.0, 7.0)]], 0);
        assert_eq!(mean, [(0.0, 1.5), (5.0, 7.0)]);
        assert_eq!(band.points.len(), 1);
        assert!(mean_and_band(&[], 0).0.is_empty());
    }
}
