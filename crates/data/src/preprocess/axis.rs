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
        // No output has more sources with a weight than this; most windows have fewer.
        let most = (2 * scale.ceil() as usize + 1).min(from);
        for out in offset..offset + size {
            let centre = (out as f64 + 0.5) * scale;
            let start = ((centre - scale + 0.5).max(0.0) as usize).min(from - most);
            let weight =
                |k: usize| (1.0 - ((start + k) as f64 + 0.5 - centre).abs() / scale).max(0.0);
            let sum: f64 = (0..most).map(weight).sum();
            self.start.push(start);
            self.weights
                .extend((0..most).map(|k| (weight(k) / sum) as f32));
        }
        self.taps = most;
        self.trim(from);
    }

    /// Leaves out sources that weigh nothing, as far as the number of taps may be the same for all outputs.
    fn trim(&mut self, from: usize) {
        let zeros = |weights: &[f32]| weights.iter().take_while(|w| **w == 0.0).count();
        let used = |weights: &[f32]| {
            let last = weights.iter().rposition(|w| *w != 0.0);
            last.map_or(1, |last| last + 1 - zeros(weights))
        };
        let all = self.weights.chunks_exact(self.taps);
        let taps = all.map(used).max().unwrap_or(self.taps);
        for (out, start) in self.start.iter_mut().enumerate() {
            let old = out * self.taps;
            // What is left begins no earlier than before: there is room for more taps than these.
            let first = (*start + zeros(&self.weights[old..][..self.taps])).min(from - taps);
            let skipped = first - *start;
            for k in 0..taps {
                let behind = k + skipped >= self.taps;
                self.weights[out * taps + k] = match behind {
                    true => 0.0,
                    false => self.weights[old + skipped + k],
                };
            }
            *start = first;
        }
        self.weights.truncate(self.start.len() * taps);
        self.taps = taps;
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
