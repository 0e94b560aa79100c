//! Affine maps of (R, G, B) on the 0..255 scale: composed in f64 once an image, applied in f32.

use multiversion::multiversion;

use crate::preprocess::Layout;
use crate::preprocess::resize::Row;

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

/// Row `c` makes channel `c`: factors of R, G, B, and what is added.
pub type Matrix = [[f32; 4]; 3];

impl Affine {
    /// In single precision, as it is applied.
    pub fn matrix(&self) -> Matrix {
        std::array::from_fn(|c| {
            let [r, g, b] = self.matrix[c];
            [r, g, b, self.shift[c]].map(|x| x as f32)
        })
    }
}

/// Writes rows through an affine map into the output.
pub(crate) struct Painter {
    matrix: Matrix,
    /// Row sums of the matrix: what it does to a grey value.
    grey: [f32; 3],
    layout: Layout,
    size: usize,
}

impl Painter {
    /// For square outputs of `size * size * 3` values.
    pub fn new(affine: &Affine, layout: Layout, size: usize) -> Self {
        Painter {
            matrix: affine.matrix(),
            grey: affine.matrix.map(|row| row.iter().sum::<f64>() as f32),
            layout,
            size,
        }
    }

    /// Row `y` of the image.
    pub fn row(&self, y: usize, row: Row<'_>, out: &mut [f32]) {
        let line = y * self.size..(y + 1) * self.size;
        match (row, self.layout) {
            (Row::Grey(row), Layout::ChannelsLast) => {
                let out = &mut out.as_chunks_mut::<3>().0[line];
                for (pixel, grey) in out.iter_mut().zip(row) {
                    *pixel = std::array::from_fn(|c| self.grey[c] * grey + self.matrix[c][3]);
                }
            }
            (Row::Grey(row), Layout::Nchw) => {
                for (c, plane) in out.chunks_exact_mut(self.size * self.size).enumerate() {
                    for (value, grey) in plane[line.clone()].iter_mut().zip(row) {
                        *value = self.grey[c] * grey + self.matrix[c][3];
                    }
                }
            }
            (Row::Colour(row), Layout::ChannelsLast) => {
                interleaved(&self.matrix, row, &mut out.as_chunks_mut::<3>().0[line]);
            }
            (Row::Colour(row), Layout::Nchw) => {
                for (c, plane) in out.chunks_exact_mut(self.size * self.size).enumerate() {
                    planar(&self.matrix[c], row, &mut plane[line.clone()]);
                }
            }
        }
    }
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn interleaved(matrix: &Matrix, row: &[[f32; 4]], out: &mut [[f32; 3]]) {
    // Columns: one vector each.
    let [r, g, b, shift]: [[f32; 4]; 4] =
        std::array::from_fn(|k| [matrix[0][k], matrix[1][k], matrix[2][k], 0.0]);
    for (out, pixel) in out.iter_mut().zip(row) {
        let mut mixed = [0.0; 4];
        for c in 0..4 {
            mixed[c] = r[c] * pixel[0] + g[c] * pixel[1] + b[c] * pixel[2] + shift[c];
        }
        *out = [mixed[0], mixed[1], mixed[2]];
    }
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn planar(m: &[f32; 4], row: &[[f32; 4]], out: &mut [f32]) {
    for (out, pixel) in out.iter_mut().zip(row) {
        *out = m[0] * pixel[0] + m[1] * pixel[1] + m[2] * pixel[2] + m[3];
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
