//! `fashion-scenes`: garments of Fashion-MNIST composed on textured canvases, with boxes and masks. Real
//! pictures of things in a made-up place: what every machine can make for a quick look at detection and
//! segmentation.
//!
//! Scenes are made from a fixed seed: the same everywhere, garments of the training split in training
//! scenes, of the validation split in validation scenes. Where garments stand is decided when a split is
//! opened, pixels are made when they are asked for.

mod garment;
mod scene;

use std::path::Path;

use rungs_spec::recipe::Task;

use super::mnist::Mnist;
use crate::dataset::{Channels, Dataset, Image, Split};
use crate::error::DataError;
use crate::scenes::{Mask, Object};
use scene::{SIDE, Scene};

/// Name in the catalogue.
pub const NAME: &str = "fashion-scenes";

/// One split.
pub struct FashionScenes {
    name: String,
    garments: Mnist,
    scenes: Vec<Scene>,
    mask_classes: Vec<String>,
}

impl FashionScenes {
    /// `dir` holds the files of Fashion-MNIST. As many scenes as the catalogue says. Errors: those of
    /// reading Fashion-MNIST.
    pub fn open(name: &str, dir: &Path, split: Split) -> Result<Option<Self>, DataError> {
        let count = rungs_spec::dataset::find(NAME).map_or(0, |known| match split {
            Split::Train => known.train,
            Split::Val => known.val,
        });
        Self::of(name, dir, split, count)
    }

    /// As [`FashionScenes::open`], of so many scenes.
    pub fn of(name: &str, dir: &Path, split: Split, count: u64) -> Result<Option<Self>, DataError> {
        let Some(garments) = Mnist::open("fashion-mnist", dir, split)? else {
            return Ok(None);
        };
        let scenes = (0..count)
            .map(|index| Scene::new(split, index, &garments))
            .collect::<Result<_, _>>()?;
        let mask_classes = std::iter::once("background".to_owned())
            .chain(garments.class_names().iter().cloned())
            .collect();
        Ok(Some(FashionScenes {
            name: name.to_owned(),
            garments,
            scenes,
            mask_classes,
        }))
    }
}

impl Dataset for FashionScenes {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.scenes.len()
    }
    fn classes(&self) -> usize {
        self.garments.classes()
    }
    fn class_names(&self) -> &[String] {
        self.garments.class_names()
    }
    fn label(&self, _: usize) -> i64 {
        0
    }
    fn image(&self, index: usize, into: &mut Image) -> Result<(), DataError> {
        let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
        self.bytes(index, &mut pixels)?;
        into.set(SIDE, SIDE, Channels::Rgb, &pixels);
        Ok(())
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        self.scenes[index].draw(&self.garments, into)
    }
    fn tasks(&self) -> &[Task] {
        &[Task::Detect, Task::Segment]
    }
    fn objects(&self, index: usize) -> &[Object] {
        &self.scenes[index].objects
    }
    fn mask_classes(&self) -> &[String] {
        &self.mask_classes
    }
    fn mask(&self, index: usize, into: &mut Mask) -> Result<(), DataError> {
        self.scenes[index].mask(&self.garments, into)
    }
    fn annotation(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        crate::scenes::object_bytes(self.objects(index), into);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(split: Split, count: u64) -> Option<FashionScenes> {
        let Some(dir) = crate::locate::locate("fashion-mnist") else {
            eprintln!("SKIPPED: fashion-mnist is not here; run `make fashion-mnist`");
            return None;
        };
        FashionScenes::of(NAME, &dir, split, count).unwrap()
    }

    #[test]
    fn a_box_is_tight_around_what_is_seen_of_its_garment_in_the_mask() {
        let Some(scenes) = open(Split::Train, 60) else {
            return;
        };
        let mut mask = Mask::default();
        let mut garments = [0; 10];
        for index in 0..scenes.len() {
            scenes.mask(index, &mut mask).unwrap();
            let objects = scenes.objects(index);
            assert!((1..=4).contains(&objects.len()));
            // The last garment lies on top: all of it is seen.
            let top = objects.last().unwrap();
            let [left, top_row, right, bottom] = top.corners.map(|c| c as usize);
            let seen =
                |x: usize, y: usize| mask.classes[y * mask.width + x] == top.label as i16 + 1;
            assert!((left..=right).any(|x| seen(x, top_row)));
            assert!((left..=right).any(|x| seen(x, bottom)));
            assert!((top_row..=bottom).any(|y| seen(left, y)));
            assert!((top_row..=bottom).any(|y| seen(right, y)));
            let allowed: Vec<i16> = objects.iter().map(|o| o.label as i16 + 1).collect();
            assert!(mask.classes.iter().all(|c| *c == 0 || allowed.contains(c)));
            for object in objects {
                let [left, top, right, bottom] = object.corners;
                assert!(0.0 <= left && left < right && right < SIDE as f32);
                assert!(0.0 <= top && top < bottom && bottom < SIDE as f32);
                garments[object.label as usize] += 1;
            }
        }
        assert!(garments.iter().all(|n| *n >= 3), "{garments:?}");
    }

    #[test]
    fn scenes_are_the_same_everywhere_and_of_their_own_split() {
        let (Some(train), Some(val)) = (open(Split::Train, 4), open(Split::Val, 4)) else {
            return;
        };
        let digest = crate::digest(&train).unwrap();
        assert_eq!(
            digest,
            crate::digest(&open(Split::Train, 4).unwrap()).unwrap()
        );
        assert_ne!(digest, crate::digest(&val).unwrap());
        assert_eq!(&digest[..16], "9f20f575df1d1ea4");
    }
}
