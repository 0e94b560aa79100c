//! Broken and hostile files: whatever the bytes, no panic, no memory that the file does not have, and an
//! error names the file.

mod support;

use std::path::{Path, PathBuf};

use rungs_data::dataset::Splits;
use rungs_data::datasets::pack;
use rungs_data::random::{Purpose, Stream};
use rungs_data::{FileLayout, Image, Split, datasets, open};

/// A file of a layout, and how it is opened.
struct Subject {
    layout: FileLayout,
    /// The file that is mutated, and the whole one.
    file: PathBuf,
    whole: Vec<u8>,
    /// What is opened: the file or its directory.
    path: PathBuf,
    /// Makes checksums hold, so that the reader goes on past them.
    repair: fn(&mut [u8]),
}

fn subject(layout: FileLayout, file: &Path, path: &Path, repair: fn(&mut [u8])) -> Subject {
    Subject {
        layout,
        file: file.to_owned(),
        whole: std::fs::read(file).unwrap(),
        path: path.to_owned(),
        repair,
    }
}

fn no_checksum(_: &mut [u8]) {}

fn pack_checksum(bytes: &mut [u8]) {
    let Some((start, _)) = bytes.split_at_checked(64) else {
        return;
    };
    let at = u64::from_le_bytes(start[16..24].try_into().unwrap());
    let index = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
    if let Some(hash) = index.map(blake3::hash) {
        bytes[32..64].copy_from_slice(hash.as_bytes());
    }
}

/// Of every block that begins as a header does.
fn tar_checksums(bytes: &mut [u8]) {
    for block in bytes.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Small files of each layout that has a format of its own.
fn subjects(dir: &Path) -> Vec<Subject> {
    let idx = |dims: &[u8], data: &[u8]| {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|d| bytes.extend([0, 0, 0, *d]));
        bytes.extend(data);
        bytes
    };
    let mnist = dir.join("mnist");
    support::write(
        &mnist.join("train-images-idx3-ubyte"),
        &idx(&[5, 3, 2], &[7; 30]),
    );
    support::write(
        &mnist.join("train-labels-idx1-ubyte"),
        &idx(&[5], &[0, 1, 2, 3, 4]),
    );

    let cifar = dir.join("cifar");
    for file in 1..=5 {
        support::write(&cifar.join(format!("data_batch_{file}.bin")), &[3; 3073]);
    }
    let archive = dir.join("cifar-10-binary.tar.gz");
    let gz =
        flate2::write::GzEncoder::new(std::fs::File::create(&archive).unwrap(), Default::default());
    let mut tar = tar::Builder::new(gz);
    tar.append_dir_all("cifar-10-batches-bin", &cifar).unwrap();
    tar.into_inner().unwrap().finish().unwrap();

    let png = support::png(6, 4, [1, 2, 3]);
    let long = format!("{}.png", "n".repeat(140));
    let shard = dir.join("x-train-000000.tar");
    let members = [
        ("a/1.png".to_owned(), png.clone()),
        ("a/1.cls".to_owned(), b"3".to_vec()),
        (long.clone(), png.clone()),
        (long.replace(".png", ".json"), b"{\"label\": 1}".to_vec()),
    ];
    support::tar(&shard, &members);

    for (class, split) in [("a", "train"), ("b", "train"), ("b", "val")] {
        support::write(&dir.join(format!("folder/{split}/{class}/1.png")), &png);
    }
    let packed = |name: &str, path: Option<&Path>| {
        let all: Splits = Split::ALL
            .into_iter()
            .map(|split| {
                let data =
                    open(if path.is_some() { "x" } else { "synthetic" }, path, split).unwrap();
                (
                    split,
                    rungs_data::subset(data, path.is_none().then_some(3)).unwrap(),
                )
            })
            .collect();
        let file = dir.join(name);
        pack::write(&file, &all, None, &|_| ()).unwrap();
        file
    };
    let files = packed("files.pack", Some(&dir.join("folder")));
    let pixels = packed("pixels.pack", None);
    vec![
        subject(
            FileLayout::Mnist,
            &mnist.join("train-images-idx3-ubyte"),
            &mnist,
            no_checksum,
        ),
        subject(
            FileLayout::Mnist,
            &mnist.join("train-labels-idx1-ubyte"),
            &mnist,
            no_checksum,
        ),
        subject(
            FileLayout::Cifar10,
            &cifar.join("data_batch_3.bin"),
            &cifar,
            no_checksum,
        ),
        subject(FileLayout::Cifar10, &archive, &archive, no_checksum),
        subject(FileLayout::Shards, &shard, &shard, tar_checksums),
        subject(FileLayout::Pack, &files, &files, pack_checksum),
        subject(FileLayout::Pack, &pixels, &pixels, pack_checksum),
    ]
}

