//! What do the features say inside a box? RoIAlign: a grid of bins over the box, each the mean of a few samples,
//! each interpolated between four positions of the feature map. Numbers and edges as torchvision's with
//! `aligned=False`: a box is at least one position wide and high, half a pixel is not taken off.
//!
//! A bin's samples lie on a grid, so its value is a weighted sum over rows of weighted sums over columns: two
//! sparse matrices a box ([`weights`]), in place of up to sixteen positions a bin. On the CPU ([`kernel`]) that is
//! plain Rust over channels-last features, whose channels lie side by side; elsewhere, and in FP64, it is two
//! dense products ([`dense`]).
//!
//! libtorch cannot differentiate plain Rust, so a training pools with [`Pooled`].

mod dense;
mod kernel;
mod weights;

use tch::{Device, Kind, Tensor};

use weights::BoxWeights;

/// How boxes are pooled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoiAlign {
    /// Bins in a row and in a column.
    pub side: usize,
    /// Positions of the feature map by pixels of the image: 1/16 behind stride 16.
    pub scale: f64,
    /// Samples of a bin in a row and in a column, at least 1.
    pub sampling: usize,
}

impl RoiAlign {
    /// The released detector's: 14 x 14 bins of 2 x 2 samples at stride 16.
    pub const C4: RoiAlign = RoiAlign {
        side: 14,
        scale: 1.0 / 16.0,
        sampling: 2,
    };

    /// Pools `features` (n, channels, height, width) in `rois` (r, 5): number of the image, then left, top, right
    /// and bottom in pixels of the image. Returns (r, channels, side, side), in channels-last memory on the CPU,
    /// and carries no gradient: that is what [`Pooled`] is for.
    ///
    /// Panics if a roi names an image that is not there.
    pub fn pool(&self, features: &Tensor, rois: &Tensor) -> Tensor {
        let features = features.detach();
        let boxes = self.boxes(&features, rois);
        if in_plain_rust(&features) {
            kernel::pool(&features, &boxes, self.side)
        } else {
            dense::pool(&features, &boxes, self.side)
        }
    }

    fn boxes(&self, features: &Tensor, rois: &Tensor) -> Vec<BoxWeights> {
        weights::of_rois(self, features, rois)
    }
}

/// Pooled features in the middle of a training step. libtorch sees two halves, and the gradient is handed over
/// by hand:
///
/// ```text
/// let pooled = Pooled::new(RoiAlign::C4, &features, &rois);
/// let head = loss_of_head(&pooled.values);
/// head.backward();                          // reaches pooled.values and ends there
/// // the first half, from all that hangs on `features`
/// (rpn_loss + pooled.surrogate_of(&pooled.values.grad())).backward();
/// ```
///
/// The loss of the step is `rpn_loss + head`; a surrogate's value means nothing, its gradient is that of `head`.
#[derive(Debug)]
pub struct Pooled {
    /// (r, channels, side, side): a leaf that wants a gradient.
    pub values: Tensor,
    features: Tensor,
    behind: Behind,
}

/// What knows how `values` came about.
#[derive(Debug)]
enum Behind {
    /// The kernel, and the boxes it was given.
    Kernel(Vec<BoxWeights>, usize),
    /// libtorch's graph, which ends in these values.
    Graph(Tensor),
}

impl Pooled {
    /// Pools as [`RoiAlign::pool`]; `features` may be in the middle of a graph.
    pub fn new(how: RoiAlign, features: &Tensor, rois: &Tensor) -> Pooled {
        let boxes = how.boxes(features, rois);
        let (values, behind) = if in_plain_rust(features) {
            let values = kernel::pool(&features.detach(), &boxes, how.side);
            (values, Behind::Kernel(boxes, how.side))
        } else {
            let values = dense::pool(features, &boxes, how.side);
            (values.detach(), Behind::Graph(values))
        };
        Pooled {
            values: values.set_requires_grad(true),
            features: features.shallow_clone(),
            behind,
        }
    }

    /// After the backward pass of all that was computed from `values`: a scalar whose backward pass gives
    /// `features` the gradient that `values` has got. Without one (no loss reached `values`) that is zero.
    #[cfg(test)]
    pub fn surrogate(&self) -> Tensor {
        let gradient = self.values.grad();
        if gradient.defined() {
            self.surrogate_of(&gradient)
        } else {
            self.features.sum(self.features.kind()) * 0.0
        }
    }

    /// The same for a given gradient of `values`.
    pub fn surrogate_of(&self, gradient: &Tensor) -> Tensor {
        match &self.behind {
            Behind::Kernel(boxes, side) => {
                let gradient = kernel::backward(gradient, boxes, *side, &self.features.size());
                (&self.features * gradient).sum(Kind::Float)
            }
            Behind::Graph(values) => (values * gradient).sum(values.kind()),
        }
    }
}

/// Is the kernel written for it?
fn in_plain_rust(features: &Tensor) -> bool {
    features.device() == Device::Cpu && features.kind() == Kind::Float
}
