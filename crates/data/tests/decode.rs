//! Decoding against PIL and libjpeg-turbo (files made by bench/peers/golden_images.py), parts against
//! wholes, and damaged files.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rungs_data::decode::{Decoder, whole};
use rungs_data::preprocess::crop::Rect;
use rungs_data::random::{Purpose, Stream};
use rungs_data::{DataError, Image};

fn golden() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "JPEG"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 31);
    files
}

fn decoded(bytes: &[u8]) -> Result<Image, DataError> {
    let mut image = Image::default();
    whole(bytes, &|| "here".to_owned(), &mut image)?;
    Ok(image)
}

#[test]
fn pixels_are_those_of_libjpeg_turbo() {
    for file in golden() {
        let got = decoded(&std::fs::read(&file).unwrap()).unwrap();
        let want = decoded(&std::fs::read(file.with_extension("png")).unwrap()).unwrap();
        assert_eq!((got.width, got.height), (want.width, want.height));
        let name = file.file_stem().unwrap().to_str().unwrap();
        let mut worst = 0;
        for y in 0..got.height {
            for x in 0..got.width {
                for (a, b) in got.rgb(x, y).into_iter().zip(want.rgb(x, y)) {
                    worst = worst.max(a.abs_diff(b));
                }
            }
        }
        assert_eq!(worst, 0, "{name}: off by so many levels");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_part_is_that_part_of_the_whole(which in 0usize..31, x in 0.0f64..1.0, y in 0.0f64..1.0, w in 0.0f64..1.0, h in 0.0f64..1.0) {
        let bytes = std::fs::read(&golden()[which]).unwrap();
        let all = decoded(&bytes).unwrap();
        let part = |all: usize, from: f64, share: f64| {
            let from = (from * all as f64) as usize;
            (from, 1 + (share * (all - from - 1) as f64) as usize)
        };
        let ((x, width), (y, height)) = (part(all.width, x, w), part(all.height, y, h));
        let (mut decoder, mut image, place) = (Decoder::default(), Image::default(), || String::new());
        // A second image through the same buffers.
        for _ in 0..2 {
            let opened = decoder.open(&bytes, &place).unwrap();
            prop_assert_eq!((opened.width, opened.height), (all.width, all.height));
            opened.region(Rect { x, y, width, height }, &place, &mut image).unwrap();
        }
        for line in 0..height {
            for column in 0..width {
                prop_assert_eq!(image.rgb(column, line), all.rgb(x + column, y + line));
            }
        }
    }
}

fn error(bytes: &[u8]) -> String {
    match decoded(bytes) {
        Ok(image) => panic!("decoded to {} x {}", image.width, image.height),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_image_is_refused_with_its_place() {
    let file = named("full-95");
    assert_eq!(error(b""), "here cannot be decoded: the file is empty");
    assert!(error(b"<html>404").contains("no image format"));
    assert!(error(&file[..100]).contains("here cannot be decoded: the file ends at byte 100"));
    assert!(error(&file[..file.len() * 2 / 3]).contains("the data ends in row"));
}

fn named(stem: &str) -> Vec<u8> {
    let file = golden()
        .into_iter()
        .find(|f| f.file_stem().unwrap() == stem);
    std::fs::read(file.unwrap()).unwrap()
}

/// Where the content of the frame header begins.
fn frame(file: &[u8]) -> usize {
    let marker = |w: &[u8]| w[0] == 0xff && (0xc0..=0xc2).contains(&w[1]);
    file.windows(2).position(marker).unwrap() + 4
}

/// Neither the memory for all coefficients nor that for the pixels is asked for.
#[test]
fn a_header_that_promises_more_than_the_file_can_hold_is_refused() {
    for name in ["full-95", "progressive", "scans-half", "cmyk"] {
        let mut file = named(name);
        let at = frame(&file);
        // 12,000 x 9,000 pixels, which would be allowed.
        file[at + 1..at + 5].copy_from_slice(&[0x23, 0x28, 0x2e, 0xe0]);
        let text = error(&file);
        assert!(
            text.contains("says it has 12000 x 9000 pixels, more than its"),
            "{text}"
        );
        assert!(
            text.contains(&format!("{} bytes can hold", file.len())),
            "{text}"
        );
    }
    // Even where the file is long enough.
    let mut huge = named("full-95");
    let at = frame(&huge);
    huge[at + 1..at + 5].fill(0xff);
    huge.resize(30 << 20, 0);
    assert!(error(&huge).contains("65535 x 65535 pixels, and no more than"));
}

#[test]
fn a_file_cut_anywhere_between_or_in_its_scans_is_an_error() {
    for name in ["progressive", "progressive-cmyk", "scans-full"] {
        let file = named(name);
        let data = file.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 16;
        for length in (data..file.len() - 12).step_by(7) {
            let text = error(&file[..length]);
            let sound = text.contains("the data ends in row")
                || text.contains("the file ends at byte") && text.contains("before its last scan");
            assert!(sound, "{length}: {text}");
        }
        // Without the end's marker nothing is missing.
        assert_eq!(
            decoded(&file[..file.len() - 2]).unwrap(),
            decoded(&file).unwrap()
        );
    }
}

#[test]
fn kinds_of_jpegs_that_are_not_read_are_named() {
    let with = |marker: u8, precision: u8, components: u8| {
        let mut file = named("full-95");
        let at = frame(&file);
        (file[at - 3], file[at], file[at + 5]) = (marker, precision, components);
        error(&file)
    };
    for (text, kind) in [
        (with(0xc9, 8, 3), "arithmetically coded JPEG"),
        (with(0xc3, 8, 3), "lossless JPEG"),
        (with(0xc5, 8, 3), "hierarchical"),
        (with(0xc1, 12, 3), "12-bit JPEG"),
        (with(0xc0, 8, 2), "it has 2 components"),
    ] {
        assert!(text.contains(kind), "{text}");
    }
}

/// Damages files at random: an error that names the place, or an image of the promised size.
fn fuzz(rounds: u64) {
    let files: Vec<Vec<u8>> = golden().iter().map(|f| std::fs::read(f).unwrap()).collect();
    let (mut decoder, mut image, place) =
        (Decoder::default(), Image::default(), || "here".to_owned());
    for round in 0..rounds {
        let mut stream = Stream::new(Purpose::Synthetic, 11, 0, round);
        let mut bytes = files[stream.below(files.len() as u64) as usize].clone();
        for _ in 0..1 + stream.below(6) {
            let at = stream.below(bytes.len() as u64) as usize;
            match stream.below(8) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = 0xff,
                2 => {
                    let (from, n) = (
                        stream.below(bytes.len() as u64) as usize,
                        stream.below(40) as usize,
                    );
                    let copy = bytes[from..bytes.len().min(from + n)].to_vec();
                    bytes.splice(at..at, copy);
                }
                3 => drop(
                    bytes.drain(
                        at..(at + stream.below(20) as usize)
                            .min(bytes.len() - 1)
                            .max(at),
                    ),
                ),
                _ => bytes[at] = stream.below(256) as u8,
            }
        }
        let outcome = decoder.open(&bytes, &place).and_then(|opened| {
            // Headers may promise many pixels; a part of them is enough.
            let (width, height) = (opened.width.min(200), opened.height.min(200));
            let (x, y) = (opened.width - width, opened.height - height);
            let region = Rect {
                x,
                y,
                width,
                height,
            };
            opened.region(region, &place, &mut image)?;
            assert_eq!((image.width, image.height), (width, height));
            Ok(())
        });
        if let Err(error) = outcome {
            assert!(
                error.to_string().starts_with("here cannot be decoded: "),
                "{error}"
            );
        }
    }
}

#[test]
fn damaged_files_are_errors_and_never_more() {
    fuzz(10_000);
}

#[test]
#[ignore = "long: a million damaged files"]
fn a_million_damaged_files_are_errors_and_never_more() {
    fuzz(1_000_000);
}

/// Every JPEG of `RUNGS_TEST_DATA` in parts.
#[test]
fn parts_of_real_photographs_are_parts_of_their_wholes() {
    let Some(dir) = std::env::var_os("RUNGS_TEST_DATA").map(PathBuf::from) else {
        eprintln!("SKIPPED: RUNGS_TEST_DATA is not set");
        return;
    };
    let archive = dir.join("imagenet-sample-200.tar");
    let unpacked = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(unpacked.path())
        .status();
    if !archive.is_file() || !status.is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: {} cannot be unpacked", archive.display());
        return;
    }
    use rungs_data::Dataset as _;
    let files = rungs_data::files::Files::below(unpacked.path()).unwrap();
    let (mut decoder, mut image, mut bytes) = (Decoder::default(), Image::default(), Vec::new());
    for index in 0..files.len() {
        bytes.clear();
        files.bytes(index, &mut bytes).unwrap();
        let all = decoded(&bytes).unwrap();
        let place = || files.place(index);
        let mut stream = Stream::new(Purpose::Synthetic, 12, 0, index as u64);
        for _ in 0..4 {
            let mut part = |all: usize| {
                let from = stream.below(all as u64) as usize;
                (from, 1 + stream.below((all - from) as u64) as usize)
            };
            let ((x, width), (y, height)) = (part(all.width), part(all.height));
            let region = Rect {
                x,
                y,
                width,
                height,
            };
            decoder
                .open(&bytes, &place)
                .unwrap()
                .region(region, &place, &mut image)
                .unwrap();
            for line in 0..height {
                for column in 0..width {
                    assert_eq!(
                        image.rgb(column, line),
                        all.rgb(x + column, y + line),
                        "{}",
                        place()
                    );
                }
            }
        }
    }
}
