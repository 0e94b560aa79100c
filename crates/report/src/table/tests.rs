use std::collections::BTreeMap;

use rungs_spec::RunKey;
use rungs_spec::result::{RunResult, RunState};

use super::*;
use crate::fixtures;

fn close(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-9)
}

#[test]
fn status_of_each_cell_speaks_of_its_runs() {
    let plan = fixtures::plan("quick", 1);
    let table = build(&plan, &fixtures::under_way(&plan), Select::Best);
    let words: Vec<&str> = table
        .rows
        .iter()
        .flat_map(|r| ["bs256", "bs1024"].map(|c| r.cells[c].status.word()))
        .collect();
    assert_eq!(
        words,
        [
            "done",
            "done",
            "running",
            "failed",
            "queued",
            "blocked",
            "cancelled",
            "new"
        ]
    );
    let failed = table.cell("warmup", "bs1024").unwrap();
    assert_eq!(
        failed.message.as_deref(),
        Some("seed 1 failed: the training loss is NaN at step 212")
    );
    assert_eq!(failed.metrics["val/top1"].mean, None);
    let running = table.cell("warmup", "bs256").unwrap();
    assert!(
        (running.progress.share - 0.43).abs() < 0.01,
        "{:?}",
        running.progress
    );
}

#[test]
fn some_done_and_nothing_under_way_is_partial_and_a_failed_seed_is_not_averaged() {
    let plan = fixtures::plan("quick", 3);
    let cell = plan.cells[0].clone();
    let mut results = fixtures::finished(&plan);
    results.remove(&cell.runs[2]);
    let table = build(&plan, &results, Select::Last);
    let got = table.cell(&cell.row, &cell.column).unwrap();
    assert_eq!(
        (got.status, got.metrics["val/top1"].n),
        (CellStatus::Partial, Some(2))
    );

    results.insert(
        cell.runs[2].clone(),
        fixtures::failed(plan.run(&cell.runs[2]).unwrap()),
    );
    let table = build(&plan, &results, Select::Last);
    let got = table.cell(&cell.row, &cell.column).unwrap();
    assert_eq!(
        (got.status, got.metrics["val/top1"].n),
        (CellStatus::Failed, Some(2))
    );
    assert!(got.message.as_ref().unwrap().contains("seed 3 failed"));
    let value = &got.metrics["val/top1"];
    assert!(close(value.mean, (value.values[0] + value.values[1]) / 2.0));
}

#[test]
fn a_value_that_is_not_a_number_leaves_no_mean() {
    let plan = fixtures::plan("quick", 2);
    let mut results = fixtures::finished(&plan);
    let run = results.get_mut(&plan.cells[0].runs[1]).unwrap();
    for e in &mut run.evaluations {
        e.metrics.insert("val/top5".into(), f64::NAN);
    }
    let table = build(&plan, &results, Select::Last);
    let value = table.value("linear-scaling", "bs256", "val/top5").unwrap();
    assert_eq!(value.mean, None);
    assert!(value.reason.as_ref().unwrap().contains("not a number"));
    assert!(serde_json::to_string(&table).is_ok());
}

#[test]
fn best_and_last_show_different_epochs_but_test_the_same() {
    let plan = fixtures::plan("quick", 3);
    let results = fixtures::finished(&plan);
    let (best, last) = (
        build(&plan, &results, Select::Best),
        build(&plan, &results, Select::Last),
    );
    let value = |t: &Table| t.value("warmup", "bs1024", "val/top1").unwrap().clone();
    let (best, last) = (value(&best), value(&last));
    assert_eq!(best.best_epoch, [3, 3, 3]);
    assert!(best.mean > last.mean);
    assert_eq!((best.test, best.p), (last.test, last.p));
    assert!(close(last.delta, last.test_delta.unwrap()));
    assert_eq!(last.test, Some("paired-t"));
    let [low, high] = last.delta_ci95.unwrap();
    assert!(low < last.delta.unwrap() && last.delta.unwrap() < high);
}

