//! The picture itself, for any plotters backend, `k` device units to a pixel.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use rungs_spec::metric;

use super::axis::{Axis, time_unit};
use super::decimate::decimate;
use super::smooth::ema;
use super::theme::{self, INK, LINE, MUTE, PANEL};
use super::{ChartSpec, XKind, YScale};
use crate::format::grouped;

/// Family of all text; a PNG knows one font by this name.
pub(super) const FONT: &str =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
/// plotters divides font sizes by this before writing them.
const FONT_SCALE: f64 = 1.24;
/// Width of a digit at 12 px, about: text is never measured.
const CHAR: f64 = 6.8;

/// Where everything stands, pixels, and what is drawn.
pub(super) struct Layout<'a> {
    pub spec: &'a ChartSpec,
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
    pub x: Axis,
    pub y: Axis,
    /// Points of each series inside [from, to], with values cut off the axis as NaN.
    pub visible: Vec<Vec<(f64, f64)>>,
    /// Points shown, of all series.
    pub shown: usize,
    /// Points that are not finite, or not positive on a log scale.
    pub gaps: usize,
    legend: Vec<Entry>,
}

struct Entry {
    index: usize,
    x: f64,
    y: f64,
    text: String,
}

impl<'a> Layout<'a> {
    pub fn new(spec: &'a ChartSpec) -> Layout<'a> {
        let log = spec.scale == YScale::Log;
        let drawable = |y: f64| y.is_finite() && (!log || y > 0.0);
        let visible: Vec<Vec<(f64, f64)>> = spec
            .series
            .iter()
            .map(|s| window(&s.points, spec.from, spec.to))
            .map(|line| {
                line.into_iter()
                    .map(|(x, y)| (x, if drawable(y) { y } else { f64::NAN }))
                    .collect()
            })
            .collect();
        let inside = |x: f64| spec.from.is_none_or(|f| x >= f) && spec.to.is_none_or(|t| x <= t);
        let all = || {
            spec.series
                .iter()
                .flat_map(|s| &s.points)
                .filter(|(x, _)| x.is_finite() && inside(*x))
        };
        let gaps = all().filter(|(_, y)| !drawable(*y)).count();
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values
                .filter(|v| v.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
                    (a.min(v), b.max(v))
                })
        };
        let (x0, x1) = range(&mut visible.iter().flatten().map(|p| p.0));
        let (y0, y1) = range(&mut visible.iter().flatten().map(|p| p.1));
        let (x0, x1) = (
            spec.from.unwrap_or(if x0.is_finite() { x0 } else { 0.0 }),
            spec.to.unwrap_or(if x1.is_finite() { x1 } else { 1.0 }),
        );
        let (y0, y1) = if y0.is_finite() {
            (y0, y1)
        } else if log {
            (0.1, 1.0)
        } else {
            (0.0, 1.0)
        };

        let (width, height) = (f64::from(spec.width), f64::from(spec.height));
        let mut top = if spec.show_title && !spec.title.is_empty() {
            34.0
        } else {
            12.0
        };
        let (legend, rows) = legend(spec, width, top);
        top += 20.0 * rows as f64 + 20.0;
        let bottom = (height - 44.0).max(top + 20.0);
        let y = Axis::y(
            y0,
            y1,
            ((bottom - top) / 44.0).max(2.0) as usize,
            spec.scale,
        );
        let widest = y
            .ticks
            .iter()
            .map(|t| t.1.chars().count())
            .max()
            .unwrap_or(1);
        let left = 28.0 + CHAR * widest as f64;
        let right = width - 20.0;
        let x = Axis::x(x0, x1, ((right - left) / 84.0).max(2.0) as usize, spec.x);
        Layout {
            spec,
            left,
            top,
            right,
            bottom,
            x,
            y,
            visible,
            shown: all().count() - gaps,
            gaps,
            legend,
        }
    }

    /// Pixel column of an x value, for decimation.
    pub fn column(&self, x: f64) -> i64 {
        self.px(x).floor() as i64
    }

    fn px(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * (self.right - self.left)
    }

    fn py(&self, y: f64) -> f64 {
        self.bottom - self.y.share(y) * (self.bottom - self.top)
    }

    /// `Top-1, %`
    pub fn y_title(&self) -> String {
        match metric::find(&self.spec.y) {
            Some(m) if m.unit.is_empty() => m.title.to_owned(),
            Some(m) => format!("{}, {}", m.title, m.unit),
            None => self.spec.y.clone(),
        }
    }

    /// `Epoch`
    pub fn x_title(&self) -> String {
        match self.spec.x {
            XKind::Step => "Step".to_owned(),
            XKind::Epoch => "Epoch".to_owned(),
            XKind::Time => format!("Time, {}", time_unit(XKind::Time, self.x.max).1),
        }
    }

    /// `3 runs, 600 points`
    pub fn counts(&self) -> String {
        let plural = |n: usize, word: &str| {
            format!(
                "{} {word}{}",
                grouped(n as u64),
                if n == 1 { "" } else { "s" }
            )
        };
        let mut text = format!(
            "{}, {}",
            plural(self.spec.runs, "run"),
            plural(self.shown, "point")
        );
        if self.gaps > 0 {
            let why = if self.spec.scale == YScale::Log {
                "not positive"
            } else {
                "not a number"
            };
            text.push_str(&format!(", {} {why}", grouped(self.gaps as u64)));
        }
        text
    }
}

/// Points inside [from, to], with the line's crossing of each end where one lies between points.
fn window(points: &[(f64, f64)], from: Option<f64>, to: Option<f64>) -> Vec<(f64, f64)> {
    let (from, to) = (
        from.unwrap_or(f64::NEG_INFINITY),
        to.unwrap_or(f64::INFINITY),
    );
    let crossing =
        |a: (f64, f64), b: (f64, f64), at: f64| (at, a.1 + (b.1 - a.1) * (at - a.0) / (b.0 - a.0));
    let mut out = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for &point in points.iter().filter(|p| p.0.is_finite()) {
        if let Some(last) = before {
            for end in [from, to] {
                if last.0 < end && end < point.0 {
                    out.push(crossing(last, point, end));
                }
            }
        }
        if (from..=to).contains(&point.0) {
            out.push(point);
        }
        before = Some(point);
    }
    out
}

fn legend(spec: &ChartSpec, width: f64, top: f64) -> (Vec<Entry>, usize) {
    if spec.series.iter().all(|s| s.label.is_empty()) {
        return (Vec::new(), 0);
    }
    let (mut x, mut row) = (20.0, 0usize);
    let mut entries = Vec::new();
    let room = ((width - 60.0) / CHAR).max(8.0) as usize;
    for (index, series) in spec.series.iter().enumerate() {
        let text: String = if series.label.chars().count() > room {
            series
                .label
                .chars()
                .take(room - 1)
                .chain(['\u{2026}'])
                .collect()
        } else {
            series.label.clone()
        };
        let needs = 22.0 + CHAR * text.chars().count() as f64 + 14.0;
        if x > 20.0 && x + needs > width - 12.0 {
            (x, row) = (20.0, row + 1);
        }
        entries.push(Entry {
            index,
            x,
            y: top + 20.0 * row as f64 + 8.0,
            text,
        });
        x += needs;
    }
    (entries, row + 1)
}

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
