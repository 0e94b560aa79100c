//! What ought to happen: runs complete, in order, whether a runner is there or not.

use crate::cluster::Cluster;
use crate::common::{eventually, signal};
use crate::{ONE, SLURM, of_kind, starts, undisturbed};

#[test]
fn a_table_is_trained_as_one_job_per_run() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("");
    let said = bench.run(&SLURM).ok();
    assert!(said.err().contains("in Slurm as job"), "{}", said.err());
    assert_eq!(bench.weights(), undisturbed(&SLURM));
    for dir in bench.run_dirs() {
        assert_eq!(starts(&dir).len(), 1, "{}", said.err());
        assert!(!dir.join("job.json").exists(), "the job is over");
        // The run is done with the trainer's last event; the job's script has something to write yet.
        eventually("the job has left its status", || {
            std::fs::read_to_string(dir.join("attempt-1.exit")).is_ok_and(|text| text == "0\n")
        });
    }
    let again = bench.run(&SLURM).ok();
    assert!(
        again.err().contains("Nothing was retrained"),
        "{}",
        again.err()
    );
}

#[test]
fn a_killed_runner_is_no_loss_and_nothing_is_submitted_twice() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_STEP_MS", "100");
    let mut runner = bench.start(&SLURM);
    eventually("all four are submitted", || cluster.jobs().len() == 4);
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    // Slurm needs no runner to go on.
    eventually("two runs are over", || {
        let over = |dir: &std::path::PathBuf| dir.join("attempt-1.exit").exists();
        bench.run_dirs().iter().filter(|dir| over(dir)).count() >= 2
    });
    bench.run(&SLURM).ok();
    for dir in bench.run_dirs() {
        assert_eq!(starts(&dir).len(), 1, "{}", bench.log());
    }
    assert_eq!(bench.weights(), undisturbed(&SLURM));
}

#[test]
fn jobs_are_found_again_without_the_database() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_STEP_MS", "150");
    let mut runner = bench.start(&SLURM);
    eventually("all four are submitted", || cluster.jobs().len() == 4);
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    std::fs::remove_file(bench.home.join("rungs.db")).unwrap();
    let rows = bench.run(&["runs", "running", "--json"]).ok().json();
    assert_eq!(rows.as_array().unwrap().len(), 4, "{rows}");
    bench.run(&SLURM).ok();
    for dir in bench.run_dirs() {
        assert_eq!(starts(&dir).len(), 1);
    }
    assert_eq!(bench.weights(), undisturbed(&SLURM));
}

#[test]
fn killed_at_any_moment_it_submits_nothing_twice() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_STEP_MS", "60");
    // From "before anything" to "in the midst of submitting" to "while they work".
    for after_ms in [60, 120, 180, 250, 400, 700] {
        let mut runner = bench.start(&SLURM);
        std::thread::sleep(std::time::Duration::from_millis(after_ms));
        signal(runner.id(), "KILL");
        runner.wait().unwrap();
    }
    bench.run(&SLURM).ok();
    for dir in bench.run_dirs() {
        assert_eq!(starts(&dir).len(), 1, "{}", bench.log());
    }
    bench.nothing_lost_or_doubled();
    assert_eq!(bench.weights(), undisturbed(&SLURM));
}

#[test]
fn interrupted_it_leaves_the_jobs_to_slurm_and_a_daemon_takes_them_over() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_STEP_MS", "150");
    let mut runner = bench.start(&ONE);
    eventually("it works", || cluster.running().len() == 1);
    signal(runner.id(), "INT");
    assert_eq!(runner.wait().unwrap().code(), Some(130), "{}", bench.log());
    assert!(
        bench.log().contains("the jobs go on in Slurm"),
        "{}",
        bench.log()
    );
    assert_eq!(cluster.running().len(), 1);
    let mut daemon = bench.start(&["daemon", "--executor", "slurm"]);
    eventually("the run is done", || {
        let rows = bench.run(&["runs", "done", "--json"]).ok().json();
        rows.as_array().unwrap().len() == 1
    });
    signal(daemon.id(), "TERM");
    daemon.wait().unwrap();
    assert_eq!(starts(&bench.run_dirs()[0]).len(), 1, "{}", bench.log());
}

#[test]
fn a_student_waits_in_slurm_for_its_teacher() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_STEP_MS", "150");
    let arguments = ["reproduce", "student", "--executor", "slurm"];
    let mut runner = bench.start(&arguments);
    eventually("both are submitted", || cluster.jobs().len() == 2);
    let waits = cluster.call(&["squeue", "--noheader", "--format=%E"]);
    assert!(waits.contains("afterok:"), "{waits}");
    // With nobody there, Slurm still keeps the order.
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    eventually("both are over", || cluster.jobs().is_empty());
    bench.run(&arguments).ok();
    let mut order = Vec::new();
    for dir in bench.run_dirs() {
        assert_eq!(starts(&dir).len(), 1);
        let started = of_kind(&bench, &dir, "started")[0]["t"].to_string();
        let finished = of_kind(&bench, &dir, "finished")[0]["t"].to_string();
        order.push((started, finished));
    }
    order.sort();
    assert!(
        order[0].1 <= order[1].0,
        "the student began too early: {order:?}"
    );
}

#[test]
fn a_full_queue_is_waited_for_and_said() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("max_jobs = 1").with("FAKE_STEP_MS", "30");
    let said = bench.run(&SLURM).ok();
    assert!(
        said.err().contains("max_jobs") && said.err().contains("3 runs wait"),
        "{}",
        said.err()
    );
    let mut spans: Vec<(String, String)> = Vec::new();
    for dir in bench.run_dirs() {
        let time = |kind| of_kind(&bench, &dir, kind)[0]["t"].to_string();
        spans.push((time("started"), time("finished")));
    }
    spans.sort();
    assert_eq!(spans.len(), 4);
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "side by side: {spans:?}");
    }
    assert_eq!(bench.weights(), undisturbed(&SLURM));
}

#[test]
fn cancelling_a_run_cancels_its_job_with_and_without_a_scheduler() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_STEP_MS", "300");
    let mut runner = bench.start(&SLURM);
    eventually("two work", || cluster.running().len() == 2);
    eventually("four are known", || {
        let status = bench.run(&["status", "--json"]).ok().json();
        let running = status["running"].as_array().unwrap().clone();
        running
            .iter()
            .filter(|r| r["slot"].to_string().contains("slurm:"))
            .count()
            == 4
    });
    let runs: Vec<String> = bench
        .run_dirs()
        .iter()
        .map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    bench.run(&["cancel", &runs[0]]).ok();
    eventually("three jobs are left", || cluster.jobs().len() == 3);
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    for run in &runs[1..] {
        bench.run(&["cancel", run]).ok();
    }
    eventually("no job is left", || cluster.jobs().is_empty());
    let rows = bench.run(&["runs", "cancelled", "--json"]).ok().json();
    assert_eq!(rows.as_array().unwrap().len(), 4, "{rows}");
}
