//! `/compare`: what differs between runs, or between cells over their seeds: curves, numbers, recipes, and
//! the images that they get right.

mod choices;
mod colours;
mod words;

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use rungs_report::compare::{By, Comparison, Side, compare};
use rungs_report::format;
use rungs_report::table::{MetricHead, Select};
use rungs_spec::RunKey;
use rungs_spec::metric;
use rungs_spec::result::RunResult;
use rungs_store::series::is_evaluated;
use rungs_store::{RunFilter, Store};

use self::choices::{Choice, Choices};
use self::colours::colours;
use self::words::{Line, lead, shown, step};
use super::{ChartLink, Layout, Link, escape, html};
use crate::compare::{Pairs, find, label, load, prefixes};
use crate::error::Failure;
use crate::human::{bytes, duration, grouped, plural};
use crate::state::Dashboard;

/// Runs that are offered to choose from.
const OFFERED: u64 = 40;
/// Digits of a run key in the page's address.
const DIGITS: usize = 16;
/// Pixels.
const SIZE: (u32, u32) = (1140, 380);

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    layout: Layout,
    page: ComparePage,
}

#[derive(Template)]
#[template(path = "choose.html")]
struct Chooser {
    layout: Layout,
    offered: Vec<Offered>,
}

/// A run to choose.
struct Offered {
    key: String,
    short: String,
    label: String,
    state: &'static str,
    seed: u64,
    model: String,
    dataset: String,
}

struct ComparePage {
    heading: String,
    context: String,
    lead: Vec<Line>,
    choices: Vec<Choice>,
    curves: &'static str,
    chart: Option<ChartLink>,
    zoomed: Option<String>,
    heads: Vec<MetricHead>,
    sides: Vec<SideView>,
    keys: Vec<KeyView>,
    keys_words: String,
    keys_all: Option<Link>,
    pairs: Vec<PairView>,
    one: bool,
    hidden: Vec<(&'static str, String)>,
    offered: Vec<Offered>,
    json: String,
}

struct SideView {
    color: usize,
    label: String,
    runs: Vec<RunLink>,
    numbers: Vec<Number>,
    time: String,
    memory: String,
    first: Option<String>,
    without: Option<String>,
}

struct RunLink {
    href: String,
    text: String,
    state: &'static str,
}

struct Number {
    side: usize,
    metric: String,
    select: &'static str,
    value: Option<f64>,
    delta: Option<f64>,
    n: usize,
    text: String,
    small: String,
    title: String,
}

struct KeyView {
    key: String,
    differs: bool,
    values: Vec<String>,
}

struct PairView {
    a: String,
    b: String,
    a_href: String,
    b_href: String,
    place: usize,
    images: Option<rungs_report::compare::Images>,
    reason: &'static str,
    counts: [String; 5],
    p: String,
}

/// Where runs are compared, the first of them the base.
pub fn address<'a>(runs: impl IntoIterator<Item = &'a RunKey>, by: By) -> String {
    let runs = runs
        .into_iter()
        .map(|key| key.as_str()[..DIGITS].to_owned());
    let choices = Choices {
        runs: runs.collect(),
        by,
        ..Choices::default()
    };
    choices.href()
}

/// The page. `add=` of its form becomes a part of `runs=`.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Failure> {
    let mut choices = Choices::of(&pairs)?;
    let added = prefixes(&pairs, "add");
    let values = pairs.iter().filter(|(name, _)| name == "runs").count();
    if !added.is_empty() || values > 1 {
        choices.runs.extend(added);
        return Ok(Redirect::to(&choices.href()).into_response());
    }
    let layout = Layout::load(&dashboard, "compare").await?;
    if choices.runs.is_empty() {
        let offered = match dashboard.store().await? {
            Some(store) => offered(&store).await?,
            None => Vec::new(),
        };
        return html(&Chooser { layout, offered });
    }
    let store = dashboard.some_store().await?;
    let page = page(&dashboard, &store, choices).await?;
    html(&Page { layout, page })
}

