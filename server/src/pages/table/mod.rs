//! `/tables/{experiment}`: what did each refinement do?

mod adds;
mod arrange;
mod behind;
mod cell;
mod choices;
mod curves;
mod proof;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use rungs_report::table::{CellStatus, Table};
use rungs_report::{Select, profile, show};

use rungs_spec::experiment::Experiment;
use rungs_spec::metric;
use rungs_spec::plan::{Options, World as _};

use self::arrange::{Arranged, arrange};
use self::behind::{Behind, behind};
pub use self::cell::better;
use self::cell::row_view;
use self::choices::{Choice, downloads, segments};
pub use self::choices::{Choices, profile_place, seeds};
use self::curves::{Curves, curves};
use self::proof::{Proof, proof, verdicts};
use super::controls::{Button, Controls};
use super::{Layout, Link, escape, html, numbers};
use crate::error::Failure;
use crate::human::plural;
use crate::state::Dashboard;
use crate::view::View;

/// Row colours there are; a row's is its place in the file, so that it never changes.
pub const COLORS: usize = rungs_report::chart::ROW_COLOURS.len();

#[derive(Template)]
#[template(path = "table.html")]
struct Page {
    layout: Layout,
    controls: Controls,
    buttons: Vec<Button>,
    page: TablePage,
    /// Figures whose curves are cells of this table.
    figures: Vec<Link>,
}

struct TablePage {
    heading: String,
    arxiv: Option<String>,
    context: String,
    choices: Vec<Choice>,
    downloads: Vec<Link>,
    note_title: String,
    note: String,
    differences: Vec<String>,
    note_more: Vec<String>,
    start: Option<String>,
    metric: String,
    metric_title: String,
    select_words: &'static str,
    arranged: Arranged,
    looks: Vec<Choice>,
    looks_open: bool,
    warnings: Vec<String>,
    behind: Vec<Behind>,
    behind_words: String,
    curves: Option<Curves>,
    proofs: Vec<Proof>,
    verdicts: Vec<String>,
    proof_caption: &'static str,
}

/// The page, or (`/tables/NAME.csv` and the like) one of its downloads.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path(path): Path<String>,
    Query(choices): Query<Choices>,
    controls: Controls,
) -> Result<Response, Failure> {
    let options = choices.options()?;
    numbers([("from", &choices.from), ("to", &choices.to)])?;
    if let Some((name, format)) = crate::export::suffix(&path) {
        let view = dashboard
            .view_with(name, &options, choices.select()?)
            .await?;
        return crate::export::response(&view, format, choices.round()?);
    }
    let view = dashboard
        .view_with(&path, &options, choices.select()?)
        .await?;
    if view.experiment.figure.is_some() {
        let profile = choices.profile.as_deref();
        let profile = profile.map_or_else(String::new, |p| format!("?profile={}", escape(p)));
        let to = format!("/figures/{}{profile}", escape(&path));
        return Ok(Redirect::to(&to).into_response());
    }
    if !controls.are_personal() {
        let address = choices.href(&path, |_| {});
        let of = dashboard.clone();
        let make = || async move {
            let page = Page::load(&of, &path, &options, &choices, controls).await?;
            super::bytes(&page).map(|bytes| (page.layout.counter, bytes))
        };
        return Ok(super::answer(dashboard.page(&address, make).await?));
    }
    html(&Page::load(&dashboard, &path, &options, &choices, controls).await?)
}

impl Page {
    async fn load(
        dashboard: &Dashboard,
        experiment: &str,
        options: &Options,
        choices: &Choices,
        controls: Controls,
    ) -> Result<Page, Failure> {
        let mut layout = Layout::load(dashboard, "tables").await?;
        let view = dashboard
            .view_with(experiment, options, choices.select()?)
            .await?;
        layout.counter = layout.counter.min(view.counter);
        let store = dashboard.store().await?;
        let figures = figures(dashboard, experiment)?;
        let behind = behind(&view, store.as_ref(), dashboard.world()?.as_ref()).await?;
        let page = page(&view, choices, behind)?;
        let seeds = Button::seeds(&view.table.experiment, view.table.profile.as_deref());
        // What nobody has applied here has no seeds to add to.
        let buttons = if page.start.is_some() {
            Vec::new()
        } else {
            controls.only(vec![seeds])
        };
        Ok(Page {
            layout,
            controls,
            buttons,
            page,
            figures,
        })
    }
}

