//! An experiment file that was edited since it was applied: what that does to its cells is said first.

mod common;

use common::Bench;

#[test]
fn a_changed_file_is_told_before_anything_is_queued_and_the_old_runs_stay() {
    let bench = Bench::new();
    bench.run(&["reproduce", "tiny"]).ok();
    let before = bench.run_dirs().len();
    let same = bench.run(&["plan", "tiny"]).ok().out();
    assert!(!same.contains("has changed"), "{same}");

    let text = std::fs::read_to_string(bench.dir().join("experiments/tiny.toml")).unwrap();
    let text = text.replace("lr = 0.2", "lr = 0.3").replace(
        "id = \"zero\"\nadd = [\"zero-gamma\"]",
        "id = \"clean\"\nadd = [\"no-bias-decay\"]",
    );
    bench.experiment("tiny", &text);
    let expected = [
        "tiny has changed since it was last applied here",
        "1 stale cell, whose run is of another recipe and stays in the home: plain/large (lr 0.2 -> 0.3)",
        "2 new cells: clean/small, clean/large",
        "2 cells no longer needed; what they have trained stays in the home: zero/large, zero/small",
        "1 as before",
    ];
    let planned = bench.run(&["plan", "tiny"]).ok().out();
    let said = bench.run(&["reproduce", "tiny"]).ok();
    for words in expected {
        assert!(planned.contains(words), "no {words:?} in: {planned}");
        assert!(
            said.err().contains(words),
            "no {words:?} in: {}",
            said.err()
        );
    }
    assert_eq!(bench.run_dirs().len(), before + 3, "nothing was removed");
    // Another `--set` is another experiment, and the change has been told.
    for arguments in [
        vec!["plan", "tiny"],
        vec!["plan", "tiny", "--set", "lr=0.7"],
    ] {
        let words = bench.run(&arguments).ok().out();
        assert!(!words.contains("has changed"), "{words}");
    }
}
