//! Real data from RUNGS_TEST_DATA, and small datasets in every layout.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use rungs_data::preprocess::Layout;
use rungs_data::{Dataset, LoaderConfig, Output, Split, open, subset};
use rungs_spec::recipe::{Augment, Variant};

/// `RUNGS_TEST_DATA/FOLDER`, or what the archive of that name in there unpacks to. `None`, loudly, without
/// the variable.
pub fn real(folder: &str, archive: &str) -> Option<PathBuf> {
    static UNPACKING: Mutex<()> = Mutex::new(());
    let Some(root) = std::env::var_os("RUNGS_TEST_DATA").filter(|v| !v.is_empty()) else {
        eprintln!("SKIPPED: RUNGS_TEST_DATA is not set, so there is no {archive}");
        return None;
    };
    let root = PathBuf::from(root);
    if root.join(folder).is_dir() {
        return Some(root.join(folder));
    }
    let _one_at_a_time = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real");
    if !unpacked.join(folder).is_dir() {
        let beside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tar = Command::new("tar")
            .arg("-xf")
            .arg(root.join(archive))
            .arg("-C")
            .arg(beside.path())
            .status()
            .unwrap();
        assert!(
            tar.success(),
            "{} cannot be unpacked",
            root.join(archive).display()
        );
        std::fs::create_dir_all(&unpacked).unwrap();
        // Another process may have been faster.
        let moved = std::fs::rename(beside.path().join(folder), unpacked.join(folder));
        assert!(moved.is_ok() || unpacked.join(folder).is_dir(), "{moved:?}");
    }
    Some(unpacked.join(folder))
}

/// Writes a tar file.
pub fn tar(path: &Path, members: &[(String, Vec<u8>)]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap();
}

/// A PNG file of one colour.
pub fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width, height, image::Rgb(colour))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// Writes a file, with its directories.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The paper's preprocessing at 16 pixels.
pub fn config(batch_size: usize, workers: usize) -> LoaderConfig {
    LoaderConfig {
        seed: 1,
        batch_size,
        input_size: 16,
        augment: Augment {
            crop_area: [0.08, 1.0],
            crop_ratio: [0.75, 4.0 / 3.0],
            flip: 0.5,
            hue: 0.4,
            saturation: 0.4,
            brightness: 0.4,
            contrast: 0.0,
            pca_std: 0.1,
            antialias: false,
            resize_short: 19,
        },
        variant: Variant::Paper,
        max_corrupt: 0,
        layout: Layout::ChannelsLast,
        output: Output::Floats,
        workers,
    }
}

/// The first images of the synthetic dataset.
pub fn synthetic(n: u64) -> Arc<dyn Dataset> {
    subset(open("synthetic", None, Split::Train).unwrap(), Some(n)).unwrap()
}
