//! `/charts/line`: metrics of runs, one curve for each pair that has points, or one for each group.

use std::collections::BTreeMap;

use rungs_report::chart::{self, ChartSeries, ChartSpec, Clock, Lap, Mark, XKind};
use rungs_report::compare::common_name;
use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::result::{Point, RunResult};
use rungs_store::series::{evaluated, is_evaluated};
use rungs_store::{AttemptRow, Store};

use super::{Asked, MOST_RUNS};
use crate::compare::label;
use crate::error::Failure;

/// A curve as (x, y).
pub(super) type Curve = Vec<(f64, f64)>;

/// All points of a metric of a run.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// One a step, or one an evaluated epoch.
    pub live: Vec<Point>,
    /// What later attempts did again; only where asked for.
    pub superseded: Vec<Point>,
    /// Evaluations brought them: they stand behind their epoch.
    pub evaluated: bool,
}

/// Every point of any metric of a run: per step from its series, per epoch from its evaluations, which
/// also bring `system/` metrics.
pub async fn series(
    store: &Store,
    result: &RunResult,
    metric: &str,
    superseded: bool,
) -> Result<Series, Failure> {
    if !is_evaluated(metric) {
        let points = store.series(&result.key, metric, superseded).await?;
        if !points.is_empty() {
            // A long series is not copied where there is nothing to take out.
            let (gone, live) = if points.iter().any(|p| p.superseded) {
                points.into_iter().partition(|p| p.superseded)
            } else {
                (Vec::new(), points)
            };
            return Ok(Series {
                live,
                superseded: gone,
                evaluated: false,
            });
        }
    }
    Ok(Series {
        live: evaluated(result, metric),
        superseded: Vec::new(),
        evaluated: true,
    })
}

/// When each attempt that has started was where.
pub fn laps(attempts: &[AttemptRow]) -> Vec<Lap> {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let lap = |a: &AttemptRow| {
        let (first, start) = (a.step0?, seconds(a.started_at_ms?));
        let end = a.last_event_ms.map_or(start, seconds);
        Some(Lap {
            attempt: a.attempt,
            first: (first, start),
            last: (a.next_step.max(first), end.max(start)),
        })
    };
    attempts.iter().filter_map(lap).collect()
}

pub(super) struct Loaded {
    name: String,
    pub(super) result: RunResult,
    laps: Vec<Lap>,
}

/// The picture of what [`groups`] found.
pub(super) async fn spec(
    store: &Store,
    asked: &Asked,
    groups: Vec<Vec<RunKey>>,
) -> Result<ChartSpec, Failure> {
    let mut spec = asked.spec()?;
    let metrics = asked.metrics()?;
    let keys: Vec<RunKey> = groups.iter().flatten().cloned().collect();
    let mut runs = load(store, &keys).await?;
    let mean = asked.mean.as_deref() == Some("1");
    let superseded = asked.superseded.as_deref() == Some("1") && !mean;
    let curves_in_all = if mean { groups.len() } else { keys.len() };
    let mut made_of = (0, 0);
    let mut place = 0;
    for group in &groups {
        let group: Vec<Loaded> = group.iter().filter_map(|key| runs.remove(key)).collect();
        if let ([one], 1) = (group.as_slice(), keys.len())
            && asked.restarts.as_deref() != Some("0")
        {
            spec.marks = marks(one, spec.x);
        }
        for metric in &metrics {
            let title = metric::find(metric).map_or(*metric, |m| m.title);
            let label = |name: &str| match (curves_in_all > 1, metrics.len() > 1) {
                (true, true) => format!("{name}, {title}"),
                (true, false) => name.to_owned(),
                (false, true) => title.to_owned(),
                (false, false) => String::new(),
            };
            let mut curves: Vec<(usize, Curve)> = Vec::new();
            for (i, run) in group.iter().enumerate() {
                let colour = if mean {
                    place
                } else {
                    place + i * metrics.len()
                };
                let live = if superseded {
                    let found = series(store, &run.result, metric, true).await?;
                    let curve = |points: &[Point]| curve(run, points, spec.x, found.evaluated);
                    if !found.superseded.is_empty() {
                        spec.behind.push(ChartSeries {
                            label: String::new(),
                            colour,
                            points: curve(&found.superseded),
                        });
                    }
                    curve(&found.live)
                } else {
                    live(store, run, metric, spec.x).await?
                };
                if !live.is_empty() {
                    curves.push((i, live));
                }
            }
            if mean && !curves.is_empty() {
                let curves: Vec<Curve> = curves.into_iter().map(|c| c.1).collect();
                let inside =
                    |x: f64| spec.from.is_none_or(|f| x >= f) && spec.to.is_none_or(|t| x <= t);
                let points = || curves.iter().flatten().filter(|p| p.0.is_finite());
                made_of.0 += points().filter(|p| inside(p.0) && p.1.is_finite()).count();
                made_of.1 += points().count();
                let (points, band) = chart::mean_and_band(&curves, place);
                spec.series.push(ChartSeries {
                    label: label(&format!("{}, n = {}", group_name(&group), curves.len())),
                    colour: place,
                    points,
                });
                if asked.band.as_deref() != Some("0") {
                    spec.bands.push(band);
                }
            } else {
                for (i, points) in curves {
                    spec.series.push(ChartSeries {
                        label: label(&group[i].name),
                        colour: place + i * metrics.len(),
                        points,
                    });
                }
            }
            place += 1;
        }
        if !mean {
            place += group.len().saturating_sub(1) * metrics.len();
        }
    }
    if let Some(colours) = asked.colours(curves_in_all, metrics.len())? {
        let all = spec.series.iter_mut().chain(&mut spec.behind);
        all.for_each(|curve| curve.colour = colours[curve.colour]);
        let bands = spec.bands.iter_mut();
        bands.for_each(|band| band.colour = colours[band.colour]);
    }
    spec.made_of = mean.then_some(made_of);
    spec.runs = keys.len();
    spec.title = metric::find(metrics[0]).map_or_else(String::new, |m| m.title.to_owned());
    spec.y = metrics[0].to_owned();
    Ok(spec)
}

