//! What is each refinement worth? The total gain of a table, attributed to what made it.

use serde::Serialize;

use rungs_spec::experiment::{Column, Mode};

use super::Select;
use super::build::Builder;
use crate::stats::paired::paired;
use crate::stats::shapley::shapley;

/// A mean difference over common seeds, at the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean difference, in the metric's unit.
    pub delta: f64,
    /// 95 % confidence interval (paired t); undefined for one seed.
    pub ci95: Option<[f64; 2]>,
    /// Common seeds.
    pub n: usize,
}

/// The part of the total that is one refinement's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Row of a stack, or refinement of a generated table.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Its share: the step in a stack; what is lost without it; what it gains alone; its Shapley value.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// The total gain in one column of one metric, and its parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attribution {
    /// Column id.
    pub column: String,
    /// Metric name.
    pub metric: String,
    /// How the parts were found: `stacked`, `leave-one-out`, `one-at-a-time`, `all-subsets`.
    pub mode: Mode,
    /// All refinements against none, over the seeds that both have; `None` before both are done.
    pub total: Option<Estimate>,
    /// In the order of the file; those that are not done are left out.
    pub parts: Vec<Part>,
    /// Total minus the sum of the parts, where every part is there: what refinements do to each other. Zero, but
    /// for rounding, in a stack and of Shapley values.
    pub interaction: Option<f64>,
}

impl Builder<'_> {
    /// Attribution of one metric in one column; `None` where nothing can be said yet, or nothing is measured.
    pub fn attribution(&self, column: &Column, metric: &str) -> Option<Attribution> {
        let experiment = &*self.plan.experiment;
        let (first, last) = match experiment.mode {
            Mode::Stacked => {
                let top = experiment.rows.last()?;
                let path = experiment.path(&top.id);
                (path.first()?.id.clone(), top.id.clone())
            }
            Mode::AllSubsets => (
                experiment.rows.first()?.id.clone(),
                experiment.rows.last()?.id.clone(),
            ),
            Mode::LeaveOneOut | Mode::OneAtATime => ("none".to_owned(), "all".to_owned()),
        };
        let difference = |more: &str, less: &str| self.difference(column, metric, more, less);
        let total = difference(&last, &first);
        let wanted: Vec<(String, String, Option<Estimate>)> = match experiment.mode {
            Mode::Stacked => {
                let steps = experiment
                    .path(&last)
                    .into_iter()
                    .filter(|row| row.on.is_some());
                let estimate = |row: &rungs_spec::experiment::Row| {
                    difference(&row.id, row.on.as_deref().unwrap_or_default())
                };
                steps
                    .map(|row| (row.id.clone(), row.label.clone(), estimate(row)))
                    .collect()
            }
            Mode::LeaveOneOut | Mode::OneAtATime => {
                let all = experiment.row("all")?;
                let estimate = |id: &str| match experiment.mode {
                    Mode::LeaveOneOut => difference("all", &format!("without-{id}")),
                    _ => difference(id, "none"),
                };
                let parts = all.add.iter().map(|added| &added.id);
                parts
                    .map(|id| (id.clone(), title(id), estimate(id)))
                    .collect()
            }
            Mode::AllSubsets => self.shapley(column, metric)?,
        };
        let complete = wanted.iter().all(|(.., estimate)| estimate.is_some());
        let parts: Vec<Part> = wanted
            .into_iter()
            .filter_map(|(id, label, estimate)| {
                Some(Part {
                    id,
                    label,
                    estimate: estimate?,
                })
            })
            .collect();
        if parts.is_empty() {
            return None;
        }
        let sum: f64 = parts.iter().map(|part| part.estimate.delta).sum();
        Some(Attribution {
            column: column.id.clone(),
            metric: metric.to_owned(),
            mode: experiment.mode,
            interaction: total.filter(|_| complete).map(|total| total.delta - sum),
            total,
            parts,
        })
    }

    fn difference(
        &self,
        column: &Column,
        metric: &str,
        more: &str,
        less: &str,
    ) -> Option<Estimate> {
        let of = |row: &str| {
            let cell = self.plan.cell(row, &column.id)?;
            Some(self.per_seed(cell, metric, Select::Last))
        };
        let (more, less) = (of(more)?, of(less)?);
        let differences: Vec<f64> = more
            .iter()
            .filter_map(|(seed, value)| Some(value - less.get(seed)?))
            .collect();
        estimate(&differences)
    }

    /// Of every refinement, seed by seed, over the seeds in which every subset is done.
    fn shapley(
        &self,
        column: &Column,
        metric: &str,
    ) -> Option<Vec<(String, String, Option<Estimate>)>> {
        let experiment = &*self.plan.experiment;
        let players: Vec<&str> = experiment
            .rows
            .iter()
            .filter(|row| row.on.as_deref() == Some("none"))
            .map(|row| row.id.as_str())
            .collect();
        let subset = |bits: usize| {
            let ids = players
                .iter()
                .enumerate()
                .filter(|(i, _)| bits >> i & 1 == 1);
            match bits {
                0 => "none".to_owned(),
                _ => ids.map(|(_, id)| *id).collect::<Vec<_>>().join("+"),
            }
        };
        let values: Option<Vec<_>> = (0..1 << players.len())
            .map(|bits| {
                let cell = self.plan.cell(&subset(bits), &column.id)?;
                Some(self.per_seed(cell, metric, Select::Last))
            })
            .collect();
        let values = values?;
        let common = values[0]
            .keys()
            .filter(|seed| values.iter().all(|of| of.contains_key(seed)));
        let shares: Vec<Vec<f64>> = common
            .map(|seed| shapley(players.len(), |bits| values[bits][seed]))
            .collect();
        let parts = players.iter().enumerate().map(|(i, id)| {
            let of_seeds: Vec<f64> = shares.iter().map(|share| share[i]).collect();
            ((*id).to_owned(), title(id), estimate(&of_seeds))
        });
        Some(parts.collect())
    }
}

