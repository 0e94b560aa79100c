//! Runs that learn from a teacher on mixed images: killed anywhere they end as if undisturbed, and a
//! teacher that does not fit is refused before anything starts.

mod support;

use std::path::{Path, PathBuf};

use rungs_spec::protocol::{EXIT_PERMANENT, EventKind, FailureClass, InputRef, RunFile};
use rungs_spec::recipe::CheckpointRef;
use rustix::process::{Pid, Signal, kill_process};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::json;
use support::{Run, run_file, small_recipe};

const TEACHER: &str = "distill.teacher";

/// Trains a small ResNet-D of other depth than the students.
fn teacher(dir: &Path) -> Run {
    let mut recipe = small_recipe();
    recipe["model"] = json!("resnet50d");
    recipe["depths"] = json!([1, 2]);
    recipe["epochs"] = json!(1);
    let run = Run::create(dir, "teacher", &run_file(recipe));
    run.finish();
    run
}

fn student(precision: &str, teacher: InputRef) -> RunFile {
    let mut recipe = small_recipe();
    recipe["precision"] = json!(precision);
    recipe["mixup_alpha"] = json!(0.2);
    recipe["distill"] = json!({
        "teacher": { "experiment": "teachers", "row": "mixup", "column": "c" },
        "temperature": 20.0, "soft_weight": 1.0, "hard_weight": 1.0
    });
    let mut file = run_file(recipe);
    file.inputs.insert(TEACHER.to_owned(), teacher);
    file
}

fn of_run(run: &Run) -> InputRef {
    InputRef {
        model: "resnet50d".to_owned(),
        run_dir: Some(run.paths().dir().to_owned()),
        checkpoint: Some(CheckpointRef::Last),
        file: None,
    }
}

fn of_file(model: &str, file: PathBuf) -> InputRef {
    InputRef {
        model: model.to_owned(),
        run_dir: None,
        checkpoint: None,
        file: Some(file),
    }
}

#[test]
fn a_distilled_and_mixed_run_killed_in_any_epoch_ends_with_the_same_weights() {
    let dir = tempfile::tempdir().expect("a directory");
    let teacher = teacher(dir.path());
    for (precision, loss_scale) in [("fp32", json!(1024.0)), ("fp16", json!("dynamic"))] {
        let mut file = student(precision, of_run(&teacher));
        file.recipe.loss_scale = serde_json::from_value(loss_scale).expect("a scale");
        let whole = Run::create(dir.path(), &format!("whole-{precision}"), &file);
        whole.finish();
        file.checkpoint_every_s = 0.0;
        let run = Run::create(dir.path(), &format!("killed-{precision}"), &file);
        let mut from = 0;
        // Three epochs of eight steps; about one checkpoint a step: killed in each epoch.
        for (attempt, checkpoints) in [(1, 4), (2, 8), (3, 8)] {
            let mut child = run.start();
            run.wait_for_checkpoints(attempt, checkpoints, &mut child);
            let pid = Pid::from_raw(child.id() as i32).expect("a pid");
            kill_process(pid, Signal::KILL).expect("still running");
            child.wait().expect("an exit status");
            let (step, _) = run.started(attempt);
            assert!(attempt == 1 || step > from, "{attempt}: {step}");
            from = step;
        }
        run.finish();
        let (step, _) = run.started(4);
        assert!((17..24).contains(&step), "resumed at step {step}");
        assert_eq!(run.weights(), whole.weights(), "{precision}");
        assert_eq!(
            run.series(4, "train/loss"),
            whole.series(1, "train/loss")[step as usize..]
        );
    }
}

#[test]
fn mixup_and_a_teacher_each_change_what_is_learned() {
    let dir = tempfile::tempdir().expect("a directory");
    let teacher = teacher(dir.path());
    let both = student("fp32", of_run(&teacher));
    let mut mixed = both.clone();
    mixed.recipe.distill = None;
    let mut distilled = both.clone();
    distilled.recipe.mixup_alpha = 0.0;
    let mut plain = distilled.clone();
    plain.recipe.distill = None;
    let mut released = both.clone();
    released.recipe.variant = rungs_spec::recipe::Variant::Gluoncv;
    let runs = [both, mixed, distilled, plain, released];
    let weights: std::collections::BTreeSet<String> = runs
        .iter()
        .enumerate()
        .map(|(i, file)| {
            let run = Run::create(dir.path(), &i.to_string(), file);
            run.finish();
            run.weights()
        })
        .collect();
    assert_eq!(weights.len(), 5);
}