/// What a run has of a metric, as a curve; empty where it has nothing. As [`series`], without its points.
pub(super) async fn live(
    store: &Store,
    run: &Loaded,
    metric: &str,
    x: XKind,
) -> Result<Curve, Failure> {
    if !is_evaluated(metric) {
        let at = clock(run).axis(x, false);
        let key = &run.result.key;
        let found = store.series_as(key, metric, |p| (at(&p), p.value)).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(curve(run, &evaluated(&run.result, metric), x, true))
}

fn curve(run: &Loaded, points: &[Point], x: XKind, evaluated: bool) -> Curve {
    chart::points(points, x, clock(run), evaluated)
}

fn clock(run: &Loaded) -> Clock<'_> {
    let seconds = run.result.finished.as_ref();
    Clock {
        steps_per_epoch: run.result.progress.steps_per_epoch,
        epoch_seconds: seconds.map_or(&[][..], |f| &f.epoch_seconds),
        laps: &run.laps,
    }
}

/// The runs asked for, each once, in groups that are drawn together.
pub(super) async fn groups(store: &Store, asked: &Asked) -> Result<Vec<Vec<RunKey>>, Failure> {
    let mut groups = Vec::new();
    let mut seen = Vec::new();
    for part in asked.runs.as_deref().unwrap_or("").split(';') {
        let mut group = Vec::new();
        for prefix in part.split(',').filter(|p| !p.is_empty()) {
            let key = store.find_run(prefix).await?;
            if !seen.contains(&key) {
                seen.push(key.clone());
                group.push(key);
            }
            if seen.len() > MOST_RUNS {
                break;
            }
        }
        groups.push(group);
    }
    groups.retain(|group| !group.is_empty());
    if seen.is_empty() || seen.len() > MOST_RUNS {
        return Err(Failure::bad_request(
            "bad_chart",
            format!(
                "runs= names 1 to {MOST_RUNS} runs by key or prefix, separated by commas (`;` between groups)."
            ),
        ));
    }
    Ok(groups)
}

pub(super) async fn load(
    store: &Store,
    keys: &[RunKey],
) -> Result<BTreeMap<RunKey, Loaded>, Failure> {
    let mut runs = BTreeMap::new();
    for (key, result) in store.results(keys).await? {
        let loaded = Loaded {
            name: label(&key, &store.cells_of(&key).await?),
            laps: laps(&store.attempts(&key).await?),
            result,
        };
        runs.insert(key, loaded);
    }
    Ok(runs)
}

/// What the names of its runs begin with: `warmup / bs256`.
fn group_name(group: &[Loaded]) -> String {
    let names: Vec<&str> = group.iter().map(|run| run.name.as_str()).collect();
    common_name(&names)
}

/// Where attempts after the first began.
fn marks(run: &Loaded, x: XKind) -> Vec<Mark> {
    let later = run.laps.iter().skip(1);
    let mark = |lap: &Lap| {
        let point = Point {
            step: lap.first.0,
            epoch: 0,
            value: 0.0,
            attempt: lap.attempt,
            superseded: false,
        };
        let (x, _) = *curve(run, &[point], x, false).first()?;
        Some(Mark {
            x,
            label: format!("attempt {}", lap.attempt),
        })
    };
    later.filter_map(mark).filter(|m| m.x.is_finite()).collect()
}
