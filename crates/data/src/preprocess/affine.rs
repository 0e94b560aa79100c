//! Affine maps of (R, G, B) on the 0..255 scale: composed in f64 once an image, applied in f32.

use crate::preprocess::Layout;

/// `y = matrix x + shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Rows make R, G, B.
    pub matrix: [[f64; 3]; 3],
    /// Added to R, G, B.
    pub shift: [f64; 3],
}

impl Affine {
    /// Changes nothing.
    pub const IDENTITY: Affine = Affine {
        matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        shift: [0.0; 3],
    };

    /// A matrix alone.
    pub fn linear(matrix: [[f64; 3]; 3]) -> Self {
        Affine {
            matrix,
            shift: [0.0; 3],
        }
    }

    /// Each channel by its own factor.
    pub fn scale(factors: [f64; 3]) -> Self {
        let [r, g, b] = factors;
        Affine::linear([[r, 0.0, 0.0], [0.0, g, 0.0], [0.0, 0.0, b]])
    }

    /// Adds to each channel.
    pub fn shift(shift: [f64; 3]) -> Self {
        Affine {
            shift,
            ..Affine::IDENTITY
        }
    }

    /// One colour.
    pub fn apply(&self, x: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| {
            (0..3).map(|k| self.matrix[i][k] * x[k]).sum::<f64>() + self.shift[i]
        })
    }

    /// First this, then `next`.
    pub fn then(&self, next: &Affine) -> Affine {
        let matrix = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..3).map(|k| next.matrix[i][k] * self.matrix[k][j]).sum())
        });
        Affine {
            matrix,
            shift: next.apply(self.shift),
        }
    }
}

/// Writes rows through an affine map into the output.
pub(crate) struct Painter {
    matrix: [[f32; 3]; 3],
    shift: [f32; 3],
    /// Row sums of the matrix: what it does to a grey value.
    grey: [f32; 3],
    layout: Layout,
    size: usize,
}

impl Painter {
    /// For square outputs of `size * size * 3` values.
    pub fn new(affine: &Affine, layout: Layout, size: usize) -> Self {
        Painter {
            matrix: affine.matrix.map(|row| row.map(|x| x as f32)),
            shift: affine.shift.map(|x| x as f32),
            grey: affine.matrix.map(|row| row.iter().sum::<f64>() as f32),
            layout,
            size,
        }
    }

    /// `row`: one value a pixel.
    pub fn grey_row(&self, y: usize, row: &[f32], out: &mut [f32]) {
        let (gain, shift) = (self.grey, self.shift);
        match self.layout {
            Layout::ChannelsLast => {
                let out = &mut out[y * self.size * 3..][..self.size * 3];
                for (pixel, grey) in out.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                    for c in 0..3 {
                        pixel[c] = gain[c] * grey + shift[c];
                    }
                }
            }
            Layout::Nchw => {
                for (c, plane) in out.chunks_exact_mut(self.size * self.size).enumerate() {
                    for (value, grey) in plane[y * self.size..][..self.size].iter_mut().zip(row) {
                        *value = gain[c] * grey + shift[c];
                    }
                }
            }
        }
    }

    /// `row`: three values a pixel.
    pub fn rgb_row(&self, y: usize, row: &[f32], out: &mut [f32]) {
        let row = row.as_chunks::<3>().0;
        let one = |c: usize, [r, g, b]: &[f32; 3]| {
            let m = &self.matrix[c];
            m[0] * r + m[1] * g + m[2] * b + self.shift[c]
        };
        match self.layout {
            Layout::ChannelsLast => {
                let out = &mut out[y * self.size * 3..][..self.size * 3];
                for (pixel, rgb) in out.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                    *pixel = [one(0, rgb), one(1, rgb), one(2, rgb)];
                }
            }
            Layout::Nchw => {
                for (c, plane) in out.chunks_exact_mut(self.size * self.size).enumerate() {
                    for (value, rgb) in plane[y * self.size..][..self.size].iter_mut().zip(row) {
                        *value = one(c, rgb);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn then_is_one_after_the_other() {
        let a = Affine {
            matrix: [[1.0, 2.0, 3.0], [0.5, -1.0, 4.0], [2.0, 0.0, 1.0]],
            shift: [1.0, 2.0, 3.0],
        };
        let b = Affine {
            matrix: [[0.0, 1.0, -2.0], [3.0, 1.0, 1.0], [1.0, 1.0, 0.0]],
            shift: [-1.0, 0.5, 9.0],
        };
        let x = [10.0, -20.0, 30.0];
        assert_eq!(a.then(&b).apply(x), b.apply(a.apply(x)));
        assert_eq!(a.then(&Affine::IDENTITY), a);
        assert_ne!(a.then(&b), b.then(&a));
    }
}
