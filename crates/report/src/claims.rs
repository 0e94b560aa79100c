//! Does a claim of the paper hold here? Each of its comparisons is tested over common seeds at the last epoch,
//! and the claim is as good as the weakest of them.

use std::collections::BTreeMap;

use rungs_spec::claims::{Claim, Pair, Relation};
use rungs_spec::plan::Plan;
use rungs_spec::result::RunResult;
use rungs_spec::{RunKey, SpecError};
use serde::Serialize;

use crate::format::{p_value, signed};
use crate::stats::holm::holm;
use crate::stats::mean::{summary, t_two_sided};
use crate::stats::paired::paired;
use crate::stats::verdict::{ALPHA, SEEDS_FOR_SIGN};
use crate::table::Select;
use crate::table::per_seed;

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every comparison is significant in the claimed direction (or equal within the margin).
    Holds,
    /// One comparison is significant against it, after Holm's correction over the claim's comparisons.
    Fails,
    /// Neither: too few seeds, or too small a difference.
    Undecided,
}

impl Verdict {
    /// The word in JSON, on the terminal and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Fails => "fails",
            Verdict::Undecided => "undecided",
        }
    }
}

/// A claim with its verdict and evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Id.
    pub id: String,
    /// One sentence.
    pub text: String,
    /// Where the paper says it.
    pub source: String,
    /// Experiment.
    pub experiment: String,
    /// Profile in force; `None` = the file as written, or no such experiment.
    pub profile: Option<String>,
    /// Metric compared.
    pub metric: String,
    /// Holds, fails, undecided.
    pub verdict: Verdict,
    /// Fewest common seeds of its comparisons.
    pub n: usize,
    /// Largest p of its comparisons: all of them must be so, so the claim is as sure as the least sure
    /// (an intersection-union test); `None` where one has none.
    pub p: Option<f64>,
    /// The evidence in words.
    pub reason: String,
    /// Its comparisons.
    pub comparisons: Vec<JudgedPair>,
}

/// One comparison with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgedPair {
    /// Row and column that are said to differ.
    pub over: [String; 2],
    /// Row and column that they are compared to.
    pub under: [String; 2],
    /// What is said.
    pub is: Relation,
    /// Mean difference at the last epoch, points.
    pub delta: Option<f64>,
    /// 95 % confidence interval (paired t).
    pub ci95: Option<[f64; 2]>,
    /// Common seeds.
    pub n: usize,
    /// Two-sided p of the paired t test; of `equal`, the larger p of two one-sided tests at the margin.
    pub p: Option<f64>,
    /// Holds, fails, undecided.
    pub verdict: Verdict,
}

/// Judges a claim by what is known of its experiment's runs. Error: a row or column that is not there.
pub fn judge(
    claim: &Claim,
    plan: &Plan,
    results: &BTreeMap<RunKey, RunResult>,
) -> Result<Judged, SpecError> {
    let pairs = claim.pairs(&plan.experiment)?;
    let tested: Vec<Tested> = pairs
        .iter()
        .map(|pair| {
            let of = |[row, column]: &[String; 2]| {
                per_seed(plan, results, row, column, &claim.metric, Select::Last)
            };
            test(pair, &of(&pair.over), &of(&pair.under))
        })
        .collect();
    // Holm over the claim: one of several comparisons fails by chance more often than one alone.
    let against: Vec<f64> = tested.iter().map(|t| t.against.unwrap_or(1.0)).collect();
    let against = holm(&against);
    let comparisons: Vec<JudgedPair> = tested
        .into_iter()
        .zip(against)
        .map(|(tested, against)| {
            let mut pair = tested.pair;
            if against < ALPHA {
                pair.verdict = Verdict::Fails;
            }
            pair
        })
        .collect();
    let any = |verdict| comparisons.iter().any(|pair| pair.verdict == verdict);
    let verdict = match () {
        () if any(Verdict::Fails) => Verdict::Fails,
        () if any(Verdict::Undecided) => Verdict::Undecided,
        () => Verdict::Holds,
    };
    let n = comparisons.iter().map(|pair| pair.n).min().unwrap_or(0);
    let p: Option<Vec<f64>> = comparisons.iter().map(|pair| pair.p).collect();
    Ok(Judged {
        profile: plan.profile.clone(),
        verdict,
        n,
        p: p.and_then(|p| p.into_iter().reduce(f64::max)),
        reason: reason(verdict, n, &comparisons),
        comparisons,
        ..undecided(claim, String::new())
    })
}

