//! `reproduce` and the commands that look at what it did.

mod common;

use common::{Bench, conforms};

#[test]
fn four_runs_are_trained_once_and_shown_everywhere() {
    let bench = Bench::new();
    let first = bench.run(&["reproduce", "tiny"]).ok();
    assert!(first.err().contains("done (4 of 4 runs"), "{}", first.err());
    assert!(first.out().contains("Four runs"), "{}", first.out());
    let journal = std::fs::read_to_string(bench.home.join("journal.jsonl")).unwrap();

    // Again: nothing is trained, nothing is decided.
    let again = bench.run(&["reproduce", "tiny"]).ok();
    assert!(
        again.err().contains("Nothing was retrained"),
        "{}",
        again.err()
    );
    assert_eq!(again.out(), first.out());
    assert_eq!(
        std::fs::read_to_string(bench.home.join("journal.jsonl")).unwrap(),
        journal
    );
    assert_eq!(bench.run_dirs().len(), 4);
    for dir in bench.run_dirs() {
        assert!(!dir.join("attempt-2.jsonl").exists());
    }

    let plan = bench.run(&["plan", "tiny", "--json"]).ok().json();
    assert_eq!(
        (&plan["unique"], &plan["requested"]),
        (&4.into(), &4.into())
    );
    assert!(
        plan["runs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|run| run["state"] == "done")
    );

    let rows = bench.run(&["runs", "done", "--json"]).ok().json();
    let run = rows[0]["run"].as_str().unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 4);
    assert_eq!(
        (&rows[0]["step"], &rows[0]["steps"]),
        (&20.into(), &20.into())
    );

    let shown = bench.run(&["show", &run[..10], "--json"]).ok().json();
    assert_eq!(shown["recipe"]["dataset"], "synthetic");
    assert_eq!(shown["summary"]["last"]["metrics"]["val/top1"], 54.0);
    assert_eq!(shown["weights_blake3"].as_str().unwrap().len(), 64);

    let series = bench
        .run(&["series", run, "train/loss", "--json"])
        .ok()
        .json();
    let points = series["points"].as_array().unwrap();
    assert_eq!(points.len(), 20, "every step");
    assert_eq!(points[2], serde_json::json!([2, 0, 1.0 / 3.0]), "exactly");
    let near = bench.run(&["series", run, "train/los"]);
    assert_eq!(near.code(), 2);
    assert!(near.err().contains("train/loss"), "{}", near.err());

    // Evaluated metrics are series too, of one point an epoch.
    let series = bench
        .run(&["series", run, "val/top1", "--json"])
        .ok()
        .json();
    let points = series["points"].as_array().unwrap();
    assert_eq!(points.len(), 4, "{series}");
    assert_eq!(points[3].as_array().unwrap()[2], 54.0, "{series}");
    let unknown = bench.run(&["series", run, "no/such/metric/at/all"]);
    assert_eq!(unknown.code(), 2);
    for known in ["train/loss", "val/top1", "val/top5", "val/loss"] {
        assert!(unknown.err().contains(known), "{}", unknown.err());
    }

    let table = bench
        .run(&["export", "tiny", "--format", "json"])
        .ok()
        .json();
    assert_eq!(
        table["rows"][1]["cells"]["large"]["metrics"]["val/top1"]["mean"],
        54.0
    );
    // Also with a bare name, whose directory is the current one.
    let csv = bench.dir().join("tables/tiny.csv");
    for file in [csv.to_str().unwrap(), "tiny.csv"] {
        bench
            .run(&["export", "tiny", "--format", "csv", "-o", file])
            .ok();
        let written = std::fs::read_to_string(bench.dir().join(file)).unwrap();
        assert!(written.contains("val/top1"), "{file}: {written}");
    }

    let status = bench.run(&["status", "--json"]).ok().json();
    assert_eq!(status["counts"]["done"], 4);
    assert!(bench.run(&["list"]).ok().out().contains("4/4"));
}