async fn page(
    dashboard: &Dashboard,
    store: &Store,
    mut choices: Choices,
) -> Result<ComparePage, Failure> {
    let keys = find(store, &choices.runs).await?;
    choices.runs = keys
        .iter()
        .map(|key| key.as_str()[..DIGITS].to_owned())
        .collect();
    let runs = load(store, &keys).await?;
    let comparison = compare(&runs, choices.by)?;
    let colours = colours(dashboard, store, &comparison.sides).await?;
    let metrics = drawable(&comparison, runs.iter().any(|r| r.result.progress.step > 0));
    let drawn = drawn(&choices, &metrics)?;
    // An evaluation adds points and no steps.
    let points_of = |run: &RunResult| run.progress.step + run.evaluations.len() as u64;
    let points = runs.iter().map(|run| points_of(&run.result)).sum::<u64>();
    let recipes: BTreeSet<String> = runs
        .iter()
        .map(|run| serde_json::to_string(&run.result.recipe).unwrap_or_default())
        .collect();
    let differing = comparison.recipe.iter().filter(|k| k.differs).count();
    let all = comparison.recipe.len();
    let one = comparison.sides.len() == 1;
    Ok(ComparePage {
        heading: heading(&comparison),
        context: match (one, comparison.by) {
            (true, _) => "one side: nothing to compare it with yet".to_owned(),
            (_, By::Run) => format!(
                "{} · differences are to the first",
                plural(runs.len(), "run")
            ),
            (_, By::Cell) => format!(
                "{} of {} · differences are to the first, over common seeds",
                plural(comparison.sides.len(), "recipe"),
                plural(runs.len(), "run")
            ),
        },
        lead: lead(&comparison, drawn),
        choices: choices.offered(&metrics, drawn, recipes.len() < runs.len())?,
        curves: metric::find(drawn).map_or("Curves", |m| m.title),
        chart: (points > 0).then(|| chart(&choices, &comparison, &colours, drawn, points)),
        zoomed: (choices.from.is_some() || choices.to.is_some())
            .then(|| choices.with(|to| (to.from, to.to) = (None, None))),
        sides: comparison
            .sides
            .iter()
            .zip(&colours)
            .enumerate()
            .map(|(i, (side, colour))| side_view(i, *colour, side, &comparison, &choices))
            .collect(),
        keys: comparison
            .recipe
            .iter()
            .filter(|key| key.differs || choices.all)
            .map(|key| KeyView {
                key: key.key.clone(),
                differs: key.differs,
                values: key.values.iter().map(value).collect(),
            })
            .collect(),
        keys_words: match (one, differing) {
            (true, _) => format!("{all} keys"),
            (_, 0) => format!("all {all} keys are equal"),
            (_, n) => format!("{n} of {all} keys differ"),
        },
        keys_all: (differing < all).then(|| Link {
            href: choices.with(|to| to.all = !choices.all) + "#recipe",
            text: if choices.all {
                "Only what differs".to_owned()
            } else {
                format!("Show all {all}")
            },
            current: choices.all,
        }),
        pairs: pairs(&comparison),
        one,
        hidden: hidden(&choices),
        offered: offered(store).await?,
        json: format!(
            "/api/v1/compare?runs={}&by={}",
            choices.runs.join(","),
            choices.by.word()
        ),
        heads: comparison.metrics,
    })
}

fn hidden(choices: &Choices) -> Vec<(&'static str, String)> {
    let mut hidden = vec![("runs", choices.runs.join(","))];
    hidden.extend(choices.state());
    hidden
}

fn heading(comparison: &Comparison) -> String {
    match comparison.sides.as_slice() {
        [one] => format!("Compare {}", one.label),
        [a, b] => format!("{} against {}", b.label, a.label),
        many if comparison.by == By::Run => format!("{} runs compared", many.len()),
        many => format!("{} recipes compared", many.len()),
    }
}

/// Metrics that have points, with their titles.
fn drawable(comparison: &Comparison, stepped: bool) -> Vec<(&'static str, &'static str)> {
    let evaluated = |name: &str| comparison.metrics.iter().any(|head| head.name == name);
    metric::METRICS
        .iter()
        .filter(|m| match m.name {
            "train/loss" | "lr" => stepped,
            name => is_evaluated(name) && evaluated(name),
        })
        .map(|m| (m.name, m.title))
        .collect()
}

/// The metric of the curves: the one asked for, else what the task is judged by, else the loss.
fn drawn(
    choices: &Choices,
    metrics: &[(&'static str, &'static str)],
) -> Result<&'static str, Failure> {
    let Some(name) = choices.metric.as_deref() else {
        let judged = rungs_report::compare::JUDGED_BY.into_iter();
        let has = |name: &&str| metrics.iter().any(|(m, _)| m == name);
        return Ok(judged
            .chain(["train/loss"])
            .find(has)
            .unwrap_or("train/loss"));
    };
    metric::find(name).map(|m| m.name).ok_or_else(|| {
        let near = rungs_spec::error::nearest(name, metric::METRICS.iter().map(|m| m.name));
        Failure::bad_request("bad_metric", format!("There is no metric {name:?}; {near}"))
    })
}

