//! Detection (Table 8): which things are where in an image?
//!
//! | question | module |
//! |---|---|
//! | how does it plug into an attempt? | [`task`] |
//! | which layers has the network? | [`network`] |
//! | which boxes does the RPN start from? | [`anchors`] |
//! | how is a box told as a change of another? | [`coding`] |
//! | where might something be? | [`proposals`] |
//! | what should anchors and proposals say? | [`targets`] |
//! | what is a training step, and its loss? | [`step`], [`loss`] |
//! | how do images of several sizes get through one network? | [`batch`] |
//! | how good are the boxes of a split? | [`evaluate`] |
//! | which boxes stay where several say the same? | [`nms`] |
//! | what do the features say inside a box? | [`roi_align`] |
//! | how right are detections? | [`average_precision`] |
//! | how does plain Rust read and make a tensor of the CPU? | [`elements`] |

pub mod anchors;
pub mod average_precision;
pub mod batch;
pub mod coding;
mod elements;
pub mod evaluate;
#[cfg(test)]
mod golden_tests;
pub mod loss;
pub mod network;
pub mod nms;
pub mod proposals;
pub mod roi_align;
pub mod step;
pub mod targets;
pub mod task;
#[cfg(test)]
pub mod test_support;
