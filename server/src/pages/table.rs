//! `/tables/{experiment}`: what did each refinement do?

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use rungs_report::Select;
use rungs_report::format;
use rungs_report::table::{Cell, CellStatus, MetricHead, Row, Table, Value};
use rungs_spec::metric::{self, Direction};
use rungs_spec::{refinement, settle};

use super::{ChartLink, Layout, Link, escape, html};
use crate::charts::{self, mean_curve};
use crate::error::Failure;
use crate::human::{duration, percent, plural, rate};
use crate::state::Dashboard;
use crate::view::View;

/// Row colours there are; a row's is its place in the file, so that it never changes.
pub const COLORS: usize = 5;

/// State of the page, all in its address.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Choices {
    /// Profile; the file's default without.
    pub profile: Option<String>,
    /// `best` or `last`.
    pub select: Option<String>,
    /// Metric shown; the table's first without.
    pub metric: Option<String>,
    /// Column whose curves are drawn; the last one with any without.
    pub column: Option<String>,
}

impl Choices {
    /// Which epoch is shown.
    pub fn select(&self) -> Result<Select, Failure> {
        let word = self.select.as_deref().unwrap_or(Select::default().word());
        word.parse().map_err(|e: rungs_report::ReportError| {
            Failure::bad_request("bad_select", e.to_string())
        })
    }

    /// The metric of a table that is shown.
    fn metric<'a>(&self, table: &'a Table) -> Result<&'a MetricHead, Failure> {
        let known = || table.metrics.iter().map(|m| m.name.as_str());
        match &self.metric {
            None => table
                .metrics
                .first()
                .ok_or_else(|| Failure::internal("the experiment names no metrics")),
            Some(name) => table
                .metrics
                .iter()
                .find(|m| m.name == *name)
                .ok_or_else(|| {
                    let near = rungs_spec::error::nearest(name, known());
                    Failure::bad_request(
                        "bad_metric",
                        format!("This table has no metric {name:?}; {near}"),
                    )
                }),
        }
    }

    /// The page's address with one choice changed.
    fn href(&self, name: &str, change: impl FnOnce(&mut Choices)) -> String {
        let mut to = self.clone();
        change(&mut to);
        format!("/tables/{}{}", escape(name), to.query())
    }

    fn query(&self) -> String {
        let pairs = [
            ("profile", &self.profile),
            ("metric", &self.metric),
            ("select", &self.select),
            ("column", &self.column),
        ];
        let set: Vec<String> = pairs
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", escape(value.as_deref()?))))
            .collect();
        if set.is_empty() {
            String::new()
        } else {
            format!("?{}", set.join("&"))
        }
    }
}

#[derive(Template)]
#[template(path = "table.html")]
struct Page {
    layout: Layout,
    page: TablePage,
}

struct TablePage {
    heading: String,
    arxiv: Option<String>,
    context: String,
    choices: Vec<Choice>,
    downloads: Vec<Link>,
    note_title: String,
    note: String,
    note_more: Vec<String>,
    start: Option<String>,
    metric: String,
    metric_title: String,
    select_words: &'static str,
    columns: Vec<ColumnView>,
    rows: Vec<RowView>,
    curves: Option<Curves>,
    proofs: Vec<Proof>,
    proof_caption: &'static str,
}

struct Choice {
    label: &'static str,
    links: Vec<Link>,
}

struct ColumnView {
    label: String,
    span: usize,
}

struct RowView {
    id: String,
    color: usize,
    label: String,
    small: String,
    cells: Vec<CellView>,
    cost: String,
    cost_value: Option<f64>,
    speed: String,
}

#[derive(Default)]
struct CellView {
    id: String,
    runs: bool,
    paper: String,
    paper_value: Option<f64>,
    paper_step: String,
    unverified: bool,
    status: &'static str,
    ours: Option<String>,
    value: Option<f64>,
    n: Option<usize>,
    href: Option<String>,
    small: String,
    title: String,
    best: bool,
    share: Option<u8>,
    step: String,
    step_class: &'static str,
    step_small: String,
    step_title: String,
    delta_value: Option<f64>,
    spark: String,
}

struct Curves {
    title: String,
    chart: ChartLink,
    columns: Vec<Link>,
}

struct Proof {
    term: String,
    lines: Vec<ProofLine>,
}

struct ProofLine {
    strong: bool,
    verb: String,
    rest: String,
}

