//! `/charts/line.svg` (metrics of runs) and `/charts/table.svg` (a table's rows, mean over seeds):
//! pictures at addresses of their own, drawn by `rungs_report::chart` from all points. The same
//! addresses with `.json` give the points as drawn, for the read-out under the pointer.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rungs_report::Select;
use rungs_report::chart::decimate::decimate;
use rungs_report::chart::{self, ChartSeries, ChartSpec, Clock, Theme, XKind, YScale};
use rungs_report::table::MetricHead;
use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::result::{Point, RunResult};
use rungs_store::Store;
use rungs_store::series::{evaluated, is_evaluated};

use crate::error::Failure;
use crate::guard::DOCUMENT_POLICY;
use crate::pages::table::color;
use crate::state::Dashboard;
use crate::view::View;

/// Runs that one picture may show.
const MOST_RUNS: usize = 64;

/// What to draw; all text, so that a bad value is answered with its name.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Asked {
    /// Run keys or prefixes, separated by commas (`line`).
    runs: Option<String>,
    /// Experiment (`table`).
    experiment: Option<String>,
    /// Its profile.
    profile: Option<String>,
    /// Its column.
    column: Option<String>,
    /// Metrics, separated by commas.
    metric: Option<String>,
    /// `step`, `epoch`, `time`.
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
    if !matches!(format, "svg" | "json") {
        return Err(Failure::not_found(
            "no_such_chart",
            format!(
                "There is no chart {name:?}; there are line.svg, table.svg, and both as .json."
            ),
        ));
    }
    let spec = match kind {
        "line" => line(&dashboard, &asked).await?,
        "table" => table(&dashboard, &asked).await?,
        _ => {
            return Err(Failure::not_found(
                "no_such_chart",
                format!("There is no chart {name:?}; there are line.svg and table.svg."),
            ));
        }
    };
    if format == "json" {
        return Ok(Json(points(&spec)).into_response());
    }
    let svg = chart::line(&spec).map_err(|e| Failure::bad_request("bad_chart", e.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, DOCUMENT_POLICY),
    ];
    Ok((headers, svg).into_response())
}

/// Metrics of runs: one curve for each pair that has points.
async fn line(dashboard: &Dashboard, asked: &Asked) -> Result<ChartSpec, Failure> {
    let mut spec = asked.spec()?;
    let metrics = asked.metrics()?;
    let store = dashboard.some_store().await?;
    let prefixes: Vec<&str> = asked
        .runs
        .as_deref()
        .unwrap_or("")
        .split(',')
        .filter(|p| !p.is_empty())
        .collect();
    if prefixes.is_empty() || prefixes.len() > MOST_RUNS {
        return Err(Failure::bad_request(
            "bad_chart",
            format!("runs= names 1 to {MOST_RUNS} runs by key or prefix, separated by commas."),
        ));
    }
    let mut keys = Vec::new();
    for prefix in &prefixes {
        keys.push(store.find_run(prefix).await?);
    }
    let results = store.results(&keys).await?;
    for (i, key) in keys.iter().enumerate() {
        let Some(result) = results.get(key) else {
            continue;
        };
        let seconds = result
            .finished
            .as_ref()
            .map_or(&[][..], |f| &f.epoch_seconds);
        let clock = Clock {
            steps_per_epoch: result.progress.steps_per_epoch,
            epoch_seconds: seconds,
        };
        let name = if keys.len() > 1 {
            run_label(&store, key).await?
        } else {
            String::new()
        };
        for (j, metric) in metrics.iter().enumerate() {
            let series = series(&store, result, metric).await?;
            if series.is_empty() {
                continue;
            }
            let evaluated = is_evaluated(metric);
            let title = metric::find(metric).map_or(*metric, |m| m.title);
            let label = match (keys.len() > 1, metrics.len() > 1) {
                (true, true) => format!("{name}, {title}"),
                (true, false) => name.clone(),
                (false, true) => title.to_owned(),
                (false, false) => String::new(),
            };
            spec.series.push(ChartSeries {
                label,
                colour: i * metrics.len() + j,
                points: chart::points(&series, spec.x, clock, evaluated),
            });
        }
    }
    spec.runs = keys.len();
    spec.title = metric::find(metrics[0]).map_or_else(String::new, |m| m.title.to_owned());
    spec.y = metrics[0].to_owned();
    Ok(spec)
}

