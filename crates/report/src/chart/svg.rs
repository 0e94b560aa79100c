//! plotters' SVG, with what makes it a document of its own: title, description, theme.

use plotters::prelude::*;

use super::ChartSpec;
use super::draw::{Kind, draw};
use super::layout::Layout;
use crate::error::ReportError;

/// plotters places everything on whole device units; four of them to a pixel keep curves smooth.
const UNITS: u32 = 4;

pub(super) fn render(spec: &ChartSpec) -> Result<String, ReportError> {
    let layout = Layout::new(spec);
    let mut body = String::new();
    {
        let root = SVGBackend::with_string(&mut body, (spec.width * UNITS, spec.height * UNITS))
            .into_drawing_area();
        draw(&root, &layout, f64::from(UNITS), Kind::Vector)
            .map_err(|e| ReportError::Chart(e.to_string()))?;
    }
    let (_, inner) = body
        .split_once('>')
        .ok_or_else(|| ReportError::Chart("the SVG backend wrote no <svg> element".to_owned()))?;
    Ok(head(spec, &layout) + inner)
}

/// The `<svg>` element. Its data attributes tell a script where the plot lies (pixels) and what its
/// edges mean, for the hover read-out and drag-to-zoom.
fn head(spec: &ChartSpec, layout: &Layout<'_>) -> String {
    let (w, h) = (spec.width, spec.height);
    let (left, top, right, bottom) = (layout.left, layout.top, layout.right, layout.bottom);
    let title = if spec.title.is_empty() {
        layout.y_title()
    } else {
        spec.title.clone()
    };
    format!(
        "<svg class=\"rungs-chart\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" data-plot=\"{left} {top} {right} {bottom}\" data-x=\"{} {}\" \
         data-y=\"{} {}\" data-x-kind=\"{}\" data-y-log=\"{}\">\n<title>{}</title>\n<desc>{}</desc>\n<style>{}</style>",
        w * UNITS,
        h * UNITS,
        layout.x.min,
        layout.x.max,
        layout.y.min,
        layout.y.max,
        spec.x.word(),
        layout.y.log,
        escape(&title),
        escape(&describe(layout)),
        spec.theme.style(),
    )
}

/// What a reader who does not see the picture needs: axes, counts, and where each curve goes.
fn describe(layout: &Layout<'_>) -> String {
    let mut text = format!(
        "{} by {}; {}.",
        layout.y_title(),
        layout.x_title().to_lowercase(),
        layout.counts()
    );
    for (series, points) in layout.spec.series.iter().zip(&layout.visible) {
        let finite = || points.iter().filter(|p| p.1.is_finite());
        let (Some(first), Some(last)) = (finite().next(), finite().next_back()) else {
            continue;
        };
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = finite().fold(ends, |(a, b), p| (a.min(p.1), b.max(p.1)));
        let number = |v: f64| crate::format::number(&layout.spec.y, v);
        let label = if series.label.is_empty() {
            String::new()
        } else {
            format!("{}: ", series.label)
        };
        text.push_str(&format!(
            " {label}from {} to {}, lowest {}, highest {}.",
            number(first.1),
            number(last.1),
            number(low),
            number(high)
        ));
    }
    if layout.spec.smooth > 0.0 {
        text.push_str(&format!(
            " Smoothed with weight {}; the raw line lies behind.",
            layout.spec.smooth
        ));
    }
    text
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
