//! Which positions of a feature map has a bin of a box, and with which weights?

use tch::{Device, Kind, Tensor};

use super::RoiAlign;

/// A box's two sparse matrices: a bin is `rows` times the features times `columns` transposed.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxWeights {
    /// Number of the image.
    pub image: usize,
    /// Bins of a column by rows of the map.
    pub rows: Sparse,
    /// Bins of a row by columns of the map.
    pub columns: Sparse,
}

/// A sparse matrix, row by row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sparse {
    /// Where each row's entries end.
    ends: Vec<usize>,
    entries: Vec<Entry>,
}

/// An element of a sparse matrix that is not 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Its column.
    pub at: usize,
    /// Its value.
    pub weight: f32,
}

impl Sparse {
    /// The elements of row `row`, by column.
    #[inline]
    pub fn row(&self, row: usize) -> &[Entry] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[begin..self.ends[row]]
    }

    /// The columns between the first and the last with an element.
    pub fn span(&self) -> std::ops::Range<usize> {
        let first = self.entries.iter().map(|entry| entry.at).min();
        let last = self.entries.iter().map(|entry| entry.at).max();
        first.unwrap_or(0)..last.map_or(0, |last| last + 1)
    }

    /// Rows become columns; `columns` of them.
    pub fn transposed(&self, columns: usize) -> Sparse {
        let mut all = Vec::with_capacity(self.entries.len());
        for row in 0..self.ends.len() {
            let of_row = self.row(row).iter();
            all.extend(of_row.map(|entry| (entry.at, row, entry.weight)));
        }
        // Stable: the rows of a column stay in order.
        all.sort_by_key(|(column, ..)| *column);
        let entry = |(_, at, weight): &(usize, usize, f32)| Entry {
            at: *at,
            weight: *weight,
        };
        Sparse {
            ends: (0..columns)
                .map(|column| all.partition_point(|(of, ..)| *of <= column))
                .collect(),
            entries: all.iter().map(entry).collect(),
        }
    }

    /// Adds its elements to a dense matrix of that many columns, row by row.
    pub fn scatter(&self, dense: &mut [f32], columns: usize) {
        for row in 0..self.ends.len() {
            for entry in self.row(row) {
                dense[row * columns + entry.at] += entry.weight;
            }
        }
    }
}

/// The weights of every roi (r, 5) on these features. Where they are FP32, coordinates are rounded as
/// torchvision's kernel rounds them: a sample's weights come from its distance to whole numbers, and an error in
/// the sixth digit of a coordinate is one in the fifth of a weight.
pub fn of_rois(how: &RoiAlign, features: &Tensor, rois: &Tensor) -> Vec<BoxWeights> {
    assert_eq!(rois.size().get(1), Some(&5), "rois are (r, 5)");
    let images = features.size()[0] as f64;
    let [height, width] = [2, 3].map(|dim| features.size()[dim] as usize);
    let round: fn(f64) -> f64 = match features.kind() {
        Kind::Double => |value| value,
        _ => |value| f64::from(value as f32),
    };
    let host = rois.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    let mut all = vec![0.0; host.numel()];
    let count = all.len();
    host.contiguous().copy_data(&mut all, count);
    let of = |roi: &[f64; 5]| {
        let [image, left, top, right, bottom] = *roi;
        assert!((0.0..images).contains(&image), "a roi of image {image}");
        BoxWeights {
            image: image as usize,
            rows: axis(how, [top, bottom], height, round),
            columns: axis(how, [left, right], width, round),
        }
    };
    all.as_chunks().0.iter().map(of).collect()
}

/// Bins of a box from `begin` to `end` along one axis of the image, by positions of the map.
fn axis(how: &RoiAlign, [begin, end]: [f64; 2], size: usize, round: fn(f64) -> f64) -> Sparse {
    let (bins, samples, scale) = (how.side as f64, how.sampling as f64, round(how.scale));
    let start = round(round(begin) * scale);
    let length = round(round(round(end) * scale) - start).max(1.0);
    let bin = round(length / bins);
    let mut matrix = Sparse::default();
    for p in 0..how.side {
        let of_bin = matrix.entries.len();
        for i in 0..how.sampling {
            let offset = round(round((i as f64 + 0.5) * bin) / samples);
            let at = round(round(start + round(p as f64 * bin)) + offset);
            for (at, weight) in sample(at, size, round).into_iter().flatten() {
                let weight = (weight / samples) as f32;
                let known = &mut matrix.entries[of_bin..];
                match known.iter_mut().find(|entry| entry.at == at) {
                    Some(entry) => entry.weight += weight,
                    None => matrix.entries.push(Entry { at, weight }),
                }
            }
        }
        matrix.ends.push(matrix.entries.len());
    }
    matrix
}

/// The two positions around a sample, with their weights; none for a sample more than one outside of the map.
fn sample(at: f64, size: usize, round: fn(f64) -> f64) -> [Option<(usize, f64)>; 2] {
    // As written, a coordinate that is no number is outside.
    if size == 0 || !(at >= -1.0 && at <= size as f64) {
        return [None, None];
    }
    let at = at.max(0.0);
    let low = at as usize;
    if low >= size - 1 {
        return [Some((size - 1, 1.0)), None];
    }
    let share = round(at - low as f64);
    let rest = round(1.0 - share);
    [Some((low, rest)), (share > 0.0).then_some((low + 1, share))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(matrix: &Sparse, rows: usize, columns: usize) -> Vec<f32> {
        let mut dense = vec![0.0; rows * columns];
        matrix.scatter(&mut dense, columns);
        dense
    }

    /// By hand: a box of 4 positions from 1, two bins of two samples, at 1.5, 2.5 | 3.5, 4.5 of 5 positions: the
    /// last sample lies beyond the last position, and is it.
    #[test]
    fn roi_align_weights_of_one_axis() {
        let how = RoiAlign {
            side: 2,
            scale: 0.5,
            sampling: 2,
        };
        let matrix = axis(&how, [2.0, 10.0], 5, |value| value);
        let expected = [0., 0.25, 0.5, 0.25, 0., 0., 0., 0., 0.25, 0.75];
        assert_eq!(dense(&matrix, 2, 5), expected);
        assert_eq!(matrix.span(), 1..5);
        let transposed = dense(&matrix.transposed(5), 5, 2);
        let back: Vec<f32> = (0..10).map(|i| transposed[i % 5 * 2 + i / 5]).collect();
        assert_eq!(back, expected);
    }

    #[test]
    fn roi_align_weights_at_the_edges() {
        let exact: fn(f64) -> f64 = |value| value;
        assert_eq!(sample(-1.1, 4, exact), [None, None]);
        assert_eq!(sample(-1.0, 4, exact), [Some((0, 1.0)), None]);
        assert_eq!(sample(2.75, 4, exact), [Some((2, 0.25)), Some((3, 0.75))]);
        assert_eq!(sample(4.0, 4, exact), [Some((3, 1.0)), None]);
        assert_eq!(sample(4.1, 4, exact), [None, None]);
        assert_eq!(sample(f64::NAN, 4, exact), [None, None]);
        let outside = axis(&RoiAlign::C4, [1e6, 2e6], 4, exact);
        assert_eq!(outside.span(), 0..0);
        assert!(outside.transposed(4).row(3).is_empty());
    }
}
