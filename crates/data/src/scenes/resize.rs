//! A part of an image resized to any width and height, bilinear as in [`crate::preprocess::resize`]; a mask by
//! its nearest pixel, as Pillow does.

use crate::dataset::Image;
use crate::preprocess::axis::Axis;
use crate::preprocess::resize::whole;
use crate::scenes::Mask;

/// Which part of which resize of a whole image is wanted. Pairs are [horizontal, vertical].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Size that the whole image is resized to.
    pub full: [usize; 2],
    /// Left and top edge of what is wanted of it; counted after the flip.
    pub offset: [usize; 2],
    /// Size of what is wanted.
    pub size: [usize; 2],
    /// Mirrored.
    pub flip: bool,
    /// Widen the filter when shrinking, as Pillow does and OpenCV does not.
    pub antialias: bool,
}

impl Part {
    /// All of a resize.
    pub fn whole(full: [usize; 2], flip: bool, antialias: bool) -> Part {
        Part {
            full,
            offset: [0; 2],
            size: full,
            flip,
            antialias,
        }
    }

    /// Left edge before the flip.
    fn left(&self) -> usize {
        match self.flip {
            true => self.full[0] - self.offset[0] - self.size[0],
            false => self.offset[0],
        }
    }
}

/// Buffers, reused from image to image.
#[derive(Debug, Default)]
pub struct Scratch {
    columns: Axis,
    lines: Axis,
    mixed: Vec<[f32; 3]>,
}

/// The part of the image, written into rows of `stride` pixels, R, G, B on the 0..255 scale, whole numbers.
pub fn image(
    image: &Image,
    part: &Part,
    scratch: &mut Scratch,
    out: &mut [[f32; 3]],
    stride: usize,
) {
    let Scratch {
        columns,
        lines,
        mixed,
    } = scratch;
    let [width, height] = part.size;
    let across = columns.build(
        image.width,
        part.full[0],
        part.left(),
        width,
        part.antialias,
    );
    let down = lines.build(
        image.height,
        part.full[1],
        part.offset[1],
        height,
        part.antialias,
    );
    if part.flip {
        columns.reverse();
    }
    let channels = image.channels.count();
    for (y, row) in out.chunks_mut(stride).take(height).enumerate() {
        mixed.clear();
        mixed.resize(across.len(), [0.0; 3]);
        let (start, weights) = lines.taps(y);
        for (k, weight) in weights.iter().enumerate() {
            let at = ((down.start + start + k) * image.width + across.start) * channels;
            let line = image.data[at..][..across.len() * channels].chunks_exact(channels);
            for (sum, pixel) in mixed.iter_mut().zip(line) {
                let rgb = match pixel {
                    [r, g, b, ..] => [*r, *g, *b],
                    _ => [pixel[0]; 3],
                };
                (0..3).for_each(|c| sum[c] += weight * f32::from(rgb[c]));
            }
        }
        for (x, pixel) in row.iter_mut().take(width).enumerate() {
            let (start, weights) = columns.taps(x);
            let mut sum = [0.0; 3];
            for (weight, source) in weights.iter().zip(&mixed[start..]) {
                (0..3).for_each(|c| sum[c] += weight * source[c]);
            }
            *pixel = sum.map(whole);
        }
    }
}

/// The part of the mask, written into rows of `stride` classes.
pub fn mask(mask: &Mask, part: &Part, out: &mut [i16], stride: usize) {
    let [width, height] = part.size;
    let nearest = |at: usize, from: usize, to: usize| {
        let source = (at as f64 + 0.5) * (from as f64 / to as f64);
        (source as usize).min(from - 1)
    };
    let sources: Vec<usize> = (0..width)
        .map(|x| nearest(part.offset[0] + x, mask.width, part.full[0]))
        .map(|x| if part.flip { mask.width - 1 - x } else { x })
        .collect();
    for (y, row) in out.chunks_mut(stride).take(height).enumerate() {
        let line = nearest(part.offset[1] + y, mask.height, part.full[1]) * mask.width;
        for (class, x) in row.iter_mut().zip(&sources) {
            *class = mask.classes[line + x];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Channels;
    use crate::preprocess::crop::Rect;
    use crate::preprocess::resize::{Resizer, Row, Window};

    fn ramp(width: usize, height: usize) -> Image {
        let mut image = Image::default();
        let bytes: Vec<u8> = (0..width * height * 3)
            .map(|i| ((i * 2654435761) >> 7) as u8)
            .collect();
        image.set(width, height, Channels::Rgb, &bytes);
        image
    }

    /// The square window of classification's resize, whose values are PyTorch's.
    #[test]
    fn a_square_is_that_of_the_other_resize() {
        let source = ramp(37, 23);
        for (flip, antialias, full) in [
            (false, false, [16, 14]),
            (true, true, [20, 17]),
            (true, false, [90, 64]),
        ] {
            let (size, offset) = (12, [3, 2]);
            let window = Window {
                region: Rect {
                    x: 0,
                    y: 0,
                    width: 37,
                    height: 23,
                },
                full,
                // The other one counts before its flip.
                offset: [
                    if flip {
                        full[0] - size - offset[0]
                    } else {
                        offset[0]
                    },
                    offset[1],
                ],
                size,
                flip,
                antialias,
            };
            let mut resizer = Resizer::default();
            resizer.plan(&window);
            let mut wanted = Vec::new();
            resizer.rows(&source, [0, 0], |_, row| match row {
                Row::Colour(row) => wanted.extend(row.iter().map(|p| [p[0], p[1], p[2]])),
                Row::Grey(_) => panic!("a colour image"),
            });
            let part = Part {
                full,
                offset,
                size: [size; 2],
                flip,
                antialias,
            };
            let mut out = vec![[0.0; 3]; size * size];
            image(&source, &part, &mut Scratch::default(), &mut out, size);
            let differs = out
                .iter()
                .flatten()
                .zip(wanted.iter().flatten())
                .filter(|(a, b)| (*a - *b).abs() > 1.0)
                .count();
            assert_eq!(differs, 0, "flip {flip}, antialias {antialias}");
        }
    }

    #[test]
    fn a_mask_is_doubled_halved_and_mirrored_without_new_classes() {
        let of = Mask {
            width: 2,
            height: 2,
            classes: vec![1, 2, 3, -1],
        };
        let mut out = [0; 16];
        mask(&of, &Part::whole([4, 4], true, false), &mut out, 4);
        let wanted = [2, 2, 1, 1, 2, 2, 1, 1, -1, -1, 3, 3, -1, -1, 3, 3];
        assert_eq!(out, wanted);
        let large = Mask {
            width: 4,
            height: 4,
            classes: out.to_vec(),
        };
        let mut back = [0; 4];
        mask(&large, &Part::whole([2, 2], true, false), &mut back, 2);
        assert_eq!(back, [1, 2, 3, -1]);
    }

    #[test]
    fn rows_of_a_wider_canvas_leave_the_rest_as_it_is() {
        let source = ramp(5, 5);
        let mut out = vec![[7.0; 3]; 4 * 8];
        let part = Part::whole([5, 3], false, false);
        image(&source, &part, &mut Scratch::default(), &mut out, 8);
        assert_eq!((out[5], out[3 * 8]), ([7.0; 3], [7.0; 3]));
        assert_ne!(out[4], [7.0; 3]);
    }
}
