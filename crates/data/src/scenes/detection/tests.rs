use super::*;
use crate::dataset::{Channels, Split, open};

#[test]
fn the_short_side_is_exact_unless_the_long_one_would_be_too_long() {
    let sides = [600, 1000];
    assert_eq!(resized([500, 375], sides), [800, 600]);
    assert_eq!(resized([375, 500], sides), [600, 800]);
    assert_eq!(resized([500, 200], sides), [1000, 400]);
    assert_eq!(resized([128, 128], [128, 128]), [128, 128]);
}

/// A bright rectangle, and the box around it: both are at the same place after a flip and a resize.
#[test]
fn boxes_stay_on_what_they_are_around() {
    let (width, height) = (40, 30);
    let mut bytes = vec![0; width * height];
    for y in 6..=11 {
        bytes[y * width + 4..=y * width + 13].fill(255);
    }
    let mut image = Image::default();
    image.set(width, height, Channels::Grey, &bytes);
    let objects = [Object {
        label: 3,
        corners: [4.0, 6.0, 13.0, 11.0],
        difficult: true,
    }];
    for (flip, wanted) in [
        (false, [4.0, 6.0, 13.0, 11.0]),
        (true, [26.0, 6.0, 35.0, 11.0]),
    ] {
        let same = prepare(&image, &objects, [30, 40], flip, &mut Scratch::default());
        assert_eq!(same.objects[0].corners, wanted);
        let bright = |p: &Prepared, x: usize, y: usize| p.pixels[(y * p.width + x) * 3] > 1.0;
        let [left, top, right, bottom] = wanted.map(|c| c as usize);
        assert!(bright(&same, left, top) && bright(&same, right, bottom));
        assert!(!bright(&same, left - 1, top) && !bright(&same, right + 1, bottom));
        let double = prepare(&image, &objects, [60, 80], flip, &mut Scratch::default());
        assert_eq!(double.objects[0].corners, wanted.map(|c| 2.0 * c));
        assert_eq!(
            (double.width, double.height, double.scale),
            (80, 60, [2.0, 2.0])
        );
        assert_eq!(
            (double.objects[0].label, double.objects[0].difficult),
            (3, true)
        );
    }
}

fn config(workers: usize) -> DetectionConfig {
    let recipe = "task = 'detect'\ndetect = { short_side = 96, max_side = 128 }\nbatch_size = 3\n\
                  dataset = 'fashion-scenes'";
    let recipe = rungs_spec::settle::complete(&recipe.parse().unwrap()).unwrap();
    DetectionConfig::from_recipe(&recipe, 7, workers).unwrap()
}

fn scenes() -> Option<Arc<dyn Dataset>> {
    if crate::locate("fashion-mnist").is_none() {
        eprintln!("SKIPPED: fashion-mnist is not here; run `make fashion-mnist`");
        return None;
    }
    let all = open("fashion-scenes", None, Split::Val).unwrap();
    Some(crate::subset(all, Some(14)).unwrap())
}

#[test]
fn batches_do_not_depend_on_workers_and_a_pass_can_go_on_in_the_middle() {
    let Some(scenes) = scenes() else { return };
    let pass = |workers, epoch, first| -> Vec<Vec<Prepared>> {
        let loader = DetectionLoader::train(scenes.clone(), &config(workers), epoch, first);
        loader.unwrap().map(|batch| batch.unwrap()).collect()
    };
    let all = pass(0, 2, 0);
    assert_eq!((all.len(), all[0].len()), (4, 3));
    assert_eq!(all, pass(3, 2, 0));
    assert_eq!(all[2..], pass(1, 2, 2));
    assert_ne!(all[0][0].index, pass(0, 3, 0)[0][0].index);
    let flips = all.iter().flatten().filter(|p| p.flipped).count();
    assert!((1..12).contains(&flips), "{flips}");
    for prepared in all.iter().flatten() {
        assert_eq!((prepared.width, prepared.height), (96, 96));
        assert_eq!(prepared.objects.len(), scenes.objects(prepared.index).len());
    }
}

#[test]
fn evaluation_gives_every_image_once_as_it_is() {
    let Some(scenes) = scenes() else { return };
    let loader = DetectionLoader::eval(scenes.clone(), &config(2), 4).unwrap();
    assert_eq!(loader.batches(), 4);
    let all: Vec<Prepared> = loader.flat_map(|batch| batch.unwrap()).collect();
    assert!(
        all.iter()
            .enumerate()
            .all(|(i, p)| p.index == i && !p.flipped)
    );
    assert_eq!(all.len(), 14);
}

#[test]
fn a_dataset_without_boxes_is_refused() {
    let synthetic = open("synthetic", None, Split::Train).unwrap();
    let Err(error) = DetectionLoader::train(synthetic, &config(0), 0, 0) else {
        panic!("started")
    };
    assert!(error.to_string().contains("has no boxes"), "{error}");
}
