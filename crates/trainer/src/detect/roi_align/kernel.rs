//! RoIAlign in plain Rust on the CPU, and its gradient. Threads are libtorch's number, each with boxes (forward)
//! or channels (backward) of its own: nothing is added up across threads, so their number changes no bit.

use multiversion::multiversion;
use tch::Tensor;

use super::weights::{BoxWeights, Entry, Sparse};
use crate::detect::elements;

/// Channels that are pooled at once, so that a row of a map stays in the nearest cache.
const CHANNELS: usize = 128;
/// Sums (pooled values times samples) below which a thread is not worth starting.
const WORTH_A_THREAD: usize = 1 << 18;

/// Sizes of the features.
#[derive(Debug, Clone, Copy)]
struct Map {
    images: usize,
    channels: usize,
    height: usize,
    width: usize,
}

impl Map {
    fn new(size: &[i64]) -> Map {
        let [images, channels, height, width] = [0, 1, 2, 3].map(|dim| size[dim] as usize);
        Map {
            images,
            channels,
            height,
            width,
        }
    }
}

/// (r, channels, side, side) in channels-last memory, of f32 features (n, channels, height, width).
pub fn pool(features: &Tensor, boxes: &[BoxWeights], side: usize) -> Tensor {
    let map = Map::new(&features.size());
    let features = channels_last(features);
    let [s, c] = [side, map.channels].map(|size| size as i64);
    let of_box = side * side * map.channels;
    let pooled = elements::write(&[boxes.len() as i64, s, s, c], |pooled| {
        elements::read(&features, |features| {
            let threads = threads(boxes.len(), of_box);
            let share = boxes.len().div_ceil(threads).max(1);
            let shares = boxes
                .chunks(share)
                .zip(pooled.chunks_mut((share * of_box).max(1)));
            in_threads(shares, |(boxes, pooled)| {
                pool_boxes(features, map, boxes, side, pooled);
            });
        });
    });
    pooled.permute([0, 3, 1, 2])
}

/// The gradient of features of that size, in channels-last memory: `gradient` is that of the pooled values.
pub fn backward(gradient: &Tensor, boxes: &[BoxWeights], side: usize, size: &[i64]) -> Tensor {
    let map = Map::new(size);
    let gradient = channels_last(gradient);
    let threads = threads(boxes.len(), side * side * map.channels);
    // Every thread has a block, and a block some vectors.
    let block = map
        .channels
        .div_ceil(threads)
        .next_multiple_of(16)
        .clamp(16, CHANNELS);
    let blocks = map.channels.div_ceil(block);
    let of_block = map.images * map.height * map.width * block;
    let transposed: Vec<Sparse> = boxes
        .iter()
        .map(|weights| weights.columns.transposed(map.width))
        .collect();
    let [n, h, w] = [map.images, map.height, map.width].map(|size| size as i64);
    let by_block = elements::write(&[blocks as i64, n, h, w, block as i64], |sums| {
        elements::read(&gradient, |gradient| {
            let share = blocks.div_ceil(threads).max(1);
            let shares = sums.chunks_mut((share * of_block).max(1)).enumerate();
            in_threads(shares, |(i, sums)| {
                for (j, sum) in sums.chunks_mut(of_block.max(1)).enumerate() {
                    let first = (i * share + j) * block;
                    let channels = first..(first + block).min(map.channels);
                    let what = Scattered {
                        gradient,
                        boxes,
                        transposed: &transposed,
                        side,
                    };
                    scatter_block(&what, map, channels, block, sum);
                }
            });
        });
    });
    by_block
        .permute([1, 2, 3, 0, 4])
        .reshape([n, h, w, (blocks * block) as i64])
        .narrow(3, 0, map.channels as i64)
        .permute([0, 3, 1, 2])
}

/// (n, height, width, channels), one after the other.
fn channels_last(tensor: &Tensor) -> Tensor {
    tensor.permute([0, 2, 3, 1]).contiguous()
}

/// Threads for that many boxes.
fn threads(boxes: usize, of_box: usize) -> usize {
    let most = tch::get_num_threads().max(1) as usize;
    (boxes * of_box / WORTH_A_THREAD).clamp(1, most)
}

