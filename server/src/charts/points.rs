//! The points of a chart as drawn, for the read-out under the pointer.

use rungs_report::chart::ChartSpec;
use rungs_report::chart::decimate::decimate;
use rungs_spec::metric;

/// What a script needs to know of a picture.
#[derive(serde::Serialize)]
pub(super) struct Points {
    x: &'static str,
    y: String,
    digits: usize,
    /// First and last x of all points, zoomed or not.
    full: Option<(f64, f64)>,
    series: Vec<PointsOf>,
}

#[derive(serde::Serialize)]
struct PointsOf {
    label: String,
    colour: usize,
    points: Vec<(f64, f64)>,
}

/// First, lowest, highest and last of every pixel column: what the picture shows, and no more than
/// a browser can hold.
pub(super) fn points(spec: &ChartSpec) -> Points {
    let all = spec
        .series
        .iter()
        .flat_map(|s| &s.points)
        .map(|p| p.0)
        .filter(|x| x.is_finite());
    let (first, last) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| {
        (a.min(x), b.max(x))
    });
    let (low, high) = (spec.from.unwrap_or(first), spec.to.unwrap_or(last));
    let column = |x: f64| {
        ((x - low) / (high - low).max(f64::MIN_POSITIVE) * f64::from(spec.width)).floor() as i64
    };
    let series = spec.series.iter().map(|s| {
        let inside: Vec<_> = s
            .points
            .iter()
            .copied()
            .filter(|(x, _)| (low..=high).contains(x))
            .collect();
        let points = decimate(&inside, column).into_iter().flatten().collect();
        PointsOf {
            label: s.label.clone(),
            colour: s.colour % crate::pages::table::COLORS,
            points,
        }
    });
    let digits = metric::find(&spec.y).map_or(4, |m| m.digits);
    Points {
        x: spec.x.word(),
        y: spec.y.clone(),
        digits,
        full: (first <= last).then_some((first, last)),
        series: series.collect(),
    }
}
