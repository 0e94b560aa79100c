//! Which samples do coefficients give? The accurate integer inverse DCT of the Independent JPEG Group
//! (Loeffler, Ligtenberg and Moschytz 1989), written so that the compiler vectorises it.

use multiversion::multiversion;

use super::Plane;
use super::header::Component;
use super::scan::Block;

/// Fraction bits of the constants, and of the values between the passes.
const CONST_BITS: i32 = 13;
const PASS_BITS: i32 = 2;

/// Column `k`: what coefficient `k` adds to the eight samples of a line, times 2^13. The algorithm's
/// sums of products have no rounding in them, so this is the same function.
const MATRIX: [[i32; 8]; 8] = matrix();

/// Turns the blocks of one row of `mcus` MCUs into samples of the planes' row `row` of MCUs.
pub fn row(
    blocks: &[Block],
    lasts: &[u8],
    components: &[Component],
    row: usize,
    mcus: usize,
    planes: &mut [Plane],
) {
    let per_mcu = components.iter().map(|c| c.blocks[0] * c.blocks[1]).sum();
    let mut first = 0;
    for (component, plane) in components.iter().zip(planes) {
        let [across, down] = component.blocks;
        for line in 0..down {
            let layout = [first, across, per_mcu, mcus];
            self::line(blocks, lasts, layout, plane, row * down + line);
            first += across;
        }
    }
}

/// Turns blocks into samples of the plane's row `row` of blocks. `layout`: the first block, how many lie
/// side by side in an MCU, blocks from MCU to MCU, MCUs.
pub fn line(blocks: &[Block], lasts: &[u8], layout: [usize; 4], plane: &mut Plane, row: usize) {
    let size = 8 * plane.stride;
    let samples = &mut plane.samples[row * size..][..size];
    component(blocks, lasts, layout, samples, plane.stride);
}

/// As [`line`].
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn component(
    blocks: &[Block],
    lasts: &[u8],
    layout: [usize; 4],
    samples: &mut [u8],
    stride: usize,
) {
    let [first, across, per_mcu, mcus] = layout;
    for mcu in 0..mcus {
        for i in 0..across {
            let number = first + mcu * per_mcu + i;
            let at = (mcu * across + i) * 8;
            let block = &blocks[number];
            if lasts[number] == 0 {
                let value = ((i32::from(block[0]) + 4) >> 3) + 128;
                let value = value.clamp(0, 255) as u8;
                for line in 0..8 {
                    samples[line * stride + at..][..8].fill(value);
                }
                continue;
            }
            // Zigzag order fills the block corner first: a short one has its first K lines and columns only.
            let square = match lasts[number] {
                0..=2 => inverse::<2>(block),
                3..=9 => inverse::<4>(block),
                10..=20 => inverse::<6>(block),
                _ => inverse::<8>(block),
            };
            for (line, values) in square.iter().enumerate() {
                samples[line * stride + at..][..8].copy_from_slice(values);
            }
        }
    }
}

/// The samples of a block whose coefficients beyond line and column `K` are 0: with all of them the result
/// is the same, to the bit.
#[inline(always)]
fn inverse<const K: usize>(block: &Block) -> [[u8; 8]; 8] {
    // Down the columns, all eight at once.
    let mut half = [[0i32; 8]; 8];
    for x in 0..8 {
        let mut column = [0; 8];
        for (y, value) in column.iter_mut().enumerate().take(K) {
            *value = i32::from(block[8 * y + x]);
        }
        let sums = transform(column);
        for y in 0..8 {
            half[y][x] =
                (sums[y] + (1 << (CONST_BITS - PASS_BITS - 1))) >> (CONST_BITS - PASS_BITS);
        }
    }
    // Along the lines, all eight samples of one at once.
    const SHIFT: i32 = CONST_BITS + PASS_BITS + 3;
    let mut samples = [[0; 8]; 8];
    for (samples, half) in samples.iter_mut().zip(&half) {
        let mut sums = [(1i32 << (SHIFT - 1)) + (128 << SHIFT); 8];
        for (factor, column) in half.iter().zip(&MATRIX).take(K) {
            for (sum, entry) in sums.iter_mut().zip(column) {
                *sum = sum.wrapping_add(factor.wrapping_mul(*entry));
            }
        }
        for (sample, sum) in samples.iter_mut().zip(&sums) {
            *sample = (sum >> SHIFT).clamp(0, 255) as u8;
        }
    }
    samples
}

