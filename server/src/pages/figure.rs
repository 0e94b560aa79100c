//! `/figures/{experiment}`: the paper's curves redrawn from our runs, or a network as a block diagram.
//! `/figures`: all of them.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use rungs_report::chart::diagram::Diagram;
use rungs_report::format;
use rungs_spec::metric;

use super::table::COLORS;
use super::{ChartLink, Layout, Link, Source, escape, html, numbers};
use crate::error::Failure;
use crate::figure::{self, Curve, FigureView};
use crate::human::plural;
use crate::state::Dashboard;

/// State of the page, all in its address.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Choices {
    /// Profile of the tables that the curves come from; the figure's default without.
    pub profile: Option<String>,
    /// Left end of every panel.
    pub from: Option<String>,
    /// Right end.
    pub to: Option<String>,
}

#[derive(Template)]
#[template(path = "figure.html")]
struct Page {
    layout: Layout,
    page: FigurePage,
}

struct FigurePage {
    heading: String,
    arxiv: Option<String>,
    context: String,
    profiles: Vec<Link>,
    downloads: Vec<Link>,
    zoomed: Option<String>,
    start: Option<String>,
    panels: Vec<Panel>,
    curves: Vec<CurveRow>,
    metric_title: String,
    picture: Option<Picture>,
    networks: Vec<NetworkView>,
}

struct Panel {
    title: String,
    chart: ChartLink,
}

/// A series beside the cell that it is.
struct CurveRow {
    color: usize,
    label: String,
    cell: String,
    href: String,
    id: String,
    metric: String,
    paper: String,
    paper_value: Option<f64>,
    ours: String,
    value: Option<f64>,
    n: String,
    runs: Vec<Link>,
}

/// A block diagram in two themes, and drawn anew for a narrow screen.
pub(super) struct Picture {
    light: String,
    sources: Vec<Source>,
    width: u32,
    height: u32,
    alt: String,
}

struct NetworkView {
    title: String,
    counts: String,
    lines: Vec<StepLine>,
}

/// A step of a network in words.
struct StepLine {
    part: String,
    block: String,
    path: String,
    text: String,
    then: String,
    output: String,
    change: String,
}

/// The page. A table's name leads to the table.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    Query(choices): Query<Choices>,
) -> Result<Response, Failure> {
    numbers([("from", &choices.from), ("to", &choices.to)])?;
    let layout = Layout::load(&dashboard, "figures").await?;
    let loaded = figure::load(&dashboard, &name, choices.profile.as_deref()).await;
    let figure = match loaded {
        Err(failure) if failure.code == "no_figure" => {
            return Ok(Redirect::to(&format!("/tables/{}", escape(&name))).into_response());
        }
        loaded => loaded?,
    };
    let page = page(&figure, &choices);
    html(&Page { layout, page })
}

/// `Figure 3 · Step and cosine decay`
pub(super) fn heading(figure: &FigureView) -> String {
    let title = &figure.experiment.title;
    let paper = figure.experiment.paper.as_ref();
    match paper.and_then(|p| p.figure.as_deref()) {
        Some(number) => format!("Figure {number} \u{b7} {title}"),
        None => title.clone(),
    }
}

fn page(figure: &FigureView, choices: &Choices) -> FigurePage {
    let name = &figure.experiment.name;
    let curves: Vec<CurveRow> = figure
        .curves
        .iter()
        .enumerate()
        .map(|(i, curve)| curve_row(figure, i, curve))
        .collect();
    let known: usize = figure.curves.iter().map(|c| c.runs.len()).sum();
    let untouched = !figure.curves.is_empty() && known == 0;
    let context = match (&figure.diagram, &figure.profile) {
        (Some(_), _) => {
            "drawn from the layers that the trainer builds; nothing is trained for it".to_owned()
        }
        (None, Some(profile)) if profile == "paper" => {
            format!(
                "redrawn from {} in the paper's setting",
                plural(known, "run")
            )
        }
        (None, Some(profile)) => format!(
            "redrawn from {}, profile {profile}: not the paper's setting",
            plural(known, "run")
        ),
        (None, None) => format!("redrawn from {}", plural(known, "run")),
    };
    FigurePage {
        heading: heading(figure),
        arxiv: figure
            .experiment
            .paper
            .as_ref()
            .and_then(|p| p.arxiv.clone()),
        context,
        profiles: profiles(figure),
        downloads: downloads(figure),
        zoomed: (choices.from.is_some() || choices.to.is_some())
            .then(|| address(name, figure.profile.as_deref())),
        start: untouched.then(|| {
            let profile = figure.profile.as_ref();
            let profile = profile.map_or_else(String::new, |p| format!(" --profile {p}"));
            format!("runner reproduce {name}{profile}")
        }),
        panels: panels(figure, choices, (564, 330)),
        metric_title: shown_metric(figure).map_or_else(String::new, |m| m.title.to_owned()),
        curves,
        picture: figure.diagram.as_ref().map(|d| picture(figure, d)),
        networks: figure.diagram.as_ref().map(networks).unwrap_or_default(),
    }
}