fn chart(
    choices: &Choices,
    comparison: &Comparison,
    colours: &[usize],
    drawn: &str,
    points: u64,
) -> ChartLink {
    let groups: Vec<String> = comparison
        .sides
        .iter()
        .map(|side| {
            let keys: Vec<&str> = side.runs.iter().map(|k| &k.as_str()[..DIGITS]).collect();
            keys.join(",")
        })
        .collect();
    let (between, mean) = match comparison.by {
        By::Run => (",", ""),
        By::Cell => (";", "&mean=1"),
    };
    let x = choices.x.as_deref().unwrap_or(choices::X);
    let colours: Vec<String> = colours.iter().map(ToString::to_string).collect();
    let mut query = format!(
        "runs={}{mean}&colours={}&metric={}&x={}&v={points}",
        escape(&groups.join(between)),
        colours.join(","),
        escape(drawn),
        escape(x)
    );
    for (name, value) in choices.state() {
        if ["scale", "smooth", "from", "to"].contains(&name) {
            query.push_str(&format!("&{name}={}", escape(&value)));
        }
    }
    let labels: Vec<&str> = comparison.sides.iter().map(|s| s.label.as_str()).collect();
    let title = metric::find(drawn).map_or(drawn, |m| m.title);
    let alt = format!("{title} by {x} of {}", labels.join("; "));
    ChartLink::new("line", &query, alt, SIZE, true)
}

fn side_view(
    i: usize,
    color: usize,
    side: &Side,
    comparison: &Comparison,
    choices: &Choices,
) -> SideView {
    let several = comparison.sides.len() > 1;
    // The runs of this side, as the address names them.
    let here = |run: &String| {
        side.runs
            .iter()
            .any(|key| key.as_str().starts_with(run.as_str()))
    };
    let numbers = comparison.metrics.iter().flat_map(|head| {
        [Select::Best, Select::Last].map(|select| {
            let over = side.values.get(&head.name).map(|v| v.at(select));
            let over = over.cloned().unwrap_or_default();
            Number {
                side: i,
                metric: head.name.clone(),
                select: select.word(),
                value: over.mean,
                delta: over.delta,
                n: over.n,
                text: shown(&head.name, &over),
                small: step(&head.name, &over, select),
                title: words::title(&head.name, &over),
            }
        })
    });
    SideView {
        color,
        label: side.label.clone(),
        runs: side
            .runs
            .iter()
            .zip(&side.seeds)
            .zip(&side.states)
            .map(|((key, seed), state)| RunLink {
                href: format!("/runs/{key}"),
                text: if side.runs.len() > 1 {
                    format!("seed {seed}")
                } else {
                    key.short().to_owned()
                },
                state,
            })
            .collect(),
        numbers: numbers.collect(),
        time: side.seconds.map_or_else(|| "–".to_owned(), duration),
        memory: side
            .peak_bytes
            .filter(|b| *b > 0)
            .map_or_else(|| "–".to_owned(), bytes),
        first: (several && i > 0).then(|| choices.with(|to| to.runs.sort_by_key(|run| !here(run)))),
        without: several.then(|| choices.with(|to| to.runs.retain(|run| !here(run)))),
    }
}

/// A value of a recipe as text.
fn value(value: &Option<serde_json::Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) => super::run::recipe::text(value),
    }
}

fn pairs(comparison: &Comparison) -> Vec<PairView> {
    let pairs = comparison.agreement.iter().enumerate();
    let view = |(place, pair): (usize, &rungs_report::compare::Agreement)| PairView {
        a: pair.a_label.clone(),
        b: pair.b_label.clone(),
        a_href: format!("/runs/{}", pair.a),
        b_href: format!("/runs/{}", pair.b),
        place,
        images: pair.images,
        reason: pair.reason.unwrap_or(""),
        counts: pair.images.map_or_else(Default::default, |of| {
            [of.only_a, of.only_b, of.both, of.neither, of.n].map(grouped)
        }),
        p: pair
            .images
            .map_or_else(String::new, |of| format::p_value(of.p)),
    };
    pairs.map(view).collect()
}

/// The newest runs that have something to compare.
async fn offered(store: &Store) -> Result<Vec<Offered>, Failure> {
    use rungs_spec::result::RunState;
    let filter = RunFilter {
        states: vec![RunState::Running, RunState::Done, RunState::Failed],
        limit: Some(OFFERED),
        ..RunFilter::default()
    };
    let mut list = Vec::new();
    for row in store.runs(&filter).await? {
        list.push(Offered {
            label: label(&row.key, &store.cells_of(&row.key).await?),
            short: row.key.short().to_owned(),
            state: row.state.word(),
            seed: row.seed,
            model: row.model,
            dataset: row.dataset,
            key: row.key.to_string(),
        });
    }
    Ok(list)
}
