//! Detection (Table 8): which things are where in an image?
//!
//! | question | module |
//! |---|---|
//! | which boxes stay where several say the same? | [`nms`] |
//! | what do the features say inside a box? | [`roi_align`] |
//! | how right are detections? | [`average_precision`] |
//! | how does plain Rust read and make a tensor of the CPU? | [`elements`] |

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "an evaluation of detection calls it")
)]
pub mod average_precision;
mod elements;
#[cfg(test)]
mod golden_tests;
pub mod nms;
pub mod roi_align;