fn address(name: &str, profile: Option<&str>) -> String {
    let profile = profile.map_or_else(String::new, |p| format!("?profile={}", escape(p)));
    format!("/figures/{}{profile}", escape(name))
}

/// From the smallest to the paper's.
fn profiles(figure: &FigureView) -> Vec<Link> {
    let mut names: Vec<&String> = figure.profiles.iter().collect();
    let place = |p: &&String| {
        ["quick", "standard", "paper"]
            .iter()
            .position(|known| known == p)
            .unwrap_or(1)
    };
    names.sort_by_key(place);
    let link = |p: &String| Link {
        href: address(&figure.experiment.name, Some(p)),
        text: p.clone(),
        current: figure.profile.as_ref() == Some(p),
    };
    names.into_iter().map(link).collect()
}

fn query(figure: &FigureView) -> String {
    let profile = figure.profile.as_deref();
    let profile = profile.map_or_else(String::new, |p| format!("&profile={}", escape(p)));
    format!("experiment={}{profile}", escape(&figure.experiment.name))
}

fn downloads(figure: &FigureView) -> Vec<Link> {
    let (query, name) = (query(figure), escape(&figure.experiment.name));
    let link = |text: String, href: String, current| Link {
        href,
        text,
        current,
    };
    let mut links = Vec::new();
    if figure.diagram.is_some() {
        for format in ["svg", "png"] {
            let href = format!("/charts/diagram.{format}?{query}&theme=light");
            links.push(link(format.to_uppercase(), href, true));
        }
    }
    for at in 0..figure.figure.panels.len() {
        for format in ["svg", "png"] {
            let text = format!("({}) {}", letter(at), format.to_uppercase());
            let href = format!("/charts/figure.{format}?{query}&panel={at}&theme=light&title=0");
            links.push(link(text, href, true));
        }
    }
    let profile = figure.profile.as_deref();
    let profile = profile.map_or_else(String::new, |p| format!("?profile={}", escape(p)));
    links.push(link(
        "JSON".to_owned(),
        format!("/api/v1/figures/{name}{profile}"),
        false,
    ));
    links
}

fn letter(at: usize) -> char {
    char::from(b'a' + (at % 26) as u8)
}

fn panels(figure: &FigureView, choices: &Choices, size: (u32, u32)) -> Vec<Panel> {
    let all = &figure.figure.panels;
    // Panels over the same axis are zoomed together.
    let one_axis = all.windows(2).all(|pair| pair[0].x == pair[1].x);
    let mut ends = String::new();
    for (key, value) in [("from", &choices.from), ("to", &choices.to)] {
        if let Some(value) = value.as_deref().filter(|_| one_axis) {
            ends.push_str(&format!("&{key}={}", escape(value)));
        }
    }
    let points: usize = figure
        .curves
        .iter()
        .flat_map(|c| c.runs.iter().filter_map(|run| c.view.results.get(run)))
        .map(|run| run.progress.step as usize + run.evaluations.len())
        .sum();
    all.iter()
        .enumerate()
        .map(|(at, panel)| {
            let what = metric::find(&panel.y).map_or(panel.y.as_str(), |m| m.title);
            let title = format!("{what} by {}", panel.x);
            let names: Vec<&str> = figure.curves.iter().map(|c| c.label.as_str()).collect();
            let alt = format!("{title}: {}", names.join(", "));
            // The picture is another one when its points are.
            let query = format!("{}&panel={at}{ends}&v={points}", query(figure));
            Panel {
                title: format!("({}) {title}", letter(at)),
                chart: ChartLink::new("figure", &query, alt, size, one_axis),
            }
        })
        .collect()
}

/// The metric whose end is told in numbers: the last panel's that tables show.
fn shown_metric(figure: &FigureView) -> Option<&'static metric::Metric> {
    let panels = figure.figure.panels.iter().rev();
    panels.filter_map(|p| metric::find(&p.y)).find(|m| {
        figure
            .curves
            .iter()
            .any(|c| c.view.table.metrics.iter().any(|head| head.name == m.name))
    })
}