#[test]
fn delta_is_the_difference_to_the_row_it_stands_on() {
    let plan = fixtures::plan("quick", 2);
    let table = build(&plan, &fixtures::finished(&plan), Select::Best);
    let top1 = |row: &str| table.value(row, "bs256", "val/top1").unwrap();
    assert_eq!(top1("linear-scaling").delta, None);
    assert!(close(
        top1("warmup").delta,
        top1("warmup").mean.unwrap() - top1("linear-scaling").mean.unwrap()
    ));
    // Of two printed decimals, without the rounding of 76.03 - 75.87.
    assert_eq!(top1("warmup").paper_delta, Some(0.16));
    assert_eq!(
        table
            .rows
            .iter()
            .filter(|r| r.cells["bs256"].metrics["val/top1"].best)
            .count(),
        1
    );
}

#[test]
fn one_seed_is_tested_by_mcnemar_and_proves_nothing_of_recipes() {
    let plan = fixtures::plan("quick", 1);
    let table = build(&plan, &fixtures::finished(&plan), Select::Best);
    let value = table.value("warmup", "bs1024", "val/top1").unwrap();
    assert_eq!(
        (value.test, value.verdict),
        (Some("mcnemar"), Some("n too small"))
    );
    assert_eq!(
        (value.n, value.sd, value.ci95, value.delta_ci95),
        (Some(1), None, None, None)
    );
    let reason = value.reason.as_ref().unwrap();
    assert!(
        reason.contains("not two recipes") && reason.contains("needs 1 more seed"),
        "{reason}"
    );
}

#[test]
fn other_profiles_judge_signs_and_only_of_steps_that_the_paper_shows() {
    let plan = fixtures::plan("quick", 5);
    let table = build(&plan, &fixtures::finished(&plan), Select::Best);
    let value = |row: &str, column: &str| table.value(row, column, "val/top1").unwrap();
    assert_eq!(value("warmup", "bs1024").verdict, Some("same sign"));
    // The paper's step is +0.16.
    assert_eq!(value("warmup", "bs256").verdict, None);
    assert!(
        value("warmup", "bs256")
            .reason
            .as_ref()
            .unwrap()
            .contains("under 0.3")
    );
    assert_eq!(
        table
            .value("no-bias-decay", "bs1024", "val/top5")
            .unwrap()
            .verdict,
        None
    );
    assert!(value("warmup", "bs1024").p_holm >= value("warmup", "bs1024").p);
}

#[test]
fn a_significant_wrong_sign_is_a_contradiction() {
    let plan = fixtures::plan("quick", 5);
    let mut results = fixtures::finished(&plan);
    for key in &plan.cell("warmup", "bs1024").unwrap().runs {
        results.insert(key.clone(), fixtures::done(plan.run(key).unwrap(), 50.0));
    }
    let table = build(&plan, &results, Select::Best);
    assert_eq!(
        table.value("warmup", "bs1024", "val/top1").unwrap().verdict,
        Some("opposite sign")
    );
    assert!(
        table
            .contradictions()
            .iter()
            .any(|c| c.starts_with("warmup / bs1024 / val/top1: opposite sign"))
    );
}

/// All runs of one cell with this last and best top-1.
fn with_top1(results: &mut BTreeMap<RunKey, RunResult>, keys: &[RunKey], values: &[f64]) {
    for (key, value) in keys.iter().zip(values) {
        for e in &mut results.get_mut(key).unwrap().evaluations {
            e.metrics.insert("val/top1".into(), *value);
        }
    }
}