/// The file without its first `cut` classes.
fn with_fewer_classes(from: &Path, to: &Path, cut: usize) {
    let bytes = std::fs::read(from).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let views = file.iter().map(|(name, view)| {
        let (mut shape, mut data) = (view.shape().to_vec(), view.data());
        if name.starts_with("fc.") {
            data = &data[data.len() / shape[0] * cut..];
            shape[0] -= cut;
        }
        let view = TensorView::new(view.dtype(), shape, data).expect("a tensor");
        (name.to_owned(), view)
    });
    std::fs::write(to, safetensors::serialize(views, None).expect("bytes")).expect("a write");
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_with_its_cure() {
    let dir = tempfile::tempdir().expect("a directory");
    let teacher = teacher(dir.path());
    let weights = teacher.paths().dir().join("checkpoints/1-last.safetensors");
    let seven = dir.path().join("seven.safetensors");
    with_fewer_classes(&weights, &seven, 3);
    let nowhere = dir.path().join("nowhere.safetensors");
    let untrained = Run::create(dir.path(), "untrained", &run_file(small_recipe()));
    let cases = [
        (
            "classes",
            of_file("resnet50d", seven),
            vec!["knows 7 classes", "has 10", "seven.safetensors"],
        ),
        (
            "model",
            of_file("resnet50", weights.clone()),
            vec!["teacher resnet50 ", "conv1.0.weight", "1-last.safetensors"],
        ),
        (
            "missing",
            of_file("resnet50d", nowhere),
            vec!["nowhere.safetensors"],
        ),
        (
            "untrained",
            of_run(&untrained),
            vec!["has no checkpoint *-last.safetensors"],
        ),
        (
            "input",
            of_file("inception-v3", weights),
            vec!["teacher inception-v3 "],
        ),
    ];
    for (name, input, named) in cases {
        let run = Run::create(dir.path(), name, &student("fp32", input));
        refused(&run, &named);
    }
    let mut small = run_file(small_recipe());
    small.recipe.input_size = 10;
    small.recipe.model = "inception-v3".to_owned();
    small.recipe.depths = None;
    refused(
        &Run::create(dir.path(), "small", &small),
        &["inception-v3 does not accept 10 x 10 images", "input_size"],
    );
    let mut absent = student("fp32", of_run(&teacher));
    absent.inputs.clear();
    refused(
        &Run::create(dir.path(), "absent", &absent),
        &[TEACHER, "recipe.json"],
    );
}

/// One permanent failure that names all of these, and nothing begun.
fn refused(run: &Run, named: &[&str]) {
    let output = run.attempt();
    assert_eq!(output.status.code(), Some(EXIT_PERMANENT));
    let events = run.events(1);
    let [event] = events.as_slice() else {
        panic!("{events:?}")
    };
    let EventKind::Failed { class, message } = &event.kind else {
        panic!("{event:?}")
    };
    assert_eq!(*class, FailureClass::Permanent);
    for name in named {
        assert!(message.contains(name), "{name}: {message}");
    }
}

#[test]
fn given_lambdas_that_do_not_fit_are_refused_and_those_that_do_are_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("lambdas.safetensors");
    let write = |steps: usize| {
        let lambda: Vec<u8> = (0..steps).flat_map(|_| 0.25_f64.to_le_bytes()).collect();
        let partner: Vec<u8> = (0..steps * 32)
            .flat_map(|i| ((i as i64 + 1) % 32).to_le_bytes())
            .collect();
        let view = |kind, shape, data| TensorView::new(kind, shape, data).expect("a tensor");
        let views = [
            (
                "lambda",
                view(safetensors::Dtype::F64, vec![steps], &lambda),
            ),
            (
                "partner",
                view(safetensors::Dtype::I64, vec![steps, 32], &partner),
            ),
        ];
        let bytes = safetensors::serialize(views, None).expect("bytes");
        std::fs::write(&path, bytes).expect("a write");
    };
    let mut recipe = small_recipe();
    recipe["mixup_lambdas"] = json!(path.display().to_string());
    let file = run_file(recipe);
    write(23);
    refused(
        &Run::create(dir.path(), "short", &file),
        &["has 23 steps", "24 steps", "lambdas.safetensors"],
    );
    write(24);
    let run = Run::create(dir.path(), "whole", &file);
    run.finish();
    assert_eq!(run.series(1, "train/loss").len(), 24);
}
