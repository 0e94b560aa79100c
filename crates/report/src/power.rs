//! How many seeds does each step of a table need?

use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::plan::Plan;
use rungs_spec::result::RunResult;
use serde::Serialize;

use crate::stats::mean::summary;
use crate::stats::power::seeds_for;
use crate::stats::verdict::{ALPHA, SEEDS_FOR_VERDICT, SMALLEST_JUDGED_DELTA};
use crate::table::Select;
use crate::table::per_seed;

/// Seeds that one step needs, over the first metric in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needed {
    /// Row.
    pub row: String,
    /// Column.
    pub column: String,
    /// Effect that is to be seen, points.
    pub effect: f64,
    /// Common seeds so far.
    pub n: usize,
    /// Standard deviation of the per-seed differences, points; unknown under three seeds or where all differ by
    /// the same amount.
    pub sd: Option<f64>,
    /// Seeds wanted, those there included.
    pub seeds: u64,
    /// Whether that many reach the power asked for; otherwise it is the most that was allowed.
    pub enough: bool,
}

/// For each cell that is compared to another: the seeds at which a two-sided paired t test at 5 % sees `effect`
/// with that power. Without `effect` it is the paper's own step, at least 0.3 points: an effect that was
/// observed here says nothing about the power to see it. Three seeds come first, to know the spread.
pub fn needed(
    plan: &Plan,
    results: &BTreeMap<RunKey, RunResult>,
    power: f64,
    effect: Option<f64>,
    most: u64,
) -> Vec<Needed> {
    let experiment = &*plan.experiment;
    let percent = |name: &&String| metric::find(name).is_some_and(metric::Metric::is_percent);
    let Some(name) = experiment.metrics.iter().find(percent) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    for row in &experiment.rows {
        let Some(against) = row.against.as_deref().and_then(|id| experiment.row(id)) else {
            continue;
        };
        for column in experiment.columns.iter().filter(|c| !c.reference_only) {
            if plan.cell(&row.id, &column.id).is_none() {
                continue;
            }
            let of = |row: &str| per_seed(plan, results, row, &column.id, name, Select::Last);
            let base = of(&against.id);
            let differences: Vec<f64> = of(&row.id)
                .iter()
                .filter_map(|(seed, value)| Some(value - base.get(seed)?))
                .collect();
            let printed = |row: &rungs_spec::experiment::Row| {
                Some(row.paper.get(&column.id)?.get(name)?.value)
            };
            let step = printed(row)
                .zip(printed(against))
                .map_or(0.0, |(a, b)| (a - b).abs());
            let effect = effect.unwrap_or_else(|| step.max(SMALLEST_JUDGED_DELTA));
            let n = differences.len();
            let sd = summary(&differences)
                .and_then(|s| s.sd)
                .filter(|sd| n >= SEEDS_FOR_VERDICT && *sd > 1e-9);
            let found = sd.map(|sd| seeds_for(effect, sd, ALPHA, power, most as usize));
            let (seeds, enough) = match found {
                None => (SEEDS_FOR_VERDICT as u64, n >= SEEDS_FOR_VERDICT),
                Some(Some(seeds)) => (seeds.max(SEEDS_FOR_VERDICT) as u64, true),
                Some(None) => (most, false),
            };
            steps.push(Needed {
                row: row.id.clone(),
                column: column.id.clone(),
                effect,
                n,
                sd,
                seeds,
                enough,
            });
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn three_seeds_come_first_then_as_many_as_the_spread_asks_for() {
        let plan = fixtures::plan("quick", 1);
        let first = needed(&plan, &fixtures::finished(&plan), 0.8, None, 20);
        assert_eq!(first.len(), 6, "three steps in two columns");
        assert!(
            first
                .iter()
                .all(|step| step.seeds == 3 && step.sd.is_none())
        );
        // The paper's step of 0.76 at the large batch; the small one's 0.16 is raised to 0.3.
        assert!((first[1].effect - 0.76).abs() < 1e-9 && first[0].effect == 0.3);

        let plan = fixtures::plan("quick", 4);
        let mut results = fixtures::finished(&plan);
        for cell in &plan.cells {
            for (i, key) in cell.runs.iter().enumerate() {
                let noise = [0.3, -0.3, 0.1, -0.1][i] * f64::from(u8::from(cell.row == "warmup"));
                for evaluation in &mut results.get_mut(key).expect("a result").evaluations {
                    evaluation.metrics = BTreeMap::from([("val/top1".to_owned(), 80.0 + noise)]);
                }
            }
        }
        let steps = needed(&plan, &results, 0.8, Some(0.5), 20);
        let warmup = &steps[0];
        let sd = warmup.sd.expect("a spread");
        assert!((sd - (0.2_f64 / 3.0).sqrt()).abs() < 1e-9, "{sd}");
        let fewest = seeds_for(0.5, sd, 0.05, 0.8, 20).expect("enough");
        assert_eq!((warmup.seeds, warmup.enough), (fewest as u64, true));
        let few = needed(&plan, &results, 0.8, Some(0.01), 20);
        assert_eq!((few[0].seeds, few[0].enough), (20, false));
    }
}
