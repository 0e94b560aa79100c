//! Where the number of one metric of one run comes from.

use std::collections::BTreeMap;

use rungs_spec::metric::Metric;
use rungs_spec::recipe::Recipe;
use rungs_spec::result::{Evaluation, RunResult};
use rungs_spec::{dataset, model};

use super::Select;
use crate::stats::mean::median;

/// Metrics by which a run's best epoch is chosen: the first that it has.
pub const SELECTED_BY: [&str; 3] = ["val/top1", "val/map07", "val/miou"];

/// The epoch of a run that `select` shows: `None` before its first evaluation. The first of equal
/// epochs is the best; an epoch without a finite value never is.
pub(crate) fn shown_epoch(run: &RunResult, select: Select) -> Option<u64> {
    let val = || run.evaluations.iter().filter(|e| e.split == "val");
    match select {
        Select::Last => val().map(|e| e.epoch).max(),
        Select::Best => {
            let metric = SELECTED_BY
                .into_iter()
                .find(|m| val().any(|e| e.metrics.contains_key(*m)))?;
            let mut best: Option<(u64, f64)> = None;
            for e in val() {
                let Some(value) = e.metrics.get(metric).copied().filter(|v| v.is_finite()) else {
                    continue;
                };
                if best.is_none_or(|(epoch, top)| value > top || (value == top && e.epoch < epoch))
                {
                    best = Some((e.epoch, value));
                }
            }
            best.map(|(epoch, _)| epoch)
        }
    }
}

/// The evaluation that holds `metric` at `epoch`, or, for splits and metrics that are evaluated
/// only once in a while, the newest one before or after it.
fn evaluation<'a>(run: &'a RunResult, metric: &str, epoch: u64) -> Option<&'a Evaluation> {
    let split = metric.split('/').next()?;
    let has = || {
        run.evaluations
            .iter()
            .filter(|e| e.split == split && e.metrics.contains_key(metric))
    };
    has()
        .find(|e| e.epoch == epoch)
        .or_else(|| has().max_by_key(|e| e.epoch))
}

/// The value of an evaluated metric of one run; not finite where training went wrong.
pub(crate) fn evaluated(run: &RunResult, metric: &str, select: Select) -> Option<f64> {
    let found = evaluation(run, metric, shown_epoch(run, select)?)?;
    found.metrics.get(metric).copied()
}

/// The bitset of images right at the last epoch, and how many images it speaks of.
pub(crate) fn last_bits<'a>(run: &'a RunResult, metric: &str) -> Option<(&'a [u8], u64)> {
    let last = evaluation(run, metric, shown_epoch(run, Select::Last)?)?;
    let bits = match metric.rsplit('/').next()? {
        "top1" => &last.top1_bits,
        "top5" => &last.top5_bits,
        _ => return None,
    };
    (!bits.is_empty()).then_some((bits.as_slice(), last.n))
}

/// Throughput (images/s) or time (minutes of an epoch) of a timing run; `None` if it never said how
/// fast it trained. Of training alone, evaluation left out: the median over its epochs, so that the
/// first, with its warm-up of kernels and caches, does not decide.
pub(super) fn timed(run: &RunResult, metric: &str) -> Option<f64> {
    let by_epoch: BTreeMap<u64, f64> = run
        .evaluations
        .iter()
        .filter_map(|e| Some((e.epoch, *e.metrics.get("system/images_per_s")?)))
        .filter(|(_, speed)| speed.is_finite() && *speed > 0.0)
        .collect();
    let speed = median(&by_epoch.into_values().collect::<Vec<_>>())?;
    if metric != "time/epoch_min" {
        return Some(speed);
    }
    let images = run.progress.steps_per_epoch * u64::from(run.recipe.batch_size);
    (images > 0).then(|| images as f64 / speed / 60.0)
}

/// Parameters or MACs of a recipe's model, or why they are not known.
pub(super) fn counted(recipe: &Recipe, metric: &Metric) -> Result<f64, String> {
    let data = dataset::find(&recipe.dataset).ok_or_else(|| {
        format!(
            "the number of classes of \"{}\" is not in the catalogue",
            recipe.dataset
        )
    })?;
    let network = model::Model::of_recipe(recipe, data.classes).map_err(|e| e.to_string())?;
    let counts = model::counts(&network, recipe.input_size);
    Ok(if metric.name == "model/params" {
        counts.parameters as f64
    } else {
        counts.macs as f64
    })
}
