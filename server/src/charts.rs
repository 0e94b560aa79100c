//! `/charts/line.svg` (metrics of runs, or means of groups of runs), `/charts/table.svg` (a table's rows,
//! mean over seeds) and `/charts/figure.svg` (a panel of a figure): pictures at addresses of their own, drawn
//! by `rungs_report::chart` from all points. The same addresses with `.png` give pixels, and with `.json` the
//! points as drawn, for the read-out under the pointer. `/charts/diagram.svg` (and `.png`)
//! is a figure's block diagram.

pub(crate) mod figure;
mod line;
mod points;
pub(crate) mod table;

pub use line::{Series, laps, series};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rungs_report::chart::{self, ChartSpec, Theme, XKind, YScale};
use rungs_report::table::MetricHead;
use rungs_spec::RunKey;
use rungs_spec::metric;

use crate::error::Failure;
use crate::guard::DOCUMENT_POLICY;
use crate::pages::table::COLORS;
use crate::state::Dashboard;
use crate::view::View;

/// Runs that one picture, or one comparison, may show.
pub const MOST_RUNS: usize = 64;

/// What of an experiment is drawn for a paper.
#[derive(Debug, Clone, Default)]
pub struct ForPaper {
    /// Of a table: the metric of the curves; its first one that has any without.
    pub metric: Option<String>,
    /// Of a table: the column whose curves are drawn; its last one that has any without.
    pub column: Option<String>,
    /// Of a figure of curves: the panel, from 0.
    pub panel: usize,
    /// Pixels instead of SVG.
    pub png: bool,
}

/// A figure's panel or block diagram, or a table's curves, as `/charts/` draws them with `theme=light`: the
/// content of a file. `view` is the experiment's, `dashboard` finds the tables behind a figure.
///
/// Errors: an unknown metric, column or panel; nothing to draw yet.
pub async fn for_paper(
    dashboard: &Dashboard,
    view: &View,
    of: &ForPaper,
) -> Result<Bytes, Failure> {
    let name = &view.experiment.name;
    let asked = Asked {
        experiment: Some(name.clone()),
        profile: view.options.profile.clone(),
        metric: of.metric.clone(),
        column: of.column.clone(),
        panel: Some(of.panel.to_string()),
        theme: Some("light".to_owned()),
        ..Asked::default()
    };
    let format = if of.png { "png" } else { "svg" };
    let spec = match &view.experiment.figure {
        Some(figure) if figure.panels.is_empty() => {
            let diagram = chart::diagram::Diagram::new(&figure.models)?;
            return figure::draw_diagram(&diagram, &asked, format);
        }
        Some(_) => figure::spec(dashboard, &asked).await?,
        None => table::spec_of(view, &asked)?,
    };
    if spec.series.is_empty() {
        let message = format!(
            "{name} has nothing to draw yet: no epoch of its runs has been evaluated; `runner reproduce {name}` trains them"
        );
        return Err(Failure::not_found("nothing_to_draw", message));
    }
    draw(format, &spec)
}

/// What to draw; all text, so that a bad value is answered with its name.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Asked {
    /// Run keys or prefixes, separated by commas (`line`); `;` separates groups.
    runs: Option<String>,
    /// `1`: each group as its mean, with a band of one standard deviation.
    mean: Option<String>,
    /// `1`: also what later attempts did again.
    superseded: Option<String>,
    /// `0`: no marks where attempts began (of one run).
    restarts: Option<String>,
    /// Colours of the curves of `line`, 0 to 7, separated by commas: one for each run, or with `mean` for
    /// each group. Without, each curve has its own.
    colours: Option<String>,
    /// `0`: no bands.
    band: Option<String>,
    /// Experiment (`table`, `figure`, `diagram`).
    experiment: Option<String>,
    /// Its profile.
    profile: Option<String>,
    /// Seeds of a cell (`table`); as many as it was applied with without.
    seeds: Option<String>,
    /// Its column.
    column: Option<String>,
    /// Which panel of a figure, from 0.
    panel: Option<String>,
    /// Metrics, separated by commas.
    metric: Option<String>,
    /// `step`, `epoch`, `time` (of training; also `relative`), `wall`.
    x: Option<String>,
    /// Weight of the past, 0 to below 1.
    smooth: Option<String>,
    /// Left end.
    from: Option<String>,
    /// Right end.
    to: Option<String>,
    /// `linear`, `log`.
    scale: Option<String>,
    /// `light`, `dark`, `auto`.
    theme: Option<String>,
    /// Pixels.
    width: Option<String>,
    /// Pixels.
    height: Option<String>,
    /// `0`: the page has a heading of its own.
    title: Option<String>,
}

fn number<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let refuse = |_| Failure::bad_request("bad_chart", format!("{name}={text} is not a number."));
    text.parse().map(Some).map_err(refuse)
}

fn word<T: std::str::FromStr<Err = rungs_report::ReportError> + Default>(
    text: Option<&str>,
) -> Result<T, Failure> {
    text.map_or_else(
        || Ok(T::default()),
        |t| {
            t.parse()
                .map_err(|e: T::Err| Failure::bad_request("bad_chart", e.to_string()))
        },
    )
}

