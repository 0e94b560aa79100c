//! The paired difference of two recipes over common seeds.

use super::mean::{summary, t_two_sided};

/// Mean per-seed difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Common seeds.
    pub n: usize,
    /// Mean difference.
    pub delta: f64,
    /// 95 % confidence interval; undefined for one seed.
    pub ci95: Option<[f64; 2]>,
    /// Two-sided p of the paired t test; undefined for one seed, and where all differences are
    /// equal: accuracies are multiples of 1 / images, so equal differences are a coincidence of
    /// rounding, not infinite evidence.
    pub p: Option<f64>,
}

/// Paired t test of per-seed differences; `None` without common seeds or with a non-finite one.
pub fn paired(differences: &[f64]) -> Option<Paired> {
    let s = summary(differences)?;
    // Subtracting percentages leaves errors of 1e-14; a real spread is at least 1e-4 points.
    let spread = s.sd.filter(|sd| *sd > 1e-9);
    let p = spread.and_then(|sd| t_two_sided(s.mean / (sd / (s.n as f64).sqrt()), s.n - 1));
    Some(Paired {
        n: s.n,
        delta: s.mean,
        ci95: s.ci95,
        p,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_from_scipy() {
        // scipy.stats.ttest_rel([78.1, 78.35, 78.9], [77.5, 78.0, 77.9]) and its confidence_interval()
        let d: Vec<f64> = [78.1, 78.35, 78.9]
            .iter()
            .zip([77.5, 78.0, 77.9])
            .map(|(a, b)| a - b)
            .collect();
        let got = paired(&d).unwrap();
        assert!((got.delta - 0.65).abs() < 1e-9);
        assert!(
            (got.p.unwrap() - 0.07535157768458604).abs() < 1e-9,
            "{got:?}"
        );
        let ci = got.ci95.unwrap();
        assert!(
            (ci[0] + 0.16447901653516284).abs() < 1e-7 && (ci[1] - 1.4644790165351553).abs() < 1e-7,
            "{ci:?}"
        );
    }

    #[test]
    fn one_seed_or_equal_differences_prove_nothing() {
        assert_eq!(
            paired(&[0.5]).unwrap(),
            Paired {
                n: 1,
                delta: 0.5,
                ci95: None,
                p: None
            }
        );
        assert_eq!(paired(&[80.12 - 80.0, 81.12 - 81.0]).unwrap().p, None);
        assert_eq!(paired(&[]), None);
    }
}
