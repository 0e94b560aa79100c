//! The file that a server judges says of every image what the run's own evaluation found.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use rungs_spec::protocol::EventKind;
use serde_json::json;
use support::{Run, run_file, small_recipe};

const CLASSES: usize = 7;

/// An image of noise around a colour of its class, as a bitmap of 24 bits a pixel.
fn image(path: &Path, class: usize, number: usize) {
    // A side of whole words: rows need no padding.
    let (side, mut state) = (28 + 4 * (number % 3), (class * 1000 + number) as u32);
    let size = (54 + 3 * side * side) as u32;
    let mut bytes = b"BM".to_vec();
    let header = [
        size,
        0,
        54,
        40,
        side as u32,
        side as u32,
        1 | 24 << 16,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    header
        .iter()
        .for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    for _ in 0..side * side {
        for channel in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let middle = (class * (channel + 2) * 37) % 160;
            bytes.push((middle + (state >> 24) as usize / 3) as u8);
        }
    }
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, bytes).expect("an image");
}

/// Places365 by its file lists, with few images; the test images are the validation's, under other names
/// in the same order, and in a list of another order.
fn places(root: &Path) -> Vec<usize> {
    let mut lists = [String::new(), String::new(), String::new(), String::new()];
    let mut labels = Vec::new();
    for class in 0..CLASSES {
        lists[0] += &format!("/c/class{class} {class}\n");
        for number in 0..20 {
            let name = format!("c/class{class}/{number}.bmp");
            image(&root.join("data_256").join(&name), class, number);
            lists[1] += &format!("/{name} {class}\n");
        }
    }
    for number in 0..40 {
        let class = (number * 5) % CLASSES;
        for (split, list) in [("val", 2), ("test", 3)] {
            let name = format!("Places365_{split}_{number:08}.bmp");
            image(
                &root.join(format!("{split}_256/{name}")),
                class,
                100 + number,
            );
            if split == "val" {
                lists[list] += &format!("{name} {class}\n");
            } else {
                lists[list].insert_str(0, &format!("{name}\n"));
            }
        }
        labels.push(class);
    }
    let names = [
        "categories_places365",
        "places365_train_standard",
        "places365_val",
        "places365_test",
    ];
    for (name, text) in names.iter().zip(&lists) {
        std::fs::write(root.join(format!("{name}.txt")), text).expect("a list");
    }
    labels
}

fn predict(run: &Run) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["predict", "--run-dir"])
        .arg(run.paths().dir())
        .output()
        .expect("the trainer starts")
}

#[test]
fn predictions_score_what_the_last_evaluation_scored() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("places");
    let labels = places(&data);
    let mut recipe = small_recipe();
    for key in ["train_subset", "val_subset"] {
        recipe[key] = json!(null);
    }
    recipe["dataset"] = json!("places365-standard");
    recipe["epochs"] = json!(4);
    let mut file = run_file(recipe);
    file.dataset.path = Some(data.clone());
    file.dataset.layout = Some("places365-standard".to_owned());
    let run = Run::create(dir.path(), "run", &file);
    run.finish();
    let output = predict(&run);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).expect("text");
    let (mut top1, mut top5) = (0, 0);
    assert_eq!(text.lines().count(), labels.len());
    for (number, (line, label)) in text.lines().zip(&labels).enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], format!("Places365_test_{number:08}.bmp"));
        let classes: Vec<usize> = words[1..]
            .iter()
            .map(|w| w.parse().expect("a class"))
            .collect();
        assert_eq!(classes.len(), 5, "{line}");
        let mut distinct = classes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() == 5 && distinct[4] < CLASSES, "{line}");
        top1 += usize::from(classes[0] == *label);
        top5 += usize::from(classes.contains(label));
    }
    let events = run.events(1).into_iter();
    let metrics: Vec<_> = events
        .filter_map(|event| match event.kind {
            EventKind::Evaluation { metrics, .. } => Some(metrics),
            _ => None,
        })
        .collect();
    let last = metrics.last().expect("an evaluation");
    let percent = |right: usize| 100.0 * right as f64 / labels.len() as f64;
    assert_eq!(last["val/top1"].0, percent(top1));
    assert_eq!(last["val/top5"].0, percent(top5));
    assert!(
        percent(top1) > 30.0,
        "it has learned something: {}",
        percent(top1)
    );
}

#[test]
fn what_cannot_be_predicted_is_refused_with_the_cure() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run::create(dir.path(), "run", &run_file(small_recipe()));
    let refused = |words: &[&str]| {
        let output = predict(&run);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty());
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    };
    refused(&["synthetic"]);
    let data = dir.path().join("places");
    places(&data);
    let mut recipe = small_recipe();
    recipe["dataset"] = json!("places365-standard");
    let mut file = run_file(recipe);
    file.dataset.path = Some(data.clone());
    let text = serde_json::to_vec(&file).expect("JSON");
    std::fs::write(run.paths().recipe(), text).expect("recipe.json");
    refused(&["no checkpoint"]);
    std::fs::remove_file(data.join("places365_test.txt")).expect("the list");
    refused(&[
        "its test split",
        "places365_test.txt",
        "fetch the test images",
    ]);
}
