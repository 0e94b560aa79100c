//! Which pixels do samples give? Chroma is interpolated ("fancy upsampling": a triangle filter), then
//! YCbCr becomes RGB with 16 bits of fraction, both as libjpeg does it to the bit.

use multiversion::multiversion;

use super::Plane;
use super::header::{Header, Sampling};
use crate::dataset::{Channels, Image};
use crate::preprocess::crop::Rect;

/// Lines of one image row, reused.
#[derive(Debug, Default)]
pub struct Buffers {
    sums: Vec<u16>,
    chroma: [Vec<u8>; 2],
}

/// Writes the pixels of `region`: grey, or four bytes each.
pub fn paint(
    header: &Header,
    planes: &[Plane],
    region: Rect,
    buffers: &mut Buffers,
    into: &mut Image,
) {
    let channels = match header.sampling {
        Sampling::Grey => Channels::Grey,
        _ => Channels::Rgbx,
    };
    into.shape(region.width, region.height, channels);
    let width = region.width * channels.count();
    for (line, out) in into.data.chunks_exact_mut(width).enumerate() {
        let y = region.y + line;
        let luma = &planes[0].line(region.x, y)[..region.width];
        match header.sampling {
            Sampling::Grey => out.copy_from_slice(luma),
            Sampling::Full => {
                let chroma = [1, 2].map(|c: usize| &planes[c].line(region.x, y)[..region.width]);
                convert(luma, chroma[0], chroma[1], header.rgb, out);
            }
            Sampling::HalfWidth | Sampling::Half => {
                for (c, line) in buffers.chroma.iter_mut().enumerate() {
                    let vertical = header.sampling == Sampling::Half;
                    widen(
                        &planes[c + 1],
                        vertical,
                        [region.x, y, region.width],
                        &mut buffers.sums,
                        line,
                    );
                }
                // The first interpolated sample belongs to an even column.
                let [blue, red] = &buffers.chroma;
                let skip = region.x & 1;
                convert(luma, &blue[skip..], &red[skip..], header.rgb, out);
            }
        }
    }
}

/// Interpolates one image row of chroma for the pixels from column `x & !1`. `place`: x, y, width.
fn widen(plane: &Plane, vertical: bool, place: [usize; 3], sums: &mut Vec<u16>, out: &mut Vec<u8>) {
    let [x, y, width] = place;
    let [columns, lines] = plane.size;
    let (first, last) = (x / 2, (x + width - 1) / 2);
    let count = last - first + 1;
    out.resize(2 * count, 0);
    // One more sample to either side; at the edges of the image, the edge again.
    sums.resize(count + 2, 0);
    let (left, right) = (first.saturating_sub(1), (last + 1).min(columns - 1));
    let inner = usize::from(first == left);
    let span = right - left + 1;
    let middle = &mut sums[inner..inner + span];
    if vertical {
        let near = y / 2;
        let far = match y % 2 {
            0 => near.saturating_sub(1),
            _ => (near + 1).min(lines - 1),
        };
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
    // libjpeg interpolates no component of one or two columns.
    match (vertical, columns > 2) {
        (true, true) => spread::<4>([8, 7], sums, out),
        (false, true) => spread::<2>([1, 2], sums, out),
        (true, false) => {
            let near = plane.line(first, y / 2);
            repeat(near, out);
        }
        (false, false) => repeat(plane.line(first, y), out),
    }
}

fn repeat(samples: &[u8], out: &mut [u8]) {
    for (pair, sample) in out.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
        *pair = [*sample; 2];
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
#[inline(always)]
fn spread<const SHIFT: u32>(round: [u16; 2], sums: &[u16], out: &mut [u8]) {
    spread_by(SHIFT, round, sums, out);
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn spread_by(shift: u32, round: [u16; 2], sums: &[u16], out: &mut [u8]) {
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

/// One line of pixels from its samples.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn convert(luma: &[u8], blue: &[u8], red: &[u8], rgb: bool, out: &mut [u8]) {
    let out = out.as_chunks_mut::<4>().0;
    if rgb {
        for (((pixel, r), g), b) in out.iter_mut().zip(luma).zip(blue).zip(red) {
            *pixel = [*r, *g, *b, 0];
        }
        return;
    }
    for (((pixel, y), blue), red) in out.iter_mut().zip(luma).zip(blue).zip(red) {
        let (y, blue, red) = (i32::from(*y), i32::from(*blue) - 128, i32::from(*red) - 128);
        let half = 1 << 15;
        let r = (y + ((91_881 * red + half) >> 16)).clamp(0, 255) as u32;
        let g = (y + ((-22_554 * blue - 46_802 * red + half) >> 16)).clamp(0, 255) as u32;
        let b = (y + ((116_130 * blue + half) >> 16)).clamp(0, 255) as u32;
        *pixel = (r | g << 8 | b << 16).to_le_bytes();
    }
}