#[test]
fn the_papers_profile_is_judged_against_the_paper() {
    let plan = fixtures::plan("paper", 3);
    let mut results = fixtures::finished(&plan);
    let keys = |row: &str, column: &str| plan.cell(row, column).unwrap().runs.clone();
    with_top1(
        &mut results,
        &keys("linear-scaling", "bs256"),
        &[75.9, 75.88, 75.85],
    );
    with_top1(
        &mut results,
        &keys("warmup", "bs256"),
        &[77.9, 77.88, 77.85],
    );
    with_top1(
        &mut results,
        &keys("no-bias-decay", "bs256"),
        &[77.0, 76.0, 75.5],
    );
    results.remove(&keys("linear-scaling", "bs1024")[0]);
    let table = build(&plan, &results, Select::Best);
    let verdict = |row: &str| table.value(row, "bs256", "val/top1").unwrap().verdict;
    assert_eq!(verdict("linear-scaling"), Some("reproduced"));
    assert_eq!(verdict("warmup"), Some("off"));
    assert_eq!(verdict("no-bias-decay"), Some("undecided"));
    let missing = table.value("linear-scaling", "bs1024", "val/top1").unwrap();
    assert_eq!(missing.verdict, Some("n too small"));
    let reason = missing.reason.as_deref().unwrap();
    assert!(reason.contains("needs 1 more seed"), "{reason}");
    // On a CPU half precision is emulated: only the sign of its step could be judged.
    assert_eq!(verdict("fp16"), None);
    let reason = table
        .value("fp16", "bs256", "val/top1")
        .unwrap()
        .reason
        .clone()
        .unwrap();
    assert!(reason.contains("under 0.3"), "{reason}");
    assert!(table.contradictions().iter().any(|c| c.contains("warmup")));
}

#[test]
fn a_changed_recipe_is_not_the_papers() {
    let experiment = fixtures::plan("paper", 1).experiment;
    let options = rungs_spec::plan::Options {
        profile: Some("paper".into()),
        set: vec!["epochs=20".into()],
        ..Default::default()
    };
    let plan = rungs_spec::plan::build(experiment, &options, &fixtures::Bare).unwrap();
    let table = build(&plan, &fixtures::finished(&plan), Select::Best);
    let value = table.value("linear-scaling", "bs256", "val/top1").unwrap();
    assert_eq!(value.verdict, None);
    assert!(
        table.profile_note.contains("20 epochs"),
        "{}",
        table.profile_note
    );
}

#[test]
fn a_profile_called_paper_that_trains_something_else_is_not_the_papers() {
    for change in ["epochs = 20", "epochs = 120\nwidth = 0.25"] {
        let text = fixtures::EXPERIMENT.replace("epochs = 120", change);
        let plan = fixtures::plan_of(&text, Some("paper"), 3);
        let table = build(&plan, &fixtures::finished(&plan), Select::Best);
        let value = table.value("linear-scaling", "bs256", "val/top1").unwrap();
        assert_eq!(value.verdict, None, "{change}");
        let reason = value.reason.as_deref().unwrap();
        assert!(
            reason.contains("profile paper is not the paper's setting"),
            "{reason}"
        );
    }
}

const COUNTS: &str = r#"
title = "Counts"
metrics = ["model/params", "model/macs", "time/epoch_min", "test/top1"]
[base]
model = "resnet50"
[[column]]
id = "ours"
[[column]]
id = "printed"
reference_only = true
[[row]]
id = "resnet50"
paper.ours = { "model/params" = 25e6, "model/macs" = 3.8e9, "time/epoch_min" = 13.3 }
paper.printed = { "model/macs" = 3.8e9 }
[[row]]
id = "b"
set = { model = "resnet50b" }
paper.ours = { "model/params" = 25e6, "model/macs" = 3.8e9, "test/top1" = 57.18 }
"#;

