//! The commands that need no run: what they print and how they refuse.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use support::{Run, run_file, small_recipe};

fn trainer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(args)
        .output()
        .expect("the trainer starts")
}

fn json(args: &[&str]) -> Value {
    let output = trainer(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON on stdout")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn it_finds_libtorch_with_an_empty_environment() {
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .arg("devices")
        .env_clear()
        .output()
        .expect("starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn devices_are_the_protocols_trainer_info() {
    let info: rungs_spec::protocol::TrainerInfo =
        serde_json::from_value(json(&["devices", "--json"])).expect("a TrainerInfo");
    assert_eq!(info.protocol, rungs_spec::protocol::PROTOCOL_VERSION);
    assert_eq!(info.devices[0].id, "cpu");
    assert!(info.devices[0].memory_bytes > 0 && info.devices[0].threads > 0);
}

#[test]
fn inspect_counts_what_recipes_md_counts() {
    let inspected = json(&["inspect", "resnet50", "--json"]);
    assert_eq!(inspected["parameters"], 25_557_032);
    assert_eq!(inspected["exempt"], 54_120);
    assert_eq!(inspected["macs"], 3_857_973_248_u64);
    let names: Vec<&str> = inspected["state_dict"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert_eq!(names.len(), 161 + 106, "parameters and running statistics");
    for name in [
        "conv1.weight",
        "layer2.0.downsample.1.running_var",
        "layer4.2.bn3.bias",
        "fc.bias",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn schedule_writes_every_step_of_a_partial_recipe() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("recipe.toml");
    // The seed's worked example: batch 512 trains at 0.2 under linear scaling.
    std::fs::write(&file, "dataset = \"synthetic\"\nepochs = 2\nbatch_size = 512\nlr_scaling = \"linear\"\nwarmup_epochs = 1\n")
        .expect("a write");
    let output = trainer(&["schedule", text(&file), "--csv"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let csv = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines,
        [
            "step,epoch,lr",
            "0,0,0.05",
            "1,0,0.1",
            "2,0,0.15000000000000002",
            "3,0,0.2",
            "4,1,0.2",
            "5,1,0.2",
            "6,1,0.2",
            "7,1,0.2"
        ]
    );
}

#[test]
fn bad_input_is_one_paragraph_and_its_status() {
    let dir = tempfile::tempdir().expect("a directory");
    let recipe = dir.path().join("bad.toml");
    std::fs::write(&recipe, "epocs = 3\n").expect("a write");
    let cases: [(&[&str], &str, i32); 4] = [
        (&["inspect", "resnet51"], "resnet5", 2),
        (&["schedule", text(&recipe), "--csv"], "epocs", 2),
        (&["schedule", "/nowhere.json", "--csv"], "/nowhere.json", 2),
        // To a runner, 1 says that a retry is of no use.
        (&["run", "--run-dir", "/nowhere"], "/nowhere/recipe.json", 1),
    ];
    for (args, named, status) in cases {
        let output = trainer(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(named), "{args:?}: {message}");
        assert_eq!(message.trim().lines().count(), 1, "{args:?}: {message}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for args in [
        ["inspect", "resnet50"].as_slice(),
        &["inspect", "resnet50", "--json"],
        &["devices"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the trainer starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn an_attempt_that_comes_too_late_leaves_the_next_number_to_the_next_try() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run::create(dir.path(), "run", &run_file(small_recipe()));
    std::fs::write(run.paths().attempt(2), b"").expect("a write");
    let output = trainer(&[
        "run",
        "--run-dir",
        text(run.paths().dir()),
        "--attempt",
        "2",
    ]);
    assert_eq!(output.status.code(), Some(74));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("the next is 3"), "{message}");
    assert_eq!(
        std::fs::read(run.paths().attempt(2)).expect("its file"),
        b"",
        "another's file is not written to"
    );
}

#[test]
fn forward_and_eval_take_the_weights_of_a_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut recipe = small_recipe();
    recipe["epochs"] = 1.into();
    recipe["val_subset"] = Value::Null;
    let run = Run::create(dir.path(), "run", &run_file(recipe));
    run.finish();
    let weights = run.paths().checkpoints().join("1-last.safetensors");

    let evaluated = json(&[
        "eval",
        "--model",
        "resnet50",
        "--weights",
        text(&weights),
        "--dataset",
        "synthetic",
        "--input-size",
        "28",
        "--json",
    ]);
    assert_eq!(evaluated["n"], 512);
    let recorded = run
        .events(1)
        .into_iter()
        .find_map(|event| match event.kind {
            rungs_spec::protocol::EventKind::Evaluation { metrics, .. } => {
                Some(metrics["val/top1"].0)
            }
            _ => None,
        });
    assert_eq!(evaluated["val/top1"].as_f64(), recorded);

    let [input, output] = ["x.safetensors", "y.safetensors"].map(|name| dir.path().join(name));
    let x: Vec<u8> = (0..4 * 3 * 28 * 28)
        .flat_map(|i| ((i % 97) as f32 / 50.0 - 1.0).to_le_bytes())
        .collect();
    let views = BTreeMap::from([(
        "x",
        TensorView::new(Dtype::F32, vec![4, 3, 28, 28], &x).expect("a tensor"),
    )]);
    std::fs::write(&input, safetensors::serialize(views, None).expect("bytes")).expect("a file");
    let mut logits = Vec::new();
    for mode in [None, Some("--train-mode")] {
        let mut args = vec![
            "forward",
            "--model",
            "resnet50",
            "--weights",
            text(&weights),
            "--input",
            text(&input),
        ];
        args.extend(["--output", text(&output)].into_iter().chain(mode));
        let done = trainer(&args);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let bytes = std::fs::read(&output).expect("y");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let y = file.tensor("y").expect("y");
        assert_eq!(y.shape(), [4, 10]);
        logits.push(y.data().to_vec());
    }
    assert_ne!(
        logits[0], logits[1],
        "batch statistics differ from running ones"
    );
}
