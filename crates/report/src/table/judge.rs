//! Which verdict a value gets, and the sentence with its evidence. Never a bare colour.

use rungs_spec::metric::Metric;

use super::Value;
use crate::format::{p_value, signed};
use crate::stats::mcnemar::COMPARES;
use crate::stats::verdict::{
    ALPHA, Equivalence, SEEDS_FOR_SIGN, SEEDS_FOR_VERDICT, SMALLEST_JUDGED_DELTA,
    agrees_at_printed_digits, equivalence,
};

pub(super) const REPRODUCED: &str = "reproduced";
pub(super) const OFF: &str = "off";
pub(super) const UNDECIDED: &str = "undecided";
pub(crate) const N_TOO_SMALL: &str = "n too small";
pub(super) const SAME: &str = "same sign";
pub(super) const OPPOSITE: &str = "opposite sign";

/// What a verdict depends on beside the value.
pub(super) struct Evidence<'a> {
    pub metric: &'a Metric,
    pub profile: Option<&'a str>,
    /// The cell trains what the paper trained.
    pub as_the_paper: bool,
    /// Half precision is emulated: rounded where the paper's GPUs round, but not as they do.
    pub emulated: bool,
    /// Points.
    pub tolerance: f64,
}

/// Fills verdict and reason, unless a reason already says why there is no value.
pub(super) fn judge(value: &mut Value, evidence: &Evidence<'_>) {
    if value.reason.is_some() || value.external {
        return;
    }
    let judged = match (value.mean, value.paper) {
        (None, _) => (None, None),
        (Some(_), None) => (None, Some("the paper has no number here".into())),
        (Some(_), Some(_)) if value.unverified => (
            None,
            Some("the paper's number is unverified: not judged".into()),
        ),
        (Some(mean), Some(paper)) if evidence.metric.name.starts_with("model/") => {
            counts(mean, paper, evidence)
        }
        (Some(_), Some(_)) if !evidence.metric.is_percent() => {
            (None, Some("times and rates are never judged".into()))
        }
        (Some(mean), Some(paper)) if evidence.as_the_paper && !evidence.emulated => {
            against_paper(value, mean, paper, evidence)
        }
        _ => sign(value, evidence),
    };
    value.verdict = judged.0;
    value.reason = judged.1;
}

type Judged = (Option<&'static str>, Option<String>);

fn counts(mean: f64, paper: f64, evidence: &Evidence<'_>) -> Judged {
    if !evidence.as_the_paper {
        return (
            None,
            Some(format!(
                "{} changes the model: counts are not compared",
                profile(evidence)
            )),
        );
    }
    let agrees = agrees_at_printed_digits(mean, paper);
    let verdict = if agrees { REPRODUCED } else { OFF };
    let how = if agrees {
        "agrees with"
    } else {
        "differs from"
    };
    (
        Some(verdict),
        Some(format!(
            "the exact count {mean} {how} the {paper} printed, at its digits"
        )),
    )
}

fn against_paper(value: &Value, mean: f64, paper: f64, evidence: &Evidence<'_>) -> Judged {
    let n = value.n.unwrap_or(0);
    let difference = signed(mean - paper, 2);
    let Some(ci) = value.ci95.filter(|_| n >= SEEDS_FOR_VERDICT) else {
        let missing = seeds(SEEDS_FOR_VERDICT.saturating_sub(n));
        return (
            Some(N_TOO_SMALL),
            Some(format!(
                "{difference} to the paper with n = {n}: needs {missing}"
            )),
        );
    };
    let interval = format!(
        "{difference} to the paper, 95 % CI [{}, {}]",
        signed(ci[0] - paper, 2),
        signed(ci[1] - paper, 2)
    );
    let tolerance = evidence.tolerance;
    let (verdict, how) = match equivalence(ci, paper, tolerance) {
        Equivalence::Reproduced => (REPRODUCED, "lies within"),
        Equivalence::Off => (OFF, "lies outside"),
        Equivalence::Undecided => (UNDECIDED, "straddles"),
    };
    (
        Some(verdict),
        Some(format!(
            "{interval}, {how} \u{b1}{tolerance} points, n = {n}"
        )),
    )
}

/// Other profiles: only the sign of a step can agree.
fn sign(value: &Value, evidence: &Evidence<'_>) -> Judged {
    let Some(theirs) = value.paper_delta else {
        let setting = if evidence.emulated && evidence.as_the_paper {
            "half precision emulated on a CPU".to_owned()
        } else {
            profile(evidence)
        };
        return (
            None,
            Some(format!(
                "{setting} is not the paper's setting: only the sign of a step is judged, and this row is a root"
            )),
        );
    };
    if theirs.abs() < SMALLEST_JUDGED_DELTA {
        let why = format!(
            "the paper's step of {} is under {SMALLEST_JUDGED_DELTA} points: its sign is not judged",
            signed(theirs, 2)
        );
        return (None, Some(why));
    }
    let (Some(ours), Some(test)) = (value.test_delta, value.test) else {
        return (
            Some(UNDECIDED),
            Some(format!(
                "the paper's step is {}; no common seed to test ours",
                signed(theirs, 2)
            )),
        );
    };
    let steps = format!(
        "step {} at the last epoch, the paper's {}",
        signed(ours, 2),
        signed(theirs, 2)
    );
    let p = match value.p_holm {
        Some(p) => format!("{} ({test}, Holm)", p_value(p)),
        None => "all seeds differ by the same amount, which tests nothing".to_owned(),
    };
    if test == "mcnemar" {
        let missing = seeds(SEEDS_FOR_SIGN - 1);
        return (
            Some(N_TOO_SMALL),
            Some(format!("{steps}; {p}, which {COMPARES}: needs {missing}")),
        );
    }
    let verdict = match value.p_holm {
        Some(p) if p < ALPHA && (ours > 0.0) == (theirs > 0.0) => SAME,
        Some(p) if p < ALPHA => OPPOSITE,
        _ => UNDECIDED,
    };
    (Some(verdict), Some(format!("{steps}; {p}")))
}

fn profile(evidence: &Evidence<'_>) -> String {
    evidence.profile.map_or_else(
        || "the file as changed by --set".to_owned(),
        |p| format!("profile {p}"),
    )
}

/// `2 more seeds`.
fn seeds(k: usize) -> String {
    format!("{k} more seed{}", if k == 1 { "" } else { "s" })
}
