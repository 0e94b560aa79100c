//! Segmentation (Table 9): which class has each pixel?
//!
//! | question | module |
//! |---|---|
//! | how does it plug into an attempt? | [`task`] |
//! | which layers has the network? | [`fcn`] |
//! | what is a training step, and its loss? | [`step`], [`loss`] |
//! | how good are the masks of a split? | [`evaluate`] |
//! | how right are predicted masks? | [`totals`] |
//! | which class has each pixel, asked at several scales? | [`multi_scale`] |

pub mod evaluate;
pub mod fcn;
#[cfg(test)]
mod golden_tests;
pub mod loss;
pub mod multi_scale;
pub mod step;
pub mod task;
#[cfg(test)]
pub mod test_support;
pub mod totals;