/// A claim of which nothing can be said, and why.
pub fn undecided(claim: &Claim, reason: String) -> Judged {
    Judged {
        id: claim.id.clone(),
        text: claim.text.clone(),
        source: claim.source.clone(),
        experiment: claim.experiment.clone(),
        profile: None,
        metric: claim.metric.clone(),
        verdict: Verdict::Undecided,
        n: 0,
        p: None,
        reason,
        comparisons: Vec::new(),
    }
}

struct Tested {
    pair: JudgedPair,
    /// p of the hypothesis that the claim is not contradicted; `None` where nothing speaks against it.
    against: Option<f64>,
}

fn test(pair: &Pair<'_>, over: &BTreeMap<u64, f64>, under: &BTreeMap<u64, f64>) -> Tested {
    let differences: Vec<f64> = over
        .iter()
        .filter_map(|(seed, value)| Some(value - under.get(seed)?))
        .collect();
    let found = paired(&differences);
    let comparison = pair.comparison;
    let mut judged = JudgedPair {
        over: pair.over.clone(),
        under: pair.under.clone(),
        is: comparison.is,
        delta: found.map(|f| f.delta),
        ci95: found.and_then(|f| f.ci95),
        n: found.map_or(0, |f| f.n),
        p: found.and_then(|f| f.p),
        verdict: Verdict::Undecided,
    };
    let mut against = None;
    if let (Some(delta), Some(p)) = (judged.delta, judged.p) {
        match comparison.is {
            Relation::Higher | Relation::Lower => {
                if (delta > 0.0) != (comparison.is == Relation::Higher) {
                    against = Some(p);
                } else if p < ALPHA {
                    judged.verdict = Verdict::Holds;
                }
            }
            Relation::Equal => {
                let tost = equal_within(&differences, comparison.margin);
                judged.p = tost;
                if tost.is_some_and(|p| p < ALPHA) {
                    judged.verdict = Verdict::Holds;
                }
                // It contradicts equality to differ by more than the margin, significantly.
                if delta.abs() > comparison.margin {
                    against = one_sample(&differences, comparison.margin.copysign(delta));
                }
            }
        }
    }
    Tested {
        pair: judged,
        against,
    }
}

/// Larger p of the two one-sided tests of |mean| < margin (Schuirmann 1987).
fn equal_within(differences: &[f64], margin: f64) -> Option<f64> {
    let s = summary(differences)?;
    let standard_error = s.sd.filter(|sd| *sd > 1e-9)? / (s.n as f64).sqrt();
    let upper_tail = |t: f64| {
        let two = t_two_sided(t, s.n - 1)?;
        Some(if t >= 0.0 { two / 2.0 } else { 1.0 - two / 2.0 })
    };
    let above = upper_tail((s.mean + margin) / standard_error)?;
    let below = upper_tail((margin - s.mean) / standard_error)?;
    Some(above.max(below))
}

/// Two-sided p of the t test of mean = `at`.
fn one_sample(differences: &[f64], at: f64) -> Option<f64> {
    let moved: Vec<f64> = differences.iter().map(|d| d - at).collect();
    paired(&moved)?.p
}

fn reason(verdict: Verdict, n: usize, comparisons: &[JudgedPair]) -> String {
    let unmeasured = comparisons.iter().filter(|pair| pair.n == 0).count();
    if unmeasured > 0 {
        return format!(
            "{unmeasured} of {} comparisons have no run on both sides yet",
            comparisons.len()
        );
    }
    if n < SEEDS_FOR_SIGN {
        return format!(
            "n = {n}: needs {} more seed, since one seed compares two trainings",
            SEEDS_FOR_SIGN - n
        );
    }
    let shown = |pair: &JudgedPair| {
        let ci = pair.ci95.map_or_else(String::new, |[low, high]| {
            format!(" [{}, {}]", signed(low, 2), signed(high, 2))
        });
        let p = pair
            .p
            .map_or_else(String::new, |p| format!(", {}", p_value(p)));
        format!(
            "{} {}{ci}{p}",
            pair.over[1],
            signed(pair.delta.unwrap_or(f64::NAN), 2)
        )
    };
    let which: Vec<String> = comparisons
        .iter()
        .filter(|pair| verdict == Verdict::Holds || pair.verdict == verdict)
        .map(shown)
        .collect();
    which.join("; ")
}

