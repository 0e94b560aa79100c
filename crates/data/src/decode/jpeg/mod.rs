//! Which pixels has a part of a baseline JPEG?
//!
//! No library that is kept decodes a part of a JPEG without C, and most of the time of a loader goes
//! here, so this is ours: sequential Huffman JPEGs of 8 bits with one or three components, which is
//! nearly every photograph of every dataset. All else goes to a library ([`super::library`]).
//! Arithmetic is that of libjpeg (ISO/IEC 10918-1 with the accurate integer IDCT of the
//! Independent JPEG Group, "fancy" upsampling, 16-bit fixed-point colour), so pixels are equal to those
//! of libjpeg-turbo, not only close.
//!
//! | question | file |
//! |---|---|
//! | what do the markers before the image say? | [`header`] |
//! | how are bits read? | [`bits`] |
//! | which number does a code stand for? | [`huffman`] |
//! | which coefficients has a row of blocks? | [`scan`] |
//! | which samples do coefficients give? | [`idct`] |
//! | which pixels do samples give? | [`pixels`] |

mod bits;
pub(super) mod header;
mod huffman;
mod idct;
mod pixels;
mod scan;

use crate::dataset::Image;
use crate::preprocess::crop::Rect;
use header::{Header, Sampling};
use scan::Scan;

/// Buffers of one thread, reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    scan: scan::Buffers,
    planes: [Plane; 3],
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

/// First and last + 1 MCU along one axis for the pixels `from..to` of `all`. Where chroma has half of the
/// samples, a pixel is mixed from its own chroma sample and the next one to either side.
fn range(from: usize, to: usize, all: usize, factor: usize) -> [usize; 2] {
    let samples = all.div_ceil(factor);
    let (first, last) = match factor {
        1 => (from, to - 1),
        _ => (
            (from / 2).saturating_sub(1),
            ((to - 1) / 2 + 1).min(samples - 1),
        ),
    };
    [first / 8, last / 8 + 1]
}

/// Decodes the pixels of `region`. Error: what is wrong, and where in the image.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    region: Rect,
    buffers: &mut Buffers,
    into: &mut Image,
) -> Result<(), String> {
    let factors = match header.sampling {
        Sampling::Grey | Sampling::Full => [1, 1],
        Sampling::HalfWidth => [2, 1],
        Sampling::Half => [2, 2],
    };
    let needed = Needed {
        columns: range(region.x, region.x + region.width, header.width, factors[0]),
        rows: range(
            region.y,
            region.y + region.height,
            header.height,
            factors[1],
        ),
    };
    let components = header.components();
    for (c, plane) in buffers.planes[..components].iter_mut().enumerate() {
        // Blocks of an MCU, and pixels of a sample.
        let (blocks, share) = if c == 0 {
            (factors, [1, 1])
        } else {
            ([1, 1], factors)
        };
        plane.stride = (needed.columns[1] - needed.columns[0]) * blocks[0] * 8;
        plane.origin = [
            needed.columns[0] * blocks[0] * 8,
            needed.rows[0] * blocks[1] * 8,
        ];
        plane.size = [
            header.width.div_ceil(share[0]),
            header.height.div_ceil(share[1]),
        ];
        let lines = (needed.rows[1] - needed.rows[0]) * blocks[1] * 8;
        plane.samples.resize(plane.stride * lines, 0);
    }
    let mut scan = Scan::start(bytes, header, needed, factors, &mut buffers.scan)?;
    for row in 0..needed.rows[1] {
        if !scan.row()? {
            continue;
        }
        idct::row(
            scan.blocks(),
            scan.lasts(),
            factors,
            row - needed.rows[0],
            needed.columns[1] - needed.columns[0],
            &mut buffers.planes[..components],
        );
    }
    pixels::paint(
        header,
        &buffers.planes[..components],
        region,
        &mut buffers.pixels,
        into,
    );
    Ok(())
}
