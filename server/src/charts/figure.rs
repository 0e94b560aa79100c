//! `/charts/figure`: one panel of a figure, a curve per series, mean over its table's seeds; and
//! `/charts/diagram.svg` or `.png`: the block diagram of a figure that names models.

use axum::body::Bytes;
use rungs_report::chart::diagram::Diagram;
use rungs_report::chart::{self, ChartSeries, ChartSpec, XKind};
use rungs_spec::metric;

use super::line::{Curve, live, load};
use super::{Asked, number, word};
use crate::error::Failure;
use crate::figure::{self, FigureView};
use crate::state::Dashboard;

async fn figure_of(dashboard: &Dashboard, asked: &Asked) -> Result<FigureView, Failure> {
    let name = asked
        .experiment
        .as_deref()
        .ok_or_else(|| Failure::bad_request("bad_chart", "experiment= names the figure."))?;
    figure::load(dashboard, name, asked.profile.as_deref()).await
}

/// `/charts/figure`
pub(super) async fn spec(dashboard: &Dashboard, asked: &Asked) -> Result<ChartSpec, Failure> {
    let figure = figure_of(dashboard, asked).await?;
    let place = number("panel", asked.panel.as_deref())?.unwrap_or(0);
    let mut spec = asked.spec()?;
    fill(dashboard, &figure, place, &mut spec).await?;
    // Where all seeds agree there is no band to speak of.
    spec.bands
        .retain(|band| band.points.iter().any(|(_, low, high)| high > low));
    Ok(spec)
}

/// `/charts/diagram.svg` and `.png`
pub(super) async fn diagram_file(
    dashboard: &Dashboard,
    asked: &Asked,
    format: &str,
) -> Result<Bytes, Failure> {
    let figure = figure_of(dashboard, asked).await?;
    let Some(diagram) = &figure.diagram else {
        let name = &figure.experiment.name;
        return Err(Failure::not_found(
            "no_such_chart",
            format!("{name} has curves, no block diagram: /charts/figure.svg?experiment={name}"),
        ));
    };
    draw_diagram(diagram, asked, format)
}

/// As SVG or PNG.
pub(super) fn draw_diagram(
    diagram: &Diagram,
    asked: &Asked,
    format: &str,
) -> Result<Bytes, Failure> {
    let width = number("width", asked.width.as_deref())?.unwrap_or(1200);
    let theme = word(asked.theme.as_deref())?;
    let refuse = |e: rungs_report::ReportError| Failure::bad_request("bad_chart", e.to_string());
    Ok(match format {
        "png" => Bytes::from(diagram.png(width, theme).map_err(refuse)?),
        _ => Bytes::from(diagram.svg(width, theme)),
    })
}

/// Puts the curves of a panel into a chart. Returns which curves of the figure have points, in the order of
/// the chart's series.
pub(crate) async fn fill(
    dashboard: &Dashboard,
    figure: &FigureView,
    place: usize,
    spec: &mut ChartSpec,
) -> Result<Vec<usize>, Failure> {
    let panel = figure.figure.panels.get(place).ok_or_else(|| {
        let (name, n) = (&figure.experiment.name, figure.figure.panels.len());
        let message = format!("{name} has no panel {place}; it has {n}, counted from 0.");
        Failure::bad_request("bad_chart", message)
    })?;
    spec.x = word::<XKind>(Some(&panel.x))?;
    spec.y.clone_from(&panel.y);
    let title = metric::find(&panel.y).map_or(panel.y.as_str(), |m| m.title);
    spec.title = format!("{title} by {}", panel.x);
    let Some(store) = dashboard.store().await? else {
        return Ok(Vec::new());
    };
    let inside = |x: f64| spec.from.is_none_or(|f| x >= f) && spec.to.is_none_or(|t| x <= t);
    let (mut made_of, mut drawn) = ((0, 0), Vec::new());
    for (colour, of) in figure.curves.iter().enumerate() {
        let mut curves: Vec<Curve> = Vec::new();
        for run in load(&store, &of.runs).await?.values() {
            let found = live(&store, run, &panel.y, spec.x).await?;
            if !found.is_empty() {
                curves.push(found);
            }
        }
        if curves.is_empty() {
            continue;
        }
        let points = || curves.iter().flatten().filter(|p| p.0.is_finite());
        made_of.0 += points().filter(|p| inside(p.0) && p.1.is_finite()).count();
        made_of.1 += points().count();
        spec.runs += curves.len();
        let (points, band) = chart::mean_and_band(&curves, colour);
        spec.series.push(ChartSeries {
            label: format!("{}, n = {}", of.label, curves.len()),
            colour,
            points,
        });
        spec.bands.push(band);
        drawn.push(colour);
    }
    spec.made_of = Some(made_of);
    Ok(drawn)
}
