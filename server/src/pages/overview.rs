//! `/`: every experiment, and what needs a person.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use rungs_report::table::{CellStatus, Table};
use rungs_report::{Select, format};
use rungs_spec::result::RunState;
use rungs_store::{RunFilter, Store};

use super::queue::{name, share};
use super::table::{better, heading};
use super::{Layout, count, escape};
use crate::error::Failure;
use crate::human::{duration, grouped, plural};
use crate::state::Dashboard;
use crate::view::View;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    layout: Layout,
    page: Overview,
}

struct Overview {
    context: String,
    needs: Vec<Need>,
    running: Vec<Now>,
    running_more: usize,
    cards: Vec<Card>,
}

/// A run that is being trained.
struct Now {
    href: String,
    name: String,
    words: String,
    share: u8,
}

struct Need {
    title: String,
    text: String,
    href: Option<String>,
    command: Option<String>,
}

#[derive(Default)]
struct Card {
    name: String,
    href: String,
    heading: String,
    title: String,
    error: Option<String>,
    rows: usize,
    strip: Vec<Stripe>,
    strip_label: String,
    state: String,
    best: Option<String>,
    left: Option<String>,
    profile: String,
    command: Option<String>,
}

struct Stripe {
    status: &'static str,
    title: String,
}

/// The page.
pub async fn get(State(dashboard): State<Dashboard>) -> Result<Response, Failure> {
    let of = dashboard.clone();
    let make = || async move {
        let page = load(of).await?;
        super::bytes(&page).map(|bytes| (page.layout.counter, bytes))
    };
    Ok(super::answer(dashboard.page("/", make).await?))
}

async fn load(dashboard: Dashboard) -> Result<Page, Failure> {
    let mut layout = Layout::load(&dashboard, "tables").await?;
    let store = dashboard.store().await?;
    let slots = match &store {
        Some(store) => store.slots().await?.len().max(1),
        None => 1,
    };
    let mut cards = Vec::new();
    for name in dashboard.experiments().await? {
        let view = dashboard.view(&name, None, Select::Best).await;
        if let Ok(view) = &view {
            layout.counter = layout.counter.min(view.counter);
        }
        cards.push(match view {
            Ok(view) if view.experiment.figure.is_some() => figure_card(&view, slots),
            Ok(view) => card(&view.table, slots),
            Err(failure) => Card {
                href: format!("/tables/{}", escape(&name)),
                heading: name.clone(),
                name,
                error: Some(failure.message),
                ..Card::default()
            },
        });
    }
    // What is under way stands first, what was never started last.
    cards.sort_by_key(|c| {
        // Tables, then what has no number, then figures.
        let number = |of: &str| c.heading.strip_prefix(of)?.parse::<u32>().ok();
        let number = match (number("Table "), number("Figure ")) {
            (Some(n), _) => n,
            (None, Some(n)) => n.saturating_add(u32::MAX / 2),
            (None, None) => u32::MAX / 2,
        };
        let began = !c.strip.is_empty() && c.command.is_none();
        (c.left.is_none(), !began, number)
    });
    let needs = match &store {
        Some(store) => needs(store, dashboard.scheduler_is_here()).await?,
        None => vec![Need {
            title: "This home is empty.".to_owned(),
            text: "Nothing has run in it yet. Train the first table (a few minutes on two CPU cores) with".to_owned(),
            href: None,
            command: Some("runner reproduce table4".to_owned()),
        }],
    };
    let (running, running_more) = match &store {
        Some(store) => running(store).await?,
        None => (Vec::new(), 0),
    };
    let page = Overview {
        running,
        running_more,
        context: format!("Home {}", dashboard.home().dir().display()),
        needs,
        cards,
    };
    Ok(Page { layout, page })
}

/// Runs that the page names; the queue's page has them all.
const RUNNING_SHOWN: u64 = 8;