/// The page, or (`/tables/NAME.csv` and the like) one of its downloads.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Path(path): Path<String>,
    Query(choices): Query<Choices>,
) -> Result<Response, Failure> {
    if let Some((name, format)) = crate::export::suffix(&path) {
        let view = dashboard
            .view(name, choices.profile.as_deref(), choices.select()?)
            .await?;
        return crate::export::response(&view, format);
    }
    let layout = Layout::load(&dashboard, "tables").await?;
    let view = dashboard
        .view(&path, choices.profile.as_deref(), choices.select()?)
        .await?;
    html(&Page {
        layout,
        page: page(&view, &choices)?,
    })
}

fn page(view: &View, choices: &Choices) -> Result<TablePage, Failure> {
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
    Ok(TablePage {
        heading: heading(table),
        arxiv: table.paper.as_ref().and_then(|p| p.arxiv.clone()),
        context: context(table),
        choices: segments(view, choices, head),
        downloads: downloads(name, choices),
        note_title: profile_words,
        note: table.profile_note.clone(),
        note_more,
        start: untouched.then_some(command),
        metric: head.name.clone(),
        metric_title: head.title.clone(),
        select_words: match table.select {
            Select::Best => "best epoch of each run, selected on val",
            Select::Last => "last epoch of each run",
        },
        columns: table
            .columns
            .iter()
            .map(|c| ColumnView {
                label: c.label.clone(),
                span: if c.reference_only { 1 } else { 4 },
            })
            .collect(),
        rows: table
            .rows
            .iter()
            .map(|row| row_view(view, row, head))
            .collect(),
        curves: curves(view, choices, head),
        proofs: table
            .rows
            .iter()
            .map(|row| proof(table, row, head))
            .collect(),
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

fn segments(view: &View, choices: &Choices, head: &MetricHead) -> Vec<Choice> {
    let table = &view.table;
    let name = &table.experiment;
    let link = |text: &str, current: bool, href: String| Link {
        href,
        text: text.to_owned(),
        current,
    };
    // From the smallest to the paper's: quick, standard, paper; others in the order of the alphabet.
    let mut profiles: Vec<&String> = view.experiment.profiles.keys().collect();
    profiles.sort_by_key(|p| {
        ["quick", "standard", "paper"]
            .iter()
            .position(|known| known == p)
            .unwrap_or(1)
    });
    let profiles = profiles.into_iter().map(|p| {
        link(
            p,
            table.profile.as_deref() == Some(p),
            choices.href(name, |c| c.profile = Some(p.clone())),
        )
    });
    let metrics = table.metrics.iter().map(|m| {
        link(
            &m.title,
            m.name == head.name,
            choices.href(name, |c| c.metric = Some(m.name.clone())),
        )
    });
    let selects = [("best epoch", Select::Best), ("last", Select::Last)]
        .into_iter()
        .map(|(text, s)| {
            link(
                text,
                table.select == s,
                choices.href(name, |c| c.select = Some(s.word().to_owned())),
            )
        });
    [
        ("Profile", profiles.collect()),
        ("Metric", metrics.collect()),
        ("Epoch", selects.collect::<Vec<_>>()),
    ]
    .into_iter()
    .filter(|(_, links): &(_, Vec<Link>)| links.len() > 1)
    .map(|(label, links)| Choice { label, links })
    .collect()
}

fn downloads(name: &str, choices: &Choices) -> Vec<Link> {
    let query = Choices {
        metric: None,
        column: None,
        ..choices.clone()
    }
    .query();
    [
        ("CSV", "csv", true),
        ("JSON", "json", false),
        ("LaTeX", "tex", true),
        ("Markdown", "md", true),
        ("One-file report", "html", false),
    ]
    .into_iter()
    .map(|(text, suffix, current)| Link {
        href: format!("/tables/{}.{suffix}{query}", escape(name)),
        text: text.to_owned(),
        current,
    })
    .collect()
}

/// Place of a row in its file.
pub fn color(view: &View, row: &str) -> usize {
    view.experiment
        .rows
        .iter()
        .position(|r| r.id == row)
        .unwrap_or(0)
        % COLORS
}

fn row_view(view: &View, row: &Row, head: &MetricHead) -> RowView {
    let costs: Vec<_> = row.cells.values().filter_map(|c| c.cost).collect();
    let mean = |values: Vec<f64>| {
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let seconds = mean(costs.iter().map(|c| c.seconds).collect());
    let speed = mean(costs.iter().filter_map(|c| c.images_per_s).collect());
    RowView {
        id: row.id.clone(),
        color: color(view, &row.id),
        label: row.label.clone(),
        small: what_it_adds(view, row),
        cells: view
            .table
            .columns
            .iter()
            .filter_map(|c| Some(cell_view(view, row, &c.id, row.cells.get(&c.id)?, head)))
            .collect(),
        cost: seconds.map_or_else(|| "–".to_owned(), duration),
        cost_value: seconds,
        speed: speed.map_or_else(String::new, |s| format!("{} img/s", rate(s))),
    }
}

/// The second line under a row's name: what it changes here, in the recipe's own words.
fn what_it_adds(view: &View, row: &Row) -> String {
    if row.cells.values().any(|c| c.emulated) && !emulated_below(view, row) {
        return "emulated on this CPU".to_owned();
    }
    let profile = view.plan.profile.as_deref();
    let own = profile.and_then(|p| view.experiment.profiles.get(p));
    for id in &row.add {
        let (Some(known), Some(ours)) = (
            refinement::find(id),
            own.and_then(|p| p.refinements.get(id)),
        ) else {
            continue;
        };
        let usual = known.defaults();
        let changed = ours.iter().find_map(|(key, value)| {
            let (a, b) = (
                rungs_spec::keys::shown(usual.get(key)?),
                rungs_spec::keys::shown(value),
            );
            (a != b).then(|| format!("{key} {a} → {b} in {}", profile.unwrap_or("")))
        });
        if let Some(text) = changed {
            return text;
        }
    }
    if row.on.is_none() {
        return "the root of the stack".to_owned();
    }
    let written = view
        .experiment
        .row(&row.id)
        .zip(view.experiment.columns.iter().find(|c| !c.reference_only));
    let settled =
        written.and_then(|(r, c)| settle::cell(&view.experiment, profile, r, c, &[]).ok());
    let keys = settled.map(|s| s.keys).unwrap_or_default();
    let set = keys.iter().filter(|k| {
        k.refinement.as_ref().is_some_and(|id| row.add.contains(id))
            || k.from == format!("row {}", row.id)
    });
    set.take(1)
        .map(|k| format!("{} = {}", k.key, k.value.trim_matches('"')))
        .collect::<String>()
}

fn emulated_below(view: &View, row: &Row) -> bool {
    row.on
        .as_deref()
        .and_then(|on| view.table.row(on))
        .is_some_and(|r| r.cells.values().any(|c| c.emulated))
}

fn cell_view(view: &View, row: &Row, column: &str, cell: &Cell, head: &MetricHead) -> CellView {
    let empty = Value::default();
    let value = cell.metrics.get(&head.name).unwrap_or(&empty);
    let number = |x| format::number(&head.name, x);
    let live = live(view, cell);
    let (step, step_class, step_small, step_title) = step(value, head);
    CellView {
        id: format!("{}/{column}", row.id),
        runs: cell.status != CellStatus::Reference,
        paper: value.paper.map_or_else(|| "–".to_owned(), number),
        paper_value: value.paper,
        paper_step: value
            .paper_delta
            .map_or_else(String::new, |d| format::delta(&head.name, d)),
        unverified: value.unverified,
        status: cell.status.word(),
        ours: value.mean.map(number),
        value: value.mean,
        n: value.n,
        href: shown_run(view, cell).map(|key| format!("/runs/{key}")),
        small: small(value, cell, head, &live),
        title: title(value, cell, head),
        best: value.best && value.mean.is_some(),
        share: (cell.status == CellStatus::Running).then(|| percent(cell.progress.share)),
        step,
        step_class,
        step_small,
        step_title,
        delta_value: value.delta,
        spark: charts::spark(&mean_curve(view, &cell.runs, &head.name), head),
    }
}

/// The run that a cell's number leads to: the one that needs a look, else the first that was queued.
fn shown_run<'a>(view: &View, cell: &'a Cell) -> Option<&'a rungs_spec::RunKey> {
    let wanted = match cell.status {
        CellStatus::Failed => "failed",
        CellStatus::Running => "running",
        _ => "",
    };
    let of_state = cell
        .runs
        .iter()
        .zip(&cell.states)
        .find(|(_, state)| **state == wanted)
        .map(|(run, _)| run);
    of_state.or_else(|| cell.runs.iter().find(|run| view.results.contains_key(run)))
}

/// What a running cell is doing now: `epoch 2 of 4`.
fn live(view: &View, cell: &Cell) -> String {
    let running = cell
        .runs
        .iter()
        .zip(&cell.states)
        .find(|(_, state)| **state == "running");
    let Some(run) = running.and_then(|(key, _)| view.results.get(key)) else {
        return String::new();
    };
    let p = run.progress;
    if p.steps_per_epoch == 0 {
        return "starting".to_owned();
    }
    let epoch = (p.step / p.steps_per_epoch + 1).min(u64::from(run.recipe.epochs));
    format!("epoch {epoch} of {}", run.recipe.epochs)
}

fn small(value: &Value, cell: &Cell, head: &MetricHead, live: &str) -> String {
    if cell.status == CellStatus::Running {
        return live.to_owned();
    }
    let mut words = Vec::new();
    if let Some(sd) = value.sd {
        words.push(format!("sd {}", format::number(&head.name, sd)));
    }
    if let Some(n) = value.n.filter(|n| *n > 0) {
        words.push(format!("n {n}"));
    }
    match cell.status {
        CellStatus::New if value.mean.is_none() => words.push("not run".to_owned()),
        CellStatus::Done | CellStatus::New | CellStatus::Reference | CellStatus::Running => {}
        other if cell.runs.len() > 1 => words.push(format!(
            "{} of {} done, {}",
            cell.progress.done,
            cell.runs.len(),
            other.word()
        )),
        other if value.mean.is_some() => words.push(other.word().to_owned()),
        _ => {}
    }
    words.join(" · ")
}

fn title(value: &Value, cell: &Cell, head: &MetricHead) -> String {
    let mut words = Vec::new();
    if let Some([low, high]) = value.ci95 {
        words.push(format!(
            "95 % CI of the mean {} to {}",
            format::number(&head.name, low),
            format::number(&head.name, high)
        ));
    }
    if !value.best_epoch.is_empty() {
        let epochs: Vec<String> = value.best_epoch.iter().map(u64::to_string).collect();
        words.push(format!("best epoch {}", epochs.join(", ")));
    }
    words.extend(cell.message.clone());
    words.extend(value.reason.clone());
    words.join(". ")
}

/// Chip, class, second line, explanation of a step. Colour only where a test found a difference in
/// the direction that is shown; outlined where the test speaks of two models only.
fn step(value: &Value, head: &MetricHead) -> (String, &'static str, String, String) {
    let Some(delta) = value.delta else {
        return ("–".to_owned(), "none", String::new(), String::new());
    };
    let text = format::delta(&head.name, delta);
    let class = match (better(value, head), value.test) {
        (Some(true), Some("mcnemar")) => "up models",
        (Some(false), Some("mcnemar")) => "down models",
        (Some(true), _) => "up",
        (Some(false), _) => "down",
        (None, _) => "flat",
    };
    let small = match (value.delta_ci95, value.test, value.p_holm) {
        (Some([low, high]), ..) => format!(
            "[{}, {}]",
            format::delta(&head.name, low),
            format::delta(&head.name, high)
        ),
        (None, Some("mcnemar"), Some(p)) => format!("2 models, {}", format::p_value(p)),
        _ => String::new(),
    };
    let test = match (value.test, value.p_holm) {
        (Some("mcnemar"), Some(p)) => format!(
            "McNemar's test of two trained models at the last epoch, {} after Holm",
            format::p_value(p)
        ),
        (Some(test), Some(p)) => format!(
            "{test} over seeds at the last epoch, {} after Holm",
            format::p_value(p)
        ),
        _ => String::new(),
    };
    (text, class, small, test)
}

/// Whether a significant step went the better way; `None` where nothing is proved.
fn better(value: &Value, head: &MetricHead) -> Option<bool> {
    let direction = metric::find(&head.name).map_or(Direction::None, |m| m.direction);
    let (delta, tested) = (value.delta?, value.test_delta?);
    if !value.significant() || (delta > 0.0) != (tested > 0.0) {
        return None;
    }
    match direction {
        Direction::Higher => Some(delta > 0.0),
        Direction::Lower => Some(delta < 0.0),
        Direction::None => None,
    }
}

/// One row in words: what is proved column by column, what is undecided in one line.
fn proof(table: &Table, row: &Row, head: &MetricHead) -> Proof {
    let term = row.label.trim_start_matches("+ ").to_owned();
    let plain = |verb: &str, rest: String| ProofLine {
        strong: false,
        verb: verb.to_owned(),
        rest,
    };
    if row.on.is_none() {
        return Proof {
            term,
            lines: vec![plain("root of the stack", String::new())],
        };
    }
    let (mut lines, mut undecided, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for column in table.columns.iter().filter(|c| !c.reference_only) {
        let Some(value) = row
            .cells
            .get(&column.id)
            .and_then(|c| c.metrics.get(&head.name))
        else {
            continue;
        };
        match (value.delta, better(value, head)) {
            (None, _) => missing.push(column.label.clone()),
            (Some(_), None) => {
                let p = value.p_holm.map_or_else(String::new, |p| {
                    format!(" ({})", sentence(&format::p_value(p)))
                });
                undecided.push(format!("{}{p}", column.label));
            }
            (Some(delta), Some(up)) => lines.push(proved(value, delta, up, &column.label, head)),
        }
    }
    if !undecided.is_empty() {
        lines.push(plain(
            "undecided",
            format!(" at {}", undecided.join(" and ")),
        ));
    }
    if !missing.is_empty() {
        let place = if lines.is_empty() {
            String::new()
        } else {
            format!(" at {}", missing.join(" and "))
        };
        lines.push(plain("no step yet", place));
    }
    Proof { term, lines }
}

fn proved(value: &Value, delta: f64, up: bool, column: &str, head: &MetricHead) -> ProofLine {
    let models = value.test == Some("mcnemar");
    let verb = match (up, models) {
        (true, true) => "a better model",
        (false, true) => "a worse model",
        (true, false) => "helps",
        (false, false) => "hurts",
    };
    let paper = match (value.verdict, value.paper_delta) {
        (Some("same sign"), _) => ", as the paper says".to_owned(),
        (Some("opposite sign"), Some(theirs)) => format!(
            ", against the paper's {}",
            format::delta(&head.name, theirs)
        ),
        _ => String::new(),
    };
    let p = value.p_holm.map_or_else(String::new, |p| {
        format!(", {}", sentence(&format::p_value(p)))
    });
    ProofLine {
        strong: !models,
        verb: format!("{verb} at {column}"),
        rest: format!(": {}{p}{paper}", format::delta(&head.name, delta)),
    }
}

/// A short formula that a line does not break: `p = 0.03`.
fn sentence(formula: &str) -> String {
    formula.replace(' ', "\u{a0}")
}

fn curves(view: &View, choices: &Choices, head: &MetricHead) -> Option<Curves> {
    let table = &view.table;
    let drawn = |column: &str| -> usize {
        let runs = table
            .rows
            .iter()
            .filter_map(|r| r.cells.get(column))
            .flat_map(|c| &c.runs);
        let evaluations = runs
            .filter_map(|key| view.results.get(key))
            .flat_map(|r| &r.evaluations);
        evaluations
            .filter(|e| e.metrics.contains_key(&head.name))
            .count()
    };
    let with_curves: Vec<_> = table.columns.iter().filter(|c| drawn(&c.id) > 0).collect();
    let asked = choices
        .column
        .as_deref()
        .and_then(|id| with_curves.iter().find(|c| c.id == id));
    let column = asked.or(with_curves.last())?;
    let points = drawn(&column.id);
    let mut query = format!(
        "experiment={}&column={}&metric={}",
        escape(&table.experiment),
        escape(&column.id),
        escape(&head.name)
    );
    if let Some(profile) = &table.profile {
        query.push_str(&format!("&profile={}", escape(profile)));
    }
    query.push_str(&format!("&v={points}"));
    let seeds = if table.seeds > 1 {
        format!(" · mean of {} seeds", table.seeds)
    } else {
        String::new()
    };
    let title = format!("{} by epoch, {}{seeds}", head.title, column.label);
    Some(Curves {
        chart: ChartLink::new(
            "table",
            &query,
            format!("{title}: one curve per row"),
            (740, 340),
            false,
        ),
        title,
        columns: if with_curves.len() < 2 {
            Vec::new()
        } else {
            let name = &table.experiment;
            with_curves
                .iter()
                .map(|c| Link {
                    href: choices.href(name, |to| to.column = Some(c.id.clone())),
                    text: c.label.clone(),
                    current: c.id == column.id,
                })
                .collect()
        },
    })
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
