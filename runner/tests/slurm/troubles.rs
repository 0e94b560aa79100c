//! What a cluster does to jobs: cancel, start again, end at the limit, fail, refuse.

use crate::cluster::Cluster;
use crate::common::{Bench, eventually, signal};
use crate::{ONE, SLURM, of_kind, starts, undisturbed};

/// Starts the one run, slowly, and waits until its first checkpoint is there.
fn begun(cluster: &Cluster, slurm_toml: &str) -> (Bench, std::process::Child, String) {
    let bench = cluster.bench(slurm_toml).with("FAKE_STEP_MS", "150");
    let runner = bench.start(&ONE);
    eventually("a checkpoint", || {
        let dirs = bench.run_dirs();
        dirs.iter()
            .any(|dir| !of_kind(&bench, dir, "checkpoint").is_empty())
    });
    let job = cluster.running().remove(0);
    (bench, runner, job)
}

#[track_caller]
fn completes(bench: &Bench, mut runner: std::process::Child) {
    assert!(runner.wait().unwrap().success(), "{}", bench.log());
    bench.nothing_lost_or_doubled();
    assert_eq!(bench.weights(), undisturbed(&ONE));
}

#[test]
fn a_job_that_somebody_cancelled_goes_on_in_another_one() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (bench, runner, job) = begun(&cluster, "");
    cluster.call(&["scancel", &job]);
    completes(&bench, runner);
    let jobs = starts(&bench.run_dirs()[0]);
    assert!(jobs.len() == 2 && jobs[0] != jobs[1], "{jobs:?}");
    let log = bench.log();
    assert!(
        log.contains("was cancelled in Slurm") && log.contains("runner cancel"),
        "{log}"
    );
}

#[test]
fn a_job_that_was_cancelled_while_it_waited_is_submitted_again() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let node = cluster.call(&["sinfo", "--noheader", "--format=%n"]);
    let node = format!("nodename={}", node.trim());
    cluster.call(&["scontrol", "update", &node, "state=drain", "reason=test"]);
    let bench = cluster.bench("");
    let runner = bench.start(&ONE);
    eventually("it waits", || cluster.jobs().len() == 1);
    let first = cluster.jobs().remove(0).0;
    cluster.call(&["scancel", &first]);
    eventually("another one waits", || {
        cluster.jobs().iter().any(|(number, _)| *number != first)
    });
    eventually("it is said why", || bench.log().contains("waits: "));
    cluster.call(&["scontrol", "update", &node, "state=resume"]);
    completes(&bench, runner);
}

#[test]
fn a_requeued_job_goes_on_as_its_next_attempt() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (bench, runner, job) = begun(&cluster, "");
    cluster.call(&["scontrol", "requeue", &job]);
    let dir = bench.run_dirs().remove(0);
    cluster.hurry(&job, "the second attempt works", || {
        dir.join("attempt-2.jsonl").exists()
    });
    completes(&bench, runner);
    assert_eq!(starts(&bench.run_dirs()[0]), [job.clone(), job]);
    let run = bench.run(&["runs", "--json"]).ok().json()[0]["run"].clone();
    let shown = bench
        .run(&["show", run.as_str().unwrap(), "--json"])
        .ok()
        .json();
    let states: Vec<&str> = shown["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.len(), 2, "{shown}");
    assert_eq!(states[1], "finished");
}

#[test]
fn at_its_limit_a_job_writes_a_checkpoint_and_starts_again_with_nobody_there() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (bench, mut runner, job) = begun(&cluster, "");
    signal(runner.id(), "KILL");
    runner.wait().unwrap();
    // What --signal has Slurm do when the time is nearly up.
    cluster.call(&["scancel", "--signal=USR1", "--batch", &job]);
    let dir = &bench.run_dirs()[0];
    cluster.hurry(&job, "the second attempt is over", || {
        dir.join("attempt-2.exit").exists()
    });
    assert_eq!(
        std::fs::read_to_string(dir.join("attempt-1.exit")).unwrap(),
        "75\n"
    );
    assert_eq!(starts(dir), [job.clone(), job]);
    completes(&bench, bench.start(&ONE));
}

#[test]
#[ignore = "long: Slurm's shortest limit is a minute, and it starts a job again after two"]
fn a_real_limit_is_survived() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster
        .bench("time = \"00:01:00\"\nsignal_s = 30")
        .with("FAKE_STEP_MS", "4000");
    let runner = bench.start(&ONE);
    eventually("the first attempt is over", || {
        bench
            .run_dirs()
            .iter()
            .any(|dir| dir.join("attempt-1.exit").exists())
    });
    let dir = bench.run_dirs().remove(0);
    assert_eq!(
        std::fs::read_to_string(dir.join("attempt-1.exit")).unwrap(),
        "75\n"
    );
    let job = starts(&dir).remove(0);
    cluster.hurry(&job, "the second attempt works", || {
        dir.join("attempt-2.jsonl").exists()
    });
    completes(&bench, runner);
}

