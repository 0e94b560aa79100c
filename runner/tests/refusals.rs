//! Bad input: one paragraph that names the place and the cure, status 2, nothing half-run.

mod common;

use common::Bench;

#[track_caller]
fn refused(bench: &Bench, arguments: &[&str], words: &[&str]) {
    let said = bench.run(arguments);
    let err = said.err();
    assert_eq!(said.code(), 2, "{arguments:?}: {err}");
    assert!(
        said.out().is_empty(),
        "{arguments:?} printed a result: {}",
        said.out()
    );
    for word in words {
        assert!(err.contains(word), "{arguments:?}: no {word:?} in: {err}");
    }
    assert_eq!(err.trim().lines().count(), 1, "one paragraph: {err}");
    assert!(
        bench.run_dirs().is_empty(),
        "something was queued: {arguments:?}"
    );
}

#[test]
fn wrong_names_are_refused_with_the_nearest_right_one() {
    let bench = Bench::new();
    refused(
        &bench,
        &["reproduce", "tinny"],
        &["tinny", "did you mean \"tiny\""],
    );
    refused(
        &bench,
        &["reproduce", "tiny", "--profile", "quick"],
        &["tiny has no profiles", "\"quick\""],
    );
    refused(
        &bench,
        &["export", "tiny", "--profile", "quick", "--format", "csv"],
        &["tiny has no profiles", "\"quick\""],
    );
    refused(
        &bench,
        &["reproduce", "tiny", "--rows", "plane"],
        &["plane", "plain"],
    );
    refused(
        &bench,
        &["reproduce", "tiny", "--columns", "larg"],
        &["larg", "large"],
    );
    refused(
        &bench,
        &["reproduce", "tiny", "--set", "epoch=2"],
        &["epoch", "epochs"],
    );
    refused(
        &bench,
        &["reproduce", "tiny", "--set", "batch_size=-1"],
        &["batch_size"],
    );
    refused(
        &bench,
        &["plan", "tiny", "--explain", "zero"],
        &["ROW/COLUMN"],
    );
    refused(
        &bench,
        &["plan", "experiments/none.toml"],
        &["experiments/none.toml"],
    );
    refused(&bench, &["runs", "color=red"], &["color"]);
    refused(&bench, &["show", "00"], &["reproduce"]);
    assert!(!bench.home.exists(), "nothing was made");
}

#[test]
fn a_chart_is_of_what_has_one() {
    let bench = Bench::new();
    let export = |rest: &[&'static str]| [&["export"], rest].concat();
    for (arguments, words) in [
        (
            &["table4", "--format", "svg", "--panel", "b"][..],
            &["table4 is a table", "--panel"][..],
        ),
        (
            &["figure3", "--format", "svg", "--column", "bs256"],
            &["figure3 is a figure", "--column"],
        ),
        (
            &["figure3", "--format", "png", "--panel", "q"],
            &["figure3 has no panel q", "it has a, b"],
        ),
        (
            &["figure3", "--format", "png", "--panel", "3"],
            &["no panel 3"],
        ),
        (
            &["table4", "--format", "svg", "--column", "bs255"],
            &["no column \"bs255\"", "bs256"],
        ),
        (
            &["table4", "--format", "svg", "--seed", "2"],
            &["--format submission"],
        ),
        (&["table4", "--format", "csv", "--panel", "a"], &["--panel"]),
        (
            &["figure1", "--format", "svg", "--panel", "a"],
            &["figure1 is a block diagram", "--panel"],
        ),
        (
            &["table4", "--format", "svg", "--metric", "val/top9"],
            &["val/top9", "val/top1"],
        ),
        (
            &["table4", "--format", "png"],
            &["nothing to draw yet", "runner reproduce table4"],
        ),
        (&["figure3", "--format", "svg"], &["nothing to draw yet"]),
        (&["figure1", "--format", "csv"], &["--format svg"]),
        (&["figure9", "--format", "svg"], &["figure9"]),
    ] {
        refused(&bench, &export(arguments), words);
    }
    assert!(!bench.home.exists(), "nothing was made");
}

#[test]
fn a_submission_is_of_a_finished_run_of_a_table_with_held_labels() {
    let bench = Bench::new();
    let export = ["export", "tiny", "--format"];
    let submission = ["export", "table7", "--format", "submission"];
    refused(
        &bench,
        &[&export[..], &["submission"]].concat(),
        &["tiny has no submission file", "--format csv"],
    );
    refused(
        &bench,
        &[&export[..], &["csv", "--seed", "2"]].concat(),
        &["--row, --column and --seed", "--format submission"],
    );
    refused(
        &bench,
        &submission,
        &["best / places365, seed 1", "new", "runner reproduce table7"],
    );
    refused(
        &bench,
        &[&submission[..], &["--row", "bets"]].concat(),
        &["table7 has no row \"bets\"", "\"best\""],
    );
    refused(
        &bench,
        &[&submission[..], &["--seed", "9"]].concat(),
        &["no seed 9", "seeds 1 to"],
    );
}

#[test]
fn slurm_without_its_programs_its_file_or_with_a_mistake_in_it_is_refused() {
    let bench = Bench::new();
    let arguments = ["reproduce", "tiny", "--executor", "slurm"];
    refused(
        &bench,
        &arguments,
        &["slurm.toml", "not there", "partition ="],
    );
    refused(&bench, &["daemon", "--executor", "slurm"], &["slurm.toml"]);
    assert!(!bench.home.exists(), "nothing was made");
    std::fs::create_dir(&bench.home).unwrap();
    let file = bench.home.join("slurm.toml");
    std::fs::write(&file, "cpus = 2\npartiton = \"gpu\"\n").unwrap();
    refused(
        &bench,
        &arguments,
        &["slurm.toml:2", "`partiton`", "`partition`"],
    );
    std::fs::write(&file, "cpus = 2\n").unwrap();
    let bench = bench.with("PATH", "/nowhere");
    refused(
        &bench,
        &arguments,
        &["no sbatch on PATH", "--executor local"],
    );
    assert!(bench.run_dirs().is_empty());
    refused_by_clap(&bench, &["reproduce", "tiny", "--executor", "slurmy"]);
}

#[track_caller]
fn refused_by_clap(bench: &Bench, arguments: &[&str]) {
    let said = bench.run(arguments);
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains("invalid value"), "{}", said.err());
}