#[cfg(test)]
mod tests {
    use rungs_spec::claims;

    use super::*;
    use crate::fixtures;
    use crate::stats::mean::t_quantile;

    const LEDGER: &str = "[[claim]]\nid = 'c'\ntext = 't'\nsource = 's'\nexperiment = 'table4'\n\
                          compare = [{ over = 'warmup', under = 'linear-scaling', columns = ['bs256', 'bs1024'] }]\n";

    /// Differences of `warmup` to `linear-scaling` by seed, in both columns.
    fn verdict(ledger: &str, small: &[f64], large: &[f64]) -> Judged {
        let claim = &claims::parse("c", ledger).expect("parses")[0];
        let plan = fixtures::plan("quick", small.len() as u64);
        let mut results = fixtures::finished(&plan);
        for cell in &plan.cells {
            for (i, key) in cell.runs.iter().enumerate() {
                let step = match (cell.row.as_str(), cell.column.as_str()) {
                    ("warmup", "bs256") => small[i],
                    ("warmup", _) => large[i],
                    _ => 0.0,
                };
                for evaluation in &mut results.get_mut(key).expect("a result").evaluations {
                    let value = 80.0 + i as f64 + step;
                    evaluation.metrics = BTreeMap::from([("val/top1".to_owned(), value)]);
                }
            }
        }
        judge(claim, &plan, &results).expect("cells that exist")
    }

    #[test]
    fn a_claim_is_as_good_as_its_weakest_comparison() {
        let clear = [1.0, 1.1, 0.9, 1.05];
        let unclear = [1.0, -1.1, 0.9, -0.7];
        let wrong = [-1.0, -1.1, -0.9, -1.05];
        let both = verdict(LEDGER, &clear, &clear);
        assert_eq!((both.verdict, both.n), (Verdict::Holds, 4));
        assert!(both.p.is_some_and(|p| p < 0.001), "{both:?}");
        assert_eq!(
            verdict(LEDGER, &clear, &unclear).verdict,
            Verdict::Undecided
        );
        let failed = verdict(LEDGER, &clear, &wrong);
        assert_eq!(failed.verdict, Verdict::Fails);
        assert!(failed.reason.starts_with("bs1024"), "{}", failed.reason);
        let lower = LEDGER.replace("columns", "is = 'lower', columns");
        assert_eq!(verdict(&lower, &wrong, &wrong).verdict, Verdict::Holds);
    }

    #[test]
    fn equal_needs_the_interval_inside_the_margin() {
        let equal = LEDGER.replace("columns", "is = 'equal', margin = 0.3, columns");
        let near = [0.05, -0.03, 0.02, 0.01];
        let far = [1.0, 1.1, 0.9, 1.05];
        let wide = [0.5, -0.5, 0.4, -0.4];
        assert_eq!(verdict(&equal, &near, &near).verdict, Verdict::Holds);
        assert_eq!(verdict(&equal, &near, &far).verdict, Verdict::Fails);
        assert_eq!(verdict(&equal, &near, &wide).verdict, Verdict::Undecided);
        // p < 5 % exactly where the 90 % interval lies within the margin.
        for differences in [&near, &wide, &[0.2, 0.1, 0.25, 0.15]] {
            let s = summary(differences).expect("a summary");
            let quantile = t_quantile(0.95, s.n - 1).expect("a quantile");
            let half = quantile * s.sd.expect("a spread") / (s.n as f64).sqrt();
            let inside = s.mean.abs() + half < 0.3;
            assert_eq!(
                equal_within(differences, 0.3).is_some_and(|p| p < 0.05),
                inside
            );
        }
    }

    #[test]
    fn one_seed_or_missing_runs_decide_nothing() {
        let one = verdict(LEDGER, &[1.0], &[1.0]);
        assert_eq!((one.verdict, one.p), (Verdict::Undecided, None));
        assert!(one.reason.contains("needs 1 more seed"), "{}", one.reason);
        let claim = &claims::parse("c", LEDGER).expect("parses")[0];
        let none = judge(claim, &fixtures::plan("quick", 3), &BTreeMap::new()).expect("judged");
        assert!(
            none.reason.contains("2 of 2 comparisons"),
            "{}",
            none.reason
        );
    }
}