/// What is being trained now, and how long each will take; then how many more there are.
async fn running(store: &Store) -> Result<(Vec<Now>, usize), Failure> {
    let filter = RunFilter {
        states: vec![RunState::Running],
        limit: Some(RUNNING_SHOWN),
        ..RunFilter::default()
    };
    let mut list = Vec::new();
    for run in &store.runs(&filter).await? {
        let p = run.progress;
        let mut words = vec![if p.steps == 0 {
            "starting".to_owned()
        } else {
            format!("step {} of {}", grouped(p.step), grouped(p.steps))
        }];
        if p.steps > 0 && p.images_per_s > 0.0 {
            let batch = f64::from(store.run_file(&run.key).await?.recipe.batch_size);
            let left = p.steps.saturating_sub(p.step) as f64 * batch / p.images_per_s;
            words.push(format!("about {} left", duration(left)));
        }
        list.push(Now {
            href: format!("/runs/{}", run.key),
            name: name(store, &run.key).await?,
            words: words.join(" · "),
            share: share(p),
        });
    }
    let all = count(store, &[RunState::Running]).await?;
    let more = all.saturating_sub(list.len());
    Ok((list, more))
}

/// Only what needs a person: failed runs, work without a scheduler, a pause.
async fn needs(store: &Store, scheduler: bool) -> Result<Vec<Need>, Failure> {
    let mut needs = Vec::new();
    let failures = count(store, &[RunState::Failed]).await?;
    let newest = RunFilter {
        states: vec![RunState::Failed],
        limit: Some(3),
        ..RunFilter::default()
    };
    for run in &store.runs(&newest).await? {
        needs.push(Need {
            title: format!("Run {} failed.", run.key.short()),
            text: format!(
                "{} Mend that, then queue it again with",
                run.message.as_deref().unwrap_or("Its log says why.")
            ),
            href: Some(format!("/runs/{}", run.key)),
            command: Some(format!("runner retry {}", run.key.short())),
        });
    }
    if failures > 3 {
        needs.push(Need {
            title: format!("{} more runs failed.", failures - 3),
            text: String::new(),
            href: Some("/queue".to_owned()),
            command: None,
        });
    }
    let open = count(
        store,
        &[RunState::Running, RunState::Queued, RunState::Blocked],
    )
    .await?;
    if store.paused().await? {
        needs.push(Need {
            title: "Paused.".to_owned(),
            text: "No new attempts start until".to_owned(),
            href: None,
            command: Some("runner resume".to_owned()),
        });
    }
    if open > 0 && !scheduler {
        needs.push(Need {
            title: "No scheduler is running.".to_owned(),
            text: format!(
                "{} waiting for one on this machine. Start it with",
                plural(open, "run") + if open == 1 { " is" } else { " are" }
            ),
            href: None,
            command: Some("runner daemon".to_owned()),
        });
    }
    Ok(needs)
}

fn card(table: &Table, slots: usize) -> Card {
    let name = &table.experiment;
    let cells: Vec<_> = table
        .columns
        .iter()
        .filter(|c| !c.reference_only)
        .flat_map(|column| {
            table
                .rows
                .iter()
                .filter_map(move |row| Some((row, column, row.cells.get(&column.id)?)))
        })
        .collect();
    let count = |status: CellStatus| cells.iter().filter(|(.., c)| c.status == status).count();
    let words = [
        CellStatus::Done,
        CellStatus::Partial,
        CellStatus::Running,
        CellStatus::Queued,
        CellStatus::Blocked,
        CellStatus::Failed,
        CellStatus::Cancelled,
        CellStatus::New,
    ];
    let state: Vec<String> = words
        .into_iter()
        .filter(|s| count(*s) > 0)
        .map(|s| {
            format!(
                "{} {}",
                count(s),
                if s == CellStatus::New {
                    "not run"
                } else {
                    s.word()
                }
            )
        })
        .collect();
    let state = if state.is_empty() {
        "paper values only".to_owned()
    } else {
        format!("{} of {}", state.join(", "), plural(cells.len(), "cell"))
    };
    let new = count(CellStatus::New) == cells.len() && !cells.is_empty();
    Card {
        href: format!("/tables/{}", escape(name)),
        name: name.clone(),
        heading: table
            .paper
            .as_ref()
            .and_then(|p| p.table.as_deref())
            .map_or_else(|| name.clone(), |n| format!("Table {n}")),
        title: table.title.clone(),
        error: None,
        rows: table.rows.len().clamp(1, 12),
        strip_label: format!("{}: {state}", heading(table)),
        strip: cells
            .iter()
            .map(|(row, column, cell)| Stripe {
                status: cell.status.word(),
                title: format!("{}, {}: {}", row.label, column.label, cell.status.word()),
            })
            .collect(),
        state,
        best: best_step(table),
        left: time_left(table, slots),
        profile: table
            .profile
            .clone()
            .unwrap_or_else(|| "the file as written".to_owned()),
        command: new.then(|| format!("runner reproduce {name}")),
    }
}

