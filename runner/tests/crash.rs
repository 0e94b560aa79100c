//! What survives `kill -9`, Ctrl-C, a second command, and the loss of the database.

mod common;

use std::time::Duration;

use common::{Bench, eventually, signal, undisturbed};

const TINY: [&str; 2] = ["reproduce", "tiny"];

#[test]
fn killed_at_any_moment_it_completes_with_the_same_weights() {
    let bench = Bench::new().with("FAKE_STEP_MS", "40");
    // Not chosen for what happens then: from "before anything" to "in the midst of the second pair".
    for after_ms in [30, 150, 300, 450, 700, 1100] {
        let mut runner = bench.start(&["reproduce", "tiny"]);
        std::thread::sleep(Duration::from_millis(after_ms));
        signal(runner.id(), "KILL");
        bench.kill_trainers();
        runner.wait().unwrap();
    }
    // And once without its database, which a busy machine has not made by then.
    let mut runner = bench.start(&["reproduce", "tiny"]);
    eventually("a database", || bench.home.join("rungs.db").exists());
    signal(runner.id(), "KILL");
    bench.kill_trainers();
    runner.wait().unwrap();
    std::fs::remove_file(bench.home.join("rungs.db")).unwrap();
    let said = bench.run(&["reproduce", "tiny"]).ok();
    assert!(said.err().contains("rebuilding it"), "{}", said.err());
    assert_eq!(bench.weights(), undisturbed(&TINY));
    bench.nothing_lost_or_doubled();
}

#[test]
fn trainers_that_outlive_their_runner_are_adopted_never_trained_twice() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let mut runner = bench.start(&["reproduce", "tiny"]);
    eventually("two trainers", || bench.trainers().len() == 2);
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    let orphans = bench.trainers();
    assert_eq!(orphans.len(), 2, "{}", bench.log());
    let said = bench.run(&["reproduce", "tiny"]).ok();
    assert_eq!(
        said.err().matches("its trainer is still alive").count(),
        2,
        "{}",
        said.err()
    );
    for dir in bench.run_dirs() {
        assert!(!dir.join("attempt-2.jsonl").exists(), "{}", said.err());
    }
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn two_commands_on_one_home_share_their_runs() {
    let bench = Bench::new().with("FAKE_STEP_MS", "30");
    let mut first = bench.start(&["reproduce", "tiny"]);
    let mut second = bench.start(&["reproduce", "tiny", "--rows", "plain"]);
    assert!(first.wait().unwrap().success(), "{}", bench.log());
    assert!(second.wait().unwrap().success(), "{}", bench.log());
    assert_eq!(bench.run_dirs().len(), 4);
    for dir in bench.run_dirs() {
        let started = bench
            .events(&dir)
            .iter()
            .filter(|e| e["kind"] == "started")
            .count();
        assert_eq!(started, 1, "{}", bench.log());
    }
}

