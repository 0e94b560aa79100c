//! Whatever interrupts a run, its final weights are those of an uninterrupted one, bit by bit.

mod support;

use rungs_spec::protocol::{EXIT_CHECKPOINTED, EXIT_PERMANENT, EventKind, FailureClass};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{Run, run_file, small_recipe};

fn signal(child: &std::process::Child, signal: Signal) {
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    // The child may have ended just now.
    let _ = kill_process(pid, signal);
}

#[test]
fn two_runs_of_one_recipe_have_equal_weights_and_another_seed_has_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = run_file(small_recipe());
    let runs = [
        Run::create(dir.path(), "a", &file),
        Run::create(dir.path(), "b", &file),
    ];
    runs.iter().for_each(Run::finish);
    assert_eq!(runs[0].weights(), runs[1].weights());
    assert_eq!(
        runs[0].series(1, "train/loss"),
        runs[1].series(1, "train/loss")
    );
    assert_eq!(runs[0].series(1, "train/loss").len(), 24);
    file.seed = 2;
    let other = Run::create(dir.path(), "c", &file);
    other.finish();
    assert_ne!(runs[0].weights(), other.weights());
}

#[test]
fn a_run_stopped_by_sigterm_in_an_epoch_resumes_to_the_same_weights() {
    let dir = tempfile::tempdir().expect("a directory");
    for precision in ["fp32", "fp16", "bf16", "mixed"] {
        let mut recipe = small_recipe();
        recipe["precision"] = json!(precision);
        let mut file = run_file(recipe);
        let whole = Run::create(dir.path(), &format!("whole-{precision}"), &file);
        whole.finish();
        // A checkpoint after every step: the signal finds the trainer in the middle of an epoch.
        file.checkpoint_every_s = 0.0;
        let run = Run::create(dir.path(), &format!("stopped-{precision}"), &file);
        let mut child = run.start();
        run.wait_for_checkpoints(1, 3, &mut child);
        signal(&child, Signal::TERM);
        let status = child.wait().expect("an exit status");
        assert_eq!(status.code(), Some(EXIT_CHECKPOINTED));
        run.finish();
        let (step, from) = run.started(2);
        assert!((3..24).contains(&step), "resumed at step {step}");
        assert_eq!(from.as_deref(), Some("checkpoints/1-last.safetensors"));
        assert_eq!(
            run.series(2, "train/loss"),
            whole.series(1, "train/loss")[step as usize..]
        );
        assert_eq!(run.weights(), whole.weights(), "{precision}");
    }
}

#[test]
fn kill_9_at_any_moment_loses_at_most_one_checkpoint() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = run_file(small_recipe());
    let whole = Run::create(dir.path(), "whole", &file);
    whole.finish();
    file.checkpoint_every_s = 0.0;
    let run = Run::create(dir.path(), "killed", &file);
    let mut attempt = 0;
    let mut reached = 0;
    loop {
        attempt += 1;
        let mut child = run.start();
        // The moment wanders through step, write, sync, rename and event.
        run.wait_for_checkpoints(attempt, 2, &mut child);
        std::thread::sleep(std::time::Duration::from_micros(u64::from(attempt) * 1_700));
        signal(&child, Signal::KILL);
        let finished = child.wait().expect("an exit status").success();
        if finished && run.events(attempt).is_empty() {
            break; // the attempt before was killed between its last event and its exit
        }
        let (step, _) = run.started(attempt);
        assert!(
            step >= reached,
            "attempt {attempt} starts at {step}, {reached} was recorded before"
        );
        assert!(attempt == 1 || step > 0);
        let recorded = run
            .events(attempt)
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::Checkpoint { step, .. } => Some(step),
                _ => None,
            });
        reached = recorded.max().unwrap_or(reached);
        if finished {
            break;
        }
    }
    assert!(attempt > 3, "only {attempt} attempts");
    assert_eq!(run.weights(), whole.weights());
    // One last and one best are left, and nothing temporary but what a kill may have torn.
    let names: Vec<String> = std::fs::read_dir(run.paths().checkpoints())
        .expect("checkpoints")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.ends_with("-last.safetensors"))
            .count(),
        1,
        "{names:?}"
    );
}