fn estimate(differences: &[f64]) -> Option<Estimate> {
    let found = paired(differences)?;
    Some(Estimate {
        delta: found.delta,
        ci95: found.ci95,
        n: found.n,
    })
}

fn title(id: &str) -> String {
    rungs_spec::refinement::find(id)
        .map_or(id, |known| known.title)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixtures;
    use crate::table::build;

    /// Gains that do not add up: both together give 1 more.
    fn gain(row: &str) -> f64 {
        match row {
            "none" => 0.0,
            "warmup" | "without-no-bias-decay" => 1.0,
            "no-bias-decay" | "without-warmup" => 2.0,
            "all" | "warmup+no-bias-decay" => 4.0,
            other => panic!("a row {other}"),
        }
    }

    fn attributions(mode: &str) -> Vec<Attribution> {
        let text = format!(
            "title = 't'\nmetrics = ['val/top1']\nmode = '{mode}'\nrefinements = ['warmup', 'no-bias-decay']\n\
             [base]\ndataset = 'fashion-mnist'\n[[column]]\nid = 'a'\n"
        );
        let plan = fixtures::plan_of(&text, None, 3);
        let mut results = fixtures::finished(&plan);
        for cell in &plan.cells {
            for (key, seed) in cell.runs.iter().zip(1..) {
                let run = results.get_mut(key).expect("a result");
                for evaluation in &mut run.evaluations {
                    let value = 70.0 + gain(&cell.row) + f64::from(seed) * 0.5;
                    evaluation.metrics = BTreeMap::from([("val/top1".to_owned(), value)]);
                }
            }
        }
        build(&plan, &results, Select::Best).attribution
    }

    #[test]
    fn each_mode_attributes_in_its_own_way_and_names_the_interaction() {
        for (mode, parts, interaction) in [
            ("leave-one-out", [2.0, 3.0], -1.0),
            ("one-at-a-time", [1.0, 2.0], 1.0),
            ("all-subsets", [1.5, 2.5], 0.0),
        ] {
            let all = attributions(mode);
            assert_eq!(all.len(), 1, "{mode}");
            let one = &all[0];
            let total = one.total.expect("a total");
            assert!(
                (total.delta - 4.0).abs() < 1e-9 && total.n == 3,
                "{mode}: {total:?}"
            );
            for (part, want) in one.parts.iter().zip(parts) {
                assert!(
                    (part.estimate.delta - want).abs() < 1e-9,
                    "{mode}: {part:?}"
                );
            }
            let found = one.interaction.expect("complete");
            assert!((found - interaction).abs() < 1e-9, "{mode}: {found}");
        }
    }
}
