use super::*;
use crate::dataset::Image;
use crate::datasets::fashion_scenes::{FashionScenes, NAME};
use crate::datasets::{FileLayout, splits, write_out};
use crate::scenes::{Mask, check};
use std::sync::Arc;

/// Six training scenes and four others, as they are made.
fn scenes() -> Option<crate::dataset::Splits> {
    let Some(dir) = crate::locate::locate("fashion-mnist") else {
        eprintln!("SKIPPED: fashion-mnist is not here; run `make fashion-mnist`");
        return None;
    };
    let of = |split, count| -> Arc<dyn Dataset> {
        Arc::new(
            FashionScenes::of(NAME, &dir, split, count)
                .unwrap()
                .unwrap(),
        )
    };
    Some(vec![
        (Split::Train, of(Split::Train, 6)),
        (Split::Val, of(Split::Val, 4)),
    ])
}

#[test]
fn scenes_written_as_voc_and_read_again_have_the_same_boxes() {
    let Some(scenes) = scenes() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_out::voc(&scenes, dir.path(), &|_| ()).unwrap();
    assert_eq!(FileLayout::of(NAME, dir.path()).unwrap(), FileLayout::Voc);
    let again = splits("mine", dir.path(), FileLayout::Voc).unwrap();
    let (mut one, mut other) = (Image::default(), Image::default());
    for ((_, made), (_, read)) in scenes.iter().zip(&again) {
        assert_eq!(made.len(), read.len());
        assert_eq!(made.class_names(), read.class_names());
        for index in 0..made.len() {
            assert_eq!(made.objects(index), read.objects(index));
            made.image(index, &mut one).unwrap();
            read.image(index, &mut other).unwrap();
            let differs: u64 = (0..128 * 128)
                .map(|i| {
                    u64::from(one.rgb(i % 128, i / 128)[1].abs_diff(other.rgb(i % 128, i / 128)[1]))
                })
                .sum();
            assert!(differs < 128 * 128 * 8, "image {index}: {differs}");
        }
        check(read.as_ref(), Task::Detect, 0).unwrap();
    }
}

#[test]
fn scenes_written_as_ade_and_read_again_have_the_same_masks() {
    let Some(scenes) = scenes() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_out::ade(&scenes, dir.path(), &|_| ()).unwrap();
    assert_eq!(FileLayout::of("mine", dir.path()).unwrap(), FileLayout::Ade);
    let again = splits("mine", dir.path(), FileLayout::Ade).unwrap();
    let (mut one, mut other) = (Mask::default(), Mask::default());
    for ((_, made), (_, read)) in scenes.iter().zip(&again) {
        assert_eq!(made.len(), read.len());
        assert_eq!(made.mask_classes(), read.mask_classes());
        for index in 0..made.len() {
            made.mask(index, &mut one).unwrap();
            read.mask(index, &mut other).unwrap();
            assert_eq!(one, other);
        }
    }
    // Without a list there are as many classes as the training masks have.
    std::fs::remove_file(dir.path().join("classes.txt")).unwrap();
    let again = splits("mine", dir.path(), FileLayout::Ade).unwrap();
    assert_eq!(
        again[0].1.mask_classes().len(),
        again[1].1.mask_classes().len()
    );
    assert!((2..=11).contains(&again[0].1.mask_classes().len()));
}

