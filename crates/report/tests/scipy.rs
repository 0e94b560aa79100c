//! Every statistic equals SciPy's and statsmodels' to 1e-9, relative, on 1,000 random cases
//! (bench/peers/statistics_golden.py, whose cases are made here once more), and the intervals and verdicts
//! built on them err as often as they say.

use rungs_report::stats::holm::holm;
use rungs_report::stats::mcnemar::mcnemar;
use rungs_report::stats::mean::summary;
use rungs_report::stats::paired::paired;
use rungs_report::stats::power::power;
use rungs_report::stats::verdict::{Equivalence, equivalence};

const EACH: u64 = 64;

/// SplitMix64 over a name, as bench/peers/golden_inputs.py has it: uniform in [0, 1).
struct Uniform {
    seed: u64,
    next: u64,
}

impl Uniform {
    fn new(name: &str, from: u64) -> Uniform {
        let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, byte| {
            (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Uniform { seed, next: from }
    }

    fn draw(&mut self) -> f64 {
        self.next += 1;
        let mut z = self
            .seed
            .wrapping_add(self.next.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }

    fn many(&mut self, n: usize, value: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|_| value(self.draw())).collect()
    }

    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.draw()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.draw()).cos()
    }
}

/// Two bitsets of which so many images are right in one only.
fn bits(first_only: usize, second_only: usize) -> (Vec<u8>, Vec<u8>, u64) {
    let n = first_only + second_only;
    let pack = |right: &dyn Fn(usize) -> bool| {
        let mut bytes = vec![0_u8; n.div_ceil(8)];
        (0..n)
            .filter(|i| right(*i))
            .for_each(|i| bytes[i / 8] |= 1 << (i % 8));
        bytes
    };
    (
        pack(&|i| i < first_only),
        pack(&|i| i >= first_only),
        n as u64,
    )
}

#[test]
fn a_thousand_random_cases_equal_scipy_and_statsmodels() {
    let golden = include_str!("golden/statistics.csv");
    let mut lines = golden.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let mut cases = 0;
    for (k, line) in lines.enumerate() {
        let want: Vec<f64> = line
            .split(',')
            .map(|x| x.parse().expect("a number"))
            .collect();
        let mut u = Uniform::new("statistics", k as u64 * EACH);
        let n = 2 + (9.0 * u.draw()) as usize;
        let spread = 10f64.powf(1.0 - 3.0 * u.draw());
        let ours = u.many(n, |x| 75.0 + spread * x);
        let base = u.many(n, |x| 75.0 + spread * x);
        let s = summary(&ours).expect("a summary");
        let ci = s.ci95.expect("an interval");
        let differences: Vec<f64> = ours.iter().zip(&base).map(|(a, b)| a - b).collect();
        let pair = paired(&differences).expect("a pair");
        let pair_ci = pair.ci95.expect("an interval");
        let (only_ours, only_base) = ((400.0 * u.draw()) as usize, (400.0 * u.draw()) as usize);
        let (a, b, images) = bits(only_ours, only_base);
        let discordant = mcnemar(&a, &b, images).map_or(1.0, |found| found.p);
        let m = 1 + (9.0 * u.draw()) as usize;
        let adjusted = holm(&u.many(m, |x| x.powi(3)));
        let (effect, seeds) = (0.05 + 1.2 * u.draw(), 2 + (29.0 * u.draw()) as usize);
        let got = [
            s.mean,
            s.sd.expect("a spread"),
            ci[0],
            ci[1],
            pair.p.expect("a p"),
            pair_ci[0],
            pair_ci[1],
            discordant,
            adjusted[0],
            adjusted[m - 1],
            power(effect, 1.0, seeds, 0.05).expect("a power"),
        ];
        assert_eq!(got.len(), want.len());
        for ((name, got), want) in names.iter().zip(got).zip(want) {
            // Bounds of a difference may lie near zero: what counts there is the size of the interval.
            let size = if name.starts_with("delta_ci") {
                pair_ci[1] - pair_ci[0]
            } else {
                want
            };
            let error = (got - want).abs() / size.abs().max(1e-300);
            assert!(
                error < 1e-9,
                "case {k}, {name}: {got}, SciPy {want} (relative {error:e})"
            );
        }
        cases += 1;
    }
    assert_eq!(cases, 1000);
}

/// Of 40,000 simulated cells with 3 to 6 seeds the 95 % interval holds the true mean 95 % of the time.
#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let mut u = Uniform::new("coverage", 0);
    let (mut means, mut deltas, cases) = (0, 0, 40_000);
    for case in 0..cases {
        let n = 3 + case % 4;
        let draw = |u: &mut Uniform| (0..n).map(|_| 76.0 + 0.2 * u.normal()).collect::<Vec<_>>();
        let (ours, base) = (draw(&mut u), draw(&mut u));
        let holds = |ci: Option<[f64; 2]>, truth: f64| {
            ci.is_some_and(|[low, high]| low <= truth && truth <= high)
        };
        means += u32::from(holds(summary(&ours).and_then(|s| s.ci95), 76.0));
        let differences: Vec<f64> = ours.iter().zip(&base).map(|(a, b)| a - b).collect();
        deltas += u32::from(holds(paired(&differences).and_then(|p| p.ci95), 0.0));
    }
    for covered in [means, deltas] {
        let percent = 100.0 * f64::from(covered) / cases as f64;
        assert!((94.0..=96.0).contains(&percent), "{percent} %");
    }
}

/// `reproduced` for a recipe that is off by exactly the tolerance: at most 2.5 % (one-sided at each bound);
/// `off` for one that is on it: at most 2.5 %; a step that is none is called significant 5 % of the time, and in
/// a table of ten such steps Holm keeps the chance of even one below 5 %.
#[test]
fn verdicts_err_at_their_stated_rates() {
    let mut u = Uniform::new("verdicts", 0);
    let cases = 20_000;
    let (mut reproduced, mut off, mut found, mut tables) = (0, 0, 0, 0);
    for _ in 0..cases {
        let runs: Vec<f64> = (0..4).map(|_| 76.3 + 0.1 * u.normal()).collect();
        let ci = summary(&runs).and_then(|s| s.ci95).expect("an interval");
        let verdict = equivalence(ci, 76.0, 0.3);
        reproduced += u32::from(verdict == Equivalence::Reproduced);
        off += u32::from(verdict == Equivalence::Off);
        let p: Vec<f64> = (0..10)
            .map(|_| {
                let differences: Vec<f64> = (0..4).map(|_| u.normal()).collect();
                paired(&differences).and_then(|pair| pair.p).expect("a p")
            })
            .collect();
        found += u32::from(p[0] < 0.05);
        tables += u32::from(holm(&p).iter().any(|p| *p < 0.05));
    }
    let rate = |count: u32| 100.0 * f64::from(count) / f64::from(cases);
    assert!(
        rate(reproduced) < 3.0 && rate(off) < 3.0,
        "{} {}",
        rate(reproduced),
        rate(off)
    );
    assert!((4.5..5.5).contains(&rate(found)), "{}", rate(found));
    assert!(rate(tables) < 5.5, "{}", rate(tables));
}
