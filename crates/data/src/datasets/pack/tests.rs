use super::*;
use crate::dataset::Splits;
use crate::{digest, open};

fn splits(name: &str, path: Option<&Path>) -> Splits {
    Split::ALL
        .map(|split| (split, open(name, path, split).unwrap()))
        .into()
}

fn digests(splits: &[(Split, std::sync::Arc<dyn Dataset>)]) -> Vec<(Split, String)> {
    splits
        .iter()
        .map(|(split, d)| (*split, digest(d.as_ref()).unwrap()))
        .collect()
}

/// Two classes of small PNG files, in folders.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, side) in [
        ("train/a/1.png", 40),
        ("train/b/2.png", 10),
        ("val/b/3.png", 8),
    ] {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(side, side / 2, image::Rgb([side as u8, 100, 3]))
            .save(path)
            .unwrap();
    }
    dir
}

#[test]
fn a_pack_of_files_has_the_digest_of_the_folder() {
    let dir = folder();
    let from = splits("mine", Some(dir.path()));
    let out = dir.path().join("mine.pack");
    let told = std::sync::atomic::AtomicUsize::new(0);
    let progress = |n| {
        told.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    };
    let written = write(&out, &from, None, &progress).unwrap();
    assert_eq!(
        (written.images, written.smaller, told.into_inner()),
        (3, 0, 3)
    );
    assert_eq!(written.bytes, out.metadata().unwrap().len());
    let packed = splits("mine", Some(&out));
    assert_eq!(digests(&packed), digests(&from));
    assert_eq!(digests(&packed), written.digests);
    let (train, val) = (&packed[0].1, &packed[1].1);
    assert_eq!(train.class_names(), ["a", "b"]);
    assert_eq!(
        (train.image_name(1), train.label(1)),
        ("b/2.png".to_owned(), 1)
    );
    let mut image = Image::default();
    val.image(0, &mut image).unwrap();
    assert_eq!(
        (image.width, image.height, image.rgb(7, 3)),
        (8, 4, [8, 100, 3])
    );
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "no temporary file is left: {names:?}");
}

#[test]
fn a_pack_of_pixels_has_the_digest_of_the_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let from = splits("synthetic", None);
    let out = dir.path().join("x.pack");
    write(&out, &from, None, &|_| ()).unwrap();
    let packed = splits("mine", Some(&out));
    assert_eq!(digests(&packed), digests(&from));
    let (mut a, mut b) = (Image::default(), Image::default());
    from[0].1.image(77, &mut a).unwrap();
    packed[0].1.image(77, &mut b).unwrap();
    assert_eq!(a, b);
    let error = write(&out, &from, Some(16), &|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("leave --max-side out"), "{error}");
}

#[test]
fn max_side_makes_larger_images_smaller_and_no_others() {
    let dir = folder();
    let from = splits("mine", Some(dir.path()));
    let out = dir.path().join("mine.pack");
    let written = write(&out, &from, Some(16), &|_| ()).unwrap();
    assert_eq!((written.images, written.smaller), (3, 1));
    let packed = splits("mine", Some(&out));
    assert_eq!(digests(&packed), written.digests);
    assert_ne!(digests(&packed)[0], digests(&from)[0], "another dataset");
    assert_eq!(
        digests(&packed)[1],
        digests(&from)[1],
        "val had no large image"
    );
    let mut image = Image::default();
    packed[0].1.image(0, &mut image).unwrap();
    assert_eq!((image.width, image.height), (16, 8));
    for (is, was) in image.rgb(8, 4).into_iter().zip([40i32, 100, 3]) {
        assert!((i32::from(is) - was).abs() <= 3, "{is} was {was}");
    }
}

