//! A garment of Fashion-MNIST at another size: its grey values, and where it is.

use crate::dataset::{Dataset, Image};
use crate::datasets::mnist::Mnist;
use crate::error::DataError;

/// Side of Fashion-MNIST's images.
const FROM: usize = 28;
/// Grey up to which a pixel that is connected to the border is no garment.
const DARK: u8 = 10;

/// A garment resized to `side` x `side`.
pub(super) struct Garment {
    pub side: usize,
    /// Grey, 0..255.
    pub grey: Vec<f32>,
    /// How much of a pixel it covers, 0..1.
    pub cover: Vec<f32>,
}

impl Garment {
    pub fn new(source: &Mnist, index: usize, side: usize, flip: bool) -> Result<Self, DataError> {
        let mut image = Image::default();
        source.image(index, &mut image)?;
        if [image.width, image.height] != [FROM; 2] {
            return Err(DataError::Recipe(format!(
                "{} has images of {} x {} pixels; scenes are made of 28 x 28",
                source.name(),
                image.width,
                image.height
            )));
        }
        let cover = covered(&image.data);
        let (mut grey, mut covers) = (Vec::new(), Vec::new());
        let scale = FROM as f32 / side as f32;
        let place = |at: usize| {
            let centre = ((at as f32 + 0.5) * scale - 0.5).clamp(0.0, (FROM - 1) as f32);
            let start = (centre as usize).min(FROM - 2);
            (start, centre - start as f32)
        };
        for y in 0..side {
            let (row, down) = place(y);
            for x in 0..side {
                let (column, right) = place(if flip { side - 1 - x } else { x });
                let mix = |of: &dyn Fn(usize) -> f32| {
                    let at = row * FROM + column;
                    let upper = of(at) * (1.0 - right) + of(at + 1) * right;
                    let lower = of(at + FROM) * (1.0 - right) + of(at + FROM + 1) * right;
                    upper * (1.0 - down) + lower * down
                };
                grey.push(mix(&|at| f32::from(image.data[at])));
                covers.push(mix(&|at| f32::from(u8::from(cover[at]))));
            }
        }
        Ok(Garment {
            side,
            grey,
            cover: covers,
        })
    }

    /// Whether a pixel is the garment's.
    pub fn covers(&self, x: usize, y: usize) -> bool {
        self.cover[y * self.side + x] >= 0.5
    }

    /// Left, top, right and bottom pixel of it, inside; none if it covers nothing.
    pub fn extent(&self) -> Option<[usize; 4]> {
        let mut extent: Option<[usize; 4]> = None;
        for y in 0..self.side {
            for x in (0..self.side).filter(|x| self.covers(*x, y)) {
                let [left, top, right, bottom] = extent.unwrap_or([x, y, x, y]);
                extent = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
            }
        }
        extent
    }
}

/// All that is not the dark around it: holes inside belong to the garment.
fn covered(grey: &[u8]) -> Vec<bool> {
    let mut cover = vec![true; FROM * FROM];
    let border = (0..FROM).flat_map(|i| [i, (FROM - 1) * FROM + i, i * FROM, i * FROM + FROM - 1]);
    let mut open: Vec<usize> = border.collect();
    while let Some(at) = open.pop() {
        if !cover[at] || grey[at] > DARK {
            continue;
        }
        cover[at] = false;
        let (x, y) = (at % FROM, at / FROM);
        if x > 0 {
            open.push(at - 1);
        }
        if x + 1 < FROM {
            open.push(at + 1);
        }
        if y > 0 {
            open.push(at - FROM);
        }
        if y + 1 < FROM {
            open.push(at + FROM);
        }
    }
    cover
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_covered_and_the_dark_around_is_not() {
        let mut grey = vec![0; FROM * FROM];
        for y in 8..20 {
            for x in 8..20 {
                let ring = y == 8 || y == 19 || x == 8 || x == 19;
                grey[y * FROM + x] = if ring { 200 } else { 0 };
            }
        }
        let cover = covered(&grey);
        assert_eq!(cover.iter().filter(|c| **c).count(), 12 * 12);
        assert!(cover[10 * FROM + 10] && !cover[0]);
    }
}
