//! A curve of a few pixels for a table cell: no axes, no text.

use std::fmt::Write as _;

use super::decimate::decimate;
use super::svg::escape;

/// An inline SVG of `w` x `h` pixels, class `spark`, painted by the page's CSS; `label` is what a
/// screen reader says. Points that are not finite break the line.
pub fn sparkline(points: &[(f64, f64)], w: u32, h: u32, label: &str) -> String {
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
                (a.min(v), b.max(v))
            })
    };
    let (x0, x1) = range(&mut points.iter().map(|p| p.0));
    let (y0, y1) = range(&mut points.iter().map(|p| p.1));
    let place = |value: f64, low: f64, high: f64, size: f64| {
        if high > low {
            (value - low) / (high - low) * size
        } else {
            size / 2.0
        }
    };
    let (inner_w, inner_h) = (f64::from(w) - 2.0, f64::from(h) - 4.0);
    let px = |x: f64| 1.0 + place(x, x0, x1, inner_w);
    let py = |y: f64| 2.0 + inner_h - place(y, y0, y1, inner_h);
    let mut path = String::new();
    for line in decimate(points, |x| px(x).floor() as i64) {
        for (i, (x, y)) in line.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if i == 0 { "M" } else { "L" },
                px(*x),
                py(*y)
            );
        }
        if line.len() == 1 {
            // A round cap on a line of no length draws a dot.
            path.push_str("h0");
        }
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{}\">\
         <path d=\"{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>",
        escape(label)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_break_the_line_and_names_are_escaped() {
        let svg = sparkline(
            &[(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 3.0)],
            70,
            20,
            "a < b",
        );
        assert!(
            svg.contains("M1.0 18.0L") && svg.matches('M').count() == 2 && svg.contains("a &lt; b"),
            "{svg}"
        );
        assert!(sparkline(&[], 70, 20, "").contains("d=\"\""));
        assert!(!sparkline(&[(1.0, 5.0)], 70, 20, "").contains("NaN"));
    }
}
