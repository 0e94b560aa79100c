//! What goes wrong while a table is trained: full and read-only disks, files that somebody removes or
//! spoils. A clear error that names place and cure, the rest goes on, nothing is lost.

mod common;

use std::io::Write as _;
use std::path::PathBuf;

use common::{Bench, eventually, signal, undisturbed};

const TINY: [&str; 2] = ["reproduce", "tiny"];

/// Waits for a checkpoint, then takes what is left of the disk $1.
const FILL: &str = "fill() { until grep -qs checkpoint results/runs/*/attempt-1.jsonl; do sleep 0.05; done; \
                    head -c 100m /dev/zero >$1/ballast; }; ";

/// `reproduce tiny`, with a checkpoint of the run in that directory.
fn at_work(bench: &Bench) -> (std::process::Child, PathBuf) {
    let runner = bench.start(&TINY);
    let begun = || {
        let dirs = bench.run_dirs();
        let with = |dir: &PathBuf| bench.events(dir).iter().any(|e| e["kind"] == "checkpoint");
        dirs.into_iter().find(with)
    };
    eventually("a checkpoint", || begun().is_some());
    (runner, begun().unwrap())
}

#[test]
fn a_disk_that_fills_up_under_the_runs_is_named_and_with_space_again_they_go_on() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    std::fs::create_dir_all(bench.home.join("runs")).unwrap();
    let script = format!(
        "{FILL} mount -t tmpfs -o size=1m none results/runs && {{ fill results/runs & \"$0\" reproduce tiny; \
         status=$?; wait; rm results/runs/ballast; [ $status = 1 ] && \"$0\" reproduce tiny -q && \
         cp -a results/runs kept; }}"
    );
    let Some(said) = bench.in_own_mounts(&script) else {
        return;
    };
    let said = said.ok();
    for words in ["no space left", "results/runs", "free some"] {
        assert!(said.err().contains(words), "{}", said.err());
    }
    // What the small disk held is looked at outside of it.
    std::fs::remove_dir(bench.home.join("runs")).unwrap();
    std::fs::rename(bench.dir().join("kept"), bench.home.join("runs")).unwrap();
    assert_eq!(bench.weights(), undisturbed(&TINY));
    bench.nothing_lost_or_doubled();
}

#[test]
fn a_disk_that_fills_up_under_the_database_is_named_and_with_space_again_it_goes_on() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    std::fs::create_dir(bench.dir().join("db")).unwrap();
    let script = format!(
        "{FILL} export RUNGS_DB=db/rungs.db; mount -t tmpfs -o size=8m none db && {{ fill db & \
         \"$0\" reproduce tiny; status=$?; wait; rm db/ballast; [ $status = 2 ] && \"$0\" reproduce tiny; }}"
    );
    let Some(said) = bench.in_own_mounts(&script) else {
        return;
    };
    let said = said.ok();
    for words in ["db/rungs.db", "the disk is full", "Free some space"] {
        assert!(said.err().contains(words), "{}", said.err());
    }
    // That database is gone with its disk: from the files alone.
    assert_eq!(bench.weights(), undisturbed(&TINY));
    bench.nothing_lost_or_doubled();
}

#[test]
fn a_home_that_became_read_only_can_be_read_and_says_why_it_cannot_be_written() {
    let bench = Bench::new();
    bench.run(&TINY).ok();
    // What a program leaves that ends while SQLite closes its connection: no shared memory can be made
    // beside it any more.
    std::fs::write(bench.home.join("rungs.db-wal"), "").unwrap();
    let script = "mount --bind results results && mount -o remount,ro,bind results || exit 10; \
                  \"$0\" status >/dev/null || exit 11; \"$0\" export tiny --format csv || exit 12; \
                  \"$0\" reproduce student; [ $? = 2 ] || exit 13";
    let Some(said) = bench.in_own_mounts(script) else {
        return;
    };
    let said = said.ok();
    assert!(said.out().contains("val/top1"), "{}", said.out());
    for words in ["results", "writable", "--home"] {
        assert!(said.err().contains(words), "{}", said.err());
    }
}

#[test]
fn a_directory_deleted_under_a_live_run_is_named_and_the_others_go_on() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let (mut runner, gone) = at_work(&bench);
    std::fs::remove_dir_all(&gone).unwrap();
    assert_eq!(runner.wait().unwrap().code(), Some(1), "{}", bench.log());
    let log = bench.log();
    for words in [
        gone.file_name().unwrap().to_str().unwrap(),
        "removed or changed",
        "runner reproduce",
    ] {
        assert!(log.contains(words), "no {words:?} in {log}");
    }
    let rows = bench.run(&["runs", "done", "--json"]).ok().json();
    assert_eq!(rows.as_array().unwrap().len(), 3, "{log}");
    // The next one trains it anew, with or without the database.
    bench.run(&TINY).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
    std::fs::remove_dir_all(&gone).unwrap();
    std::fs::remove_file(bench.home.join("rungs.db")).unwrap();
    bench.run(&TINY).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn garbage_in_a_live_event_file_is_named_and_everything_else_counts() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let (mut runner, dir) = at_work(&bench);
    let path = dir.join("attempt-1.jsonl");
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"\n\xff\x00garbage\n{\"kind\": \"metrics\"}\n[1, 2]\n")
        .unwrap();
    assert!(runner.wait().unwrap().success(), "{}", bench.log());
    let log = bench.log();
    assert_eq!(log.matches("left a line out").count(), 3, "{log}");
    assert!(
        log.contains("attempt-1.jsonl") && log.contains("line="),
        "{log}"
    );
    assert_eq!(bench.weights(), undisturbed(&TINY));
    // Also when it is killed and must find its checkpoint in that file.
    bench.run(&["reindex"]).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
}

#[test]
fn garbage_in_an_event_file_spoils_no_resume() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    let (mut runner, dir) = at_work(&bench);
    signal(runner.id(), "KILL");
    bench.kill_trainers();
    runner.wait().unwrap();
    let path = dir.join("attempt-1.jsonl");
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"\n\xff\x00garbage\n{\"kind\"\n").unwrap();
    bench.run(&TINY).ok();
    assert_eq!(bench.weights(), undisturbed(&TINY));
    bench.nothing_lost_or_doubled();
}
