//! Judgement against the paper, with its evidence: DESIGN section 6.

/// The paper's |delta| below which a sign is not judged, points.
pub const SMALLEST_JUDGED_DELTA: f64 = 0.3;
/// Seeds below which a verdict against the paper is not spoken.
pub const SEEDS_FOR_VERDICT: usize = 3;
/// Common seeds below which the sign of a delta is not judged.
pub const SEEDS_FOR_SIGN: usize = 2;
/// Significance level, after Holm's correction.
pub const ALPHA: f64 = 0.05;

/// Where an interval of mean - paper lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Equivalence {
    /// Within +-tolerance.
    Reproduced,
    /// Outside.
    Off,
    /// It straddles a bound.
    Undecided,
}

/// Where the confidence interval `ci95` of a mean lies around `paper` +- `tolerance`.
pub fn equivalence(ci95: [f64; 2], paper: f64, tolerance: f64) -> Equivalence {
    let [low, high] = [ci95[0] - paper, ci95[1] - paper];
    if low >= -tolerance && high <= tolerance {
        Equivalence::Reproduced
    } else if low > tolerance || high < -tolerance {
        Equivalence::Off
    } else {
        Equivalence::Undecided
    }
}

/// Whether `ours` is what the paper printed: within one unit of the last digit that its number
/// has, which is the second at least (the paper rounds some counts, 4.09 to 4.1 G, and cuts others, 3.86 to 3.8 G).
pub fn agrees_at_printed_digits(ours: f64, paper: f64) -> bool {
    (ours - paper).abs() < printed_unit(paper)
}

/// The unit of the last non-zero digit, or of the second digit where the rest is zeros: 25e6 -> 1e6,
/// 3.8e9 -> 1e8, 4.0e9 -> 1e8 (a number does not say which of its zeros were printed), 0.57 -> 0.01.
fn printed_unit(paper: f64) -> f64 {
    let text = format!("{paper:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let decimals = mantissa
        .split_once('.')
        .map_or(0, |(_, d)| d.len() as i32)
        .max(1);
    10f64.powi(exponent.parse::<i32>().unwrap_or(0) - decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_inside_outside_or_neither() {
        assert_eq!(
            equivalence([75.7, 76.1], 75.87, 0.3),
            Equivalence::Reproduced
        );
        assert_eq!(equivalence([76.3, 76.9], 75.87, 0.3), Equivalence::Off);
        assert_eq!(equivalence([74.0, 75.0], 75.87, 0.3), Equivalence::Off);
        assert_eq!(
            equivalence([75.9, 76.9], 75.87, 0.3),
            Equivalence::Undecided
        );
        assert_eq!(
            equivalence([70.0, 80.0], 75.87, 0.3),
            Equivalence::Undecided
        );
    }

    #[test]
    fn the_papers_counts_agree_with_the_exact_ones() {
        assert_eq!(printed_unit(25e6), 1e6);
        assert!((printed_unit(3.8e9) - 1e8).abs() < 1.0);
        assert!((printed_unit(4.0e9) - 1e8).abs() < 1.0);
        for (ours, paper) in [
            (25_557_032.0, 25e6),
            (3_857_973_248.0, 3.8e9),
            (4_089_184_256.0, 4.1e9),
            (4_328_824_832.0, 4.3e9),
        ] {
            assert!(agrees_at_printed_digits(ours, paper), "{ours} {paper}");
        }
        assert!(!agrees_at_printed_digits(4_089_184_256.0, 3.8e9));
        assert!(!agrees_at_printed_digits(4_328_824_832.0, 4.0e9));
    }
}
