//! Step 2, weights of the resize along one axis.

use std::ops::Range;

/// Output `i` is the sum of `taps` sources from `start[i]`, by their weights.
#[derive(Debug, Default)]
pub(crate) struct Axis {
    pub taps: usize,
    pub start: Vec<usize>,
    pub weights: Vec<f32>,
}

impl Axis {
    /// Outputs `offset..offset + size` of a resize of `from` sources to `to` outputs. The range of the
    /// sources they need, from whose beginning [`Axis::start`] counts.
    pub fn build(
        &mut self,
        from: usize,
        to: usize,
        offset: usize,
        size: usize,
        antialias: bool,
    ) -> Range<usize> {
        let scale = from as f64 / to as f64;
        self.start.clear();
        self.weights.clear();
        if antialias && scale > 1.0 {
            self.build_wide(from, scale, offset, size);
        } else {
            self.build_narrow(from, scale, offset, size);
        }
        let first = self.start.first().copied().unwrap_or(0);
        let last = self.start.last().copied().unwrap_or(0) + self.taps;
        self.start.iter_mut().for_each(|start| *start -= first);
        first..last
    }

    fn build_narrow(&mut self, from: usize, scale: f64, offset: usize, size: usize) {
        self.taps = from.min(2);
        for out in offset..offset + size {
            let centre = ((out as f64 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f64);
            // The last source alone is the second of two, so that both are inside.
            let start = (centre as usize).min(from - self.taps);
            let share = (centre - start as f64) as f32;
            self.start.push(start);
            match self.taps {
                1 => self.weights.push(1.0),
                _ => self.weights.extend([1.0 - share, share]),
            }
        }
    }

    fn build_wide(&mut self, from: usize, scale: f64, offset: usize, size: usize) {
        self.taps = (2 * scale.ceil() as usize + 1).min(from);
        for out in offset..offset + size {
            let centre = (out as f64 + 0.5) * scale;
            let start = ((centre - scale + 0.5).max(0.0) as usize).min(from - self.taps);
            let weight =
                |k: usize| (1.0 - ((start + k) as f64 + 0.5 - centre).abs() / scale).max(0.0);
            let sum: f64 = (0..self.taps).map(weight).sum();
            self.start.push(start);
            self.weights
                .extend((0..self.taps).map(|k| (weight(k) / sum) as f32));
        }
    }

    /// First source and weights of an output.
    pub fn taps(&self, out: usize) -> (usize, &[f32]) {
        (
            self.start[out],
            &self.weights[out * self.taps..][..self.taps],
        )
    }

    /// Outputs in reverse order.
    pub fn reverse(&mut self) {
        self.start.reverse();
        self.weights.reverse();
        self.weights
            .chunks_exact_mut(self.taps)
            .for_each(<[f32]>::reverse);
    }
}