#[test]
fn counts_are_exact_times_are_not_judged_and_held_labels_are_external() {
    let plan = fixtures::plan_of(COUNTS, None, 1);
    let table = build(&plan, &BTreeMap::new(), Select::Best);
    let value = |row: &str, name: &str| table.value(row, "ours", name).unwrap();
    assert_eq!(value("resnet50", "model/params").mean, Some(25_557_032.0));
    assert_eq!(value("resnet50", "model/macs").verdict, Some("reproduced"));
    assert_eq!(value("b", "model/macs").verdict, Some("off"));
    assert_eq!(
        value("b", "model/macs").delta,
        Some(4_089_184_256.0 - 3_857_973_248.0)
    );
    let time = value("resnet50", "time/epoch_min");
    assert_eq!((time.mean, time.verdict), (None, None));
    assert!(time.reason.as_ref().unwrap().contains("no timing run"));
    let external = serde_json::to_value(value("b", "test/top1")).unwrap();
    assert_eq!(
        (&external["paper"], &external["mean"], &external["external"]),
        (&57.18.into(), &().into(), &true.into())
    );
    let why = external["reason"].as_str().unwrap();
    assert!(why.starts_with("labels held by the server"), "{why}");
    let reference = table.cell("resnet50", "printed").unwrap();
    assert_eq!(
        (reference.status, reference.metrics["model/macs"].paper),
        (CellStatus::Reference, Some(3.8e9))
    );
}

const TIMED: &str = r#"
title = "Timed"
metrics = ["val/top1", "time/epoch_min", "speed/images_per_s"]
[base]
dataset = "fashion-mnist"
epochs = 5
batch_size = 100
replicas = 1
[[column]]
id = "ours"
[[row]]
id = "fp32"
paper.ours = { "time/epoch_min" = { value = 8, unverified = true } }
[[row]]
id = "resnet50b"
on = "fp32"
set = { model = "resnet50b" }
[[row]]
id = "fp16"
add = ["fp16"]
"#;

#[test]
fn energy_is_that_of_the_epochs_that_count_mean_over_runs() {
    let plan = fixtures::plan_of(TIMED, None, 2);
    let mut results = fixtures::finished(&plan);
    let cost = |results: &_| {
        let table = build(&plan, results, Select::Best);
        table.rows[0].cells["ours"].cost.unwrap()
    };
    assert_eq!(cost(&results).energy_j, None, "nobody measured any");
    for (run, joules) in plan
        .cell("fp32", "ours")
        .unwrap()
        .runs
        .iter()
        .zip([10.0, 30.0])
    {
        let run = results.get_mut(run).unwrap();
        let epochs = run.evaluations.len() as f64;
        for e in &mut run.evaluations {
            e.metrics
                .insert("system/gpu_energy_j".into(), joules / epochs);
        }
    }
    assert!(close(cost(&results).energy_j, 20.0));
    // Another split of an epoch adds nothing, whether it says it too or not.
    let first = plan.cell("fp32", "ours").unwrap().runs[0].clone();
    let run = results.get_mut(&first).unwrap();
    let mut test = run.evaluations.last().unwrap().clone();
    test.split = "test".into();
    run.evaluations.push(test);
    assert!(close(cost(&results).energy_j, 20.0));
    // An epoch that two attempts trained makes the run's energy unknown, not smaller.
    let run = results.get_mut(&first).unwrap();
    run.evaluations[0].metrics.remove("system/gpu_energy_j");
    assert!(close(cost(&results).energy_j, 30.0), "the other run's");
}