impl Asked {
    fn metrics(&self) -> Result<Vec<&'static str>, Failure> {
        let names = self.metric.as_deref().unwrap_or("train/loss");
        names
            .split(',')
            .map(|name| {
                metric::find(name).map(|m| m.name).ok_or_else(|| {
                    let near =
                        rungs_spec::error::nearest(name, metric::METRICS.iter().map(|m| m.name));
                    Failure::bad_request(
                        "bad_metric",
                        format!("There is no metric {name:?}; {near}"),
                    )
                })
            })
            .collect()
    }

    /// `colours=` of so many curves. Errors: no numbers, more or fewer of them, or several metrics, whose
    /// curves could then not be told apart.
    fn colours(&self, curves: usize, metrics: usize) -> Result<Option<Vec<usize>>, Failure> {
        let Some(text) = self.colours.as_deref().filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        let mut colours = Vec::new();
        for part in text.split(',') {
            match part.parse::<usize>() {
                Ok(colour) if colour < COLORS => colours.push(colour),
                _ => {
                    let message = format!(
                        "colours={text} is no list of numbers from 0 to {}.",
                        COLORS - 1
                    );
                    return Err(Failure::bad_request("bad_chart", message));
                }
            }
        }
        if colours.len() != curves || metrics != 1 {
            let message = format!(
                "colours={text} names {} for {curves} curves of {metrics} metrics; it takes one for each curve of one metric.",
                colours.len()
            );
            return Err(Failure::bad_request("bad_chart", message));
        }
        Ok(Some(colours))
    }

    fn spec(&self) -> Result<ChartSpec, Failure> {
        let plain = ChartSpec::default();
        Ok(ChartSpec {
            x: word::<XKind>(self.x.as_deref())?,
            scale: word::<YScale>(self.scale.as_deref())?,
            theme: word::<Theme>(self.theme.as_deref())?,
            smooth: number("smooth", self.smooth.as_deref())?.unwrap_or(0.0),
            from: number("from", self.from.as_deref())?,
            to: number("to", self.to.as_deref())?,
            width: number("width", self.width.as_deref())?.unwrap_or(plain.width),
            height: number("height", self.height.as_deref())?.unwrap_or(plain.height),
            show_title: self.title.as_deref() != Some("0"),
            ..plain
        })
    }
}

/// `GET /charts/{name}`
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (kind, format) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
    let nothing = || {
        Failure::not_found(
            "no_such_chart",
            format!(
                "There is no chart {name:?}; there are line.svg, table.svg and figure.svg, all three as .png and .json, and diagram.svg as .png."
            ),
        )
    };
    if !matches!(format, "svg" | "png" | "json") {
        return Err(nothing());
    }
    if kind == "diagram" && format != "json" {
        let content = figure::diagram_file(&dashboard, &asked, format).await?;
        return Ok(answer(format, content));
    }
    if kind == "line" {
        return line_chart(&dashboard, &name, asked).await;
    }
    let spec = match kind {
        "figure" => figure::spec(&dashboard, &asked).await?,
        "table" => table::spec(&dashboard, &asked).await?,
        _ => return Err(nothing()),
    };
    Ok(answer(format, draw(format, &spec)?))
}

/// `line`: drawn again only when one of its runs has moved on.
async fn line_chart(dashboard: &Dashboard, name: &str, asked: Asked) -> Result<Response, Failure> {
    let store = dashboard.some_store().await?;
    let groups = line::groups(&store, &asked).await?;
    let runs: Vec<RunKey> = groups.iter().flatten().cloned().collect();
    let key = format!("{name} {asked:?}");
    let format = name.rsplit_once('.').map_or("svg", |(_, format)| format);
    let format = format.to_owned();
    let of = format.clone();
    let make = || async move {
        let spec = line::spec(&store, &asked, groups).await?;
        draw(&of, &spec)
    };
    let bytes = dashboard.chart(&key, &runs, make).await?;
    Ok(answer(&format, bytes))
}

/// The content of an answer. Errors: a chart that cannot be drawn.
fn draw(format: &str, spec: &ChartSpec) -> Result<Bytes, Failure> {
    let refuse = |e: rungs_report::ReportError| Failure::bad_request("bad_chart", e.to_string());
    match format {
        "json" => {
            let json = serde_json::to_vec(&points::points(spec));
            let json = json.map_err(|e| Failure::internal(e.to_string()))?;
            Ok(Bytes::from(json))
        }
        "png" => chart::png(spec).map(Bytes::from).map_err(refuse),
        _ => chart::line(spec).map(Bytes::from).map_err(refuse),
    }
}

fn answer(format: &str, content: Bytes) -> Response {
    match format {
        "json" => ([(header::CONTENT_TYPE, "application/json")], content).into_response(),
        "png" => ([(header::CONTENT_TYPE, "image/png")], content).into_response(),
        _ => picture(content),
    }
}

fn picture(svg: impl Into<Bytes>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, DOCUMENT_POLICY),
    ];
    (headers, svg.into()).into_response()
}

/// An evaluated metric by epoch, mean over those runs that have that epoch.
pub fn mean_curve(view: &View, runs: &[RunKey], metric: &str) -> Vec<(f64, f64)> {
    chart::by_epoch(&view.results, runs, metric)
}

/// A curve of a few pixels for a table's cell; nothing before the first point.
pub fn spark(points: &[(f64, f64)], head: &MetricHead) -> String {
    let Some((_, last)) = points.last() else {
        return String::new();
    };
    let label = format!(
        "{} by epoch, ends at {}",
        head.title,
        rungs_report::format::number(&head.name, *last)
    );
    chart::sparkline(points, 70, 20, &label)
}
