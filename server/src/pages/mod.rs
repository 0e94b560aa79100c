//! HTML: one file per page, and what all pages share.

pub mod claims;
pub mod compare;
pub mod controls;
pub mod enter;
pub mod figure;
pub mod overview;
pub mod queue;
pub mod run;
pub mod table;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use rungs_spec::result::RunState;
use rungs_store::{RunFilter, Store};

use crate::assets;
use crate::error::Failure;
use crate::human::plural;
use crate::state::Dashboard;

/// What every page shows around its content.
pub struct Layout {
    /// Addresses of what is built in.
    pub css: String,
    /// As `css`.
    pub js: String,
    /// As `css`.
    pub icon: String,
    /// Which entry of the navigation this is.
    pub here: &'static str,
    /// Change counter that the page was made at.
    pub counter: u64,
    /// Whether anything is running.
    pub busy: bool,
    /// One line: what this home is doing.
    pub activity: String,
}

impl Layout {
    /// Asks the store what is going on. Read before the page's own data, so that a change in
    /// between leads to one refresh too many, never to one too few.
    pub async fn load(dashboard: &Dashboard, here: &'static str) -> Result<Self, Failure> {
        let counter = dashboard.change_counter().await?;
        let (busy, activity) = match dashboard.store().await? {
            Some(store) => activity(&store, dashboard.scheduler_is_here()).await?,
            None => (false, "nothing has run yet".to_owned()),
        };
        Ok(Layout {
            counter,
            busy,
            activity,
            ..Layout::bare(here)
        })
    }

    pub(crate) fn bare(here: &'static str) -> Self {
        Layout {
            css: assets::address("rungs.css"),
            js: assets::address("rungs.js"),
            icon: assets::address("icon.svg"),
            here,
            counter: 0,
            busy: false,
            activity: String::new(),
        }
    }
}

async fn activity(store: &Store, scheduler: bool) -> Result<(bool, String), Failure> {
    let running = count(store, &[RunState::Running]).await?;
    let waiting = count(store, &[RunState::Queued, RunState::Blocked]).await?;
    let slots = store.slots().await?.len();
    let mut words = Vec::new();
    if running > 0 {
        words.push(if slots > 0 {
            format!("{running} of {} busy", plural(slots, "slot"))
        } else {
            plural(running, "run") + " running"
        });
    }
    if waiting > 0 {
        words.push(format!("{waiting} waiting"));
    }
    if store.paused().await? {
        words.push("paused".to_owned());
    }
    if words.is_empty() {
        words.push("idle".to_owned());
    } else if !scheduler {
        words.push("no scheduler".to_owned());
    }
    Ok((running > 0 && scheduler, words.join(" · ")))
}

/// How many runs are in one of these states.
pub async fn count(store: &Store, states: &[RunState]) -> Result<usize, Failure> {
    let filter = RunFilter {
        states: states.to_vec(),
        ..RunFilter::default()
    };
    Ok(store.count_runs(&filter).await? as usize)
}

/// A page as a response.
pub fn html(template: &impl Template) -> Result<Response, Failure> {
    Ok(answer(bytes(template)?))
}

/// A page's text.
fn bytes(template: &impl Template) -> Result<Bytes, Failure> {
    Ok(template.render()?.into())
}

/// A page as an answer.
fn answer(page: Bytes) -> Response {
    Html(page).into_response()
}

/// A link with its text.
pub struct Link {
    /// Where to.
    pub href: String,
    /// What people read.
    pub text: String,
    /// The choice in force; of downloads: whether the browser saves it.
    pub current: bool,
}

/// A chart in a page: one picture, in two themes, and drawn anew for a narrow screen where it would
/// shrink beyond reading.
pub struct ChartLink {
    /// Address of the light one.
    pub light: String,
    /// Alternatives, the first that fits.
    pub sources: Vec<Source>,
    /// Address of its points, for the read-out.
    pub data: String,
    /// What it shows, for who cannot see it.
    pub alt: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether dragging zooms, by `from=` and `to=` of the page's address.
    pub zoom: bool,
}

/// The picture for one medium.
pub struct Source {
    /// Media query.
    pub media: &'static str,
    /// Address.
    pub address: String,
    /// Pixels; 0 = as the chart.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Pixels of a chart on a narrow screen.
const NARROW: (u32, u32) = (360, 250);

impl ChartLink {
    /// A chart at `/charts/KIND.svg?QUERY`.
    pub fn new(
        kind: &str,
        query: &str,
        alt: String,
        (width, height): (u32, u32),
        zoom: bool,
    ) -> Self {
        let address = |(w, h): (u32, u32), theme| {
            format!("/charts/{kind}.svg?{query}&width={w}&height={h}&title=0&theme={theme}")
        };
        let mut sources = Vec::new();
        if width > NARROW.0 {
            let narrow = |media, theme| Source {
                media,
                address: address(NARROW, theme),
                width: NARROW.0,
                height: NARROW.1,
            };
            sources.push(narrow(
                "(max-width: 620px) and (prefers-color-scheme: dark)",
                "dark",
            ));
            sources.push(narrow("(max-width: 620px)", "light"));
        }
        sources.push(Source {
            media: "(prefers-color-scheme: dark)",
            address: address((width, height), "dark"),
            width: 0,
            height: 0,
        });
        ChartLink {
            light: address((width, height), "light"),
            sources,
            data: format!("/charts/{kind}.json?{query}&width={width}"),
            alt,
            width,
            height,
            zoom,
        }
    }
}

/// Text as a part of a query: everything but letters, digits and `-._~/,` is escaped.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether these parts of an address are numbers, where they are given; a picture that cannot be drawn would
/// say it to nobody.
pub fn numbers<const N: usize>(parts: [(&str, &Option<String>); N]) -> Result<(), Failure> {
    for (name, value) in parts {
        let Some(value) = value.as_deref().filter(|v| !v.is_empty()) else {
            continue;
        };
        if !value.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Failure::bad_request(
                "bad_chart",
                format!("{name}={value} is not a number."),
            ));
        }
    }
    Ok(())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    heading: &'static str,
    /// The token helps.
    enter: bool,
    status: u16,
    code: &'static str,
    message: String,
}

/// Rewrites a [`Failure`] as a page where a person asked (`Accept: text/html`, not under `/api/`).
pub async fn error_page(
    State(dashboard): State<Dashboard>,
    request: Request,
    next: Next,
) -> Response {
    let accepts = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let wanted = accepts.contains("text/html") && !request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let Some(failure) = response
        .extensions()
        .get::<Failure>()
        .filter(|_| wanted)
        .cloned()
    else {
        return response;
    };
    // Whom the guard refused is told nothing of the home.
    let stranger = matches!(
        failure.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST
    );
    let layout = match Layout::load(&dashboard, "").await {
        Ok(layout) if !stranger => layout,
        _ => Layout::bare(""),
    };
    let heading = match failure.status {
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::UNAUTHORIZED => "The token is needed",
        s if s.is_server_error() => "Something is broken",
        _ => "That cannot be answered",
    };
    let page = ErrorPage {
        layout,
        heading,
        enter: failure.status == StatusCode::UNAUTHORIZED,
        status: failure.status.as_u16(),
        code: failure.code,
        message: failure.message.clone(),
    };
    match page.render() {
        Ok(text) => (failure.status, Html(text)).into_response(),
        Err(_) => response,
    }
}
