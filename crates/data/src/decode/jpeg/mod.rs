//! Which pixels has a JPEG, or a part of it?
//!
//! No library that is kept decodes a part of a JPEG without C, and most of the time of a loader goes
//! here, so this is ours: Huffman-coded JPEGs of 8 bits, sequential and progressive, grey, in colour and in
//! inks (CMYK), with any whole number of pixels to a sample. Arithmetically coded, hierarchical and
//! lossless ones and those of 12 bits are refused.
//! Arithmetic is that of libjpeg (ISO/IEC 10918-1 with the accurate integer IDCT of the
//! Independent JPEG Group, "fancy" upsampling, 16-bit fixed-point colour), so pixels are equal to those
//! of libjpeg-turbo, not only close. One exception: where a progressive file never tells the last bits of
//! its coefficients, libjpeg smooths what there is, and this does not.
//!
//! Where one scan gives all, it is read up to the last line that is asked for, and coefficients live for a
//! row. Several scans must all be read.
//!
//! | question | file |
//! |---|---|
//! | how is the file divided, which tables does it have? | [`markers`] |
//! | what do the markers before the image say? | [`header`] |
//! | how are bits read? | [`bits`] |
//! | which number does a code stand for? | [`huffman`] |
//! | which coefficients has a row of blocks? | [`scan`] |
//! | which coefficients have several scans given together? | [`coefficients`] |
//! | what does one progressive scan add to a block? | [`progressive`] |
//! | which samples do coefficients give? | [`idct`] |
//! | which samples have pixels where there are fewer? | [`upsample`] |
//! | which colour have samples? | [`colour`] |
//! | which pixels has a region? | [`pixels`] |

mod bits;
mod coefficients;
mod colour;
pub(super) mod header;
mod huffman;
mod idct;
mod markers;
mod pixels;
mod progressive;
mod scan;
mod upsample;

use crate::dataset::Image;
use crate::preprocess::crop::Rect;
use header::{Component, Header};
use scan::Rows;

/// Buffers of one thread, reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    scan: scan::Buffers,
    coefficients: coefficients::Buffers,
    planes: [Plane; 4],
    pixels: pixels::Buffers,
}

/// Samples of the part of a component that is decoded, whole blocks.
#[derive(Debug, Default)]
struct Plane {
    samples: Vec<u8>,
    /// Samples of a line.
    stride: usize,
    /// Column and line of the first sample in the component.
    origin: [usize; 2],
    /// Columns and lines of the component that lie in the image.
    size: [usize; 2],
}

impl Plane {
    /// Line `y` of the component, from its column `x`.
    fn line(&self, x: usize, y: usize) -> &[u8] {
        let start = (y - self.origin[1]) * self.stride;
        &self.samples[start + x - self.origin[0]..start + self.stride]
    }
}

/// The blocks that a region needs, in units of MCUs (minimum coded units).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needed {
    columns: [usize; 2],
    rows: [usize; 2],
}

impl Needed {
    fn new(header: &Header, region: Rect) -> Self {
        let along = |axis: usize, from: usize, size: usize| {
            let of = |c: &Component| {
                let samples = header.samples(c)[axis];
                range(from, from + size, samples, c.share[axis], c.blocks[axis])
            };
            let all = header.components.iter().map(of);
            let union = all.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]);
            union.unwrap_or_default()
        };
        Needed {
            columns: along(0, region.x, region.width),
            rows: along(1, region.y, region.height),
        }
    }
}

/// First and last + 1 MCU along one axis for the pixels `from..to`, of a component of so many samples, of so
/// many pixels each, and so many blocks in an MCU. Where there are half as many samples as pixels, a
/// pixel is mixed from its own one and the next one to either side.
fn range(from: usize, to: usize, samples: usize, share: usize, blocks: usize) -> [usize; 2] {
    let (first, last) = match share {
        2 => (
            (from / 2).saturating_sub(1),
            ((to - 1) / 2 + 1).min(samples - 1),
        ),
        share => (from / share, (to - 1) / share),
    };
    [first / (8 * blocks), last / (8 * blocks) + 1]
}

/// Decodes the pixels of `region`. Error: what is wrong, and where in the image.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    region: Rect,
    buffers: &mut Buffers,
    into: &mut Image,
) -> Result<(), String> {
    let needed = Needed::new(header, region);
    let components = &header.components[..];
    let Buffers {
        scan,
        coefficients,
        planes,
        pixels,
    } = buffers;
    let planes = &mut planes[..components.len()];
    if header.one_scan() {
        let mut rows = Rows::start(bytes, header, needed, scan)?;
        shape(header, needed, planes);
        for row in 0..needed.rows[1] {
            if rows.next()? {
                let mcus = needed.columns[1] - needed.columns[0];
                let row = row - needed.rows[0];
                idct::row(rows.blocks(), rows.lasts(), components, row, mcus, planes);
            }
        }
    } else {
        let read = coefficients.read(bytes, header, scan);
        if read.is_ok() {
            shape(header, needed, planes);
            for (c, (component, plane)) in components.iter().zip(&mut *planes).enumerate() {
                coefficients.samples(c, component, needed, scan, plane);
            }
        }
        coefficients.trim();
        read?;
    }
    pixels::paint(header, planes, region, pixels, into);
    Ok(())
}

/// Room for the needed samples.
fn shape(header: &Header, needed: Needed, planes: &mut [Plane]) {
    for (component, plane) in header.components.iter().zip(planes) {
        let [across, down] = component.blocks.map(|n| 8 * n);
        plane.stride = (needed.columns[1] - needed.columns[0]) * across;
        plane.origin = [needed.columns[0] * across, needed.rows[0] * down];
        plane.size = header.samples(component);
        let lines = (needed.rows[1] - needed.rows[0]) * down;
        plane.samples.resize(plane.stride * lines, 0);
    }
}