#[test]
fn a_bad_file_is_refused_with_its_place() {
    let bench = Bench::new();
    bench.experiment("bad", "title = \"x\"\n[base]\nmodle = \"resnet50\"\n");
    refused(&bench, &["reproduce", "bad"], &["bad.toml:3", "model"]);
}

#[test]
fn a_missing_trainer_is_named_with_all_places_and_the_cure() {
    let bench = Bench::new().with("RUNGS_TRAINER", "/nowhere/trainer");
    refused(
        &bench,
        &["reproduce", "tiny"],
        &["/nowhere/trainer", "RUNGS_TRAINER", "make build"],
    );
    let bench = Bench::new()
        .with("RUNGS_TRAINER", "")
        .with("PATH", "/nowhere");
    let said = bench.run(&["reproduce", "tiny"]);
    if !std::path::Path::new(env!("CARGO_BIN_EXE_runner"))
        .with_file_name("trainer")
        .exists()
    {
        assert_eq!(said.code(), 2);
        for word in ["RUNGS_TRAINER", "beside the runner", "PATH", "make build"] {
            assert!(said.err().contains(word), "{}", said.err());
        }
    }
}

#[test]
fn a_trainer_of_another_version_is_refused() {
    let bench = Bench::new().with("FAKE_PROTOCOL", "2");
    refused(
        &bench,
        &["reproduce", "tiny"],
        &["protocol 2", "protocol 1", "make build"],
    );
}

#[test]
fn missing_data_is_found_before_anything_is_queued() {
    let bench = Bench::new();
    let tiny = std::fs::read_to_string(bench.dir().join("experiments/tiny.toml")).unwrap();
    bench.experiment("large", &tiny.replace("\"synthetic\"", "\"imagenet\""));
    refused(
        &bench,
        &["reproduce", "large"],
        &["imagenet", "datasets.toml", "RUNGS_DATA"],
    );
    assert!(!bench.home.join("journal.jsonl").exists());
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    // A file where the home's directory should be: root may write everywhere else.
    std::fs::write(&bench.home, "").unwrap();
    refused(&bench, &["reproduce", "tiny"], &["results", "--home"]);
}

#[test]
fn a_full_disk_is_named_with_the_file_and_the_cure() {
    let bench = Bench::new();
    std::fs::create_dir_all(&bench.home).unwrap();
    let script = "mount -t tmpfs -o size=64k none results && head -c 48k /dev/zero > results/ballast \
                  && \"$0\" reproduce tiny; status=$?; ls results/runs/*/attempt-* >&2; exit $status";
    let Some(said) = bench.in_own_mounts(script) else {
        return;
    };
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains("results/"), "{}", said.err());
    assert!(said.err().contains("space"), "{}", said.err());
    assert!(
        !said.err().contains("attempt-1.jsonl"),
        "nothing ran: {}",
        said.err()
    );
}

#[test]
fn a_database_from_a_newer_version_is_left_alone() {
    let bench = Bench::new();
    bench
        .run(&["reproduce", "tiny", "--rows", "plain", "--columns", "small"])
        .ok();
    let db = bench.home.join("rungs.db");
    let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                  execution_time) VALUES (99990101000000, 'future', 1, x'00', 0)";
    let python = format!(
        "import sqlite3; c = sqlite3.connect({:?}); c.execute({future:?}); c.commit()",
        db.to_str().unwrap()
    );
    assert!(
        std::process::Command::new("python3")
            .args(["-c", &python])
            .status()
            .unwrap()
            .success()
    );
    for command in [&["status"][..], &["reproduce", "tiny"], &["runs"]] {
        let said = bench.run(command);
        assert_eq!(said.code(), 2, "{}", said.err());
        assert!(said.err().contains("newer"), "{}", said.err());
    }
    assert_eq!(bench.run_dirs().len(), 1);
}

#[test]
fn a_port_in_use_is_named() {
    let bench = Bench::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = bench.run(&["dashboard", "--bind", &address]);
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(
        said.err().contains("in use") && said.err().contains("--bind"),
        "{}",
        said.err()
    );
}
