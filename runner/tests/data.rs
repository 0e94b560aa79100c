//! `runner data`: datasets are added, listed, verified, packed and named by recipes; what cannot be read is
//! refused with its place and the cure.

mod common;

use std::path::{Path, PathBuf};

use common::{Bench, Said, conforms};
use serde_json::Value;

/// Two classes of PNG files; `changed` varies the colours.
fn folder(root: &Path, changed: u8) {
    for (file, side) in [
        ("train/cat/1.png", 40),
        ("train/cat/2.png", 12),
        ("train/dog/3.png", 12),
        ("train/dog/4.png", 14),
        ("val/cat/5.png", 16),
        ("val/dog/6.png", 18),
    ] {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let colour = image::Rgb([side as u8, changed, 7]);
        image::RgbImage::from_pixel(side, side, colour)
            .save(path)
            .unwrap();
    }
}

fn bench() -> (Bench, PathBuf) {
    let bench = Bench::new();
    let data = bench.dir().join("pets");
    folder(&data, 100);
    (bench, data)
}

#[track_caller]
fn refused(bench: &Bench, arguments: &[&str], words: &[&str]) {
    let said = bench.run(arguments);
    let err = said.err();
    assert_eq!(said.code(), 2, "{arguments:?}: {}{err}", said.out());
    for word in words {
        assert!(err.contains(word), "{arguments:?}: no {word:?} in: {err}");
    }
    assert_eq!(err.trim().lines().count(), 1, "one paragraph: {err}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_added_dataset_is_listed_packed_and_named_by_a_recipe() {
    let (bench, data) = bench();
    let added = bench
        .run(&["data", "add", "pets", "pets", "--json"])
        .ok()
        .json();
    assert_eq!(added["layout"], "folder");
    assert_eq!(
        (
            &added["classes"],
            &added["train"]["images"],
            &added["val"]["images"]
        ),
        (&2.into(), &4.into(), &2.into())
    );
    let digest = added["digest"].as_str().unwrap().to_owned();
    assert_eq!(digest.len(), 64);

    let list = bench.run(&["data", "list", "--json"]).ok().json();
    let pets = list
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["name"] == "pets")
        .unwrap();
    assert_eq!(
        (&pets["digest"], &pets["found"]),
        (&Value::from(digest.as_str()), &true.into())
    );
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .any(|d| d["name"] == "imagenet" && d["registered"] == false)
    );
    let words = bench.run(&["data", "list"]).ok().out();
    assert!(
        words.contains("pets") && words.contains("4 + 2 images"),
        "{words}"
    );

    // A pack of it is the same dataset.
    let packed = bench.run(&["data", "pack", "pets", "--json"]).ok().json();
    assert_eq!(
        (&packed["digest"], &packed["same"]),
        (&Value::from(digest.as_str()), &true.into())
    );
    let again = bench
        .run(&["data", "add", "packed", "pets.pack", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&again["digest"], &again["layout"]),
        (&Value::from(digest.as_str()), &"pack".into())
    );
    let smaller = bench
        .run(&[
            "data",
            "pack",
            "pets",
            "--max-side",
            "16",
            "--out",
            "small.pack",
        ])
        .ok()
        .out();
    assert!(
        smaller.contains("another dataset than pets: 2 images were made smaller"),
        "{smaller}"
    );

    // Recipes name it; its digest is what the run key stands on.
    let tiny = std::fs::read_to_string(bench.dir().join("experiments/tiny.toml")).unwrap();
    bench.experiment("mine", &tiny.replace("\"synthetic\"", "\"pets\""));
    bench.experiment("same", &tiny.replace("\"synthetic\"", "\"packed\""));
    let keys = |name: &str| -> Vec<Value> {
        let plan = bench.run(&["plan", name, "--json"]).ok().json();
        plan["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["key"].clone())
            .collect()
    };
    assert_eq!(keys("mine"), keys("same"), "equal data, equal runs");
    let one = ["--rows", "plain", "--columns", "small"];
    bench
        .run(&[&["reproduce", "mine"], one.as_slice()].concat())
        .ok();
    let run = bench.run_dirs().remove(0);
    let recipe: Value =
        serde_json::from_str(&std::fs::read_to_string(run.join("recipe.json")).unwrap()).unwrap();
    conforms("recipe", &recipe);
    assert_eq!(recipe["dataset"]["identity"], format!("blake3:{digest}"));
    assert_eq!(
        recipe["dataset"]["path"],
        text(&data.canonicalize().unwrap())
    );
    assert_eq!(recipe["dataset"]["layout"], "folder");
    assert_eq!(
        recipe["dataset"]["known"]["train_blake3"],
        added["train"]["blake3"]
    );
    let before = keys("mine");
    folder(&data, 101);
    bench.run(&["data", "add", "pets", "pets"]).ok();
    assert_ne!(keys("mine"), before, "other images, other runs");
}

