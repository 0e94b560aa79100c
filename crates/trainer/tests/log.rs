//! What the trainer says while it works.

mod support;

use rungs_spec::protocol::{EXIT_CHECKPOINTED, LOG_PROGRESS};
use rustix::process::{Pid, Signal, kill_process};
use support::{Run, run_file, small_recipe};

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_log_tells_every_epoch_and_where_an_attempt_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = run_file(small_recipe());
    file.checkpoint_every_s = 0.0;
    let run = Run::create(dir.path(), "run", &file);
    let mut child = run.start();
    run.wait_for_checkpoints(1, 3, &mut child);
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    kill_process(pid, Signal::TERM).expect("a signal");
    let status = child.wait().expect("an exit status");
    assert_eq!(status.code(), Some(EXIT_CHECKPOINTED));
    let output = run.attempt();
    assert!(output.status.success());
    let said = lines(&output.stderr);
    let (step, _) = run.started(2);
    let epochs = file.recipe.epochs;
    let begin =
        format!("{LOG_PROGRESS}attempt 2 on cpu goes on at step {step} of 24, {epochs} epochs of ");
    assert!(said[0].starts_with(&begin), "{said:#?}");
    // Numbers as the events have them.
    let last = format!("{LOG_PROGRESS}epoch {epochs} of {epochs}: val/top1 ");
    let line = said.iter().find_map(|line| line.strip_prefix(&last));
    let line = line.unwrap_or_else(|| panic!("{said:#?}"));
    let evaluation = run.events(2).into_iter().rev().find_map(|event| {
        let json = serde_json::to_value(event).expect("JSON");
        json["metrics"]["val/top1"].as_f64()
    });
    let top1 = format!("{:.2},", evaluation.expect("an evaluation"));
    assert!(line.starts_with(&top1), "{line} is not of {top1}");
    let finished = format!("{LOG_PROGRESS}finished: {epochs} epochs");
    assert_eq!(said.last(), Some(&finished));
}

#[test]
fn a_log_that_cannot_be_written_stops_no_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = run_file(small_recipe());
    let full = std::fs::File::options().write(true).open("/dev/full");
    let run = Run::create(dir.path(), "run", &file);
    let status = run.start_with(full.expect("/dev/full").into()).wait();
    assert_eq!(status.expect("an exit status").code(), Some(0));
    let whole = Run::create(dir.path(), "whole", &file);
    whole.finish();
    assert_eq!(run.weights(), whole.weights());
}