#[test]
fn times_come_from_the_timing_run_alone_and_without_evaluation() {
    let plan = fixtures::plan_of(TIMED, None, 3);
    // The training runs say a speed too: it must not be shown.
    let mut results = fixtures::finished(&plan);
    for run in results.values_mut() {
        for e in &mut run.evaluations {
            e.metrics.insert("system/images_per_s".into(), 99_999.0);
        }
    }
    let timing = |row: &str, speeds: [f64; 3]| {
        let key = plan.cell(row, "ours").unwrap().timing.as_ref().unwrap();
        let mut run = fixtures::done(plan.run(key).unwrap(), 10.0);
        for (e, speed) in run.evaluations.iter_mut().zip(speeds) {
            e.metrics.insert("system/images_per_s".into(), speed);
        }
        (key.clone(), run)
    };
    // A slow first epoch decides nothing.
    results.extend([timing("fp32", [100.0, 2000.0, 2200.0])]);
    let before = build(&plan, &results, Select::Best);
    let value =
        |table: &Table, row: &str, name: &str| table.value(row, "ours", name).unwrap().clone();
    let speed = value(&before, "fp32", "speed/images_per_s");
    assert_eq!(
        (speed.mean, speed.n, speed.verdict),
        (Some(2000.0), Some(1), None)
    );
    let time = value(&before, "fp32", "time/epoch_min");
    assert!(close(time.mean, 60_000.0 / 2000.0 / 60.0), "{time:?}");
    assert_eq!(
        (time.n, time.verdict, time.unverified),
        (Some(1), None, true)
    );
    let missing = value(&before, "resnet50b", "time/epoch_min");
    assert_eq!((missing.mean, missing.n, missing.delta), (None, None, None));
    assert!(missing.reason.unwrap().contains("no timing run yet"));
    let emulated = value(&before, "fp16", "time/epoch_min");
    assert_eq!(
        (emulated.mean, emulated.reason.as_deref()),
        (
            None,
            Some("FP16 is emulated on this CPU: its speed says nothing")
        )
    );
    // The cell speaks of its training runs, which are done.
    assert_eq!(
        before.cell("resnet50b", "ours").unwrap().status,
        CellStatus::Done
    );
    assert_eq!(before.cell("resnet50b", "ours").unwrap().progress.runs, 3);
    results.extend([timing("resnet50b", [1000.0, 1000.0, 1000.0])]);
    let after = build(&plan, &results, Select::Best);
    let slower = value(&after, "resnet50b", "time/epoch_min");
    assert!(close(slower.delta, 0.5) && slower.p.is_none(), "{slower:?}");
}

#[test]
fn unverified_numbers_of_the_paper_are_marked_in_every_form() {
    use crate::export::{Format, Round, Source};
    let plan = fixtures::plan_of(TIMED, None, 1);
    let results = BTreeMap::new();
    let table = build(&plan, &results, Select::Best);
    let source = Source {
        table: &table,
        plan: &plan,
        results: &results,
        set: &[],
    };
    let export = |format| crate::export::export(&source, format, Round::Digits).unwrap();
    let text = crate::text::render(&table, 100, false);
    let markdown = export(Format::Markdown);
    let html = export(Format::Html);
    for form in [text, markdown, html] {
        assert!(
            form.contains("8.0\u{2020}") && form.contains("unverified"),
            "{form}"
        );
    }
    let latex = export(Format::Latex);
    assert!(
        latex.contains("8.0\\dag{}") && latex.contains("unverified"),
        "{latex}"
    );
    let csv = export(Format::Csv);
    let at = csv
        .lines()
        .next()
        .unwrap()
        .split(',')
        .position(|c| c == "unverified")
        .unwrap();
    let line = csv
        .lines()
        .find(|l| l.contains("fp32") && l.contains("time/epoch_min"))
        .unwrap();
    assert!(
        line.split(',').nth(at).is_some_and(|c| c == "true"),
        "{line}"
    );
}

#[test]
fn unplanned_rows_are_left_out() {
    let experiment = fixtures::plan("quick", 1).experiment;
    let options = rungs_spec::plan::Options {
        rows: Some(vec!["warmup".into()]),
        ..Default::default()
    };
    let plan = rungs_spec::plan::build(experiment, &options, &fixtures::Bare).unwrap();
    let table = build(&plan, &BTreeMap::new(), Select::Best);
    assert_eq!(table.rows.len(), 1);
    assert_eq!(table.rows[0].cells["bs256"].status, CellStatus::New);
    assert_eq!(table.rows[0].cells["bs256"].states, [RunState::New.word()]);
}