#[test]
fn unchanged_files_are_not_read_again() {
    let (bench, data) = bench();
    bench.run(&["data", "add", "pets", "pets"]).ok();
    let file = bench.home.join("datasets.toml");
    // A digest that no reading would give: it is kept as long as the files are the same.
    let told = std::fs::read_to_string(&file).unwrap();
    let digest = told
        .lines()
        .find(|l| l.starts_with("digest"))
        .unwrap()
        .to_owned();
    let marked = format!("digest = \"{}\"", "ab".repeat(32));
    std::fs::write(&file, told.replace(&digest, &marked)).unwrap();
    bench.run(&["data", "add", "pets", "pets"]).ok();
    assert!(std::fs::read_to_string(&file).unwrap().contains(&marked));
    std::fs::write(data.join("notes.txt"), "new").unwrap();
    bench.run(&["data", "add", "pets", "pets"]).ok();
    assert!(std::fs::read_to_string(&file).unwrap().contains(&digest));
}

#[test]
fn verify_names_what_is_wrong() {
    let (bench, data) = bench();
    bench.run(&["data", "add", "pets", "pets"]).ok();
    let good = bench.run(&["data", "verify", "pets"]).ok().out();
    assert!(
        good.contains("nothing is wrong") && good.contains("12x12 to 40x40"),
        "{good}"
    );
    std::fs::copy(
        data.join("train/dog/4.png"),
        data.join("val/dog/4again.png"),
    )
    .unwrap();
    std::fs::write(data.join("val/cat/broken.jpg"), b"\xff\xd8\xff\xe0 no more").unwrap();
    let said = bench.run(&["data", "verify", "pets"]);
    assert_eq!(said.code(), 1, "{}", said.err());
    for words in [
        "1 images cannot be read or decoded",
        "val/cat/broken.jpg",
        "1 images are in both splits",
        "train/dog/4.png = ",
        "val/dog/4again.png",
        "the images have changed since",
    ] {
        assert!(said.out().contains(words), "{words}: {}", said.out());
    }
    assert!(
        said.err().contains("pets: 3 things are wrong"),
        "{}",
        said.err()
    );
    let json = bench.run(&["data", "verify", "pets", "--json"]).json();
    assert_eq!(json["wrong"].as_array().unwrap().len(), 3);
    assert_eq!(json["in_both"].as_array().unwrap().len(), 1);
    assert_eq!(json["splits"][1]["per_class"], serde_json::json!([2, 2]));
}

#[test]
fn a_name_of_the_catalogue_stands_for_all_of_it() {
    let (bench, _) = bench();
    refused(
        &bench,
        &["data", "add", "cifar10", "pets"],
        &["pets", "50,000", "name of its own"],
    );
    // Written by hand, it is found; verify says what is missing.
    std::fs::create_dir_all(&bench.home).unwrap();
    let path = bench.dir().join("pets");
    std::fs::write(
        bench.home.join("datasets.toml"),
        format!("[cifar10]\npath = {:?}\n", text(&path)),
    )
    .unwrap();
    let said = bench.run(&["data", "verify", "cifar10"]);
    assert_eq!(said.code(), 1, "{}", said.err());
    for words in [
        "train: 2 classes, CIFAR-10 has 10",
        "train: 4 images, CIFAR-10 has 50,000",
        "cat has 2",
        "has 40 x 40 pixels",
    ] {
        assert!(said.out().contains(words), "{words}: {}", said.out());
    }
}