/// Every live point of any metric of a run: per step from its series, per epoch from its evaluations.
pub async fn series(
    store: &Store,
    result: &RunResult,
    metric: &str,
) -> Result<Vec<Point>, Failure> {
    if !is_evaluated(metric) {
        return Ok(store.series(&result.key, metric, false).await?);
    }
    Ok(evaluated(result, metric))
}

async fn run_label(store: &Store, key: &RunKey) -> Result<String, Failure> {
    let cells = store.cells_of(key).await?;
    Ok(cells.first().map_or_else(
        || key.short().to_owned(),
        |c| format!("{} / {} / seed {}", c.row, c.column, c.seed),
    ))
}

/// One metric of one column: a curve per row, mean over seeds, in the row's colour.
async fn table(dashboard: &Dashboard, asked: &Asked) -> Result<ChartSpec, Failure> {
    let mut spec = asked.spec()?;
    let name = asked
        .experiment
        .as_deref()
        .ok_or_else(|| Failure::bad_request("bad_chart", "experiment= names the table."))?;
    let view = dashboard
        .view(name, asked.profile.as_deref(), Select::Last)
        .await?;
    let metric = match asked.metric {
        Some(_) => asked.metrics()?[0].to_owned(),
        None => view
            .table
            .metrics
            .first()
            .map(|m| m.name.clone())
            .unwrap_or_default(),
    };
    let column = match asked.column.as_deref() {
        Some(id) => view
            .table
            .columns
            .iter()
            .find(|c| c.id == id)
            .ok_or_else(|| {
                let near = rungs_spec::error::nearest(
                    id,
                    view.table.columns.iter().map(|c| c.id.as_str()),
                );
                Failure::bad_request("bad_chart", format!("{name} has no column {id:?}; {near}"))
            })?,
        None => view
            .table
            .columns
            .last()
            .ok_or_else(|| Failure::internal("the experiment has no columns"))?,
    };
    for row in &view.table.rows {
        let Some(cell) = row.cells.get(&column.id) else {
            continue;
        };
        let curve = mean_curve(&view, &cell.runs, &metric);
        if !curve.is_empty() {
            spec.series.push(ChartSeries {
                label: row.label.clone(),
                colour: color(&view, &row.id),
                points: curve,
            });
            spec.runs += cell
                .runs
                .iter()
                .filter(|run| view.results.contains_key(run))
                .count();
        }
    }
    spec.title = format!(
        "{}, {}",
        metric::find(&metric).map_or(metric.as_str(), |m| m.title),
        column.label
    );
    spec.x = XKind::Epoch;
    spec.y = metric;
    Ok(spec)
}

/// An evaluated metric by epoch, mean over those runs that have that epoch.
pub fn mean_curve(view: &View, runs: &[RunKey], metric: &str) -> Vec<(f64, f64)> {
    let mut by_epoch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter_map(|key| view.results.get(key)) {
        for evaluation in &run.evaluations {
            if let Some(value) = evaluation.metrics.get(metric) {
                by_epoch.entry(evaluation.epoch).or_default().push(*value);
            }
        }
    }
    by_epoch
        .into_iter()
        .map(|(epoch, values)| {
            (
                epoch as f64,
                values.iter().sum::<f64>() / values.len() as f64,
            )
        })
        .collect()
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

/// Points as drawn, for the read-out.
#[derive(serde::Serialize)]
struct Points {
    x: &'static str,
    y: String,
    digits: usize,
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
fn points(spec: &ChartSpec) -> Points {
    let all = spec
        .series
        .iter()
        .flat_map(|s| &s.points)
        .map(|p| p.0)
        .filter(|x| x.is_finite());
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| {
        (a.min(x), b.max(x))
    });
    let (low, high) = (spec.from.unwrap_or(low), spec.to.unwrap_or(high));
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
        series: series.collect(),
    }
}
