//! A diagram as pixels, for places that show no SVG.

use std::f64::consts::FRAC_PI_2;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::draw::{FONT, FONT_SCALE};
use super::super::theme::{INK, MUTE, PANEL, Theme};
use super::pen::{Area, At, Pair, Place, Shape};
use crate::error::ReportError;

type Root<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws shapes, `k` device pixels to a pixel. `Theme::Auto` is light here.
pub(super) fn draw(
    root: &Root<'_>,
    shapes: &[Shape],
    theme: Theme,
    k: f64,
) -> Result<(), ReportError> {
    let brush = Brush { root, theme, k };
    root.fill(&theme.pick(PANEL)).map_err(refuse)?;
    for shape in shapes {
        brush.shape(shape)?;
    }
    root.present().map_err(refuse)
}

fn refuse(e: impl std::fmt::Display) -> ReportError {
    ReportError::Chart(e.to_string())
}

struct Brush<'r, 'a> {
    root: &'r Root<'a>,
    theme: Theme,
    k: f64,
}

impl Brush<'_, '_> {
    fn at(&self, (x, y): Place) -> (i32, i32) {
        ((x * self.k).round() as i32, (y * self.k).round() as i32)
    }

    fn fill(&self, outline: &[Place], colour: Pair) -> Result<(), ReportError> {
        let places: Vec<_> = outline.iter().map(|p| self.at(*p)).collect();
        let style = self.theme.pick(colour).filled();
        self.root.draw(&Polygon::new(places, style)).map_err(refuse)
    }

    /// `dash`: the lengths of a stroke and of the gap after it.
    fn stroke(
        &self,
        points: &[Place],
        colour: Pair,
        width: f64,
        dash: Option<(f64, f64)>,
    ) -> Result<(), ReportError> {
        let width = (width * self.k).round().max(1.0) as u32;
        let style = self.theme.pick(colour).stroke_width(width);
        let parts = match dash {
            Some(dash) => dashes(points, dash),
            // Each segment of its own: plotters' bitmaps give joints mitres without end.
            None => points.windows(2).map(|p| (p[0], p[1])).collect(),
        };
        for (from, to) in parts {
            let path = vec![self.at(from), self.at(to)];
            self.root
                .draw(&PathElement::new(path, style))
                .map_err(refuse)?;
        }
        Ok(())
    }

    fn shape(&self, shape: &Shape) -> Result<(), ReportError> {
        match shape {
            Shape::Rect(at, paint) => {
                let mut outline = rounded(*at, paint.radius);
                self.fill(&outline, paint.fill)?;
                outline.extend(outline.first().copied());
                let dash = paint.dashed.then_some((4.0, 4.0));
                self.stroke(&outline, paint.edge, paint.line, dash)
            }
            Shape::Text {
                text,
                at,
                stands,
                size,
                colour,
                bold,
            } => {
                let style = if *bold {
                    FontStyle::Bold
                } else {
                    FontStyle::Normal
                };
                let stands = match stands {
                    At::Left => HPos::Left,
                    At::Middle => HPos::Center,
                };
                // A twelfth narrower than the reader's own font, for which the boxes are made.
                let size = size * self.k * FONT_SCALE * 0.92;
                let font: TextStyle<'_> = (FONT, size, style).into();
                let ink = self.theme.pick(*colour);
                let font = font.color(&ink).pos(Pos::new(stands, VPos::Bottom));
                // The bottom of the line lies under the letters' feet.
                let at = (at.0, at.1 + size / self.k * DESCENT);
                let text = Text::new(text.clone(), self.at(at), font);
                self.root.draw(&text).map_err(refuse)
            }
            Shape::Line { points, dashed } => {
                let dash = dashed.then_some((3.0, 4.0));
                self.stroke(points, MUTE, 1.25, dash)
            }
            Shape::Head(points) => self.fill(points, MUTE),
            Shape::Plus((x, y), radius) => {
                let circle = rounded(
                    Area {
                        x: x - radius,
                        y: y - radius,
                        w: 2.0 * radius,
                        h: 2.0 * radius,
                    },
                    *radius,
                );
                self.fill(&circle, PANEL)?;
                let edge: Vec<Place> = circle.iter().chain(circle.first()).copied().collect();
                self.stroke(&edge, INK, 1.5, None)?;
                let arm = radius * 0.55;
                self.stroke(&[(x - arm, *y), (x + arm, *y)], INK, 1.5, None)?;
                self.stroke(&[(*x, y - arm), (*x, y + arm)], INK, 1.5, None)
            }
        }
    }
}

