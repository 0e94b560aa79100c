//! Is the comparison fair? Rows may differ in what they declare, and in nothing else: every other difference
//! between a cell and the one it is compared to is a warning on the table.

use std::collections::BTreeMap;

use rungs_spec::experiment::Column;
use rungs_spec::plan::Cell as PlanCell;
use rungs_spec::result::{Provenance, RunResult};
use rungs_spec::settle::Settled;
use serde::Serialize;

use super::build::Builder;

/// Keys that buy accuracy with time or data: named even where a refinement or a row declares them, as mixup
/// declares its 200 epochs.
const BUDGET: [&str; 5] = [
    "epochs",
    "dataset",
    "train_subset",
    "val_subset",
    "input_size",
];

/// One difference, and every cell that has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Warning {
    /// What differs, one sentence without the place.
    pub text: String,
    /// Row and column of each cell that differs from the one it is compared to.
    pub cells: Vec<[String; 2]>,
}

impl Builder<'_> {
    /// Every unfair difference in the table, each once.
    pub fn warnings(&self, columns: &[&Column]) -> Vec<Warning> {
        let mut found: Vec<Warning> = Vec::new();
        for row in &self.plan.experiment.rows {
            let Some(against) = &row.against else {
                continue;
            };
            for column in columns {
                let (Some(cell), Some(other)) = (
                    self.plan.cell(&row.id, &column.id),
                    self.plan.cell(against, &column.id),
                ) else {
                    continue;
                };
                let mut texts = self.undeclared(cell, other, column);
                texts.extend(self.made_differently(cell, other));
                for text in texts {
                    let place = [row.id.clone(), column.id.clone()];
                    match found.iter_mut().find(|warning| warning.text == text) {
                        Some(warning) => warning.cells.push(place),
                        None => found.push(Warning {
                            text,
                            cells: vec![place],
                        }),
                    }
                }
            }
        }
        found
    }

    /// Recipe keys that differ, but for those that a refinement or the row itself declares.
    fn undeclared(&self, cell: &PlanCell, other: &PlanCell, column: &Column) -> Vec<String> {
        let experiment = &*self.plan.experiment;
        let settled = |cell: &PlanCell| {
            let row = experiment.row(&cell.row)?;
            let profile = self.plan.profile.as_deref();
            experiment.settled(profile, row, column).ok()
        };
        let (Some(ours), Some(theirs)) = (settled(cell), settled(other)) else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for key in &ours.keys {
            let name = key.key;
            let other = theirs.keys.iter().find(|other| other.key == name);
            let Some(other) = other.filter(|other| other.value != key.value) else {
                continue;
            };
            let declared = |key: &Settled| key.refinement.is_some() || key.from.starts_with("row ");
            if BUDGET.contains(&name) {
                texts.push(format!(
                    "{name} {} against {} in the row it is compared to (from {})",
                    key.value, other.value, key.from
                ));
            } else if !declared(key) && !declared(other) {
                texts.push(format!(
                    "{name} {} against {}, which no refinement of the row declares (from {})",
                    key.value, other.value, key.from
                ));
            }
        }
        texts
    }

    /// What the finished runs of both cells were made with.
    fn made_differently(&self, cell: &PlanCell, other: &PlanCell) -> Vec<String> {
        let facts = |cell: &PlanCell| {
            let mut facts: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
            for (_, run) in self.finished(cell) {
                for (name, value) in facts_of(run) {
                    let values = facts.entry(name).or_default();
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            facts
        };
        let (ours, theirs) = (facts(cell), facts(other));
        let differs = |(name, values): (&&'static str, &Vec<String>)| {
            let other = theirs.get(name)?;
            // Several values in one cell are a difference too: some of its seeds have them.
            let same = values == other && values.len() == 1;
            (!same).then(|| {
                let (a, b) = (values.join(" and "), other.join(" and "));
                format!("trained on different {name}: {a} against {b}")
            })
        };
        ours.iter().filter_map(differs).collect()
    }
}

fn facts_of(run: &RunResult) -> Vec<(&'static str, String)> {
    let Some(Provenance {
        cpu,
        device,
        gpus,
        libtorch,
        trainer,
        dataset,
        ..
    }) = &run.provenance
    else {
        return Vec::new();
    };
    // A run on a GPU is not made by the CPU beside it.
    let hardware = match gpus.as_slice() {
        [] if device.contains("cpu") => cpu.clone(),
        [] => device.clone(),
        models => models.join(" and "),
    };
    let mut facts = vec![
        ("hardware", hardware),
        ("libtorch versions", libtorch.clone()),
        ("trainer versions", trainer.clone()),
    ];
    if let Some(data) = dataset {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        facts.push(("training images", short(&data.train_blake3)));
        facts.push(("evaluation images", short(&data.val_blake3)));
    }
    facts
}

#[cfg(test)]
mod tests {
    use rungs_spec::result::SeenData;

    use super::*;
    use crate::fixtures;
    use crate::table::{Select, build};

    const MIXUP: &str = "title = 't'\n[base]\ndataset = 'fashion-mnist'\n[[column]]\nid = 'a'\n[[row]]\nid = 'plain'\n\
        [[row]]\nid = 'warmup'\nadd = ['warmup']\n[[row]]\nid = 'mixup'\nadd = ['mixup']\n\
        [profile.p.row.warmup]\nmomentum = 0.5\n[profile.p.refinement.mixup]\nepochs = 200\n";

    fn cell(row: &str) -> Vec<[String; 2]> {
        vec![[row.to_owned(), "a".to_owned()]]
    }

    #[test]
    fn mixups_200_epochs_show_up_and_so_does_what_a_profile_slips_in() {
        let plan = fixtures::plan_of(MIXUP, Some("p"), 1);
        let warnings = build(&plan, &BTreeMap::new(), Select::Best).warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0]
                .text
                .starts_with("momentum 0.5 against 0.9, which no refinement")
        );
        assert_eq!(warnings[0].cells, cell("warmup"));
        assert!(
            warnings[1].text.starts_with("epochs 200 against 120"),
            "{warnings:?}"
        );
        assert_eq!(warnings[1].cells, cell("mixup"));
    }

    #[test]
    fn data_library_and_hardware_must_be_the_same() {
        let text = MIXUP.replace("[profile.p.row.warmup]\nmomentum = 0.5\n", "");
        let text = text.replace("epochs = 200", "epochs = 120");
        let plan = fixtures::plan_of(&text, Some("p"), 2);
        let mut results = fixtures::finished(&plan);
        for run in results.values_mut() {
            run.provenance = Some(Provenance {
                cpu: "a CPU".into(),
                device: "cpu".into(),
                libtorch: "2.13.0".into(),
                trainer: "0.1.0".into(),
                dataset: Some(SeenData {
                    train_blake3: "aa".into(),
                    val_blake3: "bb".into(),
                }),
                ..Provenance::default()
            });
        }
        assert_eq!(build(&plan, &results, Select::Best).warnings, []);
        let last = plan.cells[2].runs[1].clone();
        let run = results.get_mut(&last).expect("a result");
        let made = run.provenance.as_mut().expect("set above");
        made.libtorch = "2.14.0".into();
        made.dataset.as_mut().expect("set above").train_blake3 = "cc".into();
        let warnings = build(&plan, &results, Select::Best).warnings;
        let texts: Vec<&str> = warnings.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "trained on different libtorch versions: 2.13.0 and 2.14.0 against 2.13.0",
                "trained on different training images: aa and cc against aa",
            ]
        );
        assert_eq!(warnings[0].cells, cell("mixup"));
        // The same number of a GPU is not the same GPU.
        for (n, run) in results.values_mut().enumerate() {
            let made = run.provenance.as_mut().expect("set above");
            made.device = "cuda:0".into();
            made.gpus = vec![["Tesla V100", "NVIDIA H100"][n % 2].into()];
        }
        let warnings = build(&plan, &results, Select::Best).warnings;
        let of_gpus = |w: &&Warning| w.text.starts_with("trained on different hardware: ");
        let found: Vec<_> = warnings.iter().filter(of_gpus).collect();
        assert!(!found.is_empty(), "{warnings:?}");
        assert!(found[0].text.contains("V100") && found[0].text.contains("H100"));
    }
}
