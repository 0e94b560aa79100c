//! How do images of several sizes get through one network? Those of one size together, as one tensor.

use rungs_data::scenes::detection::Prepared;
use tch::{Device, Tensor};

use crate::failure::Failure;

/// Images of one size.
#[derive(Debug)]
pub struct Group {
    /// (N, 3, H, W), normalised, in channels-last memory.
    pub images: Tensor,
    /// What comes with each, its pixels taken out.
    pub items: Vec<Prepared>,
    /// Place of each in the batch.
    pub places: Vec<usize>,
}

impl Group {
    /// Width and height, pixels.
    pub fn size(&self) -> [f32; 2] {
        let size = self.images.size();
        [size[3] as f32, size[2] as f32]
    }
}

/// A batch as groups, in the order in which their first images stand in it.
pub fn groups(batch: Vec<Prepared>, device: Device) -> Result<Vec<Group>, Failure> {
    let mut sorted: Vec<(Vec<Prepared>, Vec<usize>)> = Vec::new();
    for (place, item) in batch.into_iter().enumerate() {
        let alike = |(items, _): &&mut (Vec<Prepared>, Vec<usize>)| {
            items
                .first()
                .is_some_and(|first| (first.width, first.height) == (item.width, item.height))
        };
        match sorted.iter_mut().find(alike) {
            Some((items, places)) => {
                items.push(item);
                places.push(place);
            }
            None => sorted.push((vec![item], vec![place])),
        }
    }
    sorted
        .into_iter()
        .map(|(mut items, places)| {
            let images: Vec<Tensor> = items
                .iter_mut()
                .map(|item| {
                    let [h, w] = [item.height, item.width].map(|side| side as i64);
                    let pixels = std::mem::take(&mut item.pixels);
                    Ok(Tensor::f_from_slice(&pixels)?.view([1, h, w, 3]))
                })
                .collect::<Result<_, Failure>>()?;
            let images = Tensor::f_cat(&images, 0)?.to_device(device);
            Ok(Group {
                images: images.permute([0, 3, 1, 2]),
                items,
                places,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_size_are_one_tensor() {
        let item = |index: usize, width: usize| Prepared {
            pixels: (0..2 * width * 3)
                .map(|i| (100 * index + i) as f32)
                .collect(),
            width,
            height: 2,
            index,
            ..Prepared::default()
        };
        let batch = vec![item(0, 4), item(1, 5), item(2, 4)];
        let found = groups(batch, Device::Cpu).expect("groups");
        let places: Vec<_> = found.iter().map(|group| group.places.clone()).collect();
        assert_eq!(places, [vec![0, 2], vec![1]]);
        assert_eq!(found[0].images.size(), [2, 3, 2, 4]);
        assert_eq!(found[0].size(), [4.0, 2.0]);
        // Second image, blue, second row, first column.
        assert_eq!(found[0].images.double_value(&[1, 2, 1, 0]), 200.0 + 14.0);
    }
}