/// Each kind of bad annotation: file, line and cure, the same from the list of problems and from a training.
#[test]
fn bad_annotations_are_refused_with_file_and_line() {
    let Some(scenes) = scenes() else { return };
    for (from, to, line, what, left_out) in [
        (
            "<xmax>",
            "<xmax>1",
            12,
            "lies outside the image, which has 128 x 128",
            true,
        ),
        ("<xmin>", "<xmin>-", 12, "lies outside the image", true),
        ("<ymax>", "<ymax>0.", 12, "has no area", true),
        ("<name>", "<name>x", 10, "is unknown", false),
        ("</annotation>", "", 0, "no XML", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write_out::voc(&scenes, dir.path(), &|_| ()).unwrap();
        let file = dir.path().join("VOC2007/Annotations/000002.xml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let read = open("mine", dir.path(), Split::Train).unwrap().unwrap();
        let [problem] = read.problems() else {
            panic!("{:?}", read.problems())
        };
        let said = problem.to_string();
        let place = format!("{}:{}", file.display(), problem.line.unwrap());
        assert!(said.starts_with(&place) && said.contains(what), "{said}");
        assert!(line == 0 || problem.line == Some(line), "{said}");
        let refused = check(&read, Task::Detect, 0).unwrap_err().to_string();
        assert_eq!(refused, said);
        assert_eq!(check(&read, Task::Detect, 1).is_ok(), left_out, "{said}");
    }
}

#[test]
fn a_missing_file_names_the_line_of_its_list() {
    let Some(scenes) = scenes() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_out::voc(&scenes, dir.path(), &|_| ()).unwrap();
    std::fs::remove_file(dir.path().join("VOC2007/JPEGImages/000003.jpg")).unwrap();
    std::fs::remove_file(dir.path().join("VOC2007/Annotations/000005.xml")).unwrap();
    let read = open("mine", dir.path(), Split::Train).unwrap().unwrap();
    assert_eq!((read.len(), read.problems().len()), (4, 2));
    let said = read.problems()[0].to_string();
    assert!(
        said.contains("trainval.txt:3: names 000003") && said.contains("000003.jpg is not there")
    );
    let refused = check(&read, Task::Detect, 9).unwrap_err().to_string();
    assert!(
        refused.starts_with(&said) && refused.contains("1 more"),
        "{refused}"
    );
}

#[test]
fn bad_masks_are_refused_by_the_loader_with_the_same_text() {
    let Some(scenes) = scenes() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_out::ade(&scenes, dir.path(), &|_| ()).unwrap();
    let masks = dir.path().join("annotations/validation");
    std::fs::copy(masks.join("000001.png"), masks.join("000002.png")).unwrap();
    let small = |path: &Path, values: &[u8]| {
        let image = image::GrayImage::from_raw(2, 2, values.to_vec()).unwrap();
        image.save(path).unwrap();
    };
    small(&masks.join("000003.png"), &[0, 1, 12, 2]);
    small(&masks.join("000004.png"), &[0, 1, 11, 2]);
    let read = crate::datasets::ade::open("mine", dir.path(), Split::Val)
        .unwrap()
        .unwrap();
    let (mut image, mut mask) = (Image::default(), Mask::default());
    let mut refused = |index| {
        let error = crate::scenes::image_and_mask(&read, index, &mut image, &mut mask);
        error.unwrap_err().to_string()
    };
    let beyond = refused(2);
    assert!(
        beyond.contains("000003.png:2: pixel 1 of row 2 has the label 12, and there are 11"),
        "{beyond}"
    );
    let size = refused(3);
    assert!(
        size.contains("000004.png: the mask has 2 x 2 pixels") && size.contains("128 x 128"),
        "{size}"
    );
    std::fs::remove_file(masks.join("000001.png")).unwrap();
    let read = crate::datasets::ade::open("mine", dir.path(), Split::Val)
        .unwrap()
        .unwrap();
    let said = read.problems()[0].to_string();
    assert!(
        said.contains("000001.jpg: its mask") && said.contains("is not there"),
        "{said}"
    );
}

/// BCCD (Shenggan et al., MIT licence): 364 pictures of blood in VOC's layout, two boxes of which are points.
#[test]
fn real_blood_cells() {
    let Some(root) = std::env::var_os("RUNGS_TEST_DATA") else {
        eprintln!("SKIPPED: RUNGS_TEST_DATA is not set");
        return;
    };
    // Unpacked, or its archive.
    let mut path = Path::new(&root).join("bccd");
    let dir = tempfile::tempdir().unwrap();
    if !path.is_dir() {
        let archive = Path::new(&root).join("bccd-voc.tar.gz");
        let Ok(file) = std::fs::File::open(&archive) else {
            eprintln!("SKIPPED: there is no {}", archive.display());
            return;
        };
        tar::Archive::new(flate2::read::GzDecoder::new(file))
            .unpack(dir.path())
            .unwrap();
        path = dir.path().join("bccd");
    }
    let open = |split| open("bccd", &path, split).unwrap().unwrap();
    let (train, val) = (open(Split::Train), open(Split::Val));
    assert_eq!((train.len(), val.len()), (292, 72));
    assert_eq!(train.class_names(), ["Platelets", "RBC", "WBC"]);
    let objects = |of: &Voc| (0..of.len()).map(|i| of.objects(i).len()).sum::<usize>();
    let points = train.problems().len() + val.problems().len();
    assert_eq!((objects(&train) + objects(&val), points), (4886, 2));
    assert!(check(&train, Task::Detect, 2).is_ok() && check(&val, Task::Detect, 2).is_ok());
    assert!(
        train
            .problems()
            .iter()
            .all(|p| p.to_string().contains("has no area"))
    );
}
