//! Power is lost and whatever was not fsynced is gone: the short form of the acceptance line `power-loss`
//! (scripts/accept/5). scripts/accept/powerloss.py plays back what `reproduce` and its trainers did to the
//! disk, up to some moment, and says what it proves.

mod common;

use std::process::Command;

use common::{Bench, undisturbed};

const BOTH: [&str; 3] = ["reproduce", "tiny", "student"];

/// powerloss.py, on the home.
fn script(bench: &Bench, word: &str, more: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../scripts/accept/powerloss.py"
        ))
        .arg(word)
        .arg(bench.dir().join("trace"))
        .arg(&bench.home)
        .args(more);
    command
}

#[track_caller]
fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn whatever_a_power_loss_leaves_is_gone_on_from() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED, NOTHING WAS TESTED: there is no strace (scripts/setup-test-tools)");
        return;
    }
    let bench = Bench::new();
    let runner = bench.command(&BOTH);
    let mut record = script(&bench, "record", &[]);
    // By its whole path: a trace does not say what a short one is below.
    record
        .arg(runner.get_program())
        .arg("--home")
        .arg(&bench.home)
        .args(runner.get_args())
        .current_dir(bench.dir())
        .envs(
            runner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    printed(record);
    let changes: u64 = printed(script(&bench, "count", &[])).parse().unwrap();
    let weights = undisturbed(&BOTH);
    for part in 0..10 {
        // From "before anything" to "all is done"; all that was not promised is gone, or some of it.
        let count = (changes * part / 9).to_string();
        let seed = part.to_string();
        let dice = if part % 2 == 0 {
            vec![&*count]
        } else {
            vec![&*count, &*seed]
        };
        printed(script(&bench, "rebuild", &dice));
        bench.run(&BOTH).ok();
        assert_eq!(
            bench.weights(),
            weights,
            "after {count} of {changes} changes, {dice:?}"
        );
        bench.nothing_lost_or_doubled();
    }
}
