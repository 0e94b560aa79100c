//! What pages with buttons share: who may press them, what the last one asked for, and the buttons
//! themselves, plain forms.

use axum::extract::{FromRequestParts, OriginalUri, Query};
use axum::http::request::Parts;

use super::escape;
use crate::control::Outcome;
use crate::error::Failure;
use crate::guard::Visitor;
use crate::state::Dashboard;

/// Seeds that one press adds.
pub const MORE_SEEDS: u64 = 2;

/// A form with one button.
pub struct Button {
    /// What it asks for.
    pub kind: &'static str,
    /// What people read.
    pub label: String,
    /// The same with its object, for who hears one button at a time.
    pub title: String,
    /// What about.
    pub fields: Vec<(&'static str, String)>,
}

impl Button {
    /// About one run.
    pub fn of_run(kind: &'static str, label: &str, run: &str, name: &str) -> Button {
        Button {
            kind,
            label: label.to_owned(),
            title: format!("{label}: {name}"),
            fields: vec![("run", run.to_owned())],
        }
    }

    /// Puts a run that waits to another priority.
    pub fn priority(label: &str, run: &str, name: &str, priority: i64) -> Button {
        let mut button = Button::of_run("priority", label, run, name);
        button.fields.push(("priority", priority.to_string()));
        button
    }

    /// About the queue.
    pub fn plain(kind: &'static str, label: &str) -> Button {
        Button {
            kind,
            label: label.to_owned(),
            title: label.to_owned(),
            fields: Vec::new(),
        }
    }

    /// [`MORE_SEEDS`] more of every cell.
    pub fn seeds(experiment: &str, profile: Option<&str>) -> Button {
        let label = format!("Add {MORE_SEEDS} seeds");
        Button {
            kind: "seeds",
            title: format!("{label} to every cell of {experiment}"),
            label,
            fields: vec![
                ("experiment", experiment.to_owned()),
                ("profile", profile.unwrap_or_default().to_owned()),
                ("add", MORE_SEEDS.to_string()),
            ],
        }
    }
}

/// What the last button asked for, and what became of it.
pub struct Notice {
    /// `waiting`, `done`, `refused`
    pub state: &'static str,
    /// What was asked.
    pub asked: String,
    /// What became of it.
    pub text: String,
    /// What to type.
    pub command: Option<&'static str>,
}

/// Who looks at a page with buttons, and from where.
pub struct Controls {
    /// The field of the forms; `None` where nothing may be changed.
    pub csrf: Option<String>,
    /// Path and query of the page.
    pub back: String,
    /// The page where the token is entered, which leads back here.
    pub enter: String,
    /// After a button.
    pub notice: Option<Notice>,
}

#[derive(serde::Deserialize)]
struct AskedQuery {
    asked: Option<String>,
}

impl FromRequestParts<Dashboard> for Controls {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        dashboard: &Dashboard,
    ) -> Result<Self, Self::Rejection> {
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let uri = OriginalUri::from_request_parts(parts, dashboard).await;
        let back = uri.map_or_else(
            |never| match never {},
            |OriginalUri(uri)| uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        );
        let asked = Query::<AskedQuery>::from_request_parts(parts, dashboard)
            .await
            .ok()
            .and_then(|Query(query)| query.asked);
        Ok(Controls {
            csrf: visitor.and_then(|v| v.form_field),
            enter: format!("/enter?to={}", escape(&back)),
            notice: asked.and_then(|id| notice(dashboard, &id)),
            back,
        })
    }
}

impl Controls {
    /// Whether a page with them is for one visitor only.
    pub fn are_personal(&self) -> bool {
        self.csrf.is_some() || self.notice.is_some()
    }

    /// Buttons, for who may press them.
    pub fn only(&self, buttons: Vec<Button>) -> Vec<Button> {
        if self.csrf.is_some() {
            buttons
        } else {
            Vec::new()
        }
    }

    /// The field's text; only forms need it, and forms are only there with it.
    pub fn field(&self) -> &str {
        self.csrf.as_deref().unwrap_or_default()
    }
}

fn notice(dashboard: &Dashboard, id: &str) -> Option<Notice> {
    let asked = dashboard.memory().look(&dashboard.home().requests(), id)?;
    let (text, command) = match &asked.outcome {
        Outcome::CarriedOut => ("done.".to_owned(), None),
        Outcome::Refused(reason) => (format!("refused: {reason}"), None),
        Outcome::Waiting if dashboard.scheduler_is_here() => {
            ("the scheduler has not answered yet.".to_owned(), None)
        }
        Outcome::Waiting => (
            "it waits, because no scheduler is running on this machine. Start one with".to_owned(),
            Some("runner daemon"),
        ),
    };
    Some(Notice {
        state: asked.outcome.word(),
        asked: asked.words,
        text,
        command,
    })
}
