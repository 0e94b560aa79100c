//! Which images do two trained models get right?

use rungs_spec::RunKey;
use rungs_spec::result::RunResult;
use serde::Serialize;

use super::Compared;
use crate::stats::mcnemar::mcnemar;
use crate::table::value::last_bits;

/// The metric whose images are laid beside each other.
const BY_IMAGE: &str = "val/top1";

/// Images that two trained models get right at their last epochs: McNemar's exact test compares two
/// trained models, not two recipes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// A run of the first side.
    pub a: RunKey,
    /// What people call it.
    pub a_label: String,
    /// A run of another side.
    pub b: RunKey,
    /// What people call it.
    pub b_label: String,
    /// Metric that says what right is.
    pub metric: &'static str,
    /// The counts; `None` with a reason.
    pub images: Option<Images>,
    /// Why there are none.
    pub reason: Option<&'static str>,
}

/// Images by who is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Images {
    /// In all.
    pub n: u64,
    /// Both.
    pub both: u64,
    /// Only the first.
    pub only_a: u64,
    /// Only the second.
    pub only_b: u64,
    /// Neither.
    pub neither: u64,
    /// Two-sided exact p of McNemar's test, not corrected for the number of pairs.
    pub p: f64,
}

/// Of runs: the first against every other. Of cells: seed by seed.
pub(super) fn agreement(groups: &[Vec<&Compared>]) -> Vec<Agreement> {
    let Some((first, others)) = groups.split_first() else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for other in others {
        match (first.as_slice(), other.as_slice()) {
            ([a], [b]) => pairs.push(pair(a, b)),
            _ => pairs.extend(first.iter().flat_map(|a| {
                let same_seed = move |b: &&&Compared| b.result.seed == a.result.seed;
                other.iter().filter(same_seed).map(|b| pair(a, b))
            })),
        }
    }
    pairs
}

fn pair(a: &Compared, b: &Compared) -> Agreement {
    let (images, reason) = match images(&a.result, &b.result) {
        Ok(images) => (Some(images), None),
        Err(reason) => (None, Some(reason)),
    };
    Agreement {
        a: a.result.key.clone(),
        a_label: a.label.clone(),
        b: b.result.key.clone(),
        b_label: b.label.clone(),
        metric: BY_IMAGE,
        images,
        reason,
    }
}

fn images(a: &RunResult, b: &RunResult) -> Result<Images, &'static str> {
    if a.evaluations.is_empty() || b.evaluations.is_empty() {
        return Err("not evaluated yet");
    }
    let (Some((a_bits, n)), Some((b_bits, n_b))) = (last_bits(a, BY_IMAGE), last_bits(b, BY_IMAGE))
    else {
        return Err("no image is simply right or wrong in this task");
    };
    if n != n_b || !same_images(a, b) {
        return Err("evaluated on other images");
    }
    let found = mcnemar(a_bits, b_bits, n).ok_or("the record of its images is cut short")?;
    Ok(Images {
        n,
        both: found.both,
        only_a: found.first_only,
        only_b: found.second_only,
        neither: n - found.both - found.first_only - found.second_only,
        p: found.p,
    })
}

/// Whether two runs were evaluated on the same images in the same order: by the digests of what they
/// saw where both have one, else by name.
fn same_images(a: &RunResult, b: &RunResult) -> bool {
    let seen = |run: &RunResult| {
        let data = run.provenance.as_ref()?.dataset.as_ref()?;
        (!data.val_blake3.is_empty()).then(|| data.val_blake3.clone())
    };
    let named = |run: &RunResult| (run.recipe.dataset.clone(), run.recipe.val_subset);
    match (seen(a), seen(b)) {
        (Some(a), Some(b)) => a == b,
        _ => named(a) == named(b),
    }
}
