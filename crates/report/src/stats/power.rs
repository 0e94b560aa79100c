//! How many seeds does it take to see an effect? The power of the paired t test.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;
use statrs::function::gamma::ln_gamma;

use super::mean::t_quantile;

/// Noncentrality beyond which the power is 1 to all digits (and the series below underflows).
const CERTAIN: f64 = 37.0;

/// Probability that a two-sided paired t test at level `alpha` over `n` seeds finds a true mean difference
/// of `effect`, where per-seed differences have standard deviation `sd` (both in points).
///
/// `None` for n < 2 or sd <= 0. Equal to statsmodels' `TTestPower().power(effect / sd, n, alpha)`.
pub fn power(effect: f64, sd: f64, n: usize, alpha: f64) -> Option<f64> {
    if n < 2 || sd.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return None;
    }
    let df = n - 1;
    let critical = t_quantile(1.0 - alpha / 2.0, df)?;
    let noncentrality = effect.abs() / sd * (n as f64).sqrt();
    if noncentrality > CERTAIN {
        return Some(1.0);
    }
    let above = 1.0 - noncentral_t(critical, df as f64, noncentrality)?;
    let below = 1.0 - noncentral_t(critical, df as f64, -noncentrality)?;
    Some((above + below).clamp(0.0, 1.0))
}

/// Fewest seeds, at most `most`, with at least that power; `None` where `most` are not enough.
pub fn seeds_for(effect: f64, sd: f64, alpha: f64, wanted: f64, most: usize) -> Option<usize> {
    (2..=most).find(|n| power(effect, sd, *n, alpha).is_some_and(|found| found >= wanted))
}

/// P(T <= t) of the noncentral t distribution for t >= 0: Lenth's algorithm AS 243 (1989), a series of
/// incomplete beta functions.
fn noncentral_t(t: f64, df: f64, noncentrality: f64) -> Option<f64> {
    let below_zero = Normal::standard().cdf(-noncentrality);
    let x = t * t / (t * t + df);
    if x <= 0.0 {
        return Some(below_zero);
    }
    let lambda = noncentrality * noncentrality;
    let (mut a, b) = (0.5, 0.5 * df);
    let mut p = 0.5 * (-0.5 * lambda).exp();
    let mut q = (2.0 / std::f64::consts::PI).sqrt() * p * noncentrality;
    // How much of the Poisson weights is still to come: bounds the error of stopping.
    let mut left = 0.5 - p;
    let complement = (1.0 - x).powf(b);
    let ln_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let mut odd = beta_reg(a, b, x);
    let mut odd_step = 2.0 * complement * (a * x.ln() - ln_beta).exp();
    let mut even = 1.0 - complement;
    let mut even_step = b * x * complement;
    let mut sum = p * odd + q * even;
    for n in 1..10_000 {
        a += 1.0;
        odd -= odd_step;
        even -= even_step;
        odd_step *= x * (a + b - 1.0) / a;
        even_step *= x * (a + b - 0.5) / (a + 0.5);
        p *= lambda / f64::from(2 * n);
        q *= lambda / f64::from(2 * n + 1);
        left -= p;
        sum += p * odd + q * even;
        if 2.0 * left * (odd - odd_step) < 1e-13 {
            return Some(sum + below_zero);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.power.TTestPower().power(effect / sd, n, 0.05)`; 1,000 more cases are in
    /// `tests/scipy.rs`.
    #[test]
    fn golden_values_from_statsmodels() {
        for (d, n, want) in [
            (0.5, 3, 0.0841070558963894),
            (1.0, 5, 0.4013899173717948),
            (2.0, 4, 0.7549839171140109),
            (0.1, 30, 0.0827260081988528),
        ] {
            let got = power(d * 0.3, 0.3, n, 0.05).expect("a power");
            assert!((got - want).abs() < 1e-9, "{d}, {n}: {got} is not {want}");
        }
    }

    #[test]
    fn more_seeds_have_more_power_and_the_fewest_that_suffice_are_named() {
        let n = seeds_for(0.5, 0.4, 0.05, 0.8, 50).expect("enough");
        assert!(power(0.5, 0.4, n, 0.05) >= Some(0.8) && power(0.5, 0.4, n - 1, 0.05) < Some(0.8));
        assert_eq!(seeds_for(0.01, 1.0, 0.05, 0.8, 50), None);
        assert_eq!(power(0.5, 0.0, 5, 0.05), None);
        assert_eq!(power(0.5, 0.1, 1, 0.05), None);
        assert_eq!(power(50.0, 0.1, 5, 0.05), Some(1.0));
    }
}
