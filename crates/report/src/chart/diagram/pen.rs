//! Boxes, lines and words of a diagram as SVG. Text is never measured.

use std::fmt::Write as _;

use super::super::svg::escape;
use super::super::theme::{self, INK, LINE, MUTE, PANEL, Theme};

/// (light, dark), as everywhere in the charts.
type Pair = (u32, u32);

/// Words on a box: as readable as on the ground.
pub(super) const SOFT: Pair = (0x50555b, 0xb8bec5);
/// A convolution or fully connected layer.
pub(super) const LAYER: Pair = (0xe9eff6, 0x222b36);
/// Its edge.
pub(super) const LAYER_EDGE: Pair = theme::ROW_COLOURS[0];
/// Pooling, and everything else without weights.
pub(super) const POOL: Pair = (0xf3f3f0, 0x26292d);
/// A step that the model before has not.
pub(super) const CHANGED: Pair = (0xfdf0e6, 0x3a281a);
/// Its edge.
pub(super) const CHANGED_EDGE: Pair = theme::ROW_COLOURS[1];
/// What is said of it.
pub(super) const CHANGED_INK: Pair = (0x8f3f0c, 0xffb27a);

const OWN: [Pair; 5] = [SOFT, LAYER, POOL, CHANGED, CHANGED_INK];
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/// A rectangle, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl Area {
    pub(super) fn middle(&self) -> f64 {
        self.x + self.w / 2.0
    }
    pub(super) fn right(&self) -> f64 {
        self.x + self.w
    }
    pub(super) fn bottom(&self) -> f64 {
        self.y + self.h
    }
}

/// How a box is painted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub fill: Pair,
    pub edge: Pair,
    pub line: f64,
    pub radius: f64,
    pub dashed: bool,
}

/// Where text stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Left,
    Middle,
}

/// Writes an SVG.
pub(super) struct Pen {
    body: String,
    theme: Theme,
}

impl Pen {
    pub(super) fn new(theme: Theme) -> Self {
        Pen {
            body: String::new(),
            theme,
        }
    }

    fn colour(&self, (light, dark): Pair) -> String {
        format!(
            "#{:06X}",
            if self.theme == Theme::Dark {
                dark
            } else {
                light
            }
        )
    }

    pub(super) fn rect(&mut self, at: Area, paint: Paint) {
        let (fill, edge) = (self.colour(paint.fill), self.colour(paint.edge));
        let dash = if paint.dashed {
            " stroke-dasharray=\"4 4\""
        } else {
            ""
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"{}\"{dash}/>",
            n(at.x),
            n(at.y),
            n(at.w),
            n(at.h),
            n(paint.radius),
            n(paint.line)
        );
    }

    pub(super) fn text(
        &mut self,
        text: &str,
        (x, y): (f64, f64),
        at: At,
        size: f64,
        colour: Pair,
        bold: bool,
    ) {
        let anchor = match at {
            At::Left => "start",
            At::Middle => "middle",
        };
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" font-size=\"{}\"{weight} fill=\"{}\">{}</text>",
            n(x),
            n(y),
            n(size),
            self.colour(colour),
            escape(text)
        );
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], dashed: bool) {
        let places: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{},{}", n(*x), n(*y)))
            .collect();
        let (colour, dash) = (
            self.colour(MUTE),
            if dashed {
                " stroke-dasharray=\"3 4\""
            } else {
                ""
            },
        );
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.25\"{dash}/>",
            places.join(" ")
        );
    }

    /// A line that ends in a head pointing the way it last went.
    pub(super) fn arrow(&mut self, points: &[(f64, f64)]) {
        let &[.., from, to] = points else { return };
        let length = f64::hypot(to.0 - from.0, to.1 - from.1).max(f64::MIN_POSITIVE);
        let (dx, dy) = ((to.0 - from.0) / length, (to.1 - from.1) / length);
        let base = (to.0 - 7.0 * dx, to.1 - 7.0 * dy);
        let mut shaft = points.to_vec();
        if let Some(last) = shaft.last_mut() {
            *last = base;
        }
        self.line(&shaft, false);
        let wing = |side: f64| {
            format!(
                "{},{}",
                n(base.0 - 3.5 * side * dy),
                n(base.1 + 3.5 * side * dx)
            )
        };
        let _ = writeln!(
            self.body,
            "<polygon points=\"{},{} {} {}\" fill=\"{}\"/>",
            n(to.0),
            n(to.1),
            wing(1.0),
            wing(-1.0),
            self.colour(MUTE)
        );
    }

    /// A sum: a plus in a circle.
    pub(super) fn plus(&mut self, (x, y): (f64, f64), radius: f64) {
        let (fill, edge) = (self.colour(PANEL), self.colour(INK));
        let _ = writeln!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"1.5\"/><path d=\"M{} {}h{}M{} {}v{}\" stroke=\"{edge}\" stroke-width=\"1.5\"/>",
            n(x),
            n(y),
            n(radius),
            n(x - radius * 0.55),
            n(y),
            n(radius * 1.1),
            n(x),
            n(y - radius * 0.55),
            n(radius * 1.1)
        );
    }

    /// The whole document.
    pub(super) fn finish(self, (w, h): (f64, f64), title: &str, description: &str) -> String {
        let ground = self.colour(PANEL);
        format!(
            "<svg class=\"rungs-chart\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" font-family=\"{FONT}\">\n\
             <title>{}</title>\n<desc>{}</desc>\n<style>{}</style>\n<rect width=\"{w}\" height=\"{h}\" fill=\"{ground}\"/>\n{}</svg>\n",
            escape(title),
            escape(description),
            self.theme.style_with(&OWN),
            self.body,
            w = n(w),
            h = n(h),
        )
    }
}

/// The frame around a panel.
pub(super) const FRAME: Paint = Paint {
    fill: PANEL,
    edge: LINE,
    line: 1.0,
    radius: 10.0,
    dashed: false,
};

/// A number of pixels, to a tenth.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
