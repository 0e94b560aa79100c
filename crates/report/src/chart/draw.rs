//! The picture itself, for any plotters backend, `k` device units to a pixel.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::decimate::{decimate, envelope};
use super::layout::Layout;
use super::smooth::ema;
use super::theme::{self, INK, LINE, MUTE, PANEL};

/// Family of all text; a PNG knows one font by this name.
pub(super) const FONT: &str =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
/// plotters divides font sizes by this before writing them.
pub(super) const FONT_SCALE: f64 = 1.24;
type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// What a backend draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SVG.
    Vector,
    /// Pixels.
    Bitmap,
}

/// Draws a layout.
pub(super) fn draw<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    layout: &Layout<'_>,
    k: f64,
    kind: Kind,
) -> Drawn<DB> {
    let pen = Pen {
        root,
        layout,
        k,
        kind,
    };
    pen.root.fill(&pen.colour(PANEL))?;
    pen.grid()?;
    pen.frame_text()?;
    pen.marks()?;
    pen.bands()?;
    for (series, points) in layout.spec.behind.iter().zip(&layout.behind) {
        let colour = pen.colour(theme::row(series.colour)).to_rgba();
        pen.line(points, colour.mix(0.4), 1.0)?;
    }
    if layout.spec.smooth > 0.0 {
        for (series, points) in layout.spec.series.iter().zip(&layout.visible) {
            pen.raw(points, theme::row(series.colour))?;
        }
    }
    for (series, points) in layout.spec.series.iter().zip(&layout.visible) {
        pen.curve(points, theme::row(series.colour))?;
    }
    pen.legend()?;
    if layout.shown == 0 {
        let middle = (
            (layout.left + layout.right) / 2.0,
            (layout.top + layout.bottom) / 2.0,
        );
        pen.text("No points yet", middle, HPos::Center, 12.0, MUTE, false)?;
    }
    root.present()
}

struct Pen<'a, DB: DrawingBackend> {
    root: &'a DrawingArea<DB, Shift>,
    layout: &'a Layout<'a>,
    k: f64,
    kind: Kind,
}