#[test]
fn what_cannot_be_a_dataset_is_refused_and_nothing_is_remembered() {
    let (bench, data) = bench();
    refused(
        &bench,
        &["data", "add", "x", "nowhere"],
        &["nowhere", "give a directory or file"],
    );
    refused(
        &bench,
        &["data", "add", "x", "experiments"],
        &[
            "experiments",
            "none of the known layouts",
            "places365-standard (",
        ],
    );
    refused(
        &bench,
        &["data", "add", "x", "pets", "--layout", "foldr"],
        &["foldr", "\"folder\""],
    );
    refused(
        &bench,
        &["data", "add", "x", "pets", "--layout", "cifar10"],
        &["data_batch_1.bin", "binary version"],
    );
    refused(
        &bench,
        &["data", "add", "a name", "pets"],
        &["a name", "letters"],
    );
    refused(
        &bench,
        &["data", "add", "synthetic", "pets"],
        &["synthetic", "another name"],
    );
    refused(
        &bench,
        &["data", "verify", "none"],
        &["none", "runner data add none PATH"],
    );
    refused(
        &bench,
        &["data", "verify", "synthetic"],
        &["synthetic", "no images in files"],
    );
    refused(&bench, &["data", "pack", "none"], &["none"]);
    std::fs::write(data.join("train/cat/loop"), "").unwrap();
    std::fs::create_dir(data.join("val/horse")).unwrap();
    refused(
        &bench,
        &["data", "add", "x", "pets"],
        &["val/horse", "does not have"],
    );
    assert!(!bench.home.exists(), "nothing was made");
    let said = bench.run(&["data", "pack", "pets", "--max-side", "4"]);
    assert_eq!(said.code(), 2, "{}", said.err());
}

#[test]
fn a_pack_overwrites_no_other_file_and_leaves_the_dataset_alone() {
    let (bench, _) = bench();
    bench.run(&["data", "add", "pets", "pets"]).ok();
    std::fs::write(bench.dir().join("thesis.tex"), "years").unwrap();
    let pack =
        |out: &str, words: &[&str]| refused(&bench, &["data", "pack", "pets", "--out", out], words);
    pack("thesis.tex", &["thesis.tex", "is no pack"]);
    pack("pets/x.pack", &["pets/x.pack", "elsewhere"]);
    pack("none/x.pack", &["none", "make it"]);
    pack("experiments", &["experiments", "is a directory"]);
    bench.run(&["data", "pack", "pets"]).ok();
    bench.run(&["data", "pack", "pets"]).ok();
    let packs = || {
        let names = std::fs::read_dir(bench.dir())
            .unwrap()
            .map(|e| e.unwrap().file_name());
        names
            .filter(|n| n.to_string_lossy().contains("pack"))
            .count()
    };
    assert_eq!(packs(), 1, "no temporary file is left");
}

#[test]
fn a_full_disk_leaves_no_pack() {
    // A file system of 64 kB, in a mount namespace of its own.
    let allowed = std::process::Command::new("unshare")
        .args(["-rm", "true"])
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this system lets nobody mount a file system of their own");
        return;
    }
    let (bench, _) = bench();
    bench.run(&["data", "add", "pets", "pets"]).ok();
    std::fs::create_dir(bench.dir().join("full")).unwrap();
    let script = "mount -t tmpfs -o size=64k none full && head -c 64k /dev/zero > full/ballast; \
                  \"$0\" data pack pets --out full/pets.pack; status=$?; ls -A full >&2; exit $status";
    let runner = bench.command(&[]);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", script])
        .arg(runner.get_program())
        .current_dir(bench.dir());
    let said = Said(command.output().unwrap());
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(
        said.err().contains("pets.pack: cannot be written")
            && said.err().contains("free some space"),
        "{}",
        said.err()
    );
    assert!(
        said.err().trim().ends_with("ballast"),
        "nothing is left: {}",
        said.err()
    );
}

#[test]
fn what_cannot_be_fetched_is_told_with_what_to_do() {
    let bench = Bench::new();
    refused(
        &bench,
        &["data", "fetch", "imagenet"],
        &["account", "image-net.org", "runner data add imagenet DIR"],
    );
    refused(
        &bench,
        &["data", "fetch", "places365-challenge"],
        &["SHA-256", "runner data add places365-challenge DIR"],
    );
    refused(
        &bench,
        &["data", "fetch", "synthetic"],
        &["nothing to fetch"],
    );
    refused(
        &bench,
        &["data", "fetch", "cifar11"],
        &["cifar11", "\"cifar10\""],
    );
    // Nobody listens there.
    let bench = bench.with("RUNGS_DATA", "data");
    refused(
        &bench,
        &["data", "fetch", "mnist", "--from", "http://127.0.0.1:9"],
        &[
            "cannot fetch http://127.0.0.1:9/train-images-idx3-ubyte.gz",
            "0 of 9912422 bytes",
            "connect this machine",
            "data/mnist.part/train-images-idx3-ubyte.gz",
        ],
    );
    assert!(!bench.home.exists(), "nothing was added");
    assert!(
        !bench.dir().join("data/mnist").exists(),
        "what is not whole is not found"
    );
}