/// One dimension, times 2^13.
#[inline(always)]
const fn transform(x: [i32; 8]) -> [i32; 8] {
    // Even part.
    let z = x[2].wrapping_add(x[6]).wrapping_mul(4433);
    let t2 = z.wrapping_sub(x[6].wrapping_mul(15137));
    let t3 = z.wrapping_add(x[2].wrapping_mul(6270));
    let t0 = x[0].wrapping_add(x[4]) << CONST_BITS;
    let t1 = x[0].wrapping_sub(x[4]) << CONST_BITS;
    let (e0, e3) = (t0.wrapping_add(t3), t0.wrapping_sub(t3));
    let (e1, e2) = (t1.wrapping_add(t2), t1.wrapping_sub(t2));
    // Odd part.
    let (z3, z4) = (x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1]));
    let z5 = z3.wrapping_add(z4).wrapping_mul(9633);
    let z1 = x[7].wrapping_add(x[1]).wrapping_mul(-7373);
    let z2 = x[5].wrapping_add(x[3]).wrapping_mul(-20995);
    let z3 = z3.wrapping_mul(-16069).wrapping_add(z5);
    let z4 = z4.wrapping_mul(-3196).wrapping_add(z5);
    let o0 = x[1].wrapping_mul(12299).wrapping_add(z1.wrapping_add(z4));
    let o1 = x[3].wrapping_mul(25172).wrapping_add(z2.wrapping_add(z3));
    let o2 = x[5].wrapping_mul(16819).wrapping_add(z2.wrapping_add(z4));
    let o3 = x[7].wrapping_mul(2446).wrapping_add(z1.wrapping_add(z3));
    [
        e0.wrapping_add(o0),
        e1.wrapping_add(o1),
        e2.wrapping_add(o2),
        e3.wrapping_add(o3),
        e3.wrapping_sub(o3),
        e2.wrapping_sub(o2),
        e1.wrapping_sub(o1),
        e0.wrapping_sub(o0),
    ]
}

const fn matrix() -> [[i32; 8]; 8] {
    let mut matrix = [[0; 8]; 8];
    let mut k = 0;
    while k < 8 {
        let mut unit = [0; 8];
        unit[k] = 1;
        matrix[k] = transform(unit);
        k += 1;
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in floating point.
    fn reference(block: &Block) -> Vec<f64> {
        let cosine = |k: usize, n: usize| {
            let scale = if k == 0 { 0.5f64.sqrt() } else { 1.0 };
            scale * ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
        };
        (0..64)
            .map(|at| {
                let (y, x) = (at / 8, at % 8);
                let sum: f64 = (0..64)
                    .map(|k| f64::from(block[k]) * cosine(k / 8, y) * cosine(k % 8, x))
                    .sum();
                (sum / 4.0 + 128.0).clamp(0.0, 255.0)
            })
            .collect()
    }

    #[test]
    fn equals_the_definition_within_rounding() {
        let mut stream = crate::random::Stream::new(crate::random::Purpose::Synthetic, 4, 0, 0);
        for round in 0..500 {
            let mut block = [0; 64];
            block[0] = stream.below(1600) as i16 - 800;
            for _ in 0..round % 20 {
                block[stream.below(64) as usize] = stream.below(200) as i16 - 100;
            }
            let got = inverse::<8>(&block);
            for (got, want) in got.as_flattened().iter().zip(reference(&block)) {
                assert!((f64::from(*got) - want).abs() < 0.6, "{got} {want}");
            }
        }
    }

    #[test]
    fn a_block_of_one_coefficient_is_flat_either_way() {
        for dc in [-2000, -1024, -5, -4, 0, 3, 4, 1023, 3000] {
            let mut block = [0; 64];
            block[0] = dc;
            let mut samples = [0; 64];
            component(&[block], &[0], [0, 1, 1, 1], &mut samples, 8);
            assert_eq!(&samples, inverse::<8>(&block).as_flattened(), "{dc}");
        }
    }

    #[test]
    fn a_block_that_ends_early_has_the_samples_of_the_whole_transform() {
        let mut stream = crate::random::Stream::new(crate::random::Purpose::Synthetic, 5, 0, 0);
        for last in 0..64u8 {
            let mut block = [0; 64];
            for place in &super::super::scan::ORDER[..=usize::from(last)] {
                block[usize::from(*place)] = stream.below(4000) as i16 - 2000;
            }
            let mut samples = [0; 64];
            component(&[block], &[last], [0, 1, 1, 1], &mut samples, 8);
            assert_eq!(&samples, inverse::<8>(&block).as_flattened(), "{last}");
        }
    }
}