#[test]
fn a_node_whose_slurmd_died_and_came_back_loses_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (bench, runner, job) = begun(&cluster, "");
    cluster.script("kill-slurmd");
    std::thread::sleep(std::time::Duration::from_millis(500));
    cluster.script("start-slurmd");
    completes(&bench, runner);
    assert_eq!(starts(&bench.run_dirs()[0]), [job]);
}

#[test]
fn a_trainer_that_the_node_does_not_have_is_named_in_the_cell() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let mut bench = cluster.bench("").with("FAKE_STEP_MS", "0");
    let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/fake_trainer.py");
    let copy = bench.dir().join("trainer");
    std::fs::copy(fake, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.set("RUNGS_TRAINER", copy.to_str().unwrap());
    let node = cluster.call(&["sinfo", "--noheader", "--format=%n"]);
    let node = format!("nodename={}", node.trim());
    cluster.call(&["scontrol", "update", &node, "state=drain", "reason=test"]);
    let mut runner = bench.start(&ONE);
    eventually("it waits", || cluster.jobs().len() == 1);
    std::fs::remove_file(&copy).unwrap();
    cluster.call(&["scontrol", "update", &node, "state=resume"]);
    assert_eq!(runner.wait().unwrap().code(), Some(1), "{}", bench.log());
    let row = bench.run(&["runs", "--json"]).ok().json()[0].clone();
    assert_eq!(row["state"], "failed");
    let message = row["message"].as_str().unwrap();
    for words in [
        "gave up after 3 tries",
        "there is no trainer at",
        "RUNGS_TRAINER",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_run_directory_that_the_node_cannot_write_is_named_in_the_cell() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("");
    let node = cluster.call(&["sinfo", "--noheader", "--format=%n"]);
    let node = format!("nodename={}", node.trim());
    cluster.call(&["scontrol", "update", &node, "state=drain", "reason=test"]);
    let mut runner = bench.start(&ONE);
    eventually("it waits", || cluster.jobs().len() == 1);
    // As on a node that does not see the file system: the job's output cannot be opened.
    let dir = bench.run_dirs().remove(0);
    std::fs::create_dir(dir.join("log.txt")).unwrap();
    cluster.call(&["scontrol", "update", &node, "state=resume"]);
    eventually("it is said why", || {
        bench.log().contains("file system that the node sees")
    });
    std::fs::remove_dir(dir.join("log.txt")).unwrap();
    assert!(runner.wait().unwrap().success(), "{}", bench.log());
}

#[test]
fn a_failed_teacher_takes_its_student_out_of_the_queue() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("").with("FAKE_MODE", "permanent");
    let said = bench.run(&["reproduce", "student", "--executor", "slurm"]);
    assert_eq!(said.code(), 1, "{}", said.err());
    for words in ["the loss is NaN", "waits for a run that failed"] {
        assert!(said.err().contains(words), "{}", said.err());
    }
    eventually("no job is left", || cluster.jobs().is_empty());
    // And once the teacher can be trained, both are.
    let mut bench = bench;
    bench.set("FAKE_MODE", "");
    bench
        .run(&["reproduce", "student", "--executor", "slurm"])
        .ok();
}

#[test]
fn a_queue_that_refuses_is_waited_for_and_said() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("max_jobs = 1").with("FAKE_STEP_MS", "100");
    let mut runner = bench.start(&SLURM);
    eventually("one works", || cluster.running().len() == 1);
    let partition = "partitionname=main";
    cluster.call(&["scontrol", "update", partition, "state=inactive"]);
    eventually("it is said", || {
        bench.log().contains("Slurm takes no more jobs now")
    });
    cluster.call(&["scontrol", "update", partition, "state=up"]);
    assert!(runner.wait().unwrap().success(), "{}", bench.log());
    assert_eq!(bench.weights(), undisturbed(&SLURM));
    for dir in bench.run_dirs() {
        assert!(
            !dir.join("attempt-2.jsonl").exists(),
            "a refusal is no attempt"
        );
    }
}

#[test]
fn what_slurm_will_never_take_is_refused_before_anything_is_queued() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = cluster.bench("partition = \"gpu\"");
    let said = bench.run(&SLURM);
    assert_eq!(said.code(), 2, "{}", said.err());
    for words in ["slurm.toml", "nvalid partition"] {
        assert!(said.err().contains(words), "{}", said.err());
    }
    assert!(bench.run_dirs().is_empty());
    assert!(!bench.home.join("journal.jsonl").exists());
}
