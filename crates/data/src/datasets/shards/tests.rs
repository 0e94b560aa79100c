use super::*;

fn tar(path: &Path, members: &[(&str, &str)]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap();
}

#[test]
fn images_are_found_by_key_and_sorted_over_all_shards() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("b/{}.jpg", "x".repeat(150));
    tar(
        &dir.path().join("x-train-000000.tar"),
        &[
            ("b/2.jpg", "two"),
            ("b/2.cls", "1\n"),
            ("b/2.seg.png", "mask"),
            ("b/2.txt", "words"),
            (&long, "long"),
            (&long.replace(".jpg", ".json"), "{\"label\": 4}"),
        ],
    );
    tar(
        &dir.path().join("x-train-000001.tar"),
        &[
            ("./a/1.v2.PNG", "one"),
            ("./a/1.v2.json", "{\"a\": 1, \"label\": 0}"),
            ("a/1.v2.cls", "0"),
        ],
    );
    tar(
        &dir.path().join("x-val-000000.tar"),
        &[("c.jpg", "v"), ("c.cls", "2")],
    );
    tar(
        &dir.path().join("x-test-000000.tar"),
        &[("d.jpg", "t"), ("d.cls", "2")],
    );
    let train = open("x", dir.path(), Split::Train).unwrap().unwrap();
    let names: Vec<_> = (0..3)
        .map(|i| (train.image_name(i), train.label(i)))
        .collect();
    assert_eq!(names[0], ("a/1.v2.PNG".to_owned(), 0));
    assert_eq!(names[1], ("b/2.jpg".to_owned(), 1));
    assert_eq!(names[2], (long, 4));
    assert_eq!((train.len(), train.classes()), (3, 5));
    let mut bytes = b"before ".to_vec();
    train.bytes(2, &mut bytes).unwrap();
    assert_eq!(bytes, b"before long");
    let place = train.place(1);
    assert!(
        place.contains("x-train-000000.tar: b/2.jpg at byte 512"),
        "{place}"
    );
    let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
    assert_eq!(
        (val.len(), val.image_name(0), val.classes()),
        (1, "c.jpg".to_owned(), 5)
    );
    std::fs::write(dir.path().join(CLASSES), "a\nb\nc\nd\ne\nf\n").unwrap();
    let val = open("x", dir.path(), Split::Val).unwrap().unwrap();
    assert_eq!((val.classes(), val.class_names()[2].as_str()), (6, "c"));
}

#[test]
fn directories_of_splits_come_first() {
    let dir = tempfile::tempdir().unwrap();
    for split in ["train", "validation"] {
        tar(
            &dir.path().join(split).join("0.tar"),
            &[
                (&format!("{split}.jpg"), ""),
                (&format!("{split}.cls"), "0"),
            ],
        );
    }
    for (split, name) in [(Split::Train, "train.jpg"), (Split::Val, "validation.jpg")] {
        assert_eq!(
            open("x", dir.path(), split).unwrap().unwrap().image_name(0),
            name
        );
    }
}

#[test]
fn broken_shards_are_named_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train-0.tar");
    let refused = |members: &[(&str, &str)]| {
        tar(&file, members);
        open("x", dir.path(), Split::Train).unwrap_err().to_string()
    };
    let error = refused(&[("1.jpg", "one"), ("2.cls", "0")]);
    assert!(
        error.contains("train-0.tar: \"1.jpg\" at byte 512 has no label"),
        "{error}"
    );
    for (label, found) in [
        ("1.5", "1.5"),
        ("-1", "-1"),
        ("99999999", "99999999"),
        ("", "found \"\""),
    ] {
        let error = refused(&[("1.jpg", ""), ("1.cls", label)]);
        assert!(error.contains("1.cls") && error.contains(found), "{error}");
    }
    assert!(refused(&[("1.jpg", ""), ("1.json", "{")]).contains("is no JSON"));
    assert!(refused(&[("1.jpg", ""), ("1.cls", "0"), ("1.jpg", "")]).contains("also in"));
    tar(&file, &[("1.cls", "0"), ("1.jpg", "picture")]);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..512 * 3 + 3]).unwrap();
    let error = open("x", dir.path(), Split::Train).unwrap_err().to_string();
    assert!(
        error.contains("\"1.jpg\" at byte 1536: 7 bytes are announced"),
        "{error}"
    );
    std::fs::write(
        &file,
        "no tar file at all, but long enough to be a block of it".repeat(20),
    )
    .unwrap();
    let error = open("x", dir.path(), Split::Train).unwrap_err().to_string();
    assert!(
        error.contains("train-0.tar: is no whole tar file"),
        "{error}"
    );
}
