//! Where everything stands, before anything is drawn: margins, axes, legend, the points in view.

use std::borrow::Cow;

use rungs_spec::metric;

use super::axis::{Axis, time_unit};
use super::{ChartSeries, ChartSpec, XKind, YScale, calendar};
use crate::format::grouped;

/// Width of a digit at 12 px, about: text is never measured.
const CHAR: f64 = 6.8;

/// (x, y): a long series is not copied where all of it is in view.
pub(super) type Line<'a> = Cow<'a, [(f64, f64)]>;

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
    pub visible: Vec<Line<'a>>,
    /// As `visible`, of [`ChartSpec::behind`].
    pub behind: Vec<Line<'a>>,
    /// Points shown, of all series.
    pub shown: usize,
    /// Points that there are, shown or not.
    pub total: usize,
    /// Points that are not finite, or not positive on a log scale.
    pub gaps: usize,
    /// Legend entries with their places.
    pub legend: Vec<Entry>,
}

/// One curve of the legend.
pub(super) struct Entry {
    /// Of the series.
    pub index: usize,
    pub x: f64,
    pub y: f64,
    pub text: String,
}

impl<'a> Layout<'a> {
    pub fn new(spec: &'a ChartSpec) -> Layout<'a> {
        let log = spec.scale == YScale::Log;
        let drawable = |y: f64| y.is_finite() && (!log || y > 0.0);
        let whole = spec.from.is_none() && spec.to.is_none();
        let cut = |series: &'a ChartSeries| {
            let of_all = || all(&series.points, drawable);
            whole
                .then(of_all)
                .flatten()
                .unwrap_or_else(|| window(&series.points, spec.from, spec.to, drawable))
        };
        let visible: Vec<Cut<'a>> = spec.series.iter().map(cut).collect();
        let behind: Vec<Cut<'a>> = spec.behind.iter().map(cut).collect();
        let (shown, gaps) = visible
            .iter()
            .fold((0, 0), |sum, c| (sum.0 + c.shown, sum.1 + c.gaps));
        let mut range = Range::default();
        for part in visible.iter().chain(&behind) {
            range.widen(&part.range);
        }
        let inside = |x: f64| spec.from.is_none_or(|f| x >= f) && spec.to.is_none_or(|t| x <= t);
        let spread = spec.bands.iter().flat_map(|b| &b.points);
        for (x, low, high) in spread.filter(|p| inside(p.0)) {
            for y in [*low, *high].into_iter().filter(|y| drawable(*y)) {
                range.add(*x, y);
            }
        }
        let ((x0, x1), (y0, y1)) = (range.x, range.y);
        let lines = |cuts: Vec<Cut<'a>>| cuts.into_iter().map(|c| c.line).collect();
        let (visible, behind) = (lines(visible), lines(behind));
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
            behind,
            shown: spec.made_of.map_or(shown, |m| m.0),
            total: spec
                .made_of
                .map_or_else(|| spec.series.iter().map(|s| s.points.len()).sum(), |m| m.1),
            gaps,
            legend,
        }
    }

    /// Pixel column of an x value, for decimation.
    pub fn column(&self, x: f64) -> i64 {
        self.px(x).floor() as i64
    }

    /// Pixels from the left of an x value.
    pub fn px(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * (self.right - self.left)
    }

    /// Pixels from the top of a y value.
    pub fn py(&self, y: f64) -> f64 {
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
            XKind::Wall => {
                let first = calendar::moment(self.x.min);
                format!("UTC, from {}", first.get(..16).unwrap_or(&first))
            }
        }
    }

    /// `3 runs, 600 of 1,801,440 points`
    pub fn counts(&self) -> String {
        let plural = |n: usize, word: &str| {
            format!(
                "{} {word}{}",
                grouped(n as u64),
                if n == 1 { "" } else { "s" }
            )
        };
        let mut text = format!(
            "{}, {} of {}",
            plural(self.spec.runs, "run"),
            grouped(self.shown as u64),
            plural(self.total, "point")
        );
        if self.gaps > 0 {
            let why = if self.spec.scale == YScale::Log {
                "not positive"
            } else {
                "not a number"
            };
            text.push_str(&format!(", {} {why}", grouped(self.gaps as u64)));
        }
        if self.spec.bands.iter().any(|band| !band.points.is_empty()) {
            text.push_str(", band ± sd");
        }
        text
    }
}

/// Smallest and largest x and y.
#[derive(Debug, Clone, Copy)]
struct Range {
    x: (f64, f64),
    y: (f64, f64),
}