/// Figures that draw a cell of this table.
fn figures(dashboard: &Dashboard, table: &str) -> Result<Vec<Link>, Failure> {
    let world = dashboard.world()?;
    let mut links = Vec::new();
    for name in world.figure_names() {
        let Ok(experiment) = world.experiment(&name) else {
            continue;
        };
        let of = experiment.figure.iter().flat_map(|f| &f.series);
        if of.into_iter().any(|series| series.experiment == table) {
            let number = experiment.paper.as_ref().and_then(|p| p.figure.as_deref());
            links.push(Link {
                href: format!("/figures/{}", escape(&name)),
                text: number.map_or_else(|| name.clone(), |n| format!("Figure {n}")),
                current: false,
            });
        }
    }
    Ok(links)
}

fn page(view: &View, choices: &Choices, behind: Vec<Behind>) -> Result<TablePage, Failure> {
    let table = &view.table;
    let head = choices.metric(table)?;
    let name = &table.experiment;
    let profile_words = table
        .profile
        .as_deref()
        .map_or("The file as written.".to_owned(), |p| {
            format!("{} profile.", capital(p))
        });
    let one_seed = table.values().any(|(.., v)| v.test == Some("mcnemar"));
    let untouched = table
        .rows
        .iter()
        .flat_map(|r| r.cells.values())
        .all(|c| matches!(c.status, CellStatus::New | CellStatus::Reference));
    let in_profile = table
        .profile
        .as_deref()
        .filter(|p| Some(*p) != view.experiment.default_profile.as_deref());
    let command = format!(
        "runner reproduce {name}{}",
        in_profile.map_or(String::new(), |p| format!(" --profile {p}"))
    );
    let mut note_more = Vec::new();
    if !view.options.set.is_empty() {
        note_more.push(format!(
            "Changed by --set {}.",
            view.options.set.join(" --set ")
        ));
    }
    let shown = || table.values().filter(|(.., of, _)| of.name == head.name);
    if shown().any(|(.., value)| value.unverified) {
        note_more.push(show::UNVERIFIED.to_owned());
    }
    if metric::is_timed(&head.name) {
        note_more.push(show::TIMES.to_owned());
    }
    let shown = choices.shown_columns(table)?;
    let rows = table
        .rows
        .iter()
        .map(|row| row_view(view, row, head, &shown))
        .collect();
    let narrowed = profile::narrowed(&view.plan);
    Ok(TablePage {
        heading: heading(table),
        arxiv: table.paper.as_ref().and_then(|p| p.arxiv.clone()),
        context: context(table),
        choices: segments(view, choices, head),
        downloads: downloads(name, choices),
        note_title: profile_words,
        note: std::iter::once(narrowed.trained)
            .chain(narrowed.remarks)
            .collect::<Vec<_>>()
            .join(" "),
        differences: narrowed.differences,
        note_more,
        start: untouched.then_some(command),
        metric: head.name.clone(),
        metric_title: head.title.clone(),
        select_words: match table.select {
            Select::Best => "best epoch of each run, selected on val",
            Select::Last => "last epoch of each run",
        },
        arranged: arrange(view, rows, choices, head)?,
        looks: arrange::choices(table, choices)?,
        looks_open: choices.hide.is_some() || choices.columns.is_some() || choices.pivoted(),
        warnings: show::warnings(table),
        behind_words: format!(
            "{} in {}",
            plural(behind.iter().map(|b| b.runs.len()).sum(), "run"),
            plural(behind.len(), "cell")
        ),
        behind,
        curves: curves(view, choices, head),
        proofs: table
            .rows
            .iter()
            .map(|row| proof(table, row, head))
            .collect(),
        verdicts: verdicts(table, head),
        proof_caption: if one_seed {
            "With one seed, McNemar's test compares two trained models, not two recipes: --seeds 3 tests the recipe. Last epoch, Holm over this metric."
        } else {
            "Paired over seeds at the last epoch, Holm-corrected over this metric."
        },
    })
}

/// `Table 4 · Effectiveness of ...`
pub fn heading(table: &Table) -> String {
    match table.paper.as_ref().and_then(|p| p.table.as_deref()) {
        Some(number) => format!("Table {number} · {}", table.title),
        None => table.title.clone(),
    }
}

fn context(table: &Table) -> String {
    let stacked = table.rows.iter().any(|r| r.on.is_some());
    let rows = if stacked {
        "each row keeps all rows it stands on"
    } else {
        "every row stands alone"
    };
    let select = match table.select {
        Select::Best => "best epoch of each run, selected on val",
        Select::Last => "last epoch of each run",
    };
    format!(
        "{rows} · {select} · {} per cell",
        plural(table.seeds as usize, "seed")
    )
}

/// A row's colour: its place in its file.
pub fn color(view: &View, row: &str) -> usize {
    color_of(&view.experiment, row).unwrap_or(0)
}

/// The colour of a row of that experiment; `None` where it has no such row.
pub fn color_of(experiment: &Experiment, row: &str) -> Option<usize> {
    let place = experiment.rows.iter().position(|r| r.id == row)?;
    Some(place % COLORS)
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
