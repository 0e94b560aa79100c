//! `runner bench`: the figures have the documented shape and speak of the work that was asked for. How
//! large they are is no test's business.

mod common;

use common::Bench;
use serde_json::Value;

fn positive(value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or(f64::NAN);
    assert!(number > 0.0, "{value}");
    number
}

fn images(bench: &Bench, folder: &str, count: u8) {
    let dir = bench.dir().join(folder);
    std::fs::create_dir_all(&dir).unwrap();
    for i in 0..count {
        let colour = image::Rgb([i * 20, 90, 200 - i]);
        image::RgbImage::from_pixel(40 + u32::from(i), 30, colour)
            .save(dir.join(format!("{i}.jpg")))
            .unwrap();
    }
}

#[test]
fn the_loader_is_measured_in_both_pipelines_and_for_every_number_of_threads() {
    let bench = Bench::new();
    images(&bench, "pictures/train/cat", 3);
    images(&bench, "pictures/val/cat", 2);
    // Links are followed.
    std::os::unix::fs::symlink("pictures", bench.dir().join("linked")).unwrap();
    let small = ["--batch", "8", "--size", "32", "--batches", "2", "--json"];
    for (pipeline, dir) in [("train", "pictures"), ("eval", "linked")] {
        let mut arguments = vec![
            "bench",
            "loader",
            dir,
            "--pipeline",
            pipeline,
            "--threads",
            "1,3",
        ];
        arguments.extend(small);
        let found = bench.run(&arguments).ok().json();
        positive(&found["images_per_s"]);
        positive(&found["peak_bytes"]);
        for stage in ["read", "decode", "resize", "colour"] {
            positive(&found["stages"][stage]);
        }
        let runs = found["runs"].as_array().unwrap();
        let threads: Vec<u64> = runs
            .iter()
            .map(|r| r["threads"].as_u64().unwrap())
            .collect();
        assert_eq!(threads, [1, 3]);
        assert_eq!(runs[1]["images_per_s"], found["images_per_s"]);
    }
    // Class folders without splits.
    let mut arguments = vec!["bench", "loader", "pictures/train", "--threads", "1"];
    arguments.extend(&small[..6]);
    let words = bench.run(&arguments).ok().out();
    assert!(
        words.contains("3 files") && words.contains("1 threads:"),
        "{words}"
    );
}

#[test]
fn a_directory_without_images_or_with_a_broken_one_is_refused() {
    let bench = Bench::new();
    std::fs::create_dir(bench.dir().join("empty")).unwrap();
    let said = bench.run(&["bench", "loader", "empty"]);
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains("empty"), "{}", said.err());
    let said = bench.run(&["bench", "loader", "nowhere"]);
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains("nowhere"), "{}", said.err());
    images(&bench, "broken", 2);
    std::fs::write(bench.dir().join("broken/torn.jpg"), [0xff, 0xd8, 0xff]).unwrap();
    let said = bench.run(&["bench", "loader", "broken", "--size", "16", "--batch", "4"]);
    assert_ne!(said.code(), 0);
    assert!(said.err().contains("torn.jpg"), "{}", said.err());
}

#[test]
fn points_of_a_run_are_ingested_and_counted() {
    let bench = Bench::new();
    let arguments = ["bench", "ingest", "--steps", "2345", "--json"];
    let found = bench.run(&arguments).ok().json();
    positive(&found["points_per_s"]);
    let runs = found["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(
            (&run["steps"], &run["points"]),
            (&2345.into(), &4690.into())
        );
        // A double has eight bytes: the noise of a loss cannot be compressed below its mantissa.
        assert!(positive(&run["loss_bytes_per_point"]) < 9.0, "{run}");
        assert!(positive(&run["lr_bytes_per_point"]) < 9.0, "{run}");
    }
    // The home is left alone, and so is the place beside it.
    assert!(!bench.home.exists());
    let left: Vec<_> = std::fs::read_dir(bench.dir()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
