//! Which class has each pixel, asked at several scales? The released code's `MultiEvalModel`
//! (recipes.md section 5), whose numbers are those of Table 9.
//!
//! Per scale the image is resized so that its long side is ceil(base_size scale), keeping its shape.
//! Where that fits into a window of crop_size x crop_size, the image is padded to one window with
//! black; else windows slide over it with a step of two thirds, the last ones padded where they reach
//! over the edge, and where windows overlap their scores are averaged. The score of a window is
//! exp(logits + those of its mirror image, mirrored back); scores are resized to the image and summed
//! over scales.

use tch::{Kind, Tensor};

use super::fcn::{self, Fcn};
use crate::loss::in_full_precision;
use crate::network::Pass;

/// How an image is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiScale {
    /// Long side at scale 1, pixels.
    pub base_size: u32,
    /// Side of a window, pixels.
    pub crop_size: u32,
    /// Scales.
    pub scales: Vec<f64>,
    /// Whether the mirror image is asked about too.
    pub flip: bool,
    /// Step of the windows, share of their side.
    pub stride_share: f64,
    /// What black is to the network, channel by channel.
    pub black: [f64; 3],
}

impl MultiScale {
    /// Scores (1, classes, H, W) of an image (1, 3, H, W): the highest is the class.
    pub fn scores(&self, fcn: &Fcn, pass: Pass, image: &Tensor) -> Tensor {
        let forward = |windows: &Tensor| {
            let side = i64::from(self.crop_size);
            let logits = fcn.forward(windows, pass, false).main;
            fcn::resize(&in_full_precision(&logits), side, side)
        };
        self.scores_of(&forward, i64::from(fcn.classes), image)
    }

    /// As [`MultiScale::scores`], with `forward` from windows (n, 3, S, S) to logits (n, classes, S, S).
    fn scores_of(
        &self,
        forward: &dyn Fn(&Tensor) -> Tensor,
        classes: i64,
        image: &Tensor,
    ) -> Tensor {
        let (h, w) = (image.size()[2], image.size()[3]);
        let mut sum: Option<Tensor> = None;
        for scale in &self.scales {
            let (height, width) = self.size_at(*scale, h, w);
            let resized = fcn::resize(image, height, width);
            let scores = self.slide(forward, classes, &resized);
            let scores = fcn::resize(&scores, h, w);
            sum = Some(match sum {
                None => scores,
                Some(sum) => sum + scores,
            });
        }
        sum.unwrap_or_else(|| Tensor::zeros([1, classes, h, w], (Kind::Float, image.device())))
    }

    /// Height and width at a scale; the released code's rounding.
    fn size_at(&self, scale: f64, h: i64, w: i64) -> (i64, i64) {
        let long = (f64::from(self.base_size) * scale).ceil() as i64;
        let short = |short: i64, side: i64| {
            ((short * long) as f64 / side as f64 + 0.5).floor().max(1.0) as i64
        };
        match h > w {
            true => (long, short(w, h)),
            false => (short(h, w), long),
        }
    }

    /// Scores of a resized image (1, 3, h, w).
    fn slide(&self, forward: &dyn Fn(&Tensor) -> Tensor, classes: i64, image: &Tensor) -> Tensor {
        let side = i64::from(self.crop_size);
        let (h, w) = (image.size()[2], image.size()[3]);
        let padded = self.pad(image, side);
        let (ph, pw) = (padded.size()[2], padded.size()[3]);
        if h.max(w) <= side {
            let scores = self.mirrored(forward, &padded);
            return scores.narrow(2, 0, h).narrow(3, 0, w);
        }
        let step = ((side as f64 * self.stride_share) as i64).max(1);
        let starts = |long: i64| -> Vec<i64> {
            let count = (long - side)
                .max(0)
                .unsigned_abs()
                .div_ceil(step.unsigned_abs());
            (0..=count as i64).map(|i| i * step).collect()
        };
        let options = (Kind::Float, image.device());
        let sum = Tensor::zeros([1, classes, ph, pw], options);
        let count = Tensor::zeros([1, 1, ph, pw], options);
        for top in starts(ph) {
            for left in starts(pw) {
                let (height, width) = (side.min(ph - top), side.min(pw - left));
                let at = |x: &Tensor| x.narrow(2, top, height).narrow(3, left, width);
                let window = self.pad(&at(&padded), side);
                let scores = self.mirrored(forward, &window);
                let scores = scores.narrow(2, 0, height).narrow(3, 0, width);
                let _ = at(&sum).g_add_(&scores);
                let _ = at(&count).g_add_scalar_(1.0);
            }
        }
        (sum / count).narrow(2, 0, h).narrow(3, 0, w)
    }

    /// exp of the logits of a window plus those of its mirror image. FP32 or more.
    fn mirrored(&self, forward: &dyn Fn(&Tensor) -> Tensor, window: &Tensor) -> Tensor {
        if !self.flip {
            return forward(window).exp();
        }
        let both = forward(&Tensor::cat(&[window, &window.flip([3])], 0));
        (both.narrow(0, 0, 1) + both.narrow(0, 1, 1).flip([3])).exp()
    }

    /// Black to the right and below, up to `side`.
    fn pad(&self, x: &Tensor, side: i64) -> Tensor {
        let (h, w) = (x.size()[2], x.size()[3]);
        let (height, width) = (h.max(side), w.max(side));
        if (height, width) == (h, w) {
            return x.shallow_clone();
        }
        let black = Tensor::from_slice(&self.black)
            .to_kind(x.kind())
            .to_device(x.device());
        let padded = black
            .view([1, 3, 1, 1])
            .expand([1, 3, height, width], false);
        let padded = padded.contiguous();
        padded.narrow(2, 0, h).narrow(3, 0, w).copy_(x);
        padded
    }
}

#[cfg(test)]
#[path = "multi_scale_tests.rs"]
mod tests;
