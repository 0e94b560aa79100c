//! Segmentation through the whole trainer: an ADE layout on disk, events with its metrics, pictures,
//! a backbone from another run, and the same weights however often it was stopped.

mod support;

use std::path::Path;

use rungs_spec::pictures::{Marks, Pictures};
use rungs_spec::protocol::{EXIT_CHECKPOINTED, EXIT_PERMANENT, EventKind, InputRef, RunFile};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{Run, run_file, small_recipe};

/// Side of the images.
const SIDE: u32 = 40;

fn png(path: &Path, color: png::ColorType, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    let file = std::fs::File::create(path).expect("a file");
    let mut encoder = png::Encoder::new(file, SIDE, SIDE);
    encoder.set_color(color);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(bytes).expect("pixels");
}

/// A bright square somewhere (class 2) on a dark ground (class 1), a border that counts nowhere (0).
fn data(root: &Path) {
    for (split, count) in [("training", 32_u32), ("validation", 8)] {
        for i in 0..count {
            let (left, top) = (4 + i * 7 % 18, 4 + i * 5 % 18);
            let (mut pixels, mut mask) = (Vec::new(), Vec::new());
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let inside = (left..left + 14).contains(&x) && (top..top + 14).contains(&y);
                    let noise = (x * 31 + y * 17 + i * 13) % 23;
                    let level = if inside { 200 } else { 40 } + noise;
                    pixels.extend([level as u8; 3]);
                    let border = x.min(y).min(SIDE - 1 - x.max(y)) == 0;
                    mask.push(match (border, inside) {
                        (true, _) => 0,
                        (false, true) => 2,
                        (false, false) => 1,
                    });
                }
            }
            let file = |kind: &str| root.join(kind).join(split).join(format!("{i:03}.png"));
            png(&file("images"), png::ColorType::Rgb, &pixels);
            png(&file("annotations"), png::ColorType::Grayscale, &mask);
        }
    }
    std::fs::write(root.join("classes.txt"), "ground\nsquare\n").expect("classes.txt");
}

/// 4 epochs of 8 steps.
fn file(root: &Path) -> RunFile {
    let table: toml::Table = r#"
        task = "segment"
        model = "resnet50d"
        dataset = "squares"
        depths = [1, 1, 1]
        width = 0.125
        epochs = 4
        batch_size = 4
        lr = 0.02
        [segment]
        base_size = 40
        crop_size = 32
        scale = [0.9, 1.5]
        evaluate = "whole"
        ms_scales = [0.75, 1.0, 1.25]
    "#
    .parse()
    .expect("TOML");
    let recipe = rungs_spec::settle::complete(&table).expect("a recipe");
    let mut file = run_file(serde_json::to_value(recipe).expect("JSON"));
    file.dataset.path = Some(root.to_owned());
    file
}