/// Each share in a thread of its own, the first in this one.
fn in_threads<T: Send>(shares: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        let work = &work;
        let mut shares = shares;
        let first = shares.next();
        for share in shares {
            scope.spawn(move || work(share));
        }
        if let Some(share) = first {
            work(share);
        }
    });
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn pool_boxes(features: &[f32], map: Map, boxes: &[BoxWeights], side: usize, pooled: &mut [f32]) {
    let of_box = side * side * map.channels;
    let of_row = map.width * map.channels;
    let mut within = vec![0.0; map.width * CHANNELS];
    for (weights, pooled) in boxes.iter().zip(pooled.chunks_mut(of_box.max(1))) {
        let image = &features[weights.image * map.height * of_row..][..map.height * of_row];
        let span = weights.columns.span();
        for first in (0..map.channels).step_by(CHANNELS) {
            let block = CHANNELS.min(map.channels - first);
            for row in 0..side {
                for column in span.clone() {
                    let sum = &mut within[column * block..][..block];
                    let at = column * map.channels + first;
                    combine(sum, image, of_row, at, weights.rows.row(row));
                }
                for bin in 0..side {
                    let sum = &mut pooled[(row * side + bin) * map.channels + first..][..block];
                    combine(sum, &within, block, 0, weights.columns.row(bin));
                }
            }
        }
    }
}

/// What is scattered into features.
struct Scattered<'a> {
    gradient: &'a [f32],
    boxes: &'a [BoxWeights],
    transposed: &'a [Sparse],
    side: usize,
}

/// Adds up the gradient of some channels into `sum`, (images, height, width, block).
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn scatter_block(
    what: &Scattered,
    map: Map,
    channels: std::ops::Range<usize>,
    block: usize,
    sum: &mut [f32],
) {
    let side = what.side;
    let of_row = side * map.channels;
    let mut within = vec![0.0; map.width * block];
    sum.fill(0.0);
    let each = what.boxes.iter().zip(what.transposed);
    for ((weights, columns), gradient) in each.zip(what.gradient.chunks((side * of_row).max(1))) {
        let span = weights.columns.span();
        let image = weights.image * map.height;
        for row in 0..side {
            let bins = &gradient[row * of_row..][..of_row];
            for column in span.clone() {
                let sum = &mut within[column * block..][..channels.len()];
                combine(sum, bins, map.channels, channels.start, columns.row(column));
            }
            let within = &within[span.start * block..span.end * block];
            for entry in weights.rows.row(row) {
                let at = ((image + entry.at) * map.width + span.start) * block;
                let sum = &mut sum[at..][..within.len()];
                for (sum, value) in sum.iter_mut().zip(within) {
                    *sum += entry.weight * value;
                }
            }
        }
    }
}

/// `sum` = the weighted sum of the vectors `from[entry * stride + at..]`.
#[inline(always)]
fn combine(sum: &mut [f32], from: &[f32], stride: usize, at: usize, entries: &[Entry]) {
    let n = sum.len();
    let vector = |entry: &Entry| (&from[entry.at * stride + at..][..n], entry.weight);
    match entries {
        [] => sum.fill(0.0),
        [a] => {
            let (a, of_a) = vector(a);
            for i in 0..n {
                sum[i] = a[i] * of_a;
            }
        }
        [a, b] => {
            let ((a, of_a), (b, of_b)) = (vector(a), vector(b));
            for i in 0..n {
                sum[i] = a[i] * of_a + b[i] * of_b;
            }
        }
        [a, b, c] => {
            let ((a, of_a), (b, of_b), (c, of_c)) = (vector(a), vector(b), vector(c));
            for i in 0..n {
                sum[i] = a[i] * of_a + b[i] * of_b + c[i] * of_c;
            }
        }
        [a, b, c, d, rest @ ..] => {
            let ((a, of_a), (b, of_b)) = (vector(a), vector(b));
            let ((c, of_c), (d, of_d)) = (vector(c), vector(d));
            for i in 0..n {
                sum[i] = (a[i] * of_a + b[i] * of_b) + (c[i] * of_c + d[i] * of_d);
            }
            for entry in rest {
                let (e, of_e) = vector(entry);
                for i in 0..n {
                    sum[i] += e[i] * of_e;
                }
            }
        }
    }
}
