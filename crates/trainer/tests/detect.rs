//! Detection through the whole trainer: a VOC layout on disk with images of two sizes, events with its
//! metrics, pictures, a backbone from another run, and the same weights however often it was stopped.

mod support;

use std::path::Path;

use rungs_spec::pictures::{Marks, Pictures};
use rungs_spec::protocol::{EXIT_CHECKPOINTED, EXIT_PERMANENT, EventKind, InputRef, RunFile};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{Run, run_file, small_recipe};

/// Width and height of every third image, and of the others.
const SIZES: [[u32; 2]; 2] = [[48, 64], [64, 48]];
const TEST: u32 = 9;

fn png(path: &Path, [width, height]: [u32; 2], bytes: &[u8]) {
    let file = std::fs::File::create(path).expect("a file");
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(bytes).expect("pixels");
}

/// A bright square somewhere on a dark ground.
fn data(root: &Path) {
    for dir in ["Annotations", "JPEGImages", "ImageSets/Main"] {
        std::fs::create_dir_all(root.join(dir)).expect("a directory");
    }
    let mut lists = [String::new(), String::new()];
    for i in 0..32 + TEST {
        let name = format!("{i:03}");
        lists[usize::from(i >= 32)] += &format!("{name}\n");
        let [width, height] = SIZES[usize::from(i % 3 > 0)];
        let (left, top) = (3 + i * 7 % 24, 3 + i * 5 % 24);
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let inside = (left..left + 18).contains(&x) && (top..top + 18).contains(&y);
                let noise = (x * 31 + y * 17 + i * 13) % 23;
                pixels.extend([(if inside { 200 } else { 40 } + noise) as u8; 3]);
            }
        }
        png(
            &root.join("JPEGImages").join(format!("{name}.png")),
            [width, height],
            &pixels,
        );
        let bounds = format!(
            "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>",
            left + 1,
            top + 1,
            left + 18,
            top + 18
        );
        let text = format!(
            "<annotation>\n<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n\
             <object><name>square</name><difficult>0</difficult>\n<bndbox>{bounds}</bndbox></object>\n</annotation>\n"
        );
        let file = root.join("Annotations").join(format!("{name}.xml"));
        std::fs::write(file, text).expect("an annotation");
    }
    for (list, name) in lists.iter().zip(["trainval", "test"]) {
        let file = root.join("ImageSets/Main").join(format!("{name}.txt"));
        std::fs::write(file, list).expect("a list");
    }
}

/// 4 epochs of 8 steps.
fn file(root: &Path) -> RunFile {
    let table: toml::Table = r#"
        task = "detect"
        model = "resnet50d"
        dataset = "squares"
        depths = [1, 1, 1]
        width = 0.125
        epochs = 4
        batch_size = 4
        lr = 0.03
        schedule = { kind = "step", milestones = [3], gamma = 0.1 }
        [detect]
        short_side = 48
        max_side = 64
        anchor_base = 8
        anchor_scales = [2, 3]
        rpn_channels = 16
        rpn_batch = 32
        proposals_before_nms = [200, 100]
        proposals = [50, 20]
        proposal_min_size = 4
        roi_batch = 16
        roi_size = 8
        frozen = 0
        freeze_bn = false
    "#
    .parse()
    .expect("TOML");
    let recipe = rungs_spec::settle::complete(&table).expect("a recipe");
    let mut file = run_file(serde_json::to_value(recipe).expect("JSON"));
    file.dataset.path = Some(root.to_owned());
    file
}

/// Metrics of every evaluation of an attempt.
fn evaluations(run: &Run, attempt: u32) -> Vec<std::collections::BTreeMap<String, f64>> {
    let events = run.events(attempt).into_iter();
    let found = events.filter_map(|event| match event.kind {
        EventKind::Evaluation { metrics, n, .. } => {
            assert_eq!(n, u64::from(TEST));
            let plain = metrics.into_iter().map(|(name, num)| (name, num.0));
            Some(plain.collect())
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn squares_are_found_and_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("squares");
    data(&root);
    let run = Run::create(dir.path(), "run", &file(&root));
    run.finish();
    let losses = run.series(1, "train/loss");
    assert_eq!(losses.len(), 32);
    assert!(losses.iter().all(|loss| loss.is_finite()));
    let found = evaluations(&run, 1);
    assert_eq!(found.len(), 4);
    for name in ["val/map07", "val/map_area"] {
        let best = found
            .iter()
            .map(|metrics| metrics[name])
            .fold(0.0, f64::max);
        assert!(best > 50.0 && best <= 100.0, "{name} {found:?}");
    }
    let folder = run.paths().pictures();
    let text = std::fs::read_to_string(folder.join("1.json")).expect("pictures");
    let pictures: Pictures = serde_json::from_str(&text).expect("JSON");
    assert_eq!((pictures.epoch, pictures.pictures.len()), (4, 6));
    assert_eq!(pictures.classes, ["square"]);
    for (i, one) in pictures.pictures.iter().enumerate() {
        // Images 32 and on: 33 is the first that is divisible by three.
        let [width, height] = SIZES[usize::from((32 + i) % 3 > 0)];
        assert_eq!((one.width, one.height), (width, height), "{i}");
        assert!(folder.join(&one.image).exists());
        let Marks::Boxes(truth) = &one.truth else {
            panic!("{one:?}")
        };
        assert_eq!((truth.len(), truth[0].score), (1, None));
    }
}

#[test]
fn a_detection_stopped_in_an_epoch_resumes_to_the_same_weights() {
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
    let last = |run: &Run, attempt| evaluations(run, attempt).pop().expect("an evaluation");
    for name in ["val/map07", "val/map_area"] {
        assert_eq!(last(&run, 2)[name], last(&whole, 1)[name], "{name}");
    }
}

/// The backbone comes from a classification's checkpoint; another network's is refused by name.
#[test]
fn a_backbone_of_a_detector_comes_from_another_run() {
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
    file.recipe.epochs = 1;
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

/// The same text as `runner data verify`.
#[test]
fn a_bad_box_ends_the_run_with_file_and_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("squares");
    data(&root);
    let path = root.join("Annotations/007.xml");
    let text = std::fs::read_to_string(&path).expect("an annotation");
    std::fs::write(&path, text.replace("<xmax>", "<xmax>9")).expect("written");
    let run = Run::create(dir.path(), "run", &file(&root));
    let output = run.attempt();
    assert_eq!(output.status.code(), Some(EXIT_PERMANENT));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("007.xml:"), "{said}");
}
