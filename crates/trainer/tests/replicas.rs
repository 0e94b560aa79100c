//! Replicas spread over devices: a run ends as on one device, is resumed, and refuses what cannot be.

mod support;

use rungs_spec::protocol::{EXIT_CHECKPOINTED, EXIT_PERMANENT, RunFile};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{Run, run_file, small_recipe};

fn file(devices: &[&str]) -> RunFile {
    let mut recipe = small_recipe();
    recipe["precision"] = json!("fp64");
    recipe["replicas"] = json!(4);
    recipe["dropout"] = json!(0.2);
    recipe["mixup_alpha"] = json!(0.2);
    recipe["epochs"] = json!(1);
    // Far from chaos: eight steps that two orders of summation do not part.
    recipe["lr"] = json!(0.01);
    let mut file = run_file(recipe);
    file.devices = devices.iter().map(|device| (*device).to_owned()).collect();
    file
}

#[test]
fn a_run_on_two_devices_is_the_run_on_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let one = Run::create(dir.path(), "one", &file(&[]));
    one.finish();
    let mut two_file = file(&["cpu", "cpu"]);
    let two = Run::create(dir.path(), "two", &two_file);
    two.finish();
    let (a, b) = (one.series(1, "train/loss"), two.series(1, "train/loss"));
    assert_eq!(a.len(), 8);
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= 1e-12 * a.abs(), "{a} {b}");
    }
    // Stopped and resumed on two devices: the same bits.
    two_file.checkpoint_every_s = 0.0;
    let stopped = Run::create(dir.path(), "stopped", &two_file);
    let mut child = stopped.start();
    stopped.wait_for_checkpoints(1, 3, &mut child);
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    kill_process(pid, Signal::TERM).expect("still running");
    let status = child.wait().expect("an exit status");
    assert_eq!(status.code(), Some(EXIT_CHECKPOINTED));
    stopped.finish();
    assert!(stopped.started(2).0 >= 3);
    assert_eq!(stopped.weights(), two.weights());
}

#[test]
fn devices_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for (devices, named) in [
        (vec!["cpu", "cpu", "cpu"], "3 devices"),
        (vec!["cpu", "gpu1"], "\"gpu1\" is not a device"),
        (vec!["cuda:0"], "planned for the CPU"),
    ] {
        let run = Run::create(dir.path(), &devices.join("-"), &file(&devices));
        let output = run.attempt();
        assert_eq!(output.status.code(), Some(EXIT_PERMANENT), "{devices:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(named), "{message}");
        assert_eq!(run.events(1).len(), 1);
    }
}
