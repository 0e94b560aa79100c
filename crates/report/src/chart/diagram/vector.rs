//! A diagram as one self-contained SVG.

use std::fmt::Write as _;

use super::super::svg::escape;
use super::super::theme::{INK, MUTE, PANEL, Theme};
use super::pen::{At, OWN, Pair, Place, Shape};

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/// The whole document.
pub(super) fn svg(
    shapes: &[Shape],
    theme: Theme,
    (w, h): (f64, f64),
    title: &str,
    description: &str,
) -> String {
    let mut body = String::new();
    for shape in shapes {
        write(&mut body, shape, theme);
    }
    let ground = colour(theme, PANEL);
    format!(
        "<svg class=\"rungs-chart\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" font-family=\"{FONT}\">\n\
         <title>{}</title>\n<desc>{}</desc>\n<style>{}</style>\n<rect width=\"{w}\" height=\"{h}\" fill=\"{ground}\"/>\n{body}</svg>\n",
        escape(title),
        escape(description),
        theme.style_with(&OWN),
        w = n(w),
        h = n(h),
    )
}

/// Light where the reader's system decides: the style repaints it.
fn colour(theme: Theme, (light, dark): Pair) -> String {
    format!("#{:06X}", if theme == Theme::Dark { dark } else { light })
}

/// Writing to a String cannot fail: results are dropped.
fn write(body: &mut String, shape: &Shape, theme: Theme) {
    match shape {
        Shape::Rect(at, paint) => {
            let _ = writeln!(
                body,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{}\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
                n(at.x),
                n(at.y),
                n(at.w),
                n(at.h),
                n(paint.radius),
                colour(theme, paint.fill),
                colour(theme, paint.edge),
                n(paint.line),
                dash(paint.dashed, "4 4")
            );
        }
        Shape::Text {
            text,
            at: (x, y),
            stands,
            size,
            colour: ink,
            bold,
        } => {
            let anchor = match stands {
                At::Left => "start",
                At::Middle => "middle",
            };
            let weight = if *bold { " font-weight=\"600\"" } else { "" };
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" font-size=\"{}\"{weight} fill=\"{}\">{}</text>",
                n(*x),
                n(*y),
                n(*size),
                colour(theme, *ink),
                escape(text)
            );
        }
        Shape::Line { points, dashed } => {
            let _ = writeln!(
                body,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.25\"{}/>",
                places(points),
                colour(theme, MUTE),
                dash(*dashed, "3 4")
            );
        }
        Shape::Head(points) => {
            let (points, fill) = (places(points), colour(theme, MUTE));
            let _ = writeln!(body, "<polygon points=\"{points}\" fill=\"{fill}\"/>");
        }
        Shape::Plus((x, y), radius) => {
            let (fill, edge) = (colour(theme, PANEL), colour(theme, INK));
            let _ = writeln!(
                body,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"1.5\"/><path d=\"M{} {}h{}M{} {}v{}\" stroke=\"{edge}\" stroke-width=\"1.5\"/>",
                n(*x),
                n(*y),
                n(*radius),
                n(x - radius * 0.55),
                n(*y),
                n(radius * 1.1),
                n(*x),
                n(y - radius * 0.55),
                n(radius * 1.1)
            );
        }
    }
}

fn dash(dashed: bool, lengths: &str) -> String {
    if dashed {
        format!(" stroke-dasharray=\"{lengths}\"")
    } else {
        String::new()
    }
}

fn places(points: &[Place]) -> String {
    let places = points.iter().map(|(x, y)| format!("{},{}", n(*x), n(*y)));
    places.collect::<Vec<_>>().join(" ")
}

/// A number of pixels, to a tenth.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
