//! Which samples have pixels where a component has fewer of them? Half as many are interpolated ("fancy
//! upsampling": a triangle filter), fewer are repeated, as libjpeg does.

use multiversion::multiversion;

use super::Plane;

/// Samples for the pixels of one image row. `share`: pixels of a sample, across and down. `place`: x, y,
/// width. `sums` and `buffer` are room for them.
pub fn line<'a>(
    plane: &'a Plane,
    share: [usize; 2],
    place: [usize; 3],
    sums: &mut Vec<u16>,
    buffer: &'a mut Vec<u8>,
) -> &'a [u8] {
    let [x, y, width] = place;
    match share {
        [1, 1] => return &plane.line(x, y)[..width],
        [1, 2] => {
            let [near, far, bias] = vertical(plane, y);
            buffer.resize(width, 0);
            let lines = [near, far].map(|y| &plane.line(x, y)[..width]);
            between(lines[0], lines[1], bias as u16, buffer);
        }
        // libjpeg interpolates no lines of one or two samples.
        [2, down @ (1 | 2)] if plane.size[0] > 2 => {
            widen(plane, down == 2, place, sums, buffer);
            // The first interpolated sample belongs to an even column.
            return &buffer[x & 1..][..width];
        }
        [across, down] => {
            let first = x / across;
            let samples = plane.line(first, y / down);
            buffer.clear();
            buffer.extend((x..x + width).map(|x| samples[x / across - first]));
        }
    }
    buffer
}

/// The line of samples that is nearer to image row `y`, the farther one, and what rounds their mean.
fn vertical(plane: &Plane, y: usize) -> [usize; 3] {
    let near = y / 2;
    match y % 2 {
        0 => [near, near.saturating_sub(1), 1],
        _ => [near, (near + 1).min(plane.size[1] - 1), 2],
    }
}

/// Interpolates one image row for the pixels from column `x & !1`.
fn widen(plane: &Plane, both: bool, place: [usize; 3], sums: &mut Vec<u16>, out: &mut Vec<u8>) {
    let [x, y, width] = place;
    let (first, last) = (x / 2, (x + width - 1) / 2);
    let count = last - first + 1;
    out.resize(2 * count, 0);
    // One more sample to either side; at the edges of the image, the edge again.
    sums.resize(count + 2, 0);
    let (left, right) = (first.saturating_sub(1), (last + 1).min(plane.size[0] - 1));
    let inner = usize::from(first == left);
    let span = right - left + 1;
    let middle = &mut sums[inner..inner + span];
    if both {
        let [near, far, _] = vertical(plane, y);
        mix(plane.line(left, near), plane.line(left, far), middle);
    } else {
        for (sum, sample) in middle.iter_mut().zip(plane.line(left, y)) {
            *sum = u16::from(*sample);
        }
    }
    sums[0] = sums[usize::from(first == left)];
    if last == right {
        sums[count + 1] = sums[count];
    }
    match both {
        true => spread(4, [8, 7], sums, out),
        false => spread(2, [1, 2], sums, out),
    }
}

/// Three parts of the nearer line and one of the farther, a quarter of it.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn between(near: &[u8], far: &[u8], bias: u16, out: &mut [u8]) {
    for ((out, near), far) in out.iter_mut().zip(near).zip(far) {
        *out = ((3 * u16::from(*near) + u16::from(*far) + bias) >> 2) as u8;
    }
}

/// Three parts of the nearer line and one of the farther.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn mix(near: &[u8], far: &[u8], sums: &mut [u16]) {
    for ((sum, near), far) in sums.iter_mut().zip(near).zip(far) {
        *sum = 3 * u16::from(*near) + u16::from(*far);
    }
}

/// Two columns from each sample and its neighbours, rounded by adding `round`.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn spread(shift: u32, round: [u16; 2], sums: &[u16], out: &mut [u8]) {
    let count = sums.len().saturating_sub(2);
    let (left, own, right) = (&sums[..count], &sums[1..][..count], &sums[2..][..count]);
    for (((pair, left), own), right) in out
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(left)
        .zip(own)
        .zip(right)
    {
        *pair = [
            ((3 * own + left + round[0]) >> shift) as u8,
            ((3 * own + right + round[1]) >> shift) as u8,
        ];
    }
}