/// One to three changes of the kinds that break parsers.
fn mutate(whole: &[u8], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=stream.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = stream.below(bytes.len() as u64) as usize;
        let extreme = [0, 1, 0x7f, 0x80, 0xff][stream.below(5) as usize];
        match stream.below(7) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = extreme,
            2 => {
                let wide = [2, 4, 8][stream.below(3) as usize].min(bytes.len() - at);
                bytes[at..at + wide].fill(extreme);
            }
            3 => bytes.truncate(at),
            4 => bytes.insert(at, extreme),
            5 => {
                let end = (at + 1 + stream.below(600) as usize).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            // Numbers written as text, as in tar headers and JSON.
            _ => {
                let digits = bytes[at..]
                    .iter()
                    .position(u8::is_ascii_digit)
                    .map_or(at, |d| at + d);
                bytes[digits] = b'0' + stream.below(10) as u8;
            }
        }
    }
    bytes
}

/// Most address space that this process ever had, MiB: untouched pages count.
fn peak_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmPeak:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// Opens and reads everything; every error names the file or another one of its dataset.
fn survive(subject: &Subject, bytes: &[u8]) -> bool {
    std::fs::write(&subject.file, bytes).unwrap();
    let mut opened = false;
    for split in Split::ALL {
        let named = |error: rungs_data::DataError| {
            let text = error.to_string();
            let home = if subject.path.is_dir() {
                &subject.path
            } else {
                &subject.file
            };
            assert!(
                text.contains(&home.display().to_string()),
                "names no file: {text}"
            );
            assert!(!text.contains('\n'), "{text}");
        };
        match datasets::find("x", &subject.path, subject.layout, split) {
            Ok(Some(data)) => {
                opened = true;
                let mut image = Image::default();
                for index in 0..data.len() {
                    assert!((data.label(index) as usize) < data.classes());
                    if let Err(error) = data.image(index, &mut image) {
                        named(error);
                    }
                }
            }
            Ok(None) => {}
            Err(error) => named(error),
        }
    }
    opened
}

fn fuzz(times: u64) {
    // In memory, where there is such a place: a disk makes it twenty times slower.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let subjects = subjects(dir.path());
    for subject in &subjects {
        assert!(
            survive(subject, &subject.whole),
            "{}",
            subject.file.display()
        );
    }
    let before = peak_mib();
    let mut opened = vec![0u64; subjects.len()];
    for time in 0..times {
        let which = (time % subjects.len() as u64) as usize;
        let subject = &subjects[which];
        let mut stream = Stream::new(Purpose::Augment, 4, 0, time);
        let mut bytes = mutate(&subject.whole, &mut stream);
        if stream.unit() < 0.8 {
            (subject.repair)(&mut bytes);
        }
        opened[which] += u64::from(survive(subject, &bytes));
        // The next one of the same directory starts from whole files.
        std::fs::write(&subject.file, &subject.whole).unwrap();
    }
    // Some mutations are harmless: the rest of the reader is tried as well.
    assert!(opened.iter().all(|n| *n > 0), "{opened:?}");
    let grown = peak_mib() - before;
    assert!(
        grown < 1024,
        "{grown} MiB of address space for files of a few kB"
    );
}

#[test]
fn ten_thousand_broken_files() {
    fuzz(10_000);
}

#[test]
#[ignore = "long: a million broken files take several minutes"]
fn a_million_broken_files() {
    fuzz(1_000_000);
}
