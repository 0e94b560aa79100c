//! Mean, sample standard deviation and the t confidence interval of a few values.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Summary of `n` values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Values.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (n - 1); undefined for one value.
    pub sd: Option<f64>,
    /// 95 % confidence interval of the mean; undefined for one value.
    pub ci95: Option<[f64; 2]>,
}

/// Summary of finite values; `None` without values or where one is not finite: a NaN is never
/// averaged away.
pub fn summary(values: &[f64]) -> Option<Summary> {
    if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let sd = (n >= 2)
        .then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt());
    let ci95 = sd.and_then(|sd| {
        let half = t_quantile(0.975, n - 1)? * sd / (n as f64).sqrt();
        Some([mean - half, mean + half])
    });
    Some(Summary { n, mean, sd, ci95 })
}

/// Quantile of Student's t with `df` degrees of freedom; `None` for df = 0.
pub fn t_quantile(p: f64, df: usize) -> Option<f64> {
    StudentsT::new(0.0, 1.0, df as f64)
        .ok()
        .filter(|_| df > 0)
        .map(|t| t.inverse_cdf(p))
}

/// Two-sided p of a t statistic with `df` degrees of freedom; `None` for df = 0.
pub fn t_two_sided(t: f64, df: usize) -> Option<f64> {
    StudentsT::new(0.0, 1.0, df as f64)
        .ok()
        .filter(|_| df > 0)
        .map(|d| (2.0 * d.sf(t.abs())).min(1.0))
}

/// The median; `None` of nothing. Of an even number, the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (
        sorted.get(sorted.len().checked_sub(1)? / 2)?,
        sorted.get(sorted.len() / 2)?,
    );
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_from_scipy() {
        // scipy.stats.t.ppf(0.975, df)
        for (df, want) in [
            (1, 12.706204736174694),
            (2, 4.302652729749462),
            (4, 2.7764451051977934),
            (9, 2.262157162798205),
            (29, 2.045229642132703),
        ] {
            let got = t_quantile(0.975, df).unwrap();
            assert!(
                (got / want - 1.0).abs() < 1e-9,
                "df {df}: {got} is not {want}"
            );
        }
        // scipy.stats.t.interval(0.95, 2, mean(x), sem(x)), x = [78.1, 78.35, 78.9]
        let s = summary(&[78.1, 78.35, 78.9]).unwrap();
        let ci = s.ci95.unwrap();
        assert!(
            (s.mean - 78.45).abs() < 1e-12 && (s.sd.unwrap() - 0.40926763859362875).abs() < 1e-12
        );
        assert!(
            (ci[0] - 77.43332282477057).abs() < 1e-8 && (ci[1] - 79.46667717522944).abs() < 1e-8,
            "{ci:?}"
        );
        // 2 * scipy.stats.t.sf(2.5, 4)
        assert!((t_two_sided(-2.5, 4).unwrap() - 0.06676654481198814).abs() < 1e-10);
    }

    #[test]
    fn one_value_has_no_spread_and_nan_no_mean() {
        let one = summary(&[76.0]).unwrap();
        assert_eq!((one.n, one.mean, one.sd, one.ci95), (1, 76.0, None, None));
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[1.0, f64::NAN]), None);
        assert_eq!(t_quantile(0.975, 0), None);
    }
}
