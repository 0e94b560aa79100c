//! Which pixels do samples give? Samples of fewer than one a pixel are interpolated, then colours are
//! converted, both as libjpeg does it to the bit.

use super::header::{Colour, Header};
use super::{Plane, colour, upsample};
use crate::dataset::{Channels, Image};
use crate::preprocess::crop::Rect;

/// Lines of one image row, reused.
#[derive(Debug, Default)]
pub struct Buffers {
    sums: Vec<u16>,
    lines: [Vec<u8>; 4],
}

/// Writes the pixels of `region`: grey, or four bytes each.
pub fn paint(
    header: &Header,
    planes: &[Plane],
    region: Rect,
    buffers: &mut Buffers,
    into: &mut Image,
) {
    let channels = match header.colour {
        Colour::Grey => Channels::Grey,
        _ => Channels::Rgbx,
    };
    into.shape(region.width, region.height, channels);
    let width = region.width * channels.count();
    let Buffers { sums, lines } = buffers;
    for (line, out) in into.data.chunks_exact_mut(width).enumerate() {
        let place = [region.x, region.y + line, region.width];
        let mut samples: [&[u8]; 4] = [&[]; 4];
        let components = header.components.iter().zip(planes).zip(&mut *lines);
        for (samples, ((component, plane), buffer)) in samples.iter_mut().zip(components) {
            *samples = upsample::line(plane, component.share, place, sums, buffer);
        }
        match header.colour {
            Colour::Grey => out.copy_from_slice(samples[0]),
            Colour::Rgb => colour::join(samples, out),
            Colour::Ycc => colour::convert(samples, out),
            Colour::Cmyk => colour::ink(samples, out),
            Colour::Ycck => {
                colour::convert(samples, out);
                colour::blacken(samples[3], out);
            }
        }
    }
}