#[test]
fn between_rename_and_event_the_previous_checkpoint_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = run_file(small_recipe());
    file.checkpoint_every_s = 0.0;
    let run = Run::create(dir.path(), "run", &file);
    let mut child = run.start();
    run.wait_for_checkpoints(1, 4, &mut child);
    signal(&child, Signal::TERM);
    assert_eq!(
        child.wait().expect("an exit status").code(),
        Some(EXIT_CHECKPOINTED)
    );
    // As if killed right behind the rename: the whole file stands under `previous`, `last` has no event.
    let checkpoints = run.paths().checkpoints();
    let last = checkpoints.join("1-last.safetensors");
    std::fs::rename(&last, checkpoints.join("1-previous.safetensors")).expect("a rename");
    std::fs::write(&last, b"without an event").expect("a write");
    // What an attempt that died inside a write leaves does not stay.
    let torn = checkpoints.join("1-last.safetensors.tmp");
    std::fs::write(&torn, b"half").expect("a write");
    run.finish();
    assert!(!torn.exists());
    let (step, from) = run.started(2);
    assert!(step >= 3);
    assert_eq!(from.as_deref(), Some("checkpoints/1-previous.safetensors"));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = run_file(small_recipe());
    let whole = Run::create(dir.path(), "whole", &file);
    whole.finish();
    file.checkpoint_every_s = 0.0;
    let run = Run::create(dir.path(), "damaged", &file);
    let mut child = run.start();
    run.wait_for_checkpoints(1, 2, &mut child);
    signal(&child, Signal::TERM);
    child.wait().expect("an exit status");
    let last = run.paths().checkpoints().join("1-last.safetensors");
    let mut bytes = std::fs::read(&last).expect("a checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&last, bytes).expect("a write");
    run.finish();
    assert_eq!(run.started(2), (0, None));
    assert_eq!(run.weights(), whole.weights());
}

#[test]
fn a_finished_run_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run::create(dir.path(), "run", &run_file(small_recipe()));
    run.finish();
    run.finish();
    assert!(!run.paths().attempt(2).exists());
}

#[test]
fn a_higher_attempt_stops_a_lower_one_and_a_lock_keeps_a_second_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut recipe = small_recipe();
    recipe["epochs"] = json!(500);
    let mut file = run_file(recipe);
    file.checkpoint_every_s = 0.0;
    let run = Run::create(dir.path(), "run", &file);
    let mut child = run.start();
    run.wait_for_checkpoints(1, 1, &mut child);
    let second = run.attempt();
    assert_eq!(second.status.code(), Some(2));
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        message.contains(&format!("process {}", child.id())),
        "{message}"
    );
    std::fs::write(run.paths().attempt(2), b"").expect("a write");
    let status = child.wait().expect("an exit status").code();
    assert!(!matches!(status, Some(0 | 1 | 75)), "{status:?}");
}

#[test]
fn a_diverging_run_fails_for_good_and_names_the_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut recipe = small_recipe();
    recipe["lr"] = json!(1e30);
    let run = Run::create(dir.path(), "run", &run_file(recipe));
    let output = run.attempt();
    assert_eq!(output.status.code(), Some(EXIT_PERMANENT));
    let Some(EventKind::Failed { class, message }) = run.events(1).pop().map(|event| event.kind)
    else {
        panic!("no failed event")
    };
    assert_eq!(class, FailureClass::Permanent);
    assert!(message.contains("at step"), "{message}");
    let losses = run.series(1, "train/loss");
    assert!(
        !losses.last().expect("a loss").is_finite(),
        "the block up to the bad step is kept"
    );
}

#[test]
fn what_is_not_supported_is_refused_before_training() {
    let dir = tempfile::tempdir().expect("a directory");
    let changes = [
        ("replicas", json!(3), "replicas = 3"),
        ("task", json!("segment"), "segment"),
        ("train_subset", json!(16), "batch_size = 32"),
        (
            "init",
            json!("/nowhere/weights.safetensors"),
            "/nowhere/weights.safetensors",
        ),
    ];
    for (key, value, named) in changes {
        let mut recipe = small_recipe();
        recipe[key] = value;
        let run = Run::create(dir.path(), key, &run_file(recipe));
        let output = run.attempt();
        assert_eq!(output.status.code(), Some(EXIT_PERMANENT), "{key}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(named),
            "{key}"
        );
        let events = run.events(1);
        assert_eq!(events.len(), 1, "{key}");
        assert!(
            matches!(
                &events[0].kind,
                EventKind::Failed {
                    class: FailureClass::Permanent,
                    ..
                }
            ),
            "{key}"
        );
    }
}

#[test]
fn a_recipe_file_that_no_retry_can_read_is_a_permanent_failure() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run::create(dir.path(), "run", &run_file(small_recipe()));
    let mut other = run_file(small_recipe());
    other.numerics += 1;
    let other = serde_json::to_vec(&other).expect("JSON");
    for bytes in [b"{\"v\": 1".as_slice(), &other] {
        std::fs::write(run.paths().recipe(), bytes).expect("a write");
        let output = run.attempt();
        assert_eq!(output.status.code(), Some(EXIT_PERMANENT));
        assert!(String::from_utf8_lossy(&output.stderr).contains("recipe.json"));
        assert!(!run.paths().attempt(1).exists());
    }
}