#[test]
fn what_is_printed_as_json_is_as_the_schemas_say() {
    let bench = Bench::new();
    conforms("plan", &bench.run(&["plan", "tiny", "--json"]).ok().json());
    conforms(
        "table",
        &bench
            .run(&["export", "tiny", "--format", "json"])
            .ok()
            .json(),
    );
    let printed = bench.run(&["reproduce", "tiny", "--json"]).ok().json();
    conforms("table", &printed);
    conforms("plan", &bench.run(&["plan", "tiny", "--json"]).ok().json());
    let table = bench
        .run(&["export", "tiny", "--format", "json"])
        .ok()
        .json();
    assert_eq!(table, printed, "reproduce and export show one table");
    for dir in bench.run_dirs() {
        let run = dir.file_name().unwrap().to_str().unwrap();
        conforms("show", &bench.run(&["show", run, "--json"]).ok().json());
        conforms(
            "series",
            &bench.run(&["series", run, "lr", "--json"]).ok().json(),
        );
        let recipe = std::fs::read_to_string(dir.join("recipe.json")).unwrap();
        conforms("recipe", &serde_json::from_str(&recipe).unwrap());
        // The trainer of these tests speaks the protocol, too.
        for event in bench.events(&dir) {
            conforms("event", &event);
        }
    }
}

#[test]
fn a_run_that_two_experiments_want_is_trained_once() {
    let bench = Bench::new();
    let tiny = std::fs::read_to_string(bench.dir().join("experiments/tiny.toml")).unwrap();
    let other = tiny
        .split("[[row]]\nid = \"zero\"")
        .next()
        .unwrap()
        .replace("Four", "Two");
    bench.experiment("other", &other);
    let plan = bench.run(&["plan", "tiny", "other", "--json"]).ok().json();
    assert_eq!(
        (&plan["unique"], &plan["requested"]),
        (&4.into(), &6.into())
    );
    bench.run(&["reproduce", "other"]).ok();
    let said = bench.run(&["reproduce", "tiny", "other"]).ok();
    assert!(
        said.err().contains("2 of 4 runs to train"),
        "{}",
        said.err()
    );
    assert_eq!(bench.run_dirs().len(), 4);
}

#[test]
fn options_choose_cells_and_values() {
    let bench = Bench::new();
    bench
        .run(&[
            "reproduce",
            "tiny",
            "--rows",
            "zero",
            "--columns",
            "large",
            "--set",
            "epochs=1",
        ])
        .ok();
    assert_eq!(bench.run_dirs().len(), 1);
    let rows = bench.run(&["runs", "--json"]).ok().json();
    assert_eq!(rows[0]["steps"], 5);
    bench
        .run(&[
            "reproduce",
            "tiny",
            "--rows",
            "zero",
            "--columns",
            "large",
            "--seeds",
            "2",
        ])
        .ok();
    assert_eq!(bench.run_dirs().len(), 3);
}

#[test]
fn what_was_applied_by_path_is_found_by_path_and_by_name() {
    let bench = Bench::new();
    let path = "./experiments/tiny.toml";
    let cell = ["--rows", "plain", "--columns", "small"];
    let apply = [
        &["reproduce", path, "--seeds", "2", "--set", "epochs=1"][..],
        &cell,
    ];
    bench.run(&apply.concat()).ok();
    for named in [path, "experiments/tiny.toml", "tiny"] {
        let said = bench.run(&["export", named, "--format", "json"]).ok();
        let table = said.json();
        let of = &table["rows"][0]["cells"]["small"]["metrics"]["val/top1"];
        assert_eq!(
            (&of["n"], &of["mean"]),
            (&2.into(), &51.0.into()),
            "{named}"
        );
        assert_eq!(said.err(), "", "the file is as it was");
    }
    // Edited: the table stays that of what was trained, and says so.
    let text = std::fs::read_to_string(bench.dir().join(path)).unwrap();
    bench.experiment("tiny", &text.replace("Four runs", "Other runs"));
    for named in [path, "tiny"] {
        let said = bench.run(&["export", named, "--format", "markdown"]).ok();
        assert!(!said.out().contains("Other runs"), "{}", said.out());
        let err = said.err();
        assert_eq!(err.lines().count(), 1, "{err}");
        let cure = format!("`runner reproduce {named}`");
        for word in ["tiny.toml was edited", "results/experiments/", &cure] {
            assert!(err.contains(word), "no {word:?} in: {err}");
        }
        let quiet = bench.run(&["export", named, "--format", "csv", "-q"]).ok();
        assert_eq!(quiet.err(), "");
    }
}