impl Default for Range {
    fn default() -> Self {
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        Range { x: none, y: none }
    }
}

impl Range {
    fn add(&mut self, x: f64, y: f64) {
        self.x = (self.x.0.min(x), self.x.1.max(x));
        self.y = (self.y.0.min(y), self.y.1.max(y));
    }

    fn widen(&mut self, other: &Range) {
        self.x = (self.x.0.min(other.x.0), self.x.1.max(other.x.1));
        self.y = (self.y.0.min(other.y.0), self.y.1.max(other.y.1));
    }
}

/// What of a curve lies in the window.
struct Cut<'a> {
    /// With the line's crossing of each end where one lies between points; not finite where nothing can be drawn.
    line: Line<'a>,
    /// Of `line`.
    range: Range,
    /// Points in the window that are drawn.
    shown: usize,
    /// And those that cannot be.
    gaps: usize,
}

/// A whole curve as it is; `None` where an x is not finite, or a y that is cannot be drawn.
fn all(points: &[(f64, f64)], drawable: impl Fn(f64) -> bool) -> Option<Cut<'_>> {
    let mut cut = Cut {
        line: Cow::Borrowed(points),
        range: Range::default(),
        shown: 0,
        gaps: 0,
    };
    for &(x, y) in points {
        if drawable(y) {
            cut.range.add(x, y);
            cut.shown += 1;
        } else if y.is_finite() {
            return None;
        } else {
            cut.range.x = (cut.range.x.0.min(x), cut.range.x.1.max(x));
            cut.gaps += 1;
        }
        if !x.is_finite() {
            return None;
        }
    }
    Some(cut)
}

/// One pass, for series are long.
fn window(
    points: &[(f64, f64)],
    from: Option<f64>,
    to: Option<f64>,
    drawable: impl Fn(f64) -> bool,
) -> Cut<'static> {
    let (from, to) = (
        from.unwrap_or(f64::NEG_INFINITY),
        to.unwrap_or(f64::INFINITY),
    );
    let crossing =
        |a: (f64, f64), b: (f64, f64), at: f64| (at, a.1 + (b.1 - a.1) * (at - a.0) / (b.0 - a.0));
    let mut line = Vec::with_capacity(points.len());
    let mut cut = Cut {
        line: Cow::Borrowed(&[]),
        range: Range::default(),
        shown: 0,
        gaps: 0,
    };
    let mut push = |cut: &mut Cut<'_>, (x, y): (f64, f64)| {
        let good = drawable(y);
        if good {
            cut.range.add(x, y);
        } else {
            let x_only = cut.range.x;
            cut.range.x = (x_only.0.min(x), x_only.1.max(x));
        }
        line.push((x, if good { y } else { f64::NAN }));
        good
    };
    let mut before: Option<(f64, f64)> = None;
    for &point in points.iter().filter(|p| p.0.is_finite()) {
        if let Some(last) = before {
            for end in [from, to] {
                if last.0 < end && end < point.0 {
                    push(&mut cut, crossing(last, point, end));
                }
            }
        }
        if from <= point.0 && point.0 <= to {
            if push(&mut cut, point) {
                cut.shown += 1;
            } else {
                cut.gaps += 1;
            }
        }
        before = Some(point);
    }
    cut.line = Cow::Owned(line);
    cut
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![8 => -2f64..5.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
    }

    proptest! {
        #[test]
        fn a_curve_that_is_not_copied_is_the_one_that_is(
            points in proptest::collection::vec((value(), value()), 0..30),
            log in any::<bool>(),
        ) {
            let drawable = |y: f64| y.is_finite() && (!log || y > 0.0);
            let copied = window(&points, None, None, drawable);
            if let Some(cut) = all(&points, drawable) {
                // What cannot be drawn is NaN in a copy and may be infinite in what is not copied.
                let shown = |line: &[(f64, f64)]| -> Vec<(f64, Option<f64>)> {
                    line.iter().map(|p| (p.0, Some(p.1).filter(|y| y.is_finite()))).collect()
                };
                prop_assert_eq!(shown(&cut.line), shown(&copied.line));
                prop_assert_eq!((cut.shown, cut.gaps), (copied.shown, copied.gaps));
                prop_assert_eq!((cut.range.x, cut.range.y), (copied.range.x, copied.range.y));
            } else {
                let odd = |p: &(f64, f64)| !p.0.is_finite() || (p.1.is_finite() && !drawable(p.1));
                prop_assert!(points.iter().any(odd));
            }
        }
    }
}
