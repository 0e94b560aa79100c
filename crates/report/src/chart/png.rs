//! The same picture as pixels, for places that show no SVG.

use std::sync::OnceLock;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::draw::{FONT, Kind, draw};
use super::layout::Layout;
use super::{ChartSpec, check};
use crate::error::ReportError;

/// Device pixels a side of which one pixel is the mean: smooth lines and letters.
const SAMPLES: u32 = 3;
/// Pixels of the largest picture: nine times as many are held in memory while it is drawn.
const MOST: u64 = 4_000_000;

/// Draws curves as a PNG of `width` x `height` pixels. `Theme::Auto` is light here: a bitmap cannot
/// follow its reader. Errors are those of [`super::line`], and a picture of more than 4 megapixels.
pub fn png(spec: &ChartSpec) -> Result<Vec<u8>, ReportError> {
    check(spec)?;
    picture(spec.width, spec.height, |root, k| {
        draw(root, &Layout::new(spec), k, Kind::Bitmap)
            .map_err(|e| ReportError::Chart(e.to_string()))
    })
}

/// What `paint` draws with so many device pixels to a pixel, as a PNG of `w` x `h` pixels.
pub(super) fn picture(
    w: u32,
    h: u32,
    paint: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>, f64) -> Result<(), ReportError>,
) -> Result<Vec<u8>, ReportError> {
    if u64::from(w) * u64::from(h) > MOST {
        return Err(ReportError::Chart(format!(
            "{w} x {h} px is more than a PNG's 4 megapixels; ask for the SVG"
        )));
    }
    fonts()?;
    let (big_w, big_h) = (w * SAMPLES, h * SAMPLES);
    let mut big = vec![0u8; big_w as usize * big_h as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut big, (big_w, big_h)).into_drawing_area();
        paint(&root, f64::from(SAMPLES))?;
    }
    encode(&reduced(&big, w as usize, h as usize), w, h).map_err(|e| ReportError::Write {
        format: "png",
        message: e.to_string(),
    })
}

/// Every pixel the mean of its samples.
fn reduced(big: &[u8], w: usize, h: usize) -> Vec<u8> {
    let k = SAMPLES as usize;
    let mut small = Vec::with_capacity(w * h * 3);
    for y in 0..h {
        for x in 0..w {
            for c in 0..3 {
                let sum: u32 = (0..k * k)
                    .map(|i| u32::from(big[((y * k + i / k) * w * k + x * k + i % k) * 3 + c]))
                    .sum();
                small.push((sum / (SAMPLES * SAMPLES)) as u8);
            }
        }
    }
    small
}

fn encode(pixels: &[u8], w: u32, h: u32) -> Result<Vec<u8>, ::png::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut out, w, h);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(out)
}

/// Registers DejaVu Sans, which comes from a crate: no font of the system is asked for.
fn fonts() -> Result<(), ReportError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let ok = *REGISTERED.get_or_init(|| {
        let regular = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        let bold = register_font(FONT, FontStyle::Bold, dejavu::sans::bold());
        regular.is_ok() && bold.is_ok()
    });
    if ok {
        Ok(())
    } else {
        Err(ReportError::Chart(
            "the built-in font could not be read".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChartSeries, Theme};
    use super::*;

    #[test]
    fn pixels_have_the_curves_colour_and_the_size_asked_for() {
        let points = (0..400).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let series = vec![ChartSeries {
            label: "+ LR warmup".into(),
            colour: 1,
            points,
        }];
        let spec = ChartSpec {
            series,
            theme: Theme::Light,
            width: 320,
            height: 200,
            ..ChartSpec::default()
        };
        let bytes = png(&spec).unwrap();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (320, 200));
        assert_eq!(pixels[..3], [255, 255, 255]);
        assert!(
            pixels.chunks(3).any(|p| p == [0xee, 0x77, 0x33]),
            "no pixel of the curve"
        );
        assert!(
            png(&ChartSpec {
                width: 8000,
                height: 8000,
                ..spec
            })
            .is_err()
        );
    }

    #[test]
    fn sharp_turns_grow_no_spikes() {
        let zigzag = |i: i32| if i % 2 == 0 { 1.0 } else { 2.0 };
        let points = (0..600).map(|i| (f64::from(i), zigzag(i))).collect();
        let series = vec![ChartSeries {
            points,
            ..ChartSeries::default()
        }];
        let spec = ChartSpec {
            series,
            theme: Theme::Light,
            y: "val/loss".into(),
            width: 320,
            ..ChartSpec::default()
        };
        let layout = Layout::new(&spec);
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(png(&spec).unwrap()))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let blue = |p: &[u8]| p[2] > p[0].saturating_add(40);
        let rows: Vec<usize> = (0..340)
            .filter(|y| pixels[y * 960..(y + 1) * 960].chunks(3).any(blue))
            .collect();
        let (first, last) = (rows[0] as f64, rows[rows.len() - 1] as f64);
        // The axis is 5 % longer than the values on either side.
        let inset = (layout.bottom - layout.top) * 0.05 / 1.1;
        assert!(
            (first - layout.top - inset).abs() < 4.0,
            "{first} is not {}",
            layout.top + inset
        );
        assert!(
            (layout.bottom - inset - last).abs() < 4.0,
            "{last} is not {}",
            layout.bottom - inset
        );
    }
}