impl<DB: DrawingBackend> Pen<'_, DB> {
    fn colour(&self, pair: (u32, u32)) -> RGBColor {
        self.layout.spec.theme.pick(pair)
    }

    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.k).round() as i32, (y * self.k).round() as i32)
    }

    /// A one-pixel line fills a pixel where its middle stands half a pixel in.
    fn crisp(v: f64) -> f64 {
        v.floor() + 0.5
    }

    fn text(
        &self,
        text: &str,
        at: (f64, f64),
        h: HPos,
        size: f64,
        colour: (u32, u32),
        bold: bool,
    ) -> Drawn<DB> {
        let style = if bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let font: TextStyle<'_> = (FONT, size * self.k * FONT_SCALE, style).into();
        let colour = self.colour(colour);
        // A bitmap centres the line's box, an SVG its small letters.
        let at = (
            at.0,
            at.1 + if self.kind == Kind::Bitmap { 2.0 } else { 0.0 },
        );
        let font = font.color(&colour).pos(Pos::new(h, VPos::Center));
        self.root
            .draw(&Text::new(text.to_owned(), self.at(at), font))
    }

    fn stroke(&self, points: Vec<(i32, i32)>, colour: RGBAColor, width: f64) -> Drawn<DB> {
        let style = colour.stroke_width((width * self.k).round() as u32);
        if self.kind == Kind::Vector {
            return self.root.draw(&PathElement::new(points, style));
        }
        // plotters' bitmaps give thick lines mitres without end: a sharp turn would grow a spike
        // that no point has. Segments of their own have no joint.
        for pair in points.windows(2) {
            self.root.draw(&PathElement::new(pair.to_vec(), style))?;
        }
        Ok(())
    }

    fn grid(&self) -> Drawn<DB> {
        let l = self.layout;
        let line = self.colour(LINE).to_rgba();
        for (value, label) in &l.y.ticks {
            let y = l.py(*value);
            let points = vec![
                self.at((l.left, Self::crisp(y))),
                self.at((l.right, Self::crisp(y))),
            ];
            self.stroke(points, line, 1.0)?;
            self.text(label, (l.left - 8.0, y), HPos::Right, 12.0, MUTE, false)?;
        }
        let base = Self::crisp(l.bottom);
        self.stroke(
            vec![self.at((l.left, base)), self.at((l.right, base))],
            line,
            1.0,
        )?;
        for (value, label) in &l.x.ticks {
            let x = l.px(*value);
            let points = vec![
                self.at((Self::crisp(x), base)),
                self.at((Self::crisp(x), base + 4.0)),
            ];
            self.stroke(points, line, 1.0)?;
            self.text(label, (x, l.bottom + 15.0), HPos::Center, 12.0, MUTE, false)?;
        }
        Ok(())
    }

    fn frame_text(&self) -> Drawn<DB> {
        let l = self.layout;
        if l.spec.show_title && !l.spec.title.is_empty() {
            self.text(&l.spec.title, (20.0, 20.0), HPos::Left, 14.0, INK, true)?;
        }
        self.text(
            &l.y_title(),
            (20.0, l.top - 12.0),
            HPos::Left,
            12.0,
            MUTE,
            false,
        )?;
        let foot = f64::from(l.spec.height) - 11.0;
        self.text(
            &l.x_title(),
            (l.right, foot),
            HPos::Right,
            12.0,
            MUTE,
            false,
        )?;
        self.text(&l.counts(), (20.0, foot), HPos::Left, 12.0, MUTE, false)
    }

    fn curve(&self, points: &[(f64, f64)], colour: (u32, u32)) -> Drawn<DB> {
        let colour = self.colour(colour).to_rgba();
        if self.layout.spec.smooth > 0.0 {
            return self.line(&ema(points, self.layout.spec.smooth), colour, 2.0);
        }
        let dense = points.len() as f64 > (self.layout.right - self.layout.left) * 0.8;
        self.line(points, colour, if dense { 1.25 } else { 2.0 })
    }

    /// Dashed from top to bottom, with what happened there where there is room for it.
    fn marks(&self) -> Drawn<DB> {
        let l = self.layout;
        let colour = self.colour(MUTE).to_rgba();
        let mut free = l.left;
        for mark in &l.spec.marks {
            if !(l.x.min..=l.x.max).contains(&mark.x) {
                continue;
            }
            let x = Self::crisp(l.px(mark.x));
            let mut y = l.top;
            while y < l.bottom {
                let end = (y + 3.0).min(l.bottom);
                self.stroke(vec![self.at((x, y)), self.at((x, end))], colour, 1.0)?;
                y += 6.0;
            }
            let needs = 6.0 * mark.label.chars().count() as f64 + 8.0;
            if x >= free && x + needs <= l.right {
                let place = (x + 4.0, l.bottom - 8.0);
                self.text(&mark.label, place, HPos::Left, 11.0, MUTE, false)?;
                free = x + needs;
            }
        }
        Ok(())
    }

    fn bands(&self) -> Drawn<DB> {
        let l = self.layout;
        for band in &l.spec.bands {
            let colour = self.colour(theme::row(band.colour)).mix(0.16);
            let inside = |p: &&(f64, f64, f64)| (l.x.min..=l.x.max).contains(&p.0);
            let points: Vec<_> = band.points.iter().filter(inside).copied().collect();
            for part in envelope(&points, |x| l.column(x)) {
                let floor = |y: f64| if l.y.log { y.max(l.y.min) } else { y };
                let low = part.iter().map(|p| self.at((l.px(p.0), l.py(floor(p.1)))));
                let high = part.iter().map(|p| self.at((l.px(p.0), l.py(floor(p.2)))));
                let outline: Vec<(i32, i32)> = high.chain(low.rev()).collect();
                self.root.draw(&Polygon::new(outline, colour))?;
            }
        }
        Ok(())
    }

    /// The raw line behind a smoothed one.
    fn raw(&self, points: &[(f64, f64)], colour: (u32, u32)) -> Drawn<DB> {
        let colour = self.colour(colour).to_rgba();
        self.line(points, colour.mix(0.22), 1.0)
    }

    fn line(&self, points: &[(f64, f64)], colour: RGBAColor, width: f64) -> Drawn<DB> {
        let l = self.layout;
        let sparse = points.len() <= 60;
        for line in decimate(points, |x| l.column(x)) {
            let places: Vec<(i32, i32)> = line
                .iter()
                .map(|&(x, y)| self.at((l.px(x), l.py(y))))
                .collect();
            if places.len() > 1 {
                self.stroke(places.clone(), colour, width)?;
            }
            // A point between two gaps has no line: only a dot shows it.
            if sparse || places.len() == 1 {
                let radius = ((width + 0.5) * self.k).round() as i32;
                for place in places {
                    self.root
                        .draw(&Circle::new(place, radius, colour.filled()))?;
                }
            }
        }
        Ok(())
    }

    fn legend(&self) -> Drawn<DB> {
        for entry in &self.layout.legend {
            let colour = self.colour(theme::row(self.layout.spec.series[entry.index].colour));
            let corner = (entry.x, entry.y - 5.0);
            let square = [self.at(corner), self.at((corner.0 + 10.0, corner.1 + 10.0))];
            self.root.draw(&Rectangle::new(square, colour.filled()))?;
            self.text(
                &entry.text,
                (entry.x + 16.0, entry.y),
                HPos::Left,
                12.0,
                INK,
                false,
            )?;
        }
        Ok(())
    }
}
