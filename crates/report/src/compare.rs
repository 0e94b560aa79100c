//! What differs between runs: their recipes, their numbers, and the images that they get right?
//!
//! `runner compare`, the page `/compare` and `GET /api/v1/compare` say what stands here.

mod agreement;
mod recipe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::protocol::{Arithmetic, Num};
use rungs_spec::result::RunResult;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{ReportError, choose};
use crate::stats::{mean::summary, paired::paired};
use crate::table::value::{evaluated, shown_epoch};
use crate::table::{MetricHead, Select};

use self::agreement::agreement;
pub use self::agreement::{Agreement, Images};
use self::recipe::recipes;
pub use self::recipe::{Key, flatten};
pub use crate::table::value::SELECTED_BY as JUDGED_BY;

/// A run as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// What people call it: `warmup / bs1024 / seed 1`.
    pub label: String,
    /// What it computes with.
    pub arithmetic: Arithmetic,
    /// Everything else that is known.
    pub result: RunResult,
}

/// What is laid side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Every run.
    #[default]
    Run,
    /// Runs that differ in nothing but their seed together, as a cell shows them.
    Cell,
}

impl By {
    /// The word in URLs and JSON.
    pub fn word(self) -> &'static str {
        match self {
            By::Run => "run",
            By::Cell => "cell",
        }
    }
}

impl FromStr for By {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose("comparison", word, &[("run", By::Run), ("cell", By::Cell)])
    }
}

/// Runs beside each other. Differences are to the first side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What a side is.
    pub by: By,
    /// Runs, or runs of several seeds together, in the order asked for.
    pub sides: Vec<Side>,
    /// Metrics that a side was evaluated by, percentages first.
    pub metrics: Vec<MetricHead>,
    /// Every recipe key, with seed and arithmetic, in the order of the alphabet.
    pub recipe: Vec<Key>,
    /// Who is right where, pair by pair.
    pub agreement: Vec<Agreement>,
}

/// One of what is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// What people call it.
    pub label: String,
    /// Its runs.
    pub runs: Vec<RunKey>,
    /// Their seeds.
    pub seeds: Vec<u64>,
    /// Their states.
    pub states: Vec<&'static str>,
    /// BLAKE3 of their weights; `None` of a run that is not finished.
    pub weights_blake3: Vec<Option<String>>,
    /// Seconds of all epochs, mean over finished runs.
    pub seconds: Option<f64>,
    /// Peak memory, bytes: the most of its finished runs.
    pub peak_bytes: Option<u64>,
    /// By metric.
    pub values: BTreeMap<String, Shown>,
}

/// A metric of a side, at two epochs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// At each run's best epoch, selected on val.
    pub best: Over,
    /// At each run's last epoch.
    pub last: Over,
}

impl Shown {
    /// At that epoch.
    pub fn at(&self, select: Select) -> &Over {
        match select {
            Select::Best => &self.best,
            Select::Last => &self.last,
        }
    }
}

/// A metric over the runs of a side.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Over {
    /// Runs with a value.
    pub n: usize,
    /// Mean; `None` without a value or where one is not finite.
    pub mean: Option<f64>,
    /// Sample standard deviation.
    pub sd: Option<f64>,
    /// 95 % confidence interval of the mean (t).
    pub ci95: Option<[f64; 2]>,
    /// The value of each run that has one, in the order of seeds.
    pub values: Vec<Num>,
    /// The epoch of each.
    pub epochs: Vec<u64>,
    /// Difference to the first side: over common seeds where cells are compared, else of the two runs.
    pub delta: Option<f64>,
    /// Its 95 % confidence interval (paired t); of cells only.
    pub delta_ci95: Option<[f64; 2]>,
    /// Two-sided p of the paired t test at the last epoch; of cells only.
    pub p: Option<f64>,
}

/// Lays runs beside each other.
///
/// Errors: a recipe that cannot be written as JSON.
pub fn compare(runs: &[Compared], by: By) -> Result<Comparison, ReportError> {
    let groups = groups(runs, by);
    let metrics = heads(runs);
    let mut sides = Vec::new();
    for group in &groups {
        sides.push(side(group, &groups[0], by, &metrics));
    }
    Ok(Comparison {
        by,
        sides,
        recipe: recipes(&groups)?,
        agreement: agreement(&groups),
        metrics,
    })
}

fn groups(runs: &[Compared], by: By) -> Vec<Vec<&Compared>> {
    let mut groups: Vec<Vec<&Compared>> = Vec::new();
    let same = |a: &Compared, b: &Compared| {
        by == By::Cell && a.arithmetic == b.arithmetic && a.result.recipe == b.result.recipe
    };
    for run in runs {
        match groups.iter_mut().find(|group| same(group[0], run)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|run| run.result.seed);
    }
    groups
}

/// What the names of runs begin with: `warmup / bs256` of its seeds.
pub fn common_name(names: &[&str]) -> String {
    let Some(first) = names.first() else {
        return String::new();
    };
    if names.len() == 1 {
        return (*first).to_owned();
    }
    let parts: Vec<&str> = first.split(" / ").collect();
    let same = |n: usize| {
        let head = parts[..n].join(" / ") + " / ";
        names.iter().all(|name| name.starts_with(&head))
    };
    let n = (1..parts.len()).rev().find(|n| same(*n));
    n.map_or_else(|| format!("{first} and others"), |n| parts[..n].join(" / "))
}

