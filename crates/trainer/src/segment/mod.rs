//! Segmentation (Table 9): which class has each pixel?
//!
//! | question | module |
//! |---|---|
//! | which layers has the network? | [`fcn`] |
//! | what is the loss? | [`loss`] |
//! | how right are predicted masks? | [`totals`] |
//! | which class has each pixel, asked at several scales? | [`multi_scale`] |

pub mod fcn;
pub mod loss;
pub mod multi_scale;
#[cfg(test)]
pub mod test_support;
pub mod totals;