#[test]
fn an_image_that_cannot_be_read_leaves_no_file_and_the_old_pack() {
    let dir = folder();
    let from = splits("mine", Some(dir.path()));
    let out = dir.path().join("mine.pack");
    std::fs::write(&out, "old").unwrap();
    std::fs::remove_file(dir.path().join("val/b/3.png")).unwrap();
    let error = write(&out, &from, None, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("val/b/3.png"), "{error}");
    assert_eq!(std::fs::read(&out).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    // A killed process leaves a file beside it, which is in nobody's way; a living one is waited for.
    image::RgbImage::new(3, 3)
        .save(dir.path().join("val/b/3.png"))
        .unwrap();
    let beside = std::fs::File::create(dir.path().join(".mine.pack.tmp")).unwrap();
    beside.lock().unwrap();
    let error = write(&out, &from, None, &|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("mine.pack is being written by another process"),
        "{error}"
    );
    drop(beside);
    write(&out, &from, None, &|_| ()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    let nowhere = dir.path().join("none/x.pack");
    let error = write(&nowhere, &from, None, &|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("none/x.pack: cannot be written"), "{error}");
}

/// A pack whose index is what `change` made of it, with a checksum that fits: only the offsets and
/// lengths in it are left to be checked.
fn garbled(whole: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let at = u64::from_le_bytes(whole[16..24].try_into().unwrap()) as usize;
    let mut index = whole[at..].to_vec();
    change(&mut index);
    let mut bytes = whole[..at].to_vec();
    bytes[24..32].copy_from_slice(&(index.len() as u64).to_le_bytes());
    bytes[32..64].copy_from_slice(blake3::hash(&index).as_bytes());
    bytes.extend(index);
    bytes
}

#[test]
fn truncated_and_hostile_packs_are_refused() {
    let dir = folder();
    let out = dir.path().join("mine.pack");
    write(&out, &splits("mine", Some(dir.path())), None, &|_| ()).unwrap();
    let whole = std::fs::read(&out).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&out, bytes).unwrap();
        let error = Pack::open("x", &out, Split::Train).unwrap_err().to_string();
        assert!(
            error.contains("mine.pack") && error.contains("runner data pack"),
            "{error}"
        );
        error
    };
    assert!(refused(&whole[..whole.len() - 1]).contains("cut short"));
    assert!(refused(&whole[..63]).contains("63 bytes"));
    assert!(refused(b"").contains("0 bytes"));
    let mut bytes = whole.clone();
    bytes[8] = 2;
    assert!(refused(&bytes).contains("version 2"));
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(refused(&bytes).contains("not what was written"));
    let mut bytes = whole.clone();
    bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refused(&bytes).contains("to its end"));

    let entry = |index: &[u8]| 4 + u32::from_le_bytes(index[..4].try_into().unwrap()) as usize;
    let set = |at: usize, value: [u8; 4]| {
        garbled(&whole, |index| {
            let at = entry(index) + at;
            index[at..at + 4].copy_from_slice(&value);
        })
    };
    assert!(
        refused(&set(0, [1, 0, 0, 0])).contains("(a/1.png): its"),
        "an offset in the header"
    );
    assert!(refused(&set(4, [0xff; 4])).contains("do not lie in the file"));
    assert!(refused(&set(12, [0xff; 4])).contains("do not lie in the file"));
    assert!(refused(&set(16, [2, 0, 0, 0])).contains("its label is 2, expected 0 to 1"));
    assert!(refused(&set(20, [0xff; 4])).contains("does not lie in its index"));
    let text = |from: &str, to: &str| {
        garbled(&whole, |index| {
            let at = index
                .windows(from.len())
                .position(|w| w == from.as_bytes())
                .unwrap();
            index[at..at + from.len()].copy_from_slice(to.as_bytes());
        })
    };
    assert!(refused(&text("\"images\":2", "\"images\":9")).contains("fewer entries"));
    assert!(refused(&text("\"classes\":2", "\"classes\":0")).contains("0 classes"));
    assert!(refused(&text("\"name\"", "\"nane\"")).contains("garbled"));
    assert!(refused(&garbled(&whole, |index| index[..4].fill(0xff))).contains("longer than it"));
    assert!(refused(&garbled(&whole, |index| index.truncate(2))).contains("no header"));
}
