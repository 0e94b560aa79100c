//! Exact McNemar test: do two trained models differ on the same images?
//!
//! It compares two trained models, not two recipes: another seed of the same recipe differs too.

use statrs::distribution::{Binomial, DiscreteCDF};

/// Label of everything this test says.
pub const COMPARES: &str = "compares two trained models, not two recipes";

/// Images that two models, or exactly one of them, get right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Right in both models.
    pub both: u64,
    /// Right in the first model only.
    pub first_only: u64,
    /// Right in the second model only.
    pub second_only: u64,
    /// Two-sided exact p.
    pub p: f64,
}

/// The test on two bitsets over the same `images` (bit i of byte i / 8, least significant first);
/// `None` where a bitset is missing or too short.
pub fn mcnemar(first: &[u8], second: &[u8], images: u64) -> Option<McNemar> {
    let bytes = usize::try_from(images.div_ceil(8)).ok()?;
    if images == 0 || first.len() < bytes || second.len() < bytes {
        return None;
    }
    let (mut both, mut first_only, mut second_only) = (0u64, 0u64, 0u64);
    for (i, (a, b)) in first.iter().zip(second).take(bytes).enumerate() {
        let left = images - 8 * i as u64;
        let mask = if left >= 8 { 0xff } else { (1u8 << left) - 1 };
        both += u64::from((a & b & mask).count_ones());
        first_only += u64::from((a & !b & mask).count_ones());
        second_only += u64::from((b & !a & mask).count_ones());
    }
    Some(McNemar {
        both,
        first_only,
        second_only,
        p: exact(first_only, second_only)?,
    })
}

/// Two-sided exact binomial p of `b` against `c` discordant images.
fn exact(b: u64, c: u64) -> Option<f64> {
    if b + c == 0 {
        return Some(1.0);
    }
    let half = Binomial::new(0.5, b + c).ok()?;
    Some((2.0 * half.cdf(b.min(c))).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_from_scipy() {
        // scipy.stats.binomtest(min(b, c), b + c).pvalue
        for (b, c, want) in [
            (10, 4, 0.1795654296875),
            (60, 31, 0.00311268984839376),
            (700, 610, 0.013902723449447724),
            (5, 5, 1.0),
            (0, 0, 1.0),
        ] {
            let got = exact(b, c).unwrap();
            assert!((got - want).abs() < 1e-9, "{b}, {c}: {got} is not {want}");
        }
    }

    #[test]
    fn only_the_images_of_the_split_count() {
        let got = mcnemar(&[0b1111_0100, 0xff], &[0b0000_1100, 0x00], 10).unwrap();
        assert_eq!((got.both, got.first_only, got.second_only), (1, 6, 1));
        assert_eq!(mcnemar(&[1], &[1, 2], 10), None);
        assert_eq!(mcnemar(&[], &[], 0), None);
    }
}
