//! What a button asks for: it becomes a request file, which the scheduler carries out or refuses. The
//! server never writes the database.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use rungs_spec::home::Request;
use rungs_store::{Store, requests};
use serde_json::json;

use crate::error::Failure;
use crate::guard::Visitor;
use crate::pages::enter::local;
use crate::pages::queue::name;
use crate::state::Dashboard;

/// Largest body of a request.
pub const MOST_BYTES: usize = 16 * 1024;
/// Longest wait for the scheduler's answer: it looks four times a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests whose words and outcome are remembered.
const REMEMBERED: usize = 500;
/// Seeds of a cell that a button goes up to; `runner reproduce --seeds` goes further.
const MOST_SEEDS: u64 = 1000;

/// What can be asked for; the body of `POST /api/v1/requests`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// Take a run off the queue, or stop it.
    Cancel {
        /// Key or prefix.
        run: String,
    },
    /// Queue a failed or cancelled run again.
    Retry {
        /// Key or prefix.
        run: String,
    },
    /// Change its place in the queue.
    Priority {
        /// Key or prefix.
        run: String,
        /// Higher goes first.
        priority: i64,
    },
    /// Start no new attempts.
    Pause,
    /// Start them again.
    Resume,
    /// More seeds of every cell of an experiment that was applied.
    Seeds {
        /// Name.
        experiment: String,
        /// Profile it was applied with.
        profile: Option<String>,
        /// How many more.
        add: u64,
    },
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its file waits for a scheduler.
    Waiting,
    /// Done.
    CarriedOut,
    /// Not done, and why.
    Refused(String),
}

impl Outcome {
    /// The word in JSON and HTML.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Waiting => "waiting",
            Outcome::CarriedOut => "done",
            Outcome::Refused(_) => "refused",
        }
    }
}

/// A request of this server: what was asked, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// UUIDv7.
    pub id: String,
    /// `Cancel table4 / warmup / bs256 / seed 1`
    pub words: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What this server asked for lately. A carried out request leaves no file, so its words are kept here.
#[derive(Debug, Default)]
pub struct Memory(Mutex<VecDeque<Asked>>);

impl Memory {
    fn remember(&self, asked: Asked) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push_back(asked);
        if list.len() > REMEMBERED {
            list.pop_front();
        }
    }

    /// What became of a request; `None` if nothing is known of it.
    pub fn look(&self, dir: &Path, id: &str) -> Option<Asked> {
        let file = requests::path_of(dir, id)?;
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = list.iter_mut().find(|asked| asked.id == id);
        let open = known.as_ref().is_none_or(|a| a.outcome == Outcome::Waiting);
        if !open {
            return known.cloned();
        }
        // In this order: a refusal is written before its request is removed.
        let now = if file.exists() {
            Some(Outcome::Waiting)
        } else {
            requests::take_refusal(&file).map(Outcome::Refused)
        };
        match known {
            Some(asked) => {
                asked.outcome = now.unwrap_or(Outcome::CarriedOut);
                Some(asked.clone())
            }
            None => Some(Asked {
                id: id.to_owned(),
                words: "A request made before the server was started".to_owned(),
                outcome: now?,
            }),
        }
    }
}

async fn submit(dashboard: &Dashboard, wish: &Wish) -> Result<Asked, Failure> {
    let store = dashboard.some_store().await?;
    let (request, words) = settle(&store, wish).await?;
    let dir = dashboard.home().requests();
    let file = requests::write(&dir, &request)?;
    let id = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    tracing::info!(request = id, "asked for: {words}");
    dashboard.memory().remember(Asked {
        id: id.clone(),
        words,
        outcome: Outcome::Waiting,
    });
    let mut waited = Duration::ZERO;
    while file.exists() && waited < PATIENCE && dashboard.scheduler_is_here() {
        let step = Duration::from_millis(25);
        tokio::time::sleep(step).await;
        waited += step;
    }
    dashboard
        .memory()
        .look(&dir, &id)
        .ok_or_else(|| Failure::internal(format!("Request {id} is forgotten already.")))
}