/// Share of a font's size that DejaVu Sans keeps under its letters' feet.
const DESCENT: f64 = 0.19;

/// The outline of a rectangle with round corners, clockwise.
fn rounded(of: Area, radius: f64) -> Vec<Place> {
    let r = radius.min(of.w / 2.0).min(of.h / 2.0);
    let corners = [
        (of.right() - r, of.y + r),
        (of.right() - r, of.bottom() - r),
        (of.x + r, of.bottom() - r),
        (of.x + r, of.y + r),
    ];
    let steps = if r > 0.0 { 8 } else { 0 };
    let mut outline = Vec::new();
    for (quarter, (x, y)) in corners.into_iter().enumerate() {
        for step in 0..=steps {
            let turn = f64::from(step) / f64::from(steps.max(1));
            let angle = FRAC_PI_2 * (quarter as f64 - 1.0 + turn);
            outline.push((x + r * angle.cos(), y + r * angle.sin()));
        }
    }
    outline
}

/// The strokes of a dashed line, which go on around corners.
fn dashes(points: &[Place], (on, off): (f64, f64)) -> Vec<(Place, Place)> {
    let (mut strokes, mut along) = (Vec::new(), 0.0);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = f64::hypot(x1 - x0, y1 - y0);
        if length == 0.0 {
            continue;
        }
        let on_it = |d: f64| (x0 + (x1 - x0) * d / length, y0 + (y1 - y0) * d / length);
        // Where the stroke that reaches into this segment began.
        let mut start = -(along % (on + off));
        while start < length {
            let (from, to) = (start.max(0.0), (start + on).min(length));
            if to > from {
                strokes.push((on_it(from), on_it(to)));
            }
            start += on + off;
        }
        along += length;
    }
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dashed_line_is_on_for_its_share_and_goes_on_around_corners() {
        let length = |strokes: &[(Place, Place)]| -> f64 {
            let of = |(a, b): &(Place, Place)| f64::hypot(b.0 - a.0, b.1 - a.1);
            strokes.iter().map(of).sum()
        };
        let straight = dashes(&[(0.0, 0.0), (70.0, 0.0)], (3.0, 4.0));
        assert_eq!((straight.len(), length(&straight)), (10, 30.0));
        let bent = dashes(&[(0.0, 0.0), (9.0, 0.0), (9.0, 61.0)], (3.0, 4.0));
        assert_eq!(length(&bent), 30.0, "{bent:?}");
        assert_eq!(
            bent[1].1,
            (9.0, 0.0),
            "the second stroke ends at the corner"
        );
        assert_eq!(bent[2], ((9.0, 0.0), (9.0, 1.0)), "and goes on behind it");
    }

    #[test]
    fn round_corners_stay_inside_and_end_on_the_sides() {
        let of = Area {
            x: 10.0,
            y: 20.0,
            w: 40.0,
            h: 30.0,
        };
        let outline = rounded(of, 6.0);
        let inside = |p: &Place| {
            (10.0 - 1e-9..=50.0 + 1e-9).contains(&p.0) && (20.0 - 1e-9..=50.0 + 1e-9).contains(&p.1)
        };
        assert!(outline.iter().all(inside));
        let near = |a: Place, b: Place| f64::hypot(a.0 - b.0, a.1 - b.1) < 1e-9;
        for place in [
            (44.0, 20.0),
            (50.0, 26.0),
            (50.0, 44.0),
            (16.0, 50.0),
            (10.0, 26.0),
        ] {
            assert!(outline.iter().any(|p| near(*p, place)), "{place:?}");
        }
        assert_eq!(rounded(of, 0.0).len(), 4);
    }
}