#[test]
fn a_plan_is_of_the_machine_that_reproduce_would_find() {
    let mut bench = Bench::new();
    bench.run(&["reproduce", "tiny"]).ok();
    let done = |bench: &Bench| {
        let plan = bench.run(&["plan", "tiny", "--json"]).ok().json();
        let runs = plan["runs"].as_array().unwrap().clone();
        runs.iter().filter(|run| run["state"] == "done").count()
    };
    assert_eq!(done(&bench), 4);
    // The trainer is asked again only when something about it or the devices changed.
    bench.set("FAKE_GPU", "1");
    assert_eq!(done(&bench), 4);
    bench.set("CUDA_VISIBLE_DEVICES", "0");
    assert_eq!(done(&bench), 0, "a GPU computes other numbers: other runs");
    assert!(bench.run(&["list"]).ok().out().contains("0/4"));
    // Without a trainer, what the home remembers counts.
    bench.set("RUNGS_TRAINER", "/nowhere/trainer");
    assert_eq!(done(&bench), 4);
}

#[test]
fn explain_names_where_a_value_comes_from() {
    let bench = Bench::new();
    let said = bench
        .run(&[
            "plan",
            "tiny",
            "--explain",
            "zero/large",
            "--set",
            "epochs=2",
        ])
        .ok();
    let line = |key: &str| {
        said.out()
            .lines()
            .find(|l| l.starts_with(key))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("lr ").contains("column large"), "{}", said.out());
    assert!(line("zero_gamma").contains("zero-gamma"), "{}", said.out());
    assert!(line("epochs").contains("--set"), "{}", said.out());
    assert!(!bench.home.exists(), "a look makes no home");
}

#[test]
fn a_permanent_failure_is_status_1_and_is_tried_again_by_the_next_reproduce() {
    let mut bench = Bench::new().with("FAKE_MODE", "permanent");
    let said = bench.run(&["reproduce", "tiny"]);
    assert_eq!(said.code(), 1, "{}", said.err());
    assert!(
        said.err().contains("the loss is NaN at step 7"),
        "{}",
        said.err()
    );
    let rows = bench.run(&["runs", "failed", "--json"]).ok().json();
    assert_eq!(rows.as_array().unwrap().len(), 4);
    assert_eq!(
        rows[0]["attempts"], 1,
        "a permanent failure is not tried again by itself"
    );
    bench.set("FAKE_MODE", "");
    bench.run(&["reproduce", "tiny"]).ok();
    assert_eq!(
        bench.run(&["runs", "failed", "--json"]).ok().json(),
        serde_json::json!([])
    );
    // What became of them survives the loss of the database.
    let before = bench.run(&["runs", "--json"]).ok().json();
    bench.run(&["reindex"]).ok();
    assert_eq!(bench.run(&["runs", "--json"]).ok().json(), before);
}

#[test]
fn a_transient_failure_is_tried_again() {
    let bench = Bench::new().with("FAKE_MODE", "once");
    let said = bench
        .run(&["reproduce", "tiny", "--rows", "plain", "--columns", "small"])
        .ok();
    assert!(
        said.err().contains("will be tried again: out of memory"),
        "{}",
        said.err()
    );
    let rows = bench.run(&["runs", "--json"]).ok().json();
    assert_eq!(rows[0]["attempts"], 2);
}

#[test]
fn runs_can_be_cancelled_retried_paused() {
    let bench = Bench::new().with("FAKE_MODE", "permanent");
    bench.run(&["reproduce", "tiny", "--rows", "plain", "--columns", "small"]);
    let run = bench.run(&["runs", "--json"]).ok().json()[0]["run"]
        .as_str()
        .unwrap()
        .to_owned();
    let state = || bench.run(&["show", &run, "--json"]).ok().json()["state"].clone();
    assert_eq!(state(), "failed");
    bench.run(&["retry", &run]).ok();
    assert_eq!(state(), "queued");
    assert_eq!(
        bench.run(&["retry", &run]).code(),
        2,
        "it is queued already"
    );
    bench.run(&["cancel", &run[..8]]).ok();
    assert_eq!(state(), "cancelled");
    bench.run(&["pause"]).ok();
    assert_eq!(bench.run(&["status", "--json"]).ok().json()["paused"], true);
    bench.run(&["resume"]).ok();
    assert_eq!(
        bench.run(&["status", "--json"]).ok().json()["paused"],
        false
    );
    assert_eq!(bench.run(&["show", "ffffffffffff"]).code(), 2);
}
