//! RoIAlign as products of matrices: any device and kind, differentiated by libtorch.

use tch::Tensor;

use super::weights::{BoxWeights, Sparse};

/// Boxes of one product: what lies between the two products is (boxes, channels, side, width), and 32 boxes of
/// the released detector make 92 MB of it.
const BOXES: usize = 32;

/// (r, channels, side, side) of features (n, channels, height, width).
pub fn pool(features: &Tensor, boxes: &[BoxWeights], side: usize) -> Tensor {
    let [_, channels, height, width] = size(features);
    let side_i = side as i64;
    let mut parts = Vec::new();
    // Neighbours of one image share a product.
    for of_image in boxes.chunk_by(|a, b| a.image == b.image) {
        for part in of_image.chunks(BOXES) {
            let r = part.len() as i64;
            let image = features.select(0, part[0].image as i64);
            let by_row = image.permute([1, 0, 2]).reshape([height, channels * width]);
            let rows = matrix(part, |weights| &weights.rows, side, height, features);
            let within = rows
                .view([r * side_i, height])
                .matmul(&by_row)
                .view([r, side_i, channels, width])
                .permute([0, 2, 1, 3])
                .reshape([r, channels * side_i, width]);
            let columns = matrix(part, |weights| &weights.columns, side, width, features);
            let pooled = within.matmul(&columns.transpose(1, 2));
            parts.push(pooled.view([r, channels, side_i, side_i]));
        }
    }
    if parts.is_empty() {
        // Nothing, which hangs on the features all the same.
        let none = features
            .narrow(0, 0, 0)
            .sum_dim_intlist([2, 3].as_slice(), true, None);
        return none.expand([0, channels, side_i, side_i], false);
    }
    Tensor::cat(&parts, 0)
}

fn size(features: &Tensor) -> [i64; 4] {
    [0, 1, 2, 3].map(|dim| features.size()[dim])
}

/// (boxes, side, positions) where the features are, and of their kind.
fn matrix(
    boxes: &[BoxWeights],
    axis: impl Fn(&BoxWeights) -> &Sparse,
    side: usize,
    positions: i64,
    features: &Tensor,
) -> Tensor {
    let each = side * positions as usize;
    let mut dense = vec![0.0; boxes.len() * each];
    for (weights, dense) in boxes.iter().zip(dense.chunks_mut(each.max(1))) {
        axis(weights).scatter(dense, positions as usize);
    }
    Tensor::from_slice(&dense)
        .view([boxes.len() as i64, side as i64, positions])
        .to_device(features.device())
        .to_kind(features.kind())
}
