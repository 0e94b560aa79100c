//! Curves as SVG or PNG: exact, quiet, and readable without JavaScript.
//!
//! [`line`] draws with plotters; every pixel column shows the first, minimum, maximum and last of
//! ALL points that fall into it ([`decimate`]). A point that is not finite breaks the line.
//! An SVG's text is `<text>` and never measured; a PNG's font comes with the program.
//!
//! An SVG brings its own `<style>`: serve it at a URL of its own whose Content-Security-Policy
//! allows `style-src 'unsafe-inline'`, and show it with `<img>` or `<object>`.

mod axis;
mod calendar;
pub mod decimate;
pub mod diagram;
mod draw;
mod layout;
mod mean;
mod of_table;
mod png;
mod points;
mod smooth;
mod sparkline;
mod svg;
#[cfg(test)]
mod tests;
mod theme;

pub use mean::mean_and_band;
pub use of_table::{by_epoch, of_table};
pub use png::png;
pub use points::{Clock, Lap, points};
pub use sparkline::sparkline;
pub use theme::{ROW_COLOURS, Theme};

use std::str::FromStr;

use crate::error::{ReportError, choose};

/// What runs to the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum XKind {
    /// Optimiser steps.
    #[default]
    Step,
    /// Epochs, with fractions.
    Epoch,
    /// Seconds of training, without the time between attempts.
    Time,
    /// The clock on the wall: seconds since 1970, UTC.
    Wall,
}

impl XKind {
    /// The word in URLs.
    pub fn word(self) -> &'static str {
        match self {
            XKind::Step => "step",
            XKind::Epoch => "epoch",
            XKind::Time => "time",
            XKind::Wall => "wall",
        }
    }
}

impl FromStr for XKind {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose(
            "x axis",
            word,
            &[
                ("step", XKind::Step),
                ("epoch", XKind::Epoch),
                ("time", XKind::Time),
                ("relative", XKind::Time),
                ("wall", XKind::Wall),
            ],
        )
    }
}

/// Scale of the y axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum YScale {
    /// Linear.
    #[default]
    Linear,
    /// Logarithmic: values that are not positive break the line.
    Log,
}

impl FromStr for YScale {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose(
            "scale",
            word,
            &[("linear", YScale::Linear), ("log", YScale::Log)],
        )
    }
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChartSeries {
    /// Legend.
    pub label: String,
    /// Index of the row colour, stable for a row wherever it appears.
    pub colour: usize,
    /// (x, y) in order of x: steps, epochs or seconds by [`ChartSpec::x`]; y may be non-finite.
    pub points: Vec<(f64, f64)>,
}

/// The spread around a curve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Band {
    /// As that of its curve.
    pub colour: usize,
    /// (x, low, high) in order of x; non-finite values break it.
    pub points: Vec<(f64, f64, f64)>,
}

/// A place on the x axis that something is to be said of: an attempt began here.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// In units of x.
    pub x: f64,
    /// What happened.
    pub label: String,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartSpec {
    /// Title of the SVG; drawn unless `show_title` is false.
    pub title: String,
    /// Whether the title stands in the picture (pages have a heading of their own).
    pub show_title: bool,
    /// What runs to the right.
    pub x: XKind,
    /// Metric: its title and unit stand at the y axis.
    pub y: String,
    /// Curves.
    pub series: Vec<ChartSeries>,
    /// Spreads, behind the curves.
    pub bands: Vec<Band>,
    /// Curves that are shown but do not count: superseded points, faint and without a legend.
    pub behind: Vec<ChartSeries>,
    /// Places on the x axis.
    pub marks: Vec<Mark>,
    /// Points (inside from and to, in all) that the curves were made of, where these are means.
    pub made_of: Option<(usize, usize)>,
    /// Left end, in units of x; `None` = the first point.
    pub from: Option<f64>,
    /// Right end; `None` = the last point.
    pub to: Option<f64>,
    /// Scale of y.
    pub scale: YScale,
    /// Weight of the past in the exponential moving average, 0 (off) to below 1. The raw line
    /// stays behind it.
    pub smooth: f64,
    /// Colours.
    pub theme: Theme,
    /// Pixels, 120 to 8000.
    pub width: u32,
    /// Pixels, 80 to 8000.
    pub height: u32,
    /// Runs that the curves come from.
    pub runs: usize,
}

impl Default for ChartSpec {
    fn default() -> Self {
        ChartSpec {
            title: String::new(),
            show_title: true,
            x: XKind::Step,
            y: "train/loss".to_owned(),
            series: Vec::new(),
            bands: Vec::new(),
            behind: Vec::new(),
            marks: Vec::new(),
            made_of: None,
            from: None,
            to: None,
            scale: YScale::Linear,
            smooth: 0.0,
            theme: Theme::Auto,
            width: 740,
            height: 340,
            runs: 0,
        }
    }
}

/// Draws curves as one self-contained SVG. An error names what cannot be drawn: a size out of
/// bounds, `from` not before `to`, a smoothing outside 0 to 1. No points is not an error: the
/// picture says so.
pub fn line(spec: &ChartSpec) -> Result<String, ReportError> {
    check(spec)?;
    svg::render(spec)
}

fn check(spec: &ChartSpec) -> Result<(), ReportError> {
    let refuse = |why: String| Err(ReportError::Chart(why));
    if !(120..=8000).contains(&spec.width) || !(80..=8000).contains(&spec.height) {
        let (w, h) = (spec.width, spec.height);
        return refuse(format!(
            "{w} x {h} px is out of bounds; width goes from 120 to 8000, height from 80 to 8000"
        ));
    }
    if !(0.0..1.0).contains(&spec.smooth) {
        return refuse(format!(
            "smooth = {} is out of bounds; it goes from 0 (off) to below 1",
            spec.smooth
        ));
    }
    if [spec.from, spec.to]
        .into_iter()
        .flatten()
        .any(|v| !v.is_finite())
    {
        return refuse("from and to must be finite numbers".to_owned());
    }
    if let (Some(from), Some(to)) = (spec.from, spec.to)
        && from >= to
    {
        return refuse(format!("from = {from} is not before to = {to}"));
    }
    Ok(())
}