/// A figure's cells are those of its tables; a block diagram has none.
fn figure_card(view: &View, slots: usize) -> Card {
    let name = &view.table.experiment;
    let number = view
        .experiment
        .paper
        .as_ref()
        .and_then(|p| p.figure.as_deref());
    let mut card = Card {
        href: format!("/figures/{}", escape(name)),
        heading: number.map_or_else(|| name.clone(), |n| format!("Figure {n}")),
        best: None,
        ..card(&view.table, slots)
    };
    if view.table.rows.is_empty() {
        card.state = "drawn from the models' layers".to_owned();
        card.profile = "none: nothing is trained for it".to_owned();
        card.strip_label.clone_from(&card.heading);
    }
    card
}

/// The largest step of the first metric that is proved, else the largest undecided one, named as what it
/// is. A proved step the other way is nobody's best.
fn best_step(table: &Table) -> Option<String> {
    let head = table
        .metrics
        .iter()
        .find(|m| m.unit == "%")
        .or(table.metrics.first())?;
    let steps = table
        .values()
        .filter(|(.., m, v)| m.name == head.name && v.delta.is_some())
        .map(|(row, column, _, _, value)| (row, column, value, better(value, head)))
        .filter(|(.., proved)| *proved != Some(false));
    let (row, column, value, proved) = steps.max_by(|a, b| {
        let delta = |v: &rungs_report::table::Value| v.delta.unwrap_or(f64::MIN);
        let (proved, delta) = (a.3.cmp(&b.3), delta(a.2).total_cmp(&delta(b.2)));
        proved.then(delta)
    })?;
    let proof = match (proved.is_some(), value.test) {
        (true, Some("mcnemar")) => "between two models",
        (true, _) => "significant",
        (false, _) => "undecided",
    };
    let label = row.label.trim_start_matches("+ ");
    Some(format!(
        "{label} at {}: {} {}, {proof}",
        column.label,
        format::delta(&head.name, value.delta?),
        head.title
    ))
}

/// From what finished runs took: the work left over the slots. Nothing is on its way: `None`.
fn time_left(table: &Table, slots: usize) -> Option<String> {
    let cells: Vec<_> = table.rows.iter().flat_map(|r| r.cells.values()).collect();
    let open = |s| {
        matches!(
            s,
            CellStatus::Running | CellStatus::Queued | CellStatus::Blocked
        )
    };
    if !cells.iter().any(|c| open(c.status)) {
        return None;
    }
    let costs: Vec<f64> = cells.iter().filter_map(|c| Some(c.cost?.seconds)).collect();
    if costs.is_empty() {
        return Some("known after the first run".to_owned());
    }
    let per_run = costs.iter().sum::<f64>() / costs.len() as f64;
    let runs: f64 = cells
        .iter()
        .filter(|c| open(c.status))
        .map(|c| c.progress.runs as f64 * (1.0 - c.progress.share))
        .sum();
    Some(format!("about {}", duration(runs * per_run / slots as f64)))
}