fn curve_row(figure: &FigureView, place: usize, curve: &Curve) -> CurveRow {
    let (series, table) = (&curve.series, &curve.view.table);
    let row = table.row(&series.row);
    let column = table.columns.iter().find(|c| c.id == series.column);
    let metric = shown_metric(figure);
    let name = metric.map_or("", |m| m.name);
    let value = row
        .and_then(|r| r.cells.get(&series.column))
        .and_then(|cell| cell.metrics.get(name));
    let number = |x: f64| format::number(name, x);
    let mean = value.and_then(|v| v.mean);
    let sd = value
        .and_then(|v| v.sd)
        .map_or_else(String::new, |sd| format!(" (sd {})", number(sd)));
    let number_of_table = table.paper.as_ref().and_then(|p| p.table.as_deref());
    let profile = table.profile.as_deref();
    let profile = profile.map_or_else(String::new, |p| format!("?profile={}", escape(p)));
    CurveRow {
        color: place % COLORS,
        label: curve.label.clone(),
        cell: format!(
            "{}: {}, {}",
            number_of_table.map_or_else(|| series.experiment.clone(), |n| format!("Table {n}")),
            row.map_or(series.row.as_str(), |r| r.label.as_str()),
            column.map_or(series.column.as_str(), |c| c.label.as_str())
        ),
        href: format!("/tables/{}{profile}", escape(&series.experiment)),
        id: format!("{}/{}", series.row, series.column),
        metric: name.to_owned(),
        paper: value
            .and_then(|v| v.paper)
            .map_or_else(|| "\u{2013}".to_owned(), number),
        paper_value: value.and_then(|v| v.paper),
        ours: mean.map_or_else(|| "\u{2013}".to_owned(), |m| number(m) + &sd),
        value: mean,
        n: value.and_then(|v| v.n).unwrap_or(0).to_string(),
        runs: curve
            .runs
            .iter()
            .filter_map(|run| curve.view.results.get(run))
            .map(|run| Link {
                href: format!("/runs/{}", run.key),
                text: format!("seed {}", run.seed),
                current: false,
            })
            .collect(),
    }
}

/// Pixels that a narrow screen has for a picture, and a wide one.
const NARROW: u32 = 330;
const WIDE: u32 = 1200;

fn picture(figure: &FigureView, diagram: &Diagram) -> Picture {
    let query = query(figure);
    let address = |width: u32, theme: &str| {
        format!("/charts/diagram.svg?{query}&width={width}&theme={theme}")
    };
    let (width, height) = diagram.size(WIDE);
    let small = diagram.size(NARROW);
    let source = |media, of: u32, (width, height): (u32, u32), theme| Source {
        media,
        address: address(of, theme),
        width,
        height,
    };
    Picture {
        light: address(WIDE, "light"),
        sources: vec![
            source(
                "(max-width: 720px) and (prefers-color-scheme: dark)",
                NARROW,
                small,
                "dark",
            ),
            source("(max-width: 720px)", NARROW, small, "light"),
            source(
                "(prefers-color-scheme: dark)",
                WIDE,
                (width, height),
                "dark",
            ),
        ],
        width,
        height,
        alt: format!("{}. {}", diagram.title(), diagram.description()),
    }
}

/// Every step that the picture shows or leaves out, as a list.
fn networks(diagram: &Diagram) -> Vec<NetworkView> {
    let dashed = |[c, h, w]: [u32; 3]| format!("{h} \u{d7} {w} \u{d7} {c}");
    let mut views = Vec::new();
    for net in &diagram.networks {
        let mut lines = Vec::new();
        for part in &net.parts {
            for (place, block) in part.blocks.iter().enumerate() {
                for (at, path) in block.paths.iter().enumerate() {
                    for step in path {
                        lines.push(StepLine {
                            part: part.title.clone(),
                            block: match part.blocks.len() {
                                1 => String::new(),
                                _ => (place + 1).to_string(),
                            },
                            path: match block.paths.len() {
                                1 => String::new(),
                                _ => letter(at).to_uppercase().to_string(),
                            },
                            text: step.text(),
                            then: step.then.join(", "),
                            output: dashed(step.output),
                            change: step.change.clone().unwrap_or_default(),
                        });
                    }
                }
            }
        }
        views.push(NetworkView {
            title: net.title.clone(),
            counts: format!(
                "{} parameters, {} multiply-adds at {} pixels",
                crate::human::grouped(net.parameters),
                crate::human::grouped(net.macs),
                net.input_size
            ),
            lines,
        });
    }
    views
}

#[derive(Template)]
#[template(path = "figures.html")]
struct ListPage {
    layout: Layout,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    href: String,
    heading: String,
    panels: Vec<Panel>,
    picture: Option<Picture>,
    error: Option<String>,
}

/// `/figures`
pub async fn list(State(dashboard): State<Dashboard>) -> Result<Response, Failure> {
    let layout = Layout::load(&dashboard, "figures").await?;
    let mut entries = Vec::new();
    for name in dashboard.world()?.figure_names() {
        let href = address(&name, None);
        entries.push(match figure::load(&dashboard, &name, None).await {
            Ok(figure) => Entry {
                heading: heading(&figure),
                panels: panels(&figure, &Choices::default(), (564, 330))
                    .into_iter()
                    .map(|mut panel| {
                        // Zooming is the figure's own page's.
                        panel.chart.zoom = false;
                        panel
                    })
                    .collect(),
                picture: figure.diagram.as_ref().map(|d| picture(&figure, d)),
                error: None,
                name,
                href,
            },
            Err(failure) => Entry {
                heading: name.clone(),
                panels: Vec::new(),
                picture: None,
                error: Some(failure.message),
                name,
                href,
            },
        });
    }
    html(&ListPage { layout, entries })
}