/// Epoch and metrics of every evaluation of an attempt.
fn evaluations(run: &Run, attempt: u32) -> Vec<(u64, std::collections::BTreeMap<String, f64>)> {
    let events = run.events(attempt).into_iter();
    let found = events.filter_map(|event| match event.kind {
        EventKind::Evaluation {
            epoch,
            metrics,
            n,
            top1_bits,
            ..
        } => {
            assert_eq!((n, top1_bits), (8, None));
            let plain = metrics.into_iter().map(|(name, num)| (name, num.0));
            Some((epoch, plain.collect()))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn squares_are_learned_and_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("squares");
    data(&root);
    let run = Run::create(dir.path(), "run", &file(&root));
    run.finish();
    assert_eq!(run.series(1, "train/loss").len(), 32);
    let rates = run.series(1, "lr");
    assert!((rates[16] - 0.02 * 0.5_f64.powf(0.9)).abs() < 1e-12);
    let found = evaluations(&run, 1);
    assert_eq!(
        found.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let (_, last) = &found[3];
    for name in ["val/miou", "val/pixacc", "val/miou_ms", "val/pixacc_ms"] {
        assert!(last[name] > 60.0 && last[name] <= 100.0, "{name} {last:?}");
    }
    assert!(
        found[..3]
            .iter()
            .all(|(_, metrics)| !metrics.contains_key("val/miou_ms"))
    );
    assert!(last["val/loss"].is_finite());

    let folder = run.paths().pictures();
    let text = std::fs::read_to_string(folder.join("1.json")).expect("pictures");
    let pictures: Pictures = serde_json::from_str(&text).expect("JSON");
    assert_eq!((pictures.epoch, pictures.pictures.len()), (4, 6));
    assert_eq!(pictures.classes, ["ground", "square"]);
    let first = &pictures.pictures[0];
    assert_eq!((first.width, first.height), (SIDE, SIDE));
    let Marks::Mask { file, classes } = &first.truth else {
        panic!("{first:?}")
    };
    assert_eq!(*classes, [0, 1]);
    assert!(folder.join(file).exists() && folder.join(&first.image).exists());
}

#[test]
fn a_segmentation_stopped_in_an_epoch_resumes_to_the_same_weights() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("squares");
    data(&root);
    let mut file = file(&root);
    let whole = Run::create(dir.path(), "whole", &file);
    whole.finish();
    file.checkpoint_every_s = 0.0;
    let run = Run::create(dir.path(), "stopped", &file);
    let mut child = run.start();
    run.wait_for_checkpoints(1, 3, &mut child);
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    let _ = kill_process(pid, Signal::TERM);
    let status = child.wait().expect("an exit status");
    assert_eq!(status.code(), Some(EXIT_CHECKPOINTED));
    run.finish();
    let (step, _) = run.started(2);
    assert!((3..32).contains(&step), "resumed at step {step}");
    let expected = &whole.series(1, "train/loss")[step as usize..];
    assert_eq!(run.series(2, "train/loss"), expected);
    assert_eq!(run.weights(), whole.weights());
    let last = |run: &Run, attempt| evaluations(run, attempt).pop().expect("an evaluation").1;
    for name in ["val/miou", "val/miou_ms"] {
        assert_eq!(last(&run, 2)[name], last(&whole, 1)[name], "{name}");
    }
}

/// The backbone comes from a classification's checkpoint; another network's is refused by name.
#[test]
fn a_backbone_comes_from_another_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("squares");
    data(&root);
    let mut recipe = small_recipe();
    recipe["model"] = json!("resnet50d");
    recipe["depths"] = json!([1, 1, 1]);
    recipe["epochs"] = json!(1);
    let source = Run::create(dir.path(), "source", &run_file(recipe));
    source.finish();
    let mut file = file(&root);
    let plain = Run::create(dir.path(), "plain", &file);
    plain.finish();
    file.recipe.init = serde_json::from_value(json!({
        "experiment": "e", "row": "r", "column": "c"
    }))
    .expect("an edge");
    let input = InputRef {
        model: "resnet50d".to_owned(),
        run_dir: Some(source.paths().dir().to_owned()),
        checkpoint: None,
        file: None,
    };
    file.inputs.insert("init".to_owned(), input);
    let run = Run::create(dir.path(), "on-it", &file);
    run.finish();
    assert_ne!(
        run.series(1, "train/loss")[0],
        plain.series(1, "train/loss")[0]
    );

    file.recipe.model = "resnet50b".to_owned();
    let other = Run::create(dir.path(), "other", &file);
    let output = other.attempt();
    assert_eq!(output.status.code(), Some(EXIT_PERMANENT));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("backbone.conv1.0.weight"), "{said}");
}

#[test]
fn a_mask_of_another_size_ends_the_run_with_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("squares");
    data(&root);
    let wide = root.join("annotations/training/007.png");
    let out = std::fs::File::create(&wide).expect("a file");
    let mut encoder = png::Encoder::new(out, SIDE + 1, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    let bytes = vec![1; ((SIDE + 1) * SIDE) as usize];
    writer.write_image_data(&bytes).expect("pixels");
    drop(writer);
    let run = Run::create(dir.path(), "run", &file(&root));
    let output = run.attempt();
    assert_eq!(output.status.code(), Some(EXIT_PERMANENT));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("007.png") && said.contains("41 x 40"),
        "{said}"
    );
}
