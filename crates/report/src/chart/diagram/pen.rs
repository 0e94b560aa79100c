//! Boxes, lines and words of a diagram, in the order in which they are drawn. Text is never measured.

use super::super::theme::{self, LINE, PANEL};

/// (light, dark), as everywhere in the charts.
pub(super) type Pair = (u32, u32);
/// Pixels from the left and the top.
pub(super) type Place = (f64, f64);

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

/// Those that no other chart has.
pub(super) const OWN: [Pair; 5] = [SOFT, LAYER, POOL, CHANGED, CHANGED_INK];

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

/// One thing drawn.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Rect(Area, Paint),
    Text {
        text: String,
        /// Of the letters' feet.
        at: Place,
        stands: At,
        size: f64,
        colour: Pair,
        bold: bool,
    },
    Line {
        points: Vec<Place>,
        dashed: bool,
    },
    /// An arrow's: its tip and its two wings.
    Head([Place; 3]),
    /// A sum: a plus in a circle of this radius.
    Plus(Place, f64),
}

/// Collects what is drawn.
#[derive(Debug, Default)]
pub(super) struct Pen {
    pub shapes: Vec<Shape>,
}

impl Pen {
    pub(super) fn rect(&mut self, at: Area, paint: Paint) {
        self.shapes.push(Shape::Rect(at, paint));
    }

    pub(super) fn text(
        &mut self,
        text: &str,
        at: Place,
        stands: At,
        size: f64,
        colour: Pair,
        bold: bool,
    ) {
        self.shapes.push(Shape::Text {
            text: text.to_owned(),
            at,
            stands,
            size,
            colour,
            bold,
        });
    }

    pub(super) fn line(&mut self, points: &[Place], dashed: bool) {
        self.shapes.push(Shape::Line {
            points: points.to_vec(),
            dashed,
        });
    }

    /// A line that ends in a head pointing the way it last went.
    pub(super) fn arrow(&mut self, points: &[Place]) {
        let &[.., from, to] = points else { return };
        let length = f64::hypot(to.0 - from.0, to.1 - from.1).max(f64::MIN_POSITIVE);
        let (dx, dy) = ((to.0 - from.0) / length, (to.1 - from.1) / length);
        let base = (to.0 - 7.0 * dx, to.1 - 7.0 * dy);
        let mut shaft = points.to_vec();
        if let Some(last) = shaft.last_mut() {
            *last = base;
        }
        self.line(&shaft, false);
        let wing = |side: f64| (base.0 - 3.5 * side * dy, base.1 + 3.5 * side * dx);
        self.shapes.push(Shape::Head([to, wing(1.0), wing(-1.0)]));
    }

    pub(super) fn plus(&mut self, at: Place, radius: f64) {
        self.shapes.push(Shape::Plus(at, radius));
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
