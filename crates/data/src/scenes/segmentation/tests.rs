use super::*;
use crate::dataset::{Split, open};

fn config(workers: usize) -> SegmentationConfig {
    let recipe = "task = 'segment'\nsegment = { base_size = 104, crop_size = 96 }\nbatch_size = 4\n\
                  dataset = 'fashion-scenes'";
    let recipe = rungs_spec::settle::complete(&recipe.parse().unwrap()).unwrap();
    SegmentationConfig::from_recipe(&recipe, 7, workers).unwrap()
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
    let pass = |workers, epoch, first| -> Vec<MaskedBatch> {
        let loader = SegmentationLoader::train(scenes.clone(), &config(workers), epoch, first);
        loader.unwrap().map(|batch| batch.unwrap()).collect()
    };
    let all = pass(0, 2, 0);
    assert_eq!((all.len(), all[0].indices.len()), (3, 4));
    assert_eq!(all, pass(3, 2, 0));
    assert_eq!(all[1..], pass(1, 2, 1));
    assert_ne!(all[0].indices, pass(0, 3, 0)[0].indices);
    for batch in &all {
        assert_eq!(batch.classes.len(), 4 * 96 * 96);
        assert_eq!(batch.pixels.len(), 4 * 96 * 96 * 3);
        assert!(batch.classes.iter().all(|c| (IGNORE..=10).contains(c)));
    }
    // Short sides from 52 to 208: some images are filled up, some are cropped.
    let ignored = all
        .iter()
        .flat_map(|b| &b.classes)
        .filter(|c| **c == IGNORE)
        .count();
    assert!(ignored > 0);
}

/// The bounds of each draw, and that both ends are reached.
#[test]
fn draws_are_those_of_the_released_code() {
    let segment = config(0).segment;
    let (mut shortest, mut longest, mut flips, mut blurs) = (usize::MAX, 0, 0, 0);
    for index in 0..4000 {
        let mut stream = Stream::new(Purpose::Augment, 1, 0, index);
        let draw = Draw::train(&segment, 0.5, [200, 100], &mut stream);
        let [width, height] = draw.part.full;
        assert_eq!(width, 2 * height);
        (shortest, longest) = (shortest.min(height), longest.max(height));
        flips += u32::from(draw.part.flip);
        blurs += u32::from(draw.sigma > 0.0);
        assert!((0.0..1.0).contains(&draw.sigma) && draw.out == [96; 2]);
        let inside = |k: usize| draw.part.offset[k] + draw.part.size[k] <= draw.part.full[k];
        assert!(inside(0) && inside(1));
        assert_eq!(draw.part.size, [width.min(96), height.min(96)]);
    }
    assert_eq!((shortest, longest), (52, 208));
    assert!((1850..2150).contains(&flips) && (1850..2150).contains(&blurs));
}

#[test]
fn evaluation_takes_the_centre_or_the_whole() {
    let draw = Draw::centre(96, [300, 200]);
    assert_eq!((draw.part.full, draw.part.offset), ([144, 96], [24, 0]));
    let Some(scenes) = scenes() else { return };
    let whole = SegmentationLoader::eval(scenes.clone(), &config(1), Evaluate::Whole, 8).unwrap();
    let mut mask = Mask::default();
    for (index, batch) in whole.enumerate() {
        let batch = batch.unwrap();
        scenes.mask(index, &mut mask).unwrap();
        assert_eq!((batch.width, batch.height), (128, 128));
        assert_eq!(
            (batch.indices, batch.classes),
            (vec![index], mask.classes.clone())
        );
    }
    let crops = SegmentationLoader::eval(scenes, &config(2), Evaluate::Crop, 8).unwrap();
    let sizes: Vec<usize> = crops.map(|batch| batch.unwrap().indices.len()).collect();
    assert_eq!(sizes, [8, 6]);
}

#[test]
fn a_dataset_without_masks_is_refused() {
    let synthetic = open("synthetic", None, Split::Train).unwrap();
    let Err(error) = SegmentationLoader::train(synthetic, &config(0), 0, 0) else {
        panic!("started")
    };
    assert!(error.to_string().contains("has no masks"), "{error}");
}
