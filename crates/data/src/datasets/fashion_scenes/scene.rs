//! One scene: a textured canvas, and one to four garments on it.

use super::garment::Garment;
use crate::dataset::{Dataset, Split};
use crate::datasets::mnist::Mnist;
use crate::error::DataError;
use crate::random::{Purpose, Stream};
use crate::scenes::{Mask, Object};

/// Side of a canvas, pixels.
pub(super) const SIDE: usize = 128;
/// Seed of all scenes.
const SEED: u64 = 1;
/// Smallest and largest side of a garment's square, pixels.
const SIZES: [u64; 2] = [32, 64];
/// Most garments of a scene.
const MOST: u64 = 4;
/// Share of the smaller of two boxes that may lie in the other.
const OVERLAP: f32 = 0.2;
/// Places tried for a garment, before the scene does without it.
const TRIES: usize = 20;

/// Where everything stands.
pub(super) struct Scene {
    split: Split,
    index: u64,
    placed: Vec<Placed>,
    /// Boxes around whole garments, in the order of `placed`: a later one lies on top.
    pub objects: Vec<Object>,
}

struct Placed {
    source: usize,
    side: usize,
    flip: bool,
    /// Left and top edge of its square.
    at: [usize; 2],
    /// R, G and B of white on it.
    tint: [f32; 3],
}

impl Scene {
    pub fn new(split: Split, index: u64, garments: &Mnist) -> Result<Scene, DataError> {
        let mut scene = Scene {
            split,
            index,
            placed: Vec::new(),
            objects: Vec::new(),
        };
        let mut stream = scene.stream(0);
        let wanted = 1 + stream.below(MOST);
        for _ in 0..wanted {
            let source = stream.below(garments.len() as u64) as usize;
            let side = (SIZES[0] + stream.below(SIZES[1] - SIZES[0] + 1)) as usize;
            let flip = stream.unit() < 0.5;
            let tint = std::array::from_fn(|_| stream.uniform(0.75, 1.0) as f32);
            let garment = Garment::new(garments, source, side, flip)?;
            let Some(extent) = garment.extent() else {
                continue;
            };
            let label = garments.label(source);
            for _ in 0..TRIES {
                let room = (SIDE - side) as u64 + 1;
                let at = [stream.below(room) as usize, stream.below(room) as usize];
                let [left, top, right, bottom] = extent;
                let corners = [left + at[0], top + at[1], right + at[0], bottom + at[1]];
                let corners = corners.map(|c| c as f32);
                if scene
                    .objects
                    .iter()
                    .all(|o| overlap(o.corners, corners) <= OVERLAP)
                {
                    scene.placed.push(Placed {
                        source,
                        side,
                        flip,
                        at,
                        tint,
                    });
                    scene.objects.push(Object {
                        label,
                        corners,
                        difficult: false,
                    });
                    break;
                }
            }
        }
        Ok(scene)
    }

    /// Of placing (0) and of the canvas (1).
    fn stream(&self, what: u64) -> Stream {
        let split = match self.split {
            Split::Train => 0,
            Split::Val => 1,
        };
        Stream::new(Purpose::Scenes, SEED, split * 2 + what, self.index)
    }

    fn garments<'a>(
        &'a self,
        from: &'a Mnist,
    ) -> impl Iterator<Item = Result<(&'a Placed, Garment), DataError>> + 'a {
        self.placed.iter().map(|placed| {
            let garment = Garment::new(from, placed.source, placed.side, placed.flip)?;
            Ok((placed, garment))
        })
    }

    /// Appends the pixels, R, G, B, row by row.
    pub fn draw(&self, garments: &Mnist, into: &mut Vec<u8>) -> Result<(), DataError> {
        let mut canvas = canvas(&mut self.stream(1));
        for garment in self.garments(garments) {
            let (placed, garment) = garment?;
            for y in 0..garment.side {
                for x in 0..garment.side {
                    let (grey, cover) = (
                        garment.grey[y * garment.side + x],
                        garment.cover[y * garment.side + x],
                    );
                    let pixel = &mut canvas[(placed.at[1] + y) * SIDE + placed.at[0] + x];
                    for (value, tint) in pixel.iter_mut().zip(placed.tint) {
                        *value += (grey * tint - *value) * cover;
                    }
                }
            }
        }
        let bytes = canvas.as_flattened().iter();
        into.extend(bytes.map(|value| value.round_ties_even().clamp(0.0, 255.0) as u8));
        Ok(())
    }

    /// Class 0 is the canvas, a garment's is its label + 1.
    pub fn mask(&self, garments: &Mnist, into: &mut Mask) -> Result<(), DataError> {
        into.fill(SIDE, SIDE, 0);
        for (garment, object) in self.garments(garments).zip(&self.objects) {
            let (placed, garment) = garment?;
            for y in 0..garment.side {
                for x in (0..garment.side).filter(|x| garment.covers(*x, y)) {
                    let at = (placed.at[1] + y) * SIDE + placed.at[0] + x;
                    into.classes[at] = object.label as i16 + 1;
                }
            }
        }
        Ok(())
    }
}

/// Share of the smaller of two boxes that lies in the other.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let along = |k: usize| (a[k + 2].min(b[k + 2]) - a[k].max(b[k]) + 1.0).max(0.0);
    let area = |c: [f32; 4]| (c[2] - c[0] + 1.0) * (c[3] - c[1] + 1.0);
    along(0) * along(1) / area(a).min(area(b))
}

/// Waves between two dark colours, with noise.
fn canvas(stream: &mut Stream) -> Vec<[f32; 3]> {
    let texture = stream.below(4);
    let wave = std::f64::consts::TAU / stream.uniform(10.0, 60.0);
    let turn = stream.uniform(0.0, std::f64::consts::TAU);
    let (along, across) = (libm::cos(turn), libm::sin(turn));
    let phase = stream.uniform(0.0, 64.0);
    let colour = |stream: &mut Stream| std::array::from_fn(|_| stream.uniform(5.0, 100.0));
    let (one, other): ([f64; 3], [f64; 3]) = (colour(stream), colour(stream));
    let mut pixels = Vec::with_capacity(SIDE * SIDE);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (x, y) = (x as f64, y as f64);
            let (u, v) = (x * along + y * across + phase, y * along - x * across);
            let level = match texture {
                0 => libm::sin(wave * u),
                1 => libm::sin(wave * u) * libm::sin(wave * v),
                2 => libm::sin(wave * libm::hypot(x - phase, y - 64.0)),
                _ => u / 128.0 - 0.5,
            };
            let share = (0.5 + 0.5 * level).clamp(0.0, 1.0);
            let noise = stream.uniform(-8.0, 8.0);
            pixels.push(std::array::from_fn(|c| {
                (one[c] + (other[c] - one[c]) * share + noise) as f32
            }));
        }
    }
    pixels
}