/// The request, and what it says in words.
async fn settle(store: &Store, wish: &Wish) -> Result<(Request, String), Failure> {
    Ok(match wish {
        Wish::Cancel { run } => {
            let run = store.find_run(run).await?;
            let words = format!("Cancel {}", name(store, &run).await?);
            (Request::Cancel { run }, words)
        }
        Wish::Retry { run } => {
            let run = store.find_run(run).await?;
            let words = format!("Retry {}", name(store, &run).await?);
            (Request::Retry { run }, words)
        }
        Wish::Priority { run, priority } => {
            let run = store.find_run(run).await?;
            let words = format!("Priority {priority} for {}", name(store, &run).await?);
            let priority = *priority;
            (Request::Priority { run, priority }, words)
        }
        Wish::Pause => (Request::Pause, "Pause the queue".to_owned()),
        Wish::Resume => (Request::Resume, "Resume the queue".to_owned()),
        Wish::Seeds {
            experiment,
            profile,
            add,
        } => seeds(store, experiment, profile.as_deref(), *add).await?,
    })
}

/// The experiment as it was last applied under that profile, with more seeds. Counted from what the
/// database says, so asking twice in a row adds once.
async fn seeds(
    store: &Store,
    experiment: &str,
    profile: Option<&str>,
    add: u64,
) -> Result<(Request, String), Failure> {
    let applied = store.applied(Some(experiment)).await?;
    let newest = applied
        .into_iter()
        .find(|a| a.profile.as_deref() == profile)
        .ok_or_else(|| {
            let with = profile.map_or_else(String::new, |p| format!(" with profile {p:?}"));
            Failure::not_found(
                "not_applied",
                format!("{experiment:?} was never applied here{with}; start it with: runner reproduce {experiment}"),
            )
        })?;
    let wanted = newest.seeds.saturating_add(add);
    if add == 0 || wanted > MOST_SEEDS {
        return Err(Failure::bad_request(
            "bad_seeds",
            format!(
                "add={add} to {} seeds: from 1, up to {MOST_SEEDS} seeds in all.",
                newest.seeds
            ),
        ));
    }
    let words = format!(
        "{add} more seeds of every cell of {experiment}{}: {wanted} instead of {}",
        profile.map_or_else(String::new, |p| format!(", {p}")),
        newest.seeds
    );
    let request = Request::Apply {
        experiment: newest.experiment,
        hash: newest.hash,
        profile: newest.profile,
        seeds: Some(wanted),
        set: newest.set,
        rows: None,
        columns: None,
    };
    Ok((request, words))
}

/// A form of ours: which button, and what about.
#[derive(Debug, Default, serde::Deserialize)]
pub struct ButtonForm {
    /// The field that only pages of this browser have.
    #[serde(default)]
    csrf: String,
    /// Path and query of the page it stands on.
    back: Option<String>,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    experiment: String,
    /// Empty = none.
    #[serde(default)]
    profile: String,
    #[serde(default)]
    add: String,
}

impl ButtonForm {
    fn wish(&self) -> Result<Wish, Failure> {
        let refuse = |name, text: &str| {
            Failure::bad_request("bad_request", format!("{name}={text} is not a number."))
        };
        let run = self.run.clone();
        Ok(match self.kind.as_str() {
            "cancel" => Wish::Cancel { run },
            "retry" => Wish::Retry { run },
            "priority" => Wish::Priority {
                run,
                priority: self
                    .priority
                    .parse()
                    .map_err(|_| refuse("priority", &self.priority))?,
            },
            "pause" => Wish::Pause,
            "resume" => Wish::Resume,
            "seeds" => Wish::Seeds {
                experiment: self.experiment.clone(),
                profile: Some(self.profile.clone()).filter(|p| !p.is_empty()),
                add: self.add.parse().map_err(|_| refuse("add", &self.add))?,
            },
            other => {
                let known = ["cancel", "retry", "priority", "pause", "resume", "seeds"];
                let near = rungs_spec::error::nearest(other, known);
                return Err(Failure::bad_request(
                    "bad_request",
                    format!("There is no request {other:?}; {near}"),
                ));
            }
        })
    }
}