/// Metrics of evaluations that say what was learnt: percentages first, which tasks are judged by.
fn heads(runs: &[Compared]) -> Vec<MetricHead> {
    let names: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.result.evaluations)
        .flat_map(|e| e.metrics.keys().map(String::as_str))
        .collect();
    let mut known: Vec<_> = metric::METRICS
        .iter()
        .filter(|m| names.contains(m.name) && !m.name.starts_with("system/"))
        .collect();
    known.sort_by_key(|m| m.unit != "%");
    known
        .into_iter()
        .map(|m| MetricHead {
            name: m.name.to_owned(),
            title: m.title.to_owned(),
            unit: m.unit.to_owned(),
            digits: m.digits,
        })
        .collect()
}

fn side(group: &[&Compared], first: &[&Compared], by: By, metrics: &[MetricHead]) -> Side {
    let names: Vec<&str> = group.iter().map(|run| run.label.as_str()).collect();
    let of = |run: &&Compared| run.result.finished.clone();
    let finished: Vec<_> = group.iter().filter_map(of).collect();
    let seconds: Vec<f64> = finished
        .iter()
        .map(|f| f.epoch_seconds.iter().sum())
        .collect();
    let values = metrics.iter().map(|head| {
        let name = head.name.as_str();
        let shown = Shown {
            best: over(group, first, by, name, Select::Best),
            last: over(group, first, by, name, Select::Last),
        };
        (head.name.clone(), shown)
    });
    Side {
        label: common_name(&names),
        runs: group.iter().map(|run| run.result.key.clone()).collect(),
        seeds: group.iter().map(|run| run.result.seed).collect(),
        states: group.iter().map(|run| run.result.state.word()).collect(),
        weights_blake3: group
            .iter()
            .map(|run| Some(run.result.finished.as_ref()?.weights_blake3.clone()))
            .collect(),
        seconds: summary(&seconds).map(|s| s.mean),
        peak_bytes: finished.iter().map(|f| f.peak_bytes).max(),
        values: values.collect(),
    }
}

fn over(group: &[&Compared], first: &[&Compared], by: By, name: &str, select: Select) -> Over {
    let found = |group: &[&Compared]| -> Vec<(u64, f64, u64)> {
        let of = |run: &&Compared| {
            let value = evaluated(&run.result, name, select)?;
            Some((run.result.seed, value, shown_epoch(&run.result, select)?))
        };
        group.iter().filter_map(of).collect()
    };
    let ours = found(group);
    let values: Vec<f64> = ours.iter().map(|v| v.1).collect();
    let all = summary(&values);
    let mut over = Over {
        n: values.len(),
        mean: all.map(|s| s.mean),
        sd: all.and_then(|s| s.sd),
        ci95: all.and_then(|s| s.ci95),
        values: values.into_iter().map(Num).collect(),
        epochs: ours.iter().map(|v| v.2).collect(),
        ..Over::default()
    };
    if std::ptr::eq(group, first) {
        return over;
    }
    let base = found(first);
    match by {
        By::Run => {
            let base: Vec<f64> = base.iter().map(|v| v.1).collect();
            over.delta = over.mean.zip(summary(&base)).map(|(a, b)| a - b.mean);
        }
        By::Cell => {
            let of_seed = |seed: u64| base.iter().find(|v| v.0 == seed).map(|v| v.1);
            let steps: Vec<f64> = ours
                .iter()
                .filter_map(|(seed, value, _)| Some(value - of_seed(*seed)?))
                .collect();
            if let Some(found) = paired(&steps) {
                (over.delta, over.delta_ci95) = (Some(found.delta), found.ci95);
                over.p = found.p.filter(|_| select == Select::Last);
            }
        }
    }
    over
}

impl Comparison {
    /// Keys with two values, `[value of each side]` by name: recipe, then state, weights, and metrics at
    /// the last and the best epoch. What `runner compare` prints.
    pub fn differences(&self) -> Map<String, Value> {
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for key in &self.recipe {
            all.insert(
                key.key.clone(),
                key.values.iter().map(|v| json!(v)).collect(),
            );
        }
        let of_sides = |of: &dyn Fn(&Side) -> Value| self.sides.iter().map(of).collect();
        all.insert("state".to_owned(), of_sides(&|side| one(&side.states)));
        let weights = of_sides(&|side| one(&side.weights_blake3));
        all.insert("weights_blake3".to_owned(), weights);
        for head in &self.metrics {
            for select in [Select::Best, Select::Last] {
                let values = of_sides(&|side| {
                    let shown = side.values.get(&head.name).map(|v| v.at(select));
                    shown.map_or(Value::Null, |over| one(&over.values))
                });
                all.insert(format!("{} {}", select.word(), head.name), values);
            }
        }
        all.into_iter()
            .filter(|(_, values)| values.iter().any(|v| *v != values[0]))
            .map(|(name, values)| (name, Value::Array(values)))
            .collect()
    }
}

/// A list of one as that one, none as null.
fn one<T: Serialize>(list: &[T]) -> Value {
    match list {
        [] => Value::Null,
        [one] => json!(one),
        many => json!(many),
    }
}
