use rungs_spec::plan::Plan;

use super::*;
use crate::fixtures;

/// Runs of cells of one plan, by (row, column), all seeds of each.
fn runs(plan: &Plan, cells: &[(&str, &str)]) -> Vec<Compared> {
    let results = fixtures::finished(plan);
    let mut runs = Vec::new();
    for (row, column) in cells {
        for (key, seed) in plan.cell(row, column).expect("a cell").runs.iter().zip(1..) {
            runs.push(Compared {
                label: format!("{row} / {column} / seed {seed}"),
                arithmetic: plan.run(key).expect("a run").arithmetic,
                result: results[key].clone(),
            });
        }
    }
    runs
}

#[test]
fn two_runs_differ_in_what_the_row_adds_and_nothing_else() {
    let plan = fixtures::plan("quick", 1);
    let runs = runs(&plan, &[("linear-scaling", "bs256"), ("warmup", "bs256")]);
    let found = compare(&runs, By::Run).unwrap();
    let differing: Vec<&str> = found
        .recipe
        .iter()
        .filter(|k| k.differs)
        .map(|k| k.key.as_str())
        .collect();
    assert_eq!(differing, ["warmup_epochs"]);
    assert!(found.recipe.len() > 20, "all keys are there to be shown");
    let key = found.recipe.iter().find(|k| k.differs).unwrap();
    assert_ne!(key.values[0], key.values[1]);
    let differences = found.differences();
    for name in [
        "warmup_epochs",
        "weights_blake3",
        "last val/top1",
        "best val/top1",
    ] {
        assert!(differences.contains_key(name), "{name} in {differences:?}");
    }
    assert!(!differences.contains_key("batch_size") && !differences.contains_key("state"));
}

#[test]
fn numbers_are_those_of_the_table_and_differences_are_to_the_first() {
    let plan = fixtures::plan("quick", 3);
    let cells = [("linear-scaling", "bs256"), ("warmup", "bs256")];
    let found = compare(&runs(&plan, &cells), By::Cell).unwrap();
    assert_eq!(found.sides.len(), 2);
    for select in [Select::Best, Select::Last] {
        let table = crate::table::build(&plan, &fixtures::finished(&plan), select);
        for (side, (row, column)) in found.sides.iter().zip(cells) {
            assert_eq!(
                (side.label.as_str(), side.seeds.len()),
                (&*format!("{row} / {column}"), 3)
            );
            for metric in ["val/top1", "val/top5"] {
                let ours = side.values[metric].at(select);
                let theirs = table.value(row, column, metric).unwrap();
                assert_eq!(
                    (Some(ours.n), ours.mean, ours.sd, ours.ci95),
                    (theirs.n, theirs.mean, theirs.sd, theirs.ci95)
                );
            }
        }
        let step = found.sides[1].values["val/top1"].at(select);
        let theirs = table.value("warmup", "bs256", "val/top1").unwrap();
        assert_eq!(
            (step.delta, step.delta_ci95),
            (theirs.delta, theirs.delta_ci95)
        );
        if select == Select::Last {
            assert!(theirs.p.is_some());
            assert_eq!(step.p, theirs.p);
        }
    }
    assert_eq!(found.sides[0].values["val/top1"].best.delta, None);
    let each = compare(&runs(&plan, &cells), By::Run).unwrap();
    assert_eq!((each.sides.len(), each.agreement.len()), (6, 5));
}

#[test]
fn images_add_up_and_p_is_the_tables() {
    let plan = fixtures::plan("quick", 1);
    let runs = runs(&plan, &[("linear-scaling", "bs256"), ("warmup", "bs256")]);
    let found = compare(&runs, By::Run).unwrap();
    let [pair] = found.agreement.as_slice() else {
        panic!("one pair");
    };
    let images = pair.images.unwrap();
    assert_eq!(
        images.both + images.only_a + images.only_b + images.neither,
        images.n
    );
    assert!(
        images.both > 0 && images.only_b > images.only_a,
        "{images:?}"
    );
    let right = |of: &Compared| evaluated(&of.result, "val/top1", Select::Last).unwrap();
    let percent = |n: u64| 100.0 * n as f64 / images.n as f64;
    assert!((right(&runs[0]) - percent(images.both + images.only_a)).abs() < 1e-9);
    assert!((right(&runs[1]) - percent(images.both + images.only_b)).abs() < 1e-9);
    let table = crate::table::build(&plan, &fixtures::finished(&plan), Select::Last);
    assert_eq!(
        Some(images.p),
        table.value("warmup", "bs256", "val/top1").unwrap().p
    );
}

#[test]
fn cells_are_compared_seed_by_seed_and_other_images_not_at_all() {
    let plan = fixtures::plan("quick", 2);
    let mut runs = runs(&plan, &[("linear-scaling", "bs256"), ("warmup", "bs256")]);
    let found = compare(&runs, By::Cell).unwrap();
    let seeds: Vec<(&str, &str)> = found
        .agreement
        .iter()
        .map(|p| (p.a_label.as_str(), p.b_label.as_str()))
        .collect();
    assert_eq!(
        seeds,
        [
            ("linear-scaling / bs256 / seed 1", "warmup / bs256 / seed 1"),
            ("linear-scaling / bs256 / seed 2", "warmup / bs256 / seed 2"),
        ]
    );
    runs[2].result.recipe.val_subset = Some(1);
    runs[3].result.evaluations.clear();
    let found = compare(&runs, By::Run).unwrap();
    let reasons: Vec<Option<&str>> = found.agreement.iter().map(|p| p.reason).collect();
    assert_eq!(
        reasons,
        [
            None,
            Some("evaluated on other images"),
            Some("not evaluated yet")
        ]
    );
}

#[test]
fn a_value_that_is_not_a_number_is_kept_and_not_averaged() {
    let plan = fixtures::plan("quick", 2);
    let mut runs = runs(&plan, &[("warmup", "bs256")]);
    for evaluation in &mut runs[0].result.evaluations {
        evaluation.metrics.insert("val/loss".into(), f64::NAN);
    }
    let found = compare(&runs, By::Cell).unwrap();
    let loss = &found.sides[0].values["val/loss"].last;
    assert_eq!((loss.n, loss.mean), (2, None));
    assert!(loss.values.iter().any(|v| v.0.is_nan()));
    assert_eq!(compare(&[], By::Run).unwrap().sides, []);
}

#[test]
fn names_of_seeds_are_cut_to_what_they_share() {
    assert_eq!(common_name(&["a / b / seed 1"]), "a / b / seed 1");
    assert_eq!(common_name(&["a / b / seed 1", "a / b / seed 2"]), "a / b");
    assert_eq!(
        common_name(&["a / b / seed 1", "c / b / seed 2"]),
        "a / b / seed 1 and others"
    );
    assert_eq!(common_name(&[]), "");
}
