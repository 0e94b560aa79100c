//! The golden home's runs, trained again: the same events in the same order, steps and names.
//! Values depend on the CPU, so they are not compared here.

use std::path::Path;
use std::process::Command;

use rungs_spec::home::RunDir;
use rungs_spec::protocol::{Event, EventKind, RunFile};

fn events(path: &Path) -> Vec<EventKind> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    lines
        .map(|l| serde_json::from_str::<Event>(l).expect("an event").kind)
        .collect()
}

/// What does not depend on the machine or on timing: evaluations and the last event.
fn outline(events: &[EventKind]) -> Vec<String> {
    let mut out = Vec::new();
    for event in events {
        match event {
            EventKind::Started {
                run,
                steps,
                steps_per_epoch,
                ..
            } => {
                out.push(format!("started {run} {steps} {steps_per_epoch}"));
            }
            EventKind::Evaluation {
                epoch,
                step,
                split,
                n,
                metrics,
                ..
            } => {
                let names: Vec<_> = metrics.keys().cloned().collect();
                out.push(format!(
                    "evaluation {epoch} {step} {split} {n} {}",
                    names.join(" ")
                ));
            }
            EventKind::Finished { weights_blake3, .. } => {
                out.push(format!(
                    "finished, digest of {} digits",
                    weights_blake3.len()
                ));
            }
            EventKind::Metrics { .. } | EventKind::Checkpoint { .. } => {}
            EventKind::Failed { message, .. } => out.push(format!("failed {message}")),
        }
    }
    out
}

#[test]
fn a_golden_run_trains_again_with_the_same_outline() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden-home/runs");
    let mut compared = 0;
    for entry in std::fs::read_dir(&golden)
        .expect("the golden home")
        .flatten()
    {
        let source = RunDir(entry.path());
        if source.attempt(2).exists() {
            continue; // killed and resumed: its outline depends on when
        }
        let dir = tempfile::tempdir().expect("a directory");
        let run = RunDir(dir.path().to_owned());
        let text = std::fs::read_to_string(source.recipe()).expect("recipe.json");
        let file: RunFile = serde_json::from_str(&text).expect("a recipe");
        std::fs::write(run.recipe(), text).expect("recipe.json");
        let status = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(["run", "--run-dir"])
            .arg(run.dir())
            .status()
            .expect("the trainer starts");
        assert!(status.success(), "{}: {status}", file.run);
        let (wanted, got) = (events(&source.attempt(1)), events(&run.attempt(1)));
        assert_eq!(outline(&got), outline(&wanted), "{}", file.run);
        compared += 1;
    }
    assert!(compared >= 1, "the golden home has a run of one attempt");
}