#[test]
fn a_second_command_takes_over_when_the_first_is_killed() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let mut first = bench.start(&["reproduce", "tiny"]);
    eventually("two trainers", || bench.trainers().len() == 2);
    let mut second = bench.start(&["reproduce", "tiny"]);
    std::thread::sleep(Duration::from_millis(500));
    signal(first.id(), "KILL");
    first.wait().unwrap();
    assert!(second.wait().unwrap().success(), "{}", bench.log());
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn interrupted_once_it_checkpoints_and_goes_on_later() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let mut runner = bench.start(&["reproduce", "tiny"]);
    eventually("a first step", || {
        bench
            .run_dirs()
            .iter()
            .any(|dir| bench.events(dir).iter().any(|e| e["kind"] == "metrics"))
    });
    signal(runner.id(), "INT");
    assert_eq!(runner.wait().unwrap().code(), Some(130), "{}", bench.log());
    assert!(
        bench.log().contains("write a checkpoint"),
        "{}",
        bench.log()
    );
    assert!(bench.trainers().is_empty());
    let queued = bench.run(&["runs", "queued", "--json"]).ok().json();
    assert_eq!(queued.as_array().unwrap().len(), 4);
    bench.run(&["reproduce", "tiny"]).ok();
    let resumed = bench
        .run_dirs()
        .iter()
        .flat_map(|dir| bench.events(dir))
        .filter(|e| e["kind"] == "started" && e["resumed_from"].is_string())
        .count();
    assert!(resumed >= 1, "{}", bench.log());
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn what_an_interrupted_command_left_is_not_worked_on_unattended() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let mut runner = bench.start(&["reproduce", "tiny"]);
    eventually("two trainers", || bench.trainers().len() == 2);
    signal(runner.id(), "INT");
    runner.wait().unwrap();
    bench
        .run(&["reproduce", "tiny", "--rows", "zero", "--columns", "large"])
        .ok();
    assert_eq!(
        bench.trainers(),
        Vec::<u32>::new(),
        "nothing works on after the command"
    );
    let counts = bench.run(&["status", "--json"]).ok().json()["counts"].clone();
    let count = |state: &str| counts[state].as_u64().unwrap_or(0);
    assert_eq!(count("done") + count("queued"), 4, "{counts}");
    bench.run(&["reproduce", "tiny"]).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn who_waits_takes_over_the_trainers_of_who_leaves() {
    let bench = Bench::new().with("FAKE_STEP_MS", "100");
    let mut first = bench.start(&["reproduce", "tiny", "--rows", "plain", "--columns", "small"]);
    eventually("a trainer", || bench.trainers().len() == 1);
    let mut second = bench.start(&["reproduce", "tiny"]);
    eventually("a second command that waits", || {
        bench.home.join("watchers.lock").exists()
    });
    assert!(first.wait().unwrap().success(), "{}", bench.log());
    assert!(second.wait().unwrap().success(), "{}", bench.log());
    for dir in bench.run_dirs() {
        assert!(!dir.join("attempt-2.jsonl").exists(), "{}", bench.log());
    }
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn what_an_attempt_said_before_it_died_unseen_counts() {
    use std::io::Write as _;
    let bench = Bench::new().with("FAKE_STEP_MS", "100");
    let mut runner = bench.start(&["reproduce", "tiny", "--rows", "plain", "--columns", "small"]);
    eventually("a trainer", || bench.trainers().len() == 1);
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    bench.kill_trainers();
    eventually("no trainer", || bench.trainers().is_empty());
    let path = bench.run_dirs()[0].join("attempt-1.jsonl");
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    let failed = r#"{"v":1,"t":"2026-01-01T00:00:00Z","attempt":1,"kind":"failed","class":"transient","message":"the disk was full"}"#;
    // The line before may be torn.
    write!(file, "\n{failed}\n").unwrap();
    let rows = bench.run(&["runs", "--json"]).ok();
    assert!(
        rows.err()
            .contains("will be tried again: the disk was full"),
        "{}",
        rows.err()
    );
    let row = rows.json()[0].clone();
    assert_eq!(
        (&row["state"], &row["message"]),
        (&"queued".into(), &"the disk was full".into())
    );
}

#[test]
fn a_torn_line_of_the_journal_and_of_events_spoils_nothing_else() {
    use std::io::Write as _;
    let bench = Bench::new();
    bench.run(&["reproduce", "tiny", "--rows", "plain"]).ok();
    for path in [
        bench.home.join("journal.jsonl"),
        bench.run_dirs()[0].join("attempt-1.jsonl"),
    ] {
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        file.write_all(b"{\"t\":\"2026-01-0").unwrap();
    }
    bench.run(&["reproduce", "tiny"]).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
    bench.run(&["reindex"]).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn a_reindex_finds_what_was_there() {
    let bench = Bench::new();
    bench.run(&["reproduce", "tiny"]).ok();
    let look = || {
        let rows = bench.run(&["runs", "--json"]).ok().out();
        let table = bench
            .run(&["export", "tiny", "--format", "json"])
            .ok()
            .out();
        (rows, table, bench.weights())
    };
    let before = look();
    let said = bench.run(&["reindex", "--json"]).ok().json();
    assert_eq!((&said["runs"], &said["attempts"]), (&4.into(), &4.into()));
    assert_eq!(said["problems"], serde_json::json!([]));
    assert_eq!(look(), before);
}

#[test]
fn a_daemon_runs_what_is_queued_and_stops_when_asked() {
    let mut bench = Bench::new().with("FAKE_MODE", "permanent");
    bench.run(&["reproduce", "tiny", "--rows", "plain", "--columns", "small"]);
    let run = bench.run(&["runs", "--json"]).ok().json()[0]["run"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.set("FAKE_MODE", "");
    let mut daemon = bench.start(&["daemon"]);
    eventually("a scheduler", || {
        bench.run(&["status", "--json"]).ok().json()["scheduler"].is_number()
    });
    bench.run(&["retry", &run]).ok();
    eventually("the run is done", || {
        bench.run(&["show", &run, "--json"]).ok().json()["state"] == "done"
    });
    signal(daemon.id(), "TERM");
    assert_eq!(daemon.wait().unwrap().code(), Some(0), "{}", bench.log());
}