/// `POST /requests`: a button. Leads back to its page, which then says what became of it.
pub async fn post(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Extension<Visitor>,
    Form(form): Form<ButtonForm>,
) -> Result<Response, Failure> {
    let Some(field) = &visitor.form_field else {
        return Err(Failure {
            status: StatusCode::UNAUTHORIZED,
            code: "token_needed",
            message: "Changing something needs the home's token: open the one-time link that the server printed, or \
                      /enter and paste the token from the file server.token of the home."
                .to_owned(),
        });
    };
    // Digests are compared, which takes the same time wherever they differ.
    if blake3::hash(field.as_bytes()) != blake3::hash(form.csrf.as_bytes()) {
        return Err(Failure {
            status: StatusCode::FORBIDDEN,
            code: "stale_form",
            message:
                "This form belongs to another browser or an older sign-in. Load its page again."
                    .to_owned(),
        });
    }
    let asked = submit(&dashboard, &form.wish()?).await?;
    let back = local(form.back.as_deref());
    Ok(Redirect::to(&with_asked(back, &asked.id)).into_response())
}

/// A page's address that says which request was made there.
fn with_asked(back: &str, id: &str) -> String {
    let (path, query) = back.split_once('?').unwrap_or((back, ""));
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("asked="));
    let asked = format!("asked={id}");
    let pairs: Vec<&str> = kept.chain([asked.as_str()]).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn as_json(asked: &Asked) -> serde_json::Value {
    let reason = match &asked.outcome {
        Outcome::Refused(reason) => Some(reason),
        Outcome::Waiting | Outcome::CarriedOut => None,
    };
    json!({"request": asked.id, "asked": asked.words, "state": asked.outcome.word(), "reason": reason})
}

/// `POST /api/v1/requests`: a [`Wish`] as JSON, with `Authorization: Bearer TOKEN`. 202 with what became of it
/// so far.
pub async fn post_json(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Extension<Visitor>,
    body: Bytes,
) -> Result<Response, Failure> {
    if !visitor.bearer {
        return Err(Failure {
            status: StatusCode::UNAUTHORIZED,
            code: "token_needed",
            message: "Send \"Authorization: Bearer TOKEN\"; the token is in the file server.token of the home."
                .to_owned(),
        });
    }
    let wish: Wish = serde_json::from_slice(&body).map_err(|e| {
        Failure::bad_request("bad_request", format!("The body is no request: {e}."))
    })?;
    let asked = submit(&dashboard, &wish).await?;
    Ok((StatusCode::ACCEPTED, Json(as_json(&asked))).into_response())
}

/// `GET /api/v1/requests/{id}`: what became of a request of this server.
pub async fn look(
    State(dashboard): State<Dashboard>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<serde_json::Value>, Failure> {
    let asked = dashboard
        .memory()
        .look(&dashboard.home().requests(), &id)
        .ok_or_else(|| {
            Failure::not_found(
                "no_such_request",
                format!("Nothing is known of request {id:?}."),
            )
        })?;
    Ok(Json(as_json(&asked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_told_which_request_was_made() {
        assert_eq!(with_asked("/queue", "x"), "/queue?asked=x");
        assert_eq!(
            with_asked("/runs/ab?x=epoch&asked=old&from=3", "x"),
            "/runs/ab?x=epoch&from=3&asked=x"
        );
    }

    #[test]
    fn outcomes_are_read_from_the_files_and_remembered() {
        let dir = tempfile::tempdir().expect("a directory");
        let memory = Memory::default();
        let file = requests::write(dir.path(), &Request::Pause).expect("written");
        let id = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let outcome = |memory: &Memory| memory.look(dir.path(), &id).map(|a| a.outcome);
        // Made by somebody else: known as long as there is a file.
        assert_eq!(outcome(&memory), Some(Outcome::Waiting));
        memory.remember(Asked {
            id: id.clone(),
            words: "Pause the queue".to_owned(),
            outcome: Outcome::Waiting,
        });
        requests::refuse(&file, "no").expect("written");
        assert_eq!(outcome(&memory), Some(Outcome::Waiting), "not removed yet");
        requests::remove(&file).expect("removed");
        let refused = Some(Outcome::Refused("no".to_owned()));
        assert_eq!(outcome(&memory), refused);
        assert_eq!(outcome(&memory), refused, "also when asked again");
        assert_eq!(memory.look(dir.path(), "../../etc/passwd"), None);
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0);
    }
}
