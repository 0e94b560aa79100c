//! `GET /api/v1/runs`: which runs, in which order, page by page?

use axum::Json;
use axum::extract::{Query, State};
use rungs_spec::RunKey;
use rungs_spec::error::nearest;
use rungs_spec::result::{Progress, RunState};
use rungs_store::{Paged, Place, RunFilter, RunOrder, RunRow};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::state::Dashboard;

/// Runs of a page, unless `limit` says otherwise.
pub const USUAL: u64 = 100;
/// The most runs of a page.
pub const MOST: u64 = 1000;

/// Query of the list of runs; all text, so that a bad value is answered with its name.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    /// Only these states, separated by commas.
    state: Option<String>,
    /// Only runs that a cell of this experiment wants.
    experiment: Option<String>,
    /// Only runs that are wanted under this profile.
    profile: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// Only this dataset.
    dataset: Option<String>,
    /// Only this seed.
    seed: Option<String>,
    /// Only keys that begin so.
    run: Option<String>,
    /// What to sort by, a leading minus for highest first.
    sort: Option<String>,
    /// Runs of a page.
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of the list.
#[derive(Debug, Serialize)]
pub struct Page {
    runs: Vec<Listed>,
    /// What gets the next page; null on the last.
    next_cursor: Option<String>,
    /// Runs that pass the filter, on all pages.
    total: u64,
}

/// A run in a list.
#[derive(Debug, Serialize)]
pub struct Listed {
    run: RunKey,
    state: RunState,
    seed: u64,
    model: String,
    dataset: String,
    priority: i64,
    attempts: u32,
    progress: Progress,
    message: Option<String>,
    waits_for: Vec<RunKey>,
    slot: Option<String>,
    queued_at_ms: Option<i64>,
    started_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
}

impl From<RunRow> for Listed {
    fn from(row: RunRow) -> Self {
        Listed {
            run: row.key,
            state: row.state,
            seed: row.seed,
            model: row.model,
            dataset: row.dataset,
            priority: row.priority,
            attempts: row.attempts,
            progress: row.progress,
            message: row.message,
            waits_for: row.waits_for,
            slot: row.slot,
            queued_at_ms: row.queued_at_ms,
            started_at_ms: row.started_at_ms,
            ended_at_ms: row.ended_at_ms,
        }
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A whole number of a query.
fn whole(name: &str, text: &str, most: u64) -> Result<u64, Failure> {
    let digits = text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && *n <= most);
    number.ok_or_else(|| {
        let message = format!("{name}={text} is not a whole number from 0 to {most}.");
        Failure::bad_request("bad_query", message)
    })
}

impl Asked {
    fn filter(&self) -> Result<RunFilter, Failure> {
        let mut states = Vec::new();
        for word in given(&self.state)
            .unwrap_or("")
            .split(',')
            .filter(|w| !w.is_empty())
        {
            states.push(RunState::from_word(word).ok_or_else(|| {
                let near = nearest(word, RunState::ALL.iter().map(|s| s.word()));
                Failure::bad_request("bad_state", format!("There is no state {word:?}; {near}"))
            })?);
        }
        let sort = given(&self.sort).unwrap_or("-updated");
        let mut order = Paged::parse(sort)
            .map_err(|e| Failure::bad_request("bad_query", format!("sort: {e}")))?;
        if let Some(cursor) = given(&self.cursor) {
            let place = Place::parse(cursor).ok_or_else(|| {
                let message = format!("cursor={cursor} is no next_cursor of this list; leave it out for the first page.");
                Failure::bad_request("bad_cursor", message)
            })?;
            order.after = Some(place);
        }
        let text = |value: &Option<String>| given(value).map(str::to_owned);
        Ok(RunFilter {
            states,
            experiment: text(&self.experiment),
            profile: text(&self.profile),
            model: text(&self.model),
            dataset: text(&self.dataset),
            seed: given(&self.seed)
                .map(|t| whole("seed", t, i64::MAX as u64))
                .transpose()?,
            prefix: given(&self.run).map(str::to_ascii_lowercase),
            order: RunOrder::By(order),
            limit: None,
            offset: 0,
        })
    }
}

/// The page that is asked for.
pub async fn get(
    State(dashboard): State<Dashboard>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page>, Failure> {
    let filter = asked.filter()?;
    let limit = given(&asked.limit).map_or(Ok(USUAL), |t| whole("limit", t, MOST))?;
    if limit == 0 {
        return Err(Failure::bad_request(
            "bad_query",
            "limit=0 lists nothing; 1 is the least.",
        ));
    }
    let Some(store) = dashboard.store().await? else {
        return Ok(Json(Page {
            runs: Vec::new(),
            next_cursor: None,
            total: 0,
        }));
    };
    let (rows, next) = store.runs_page(&filter, limit).await?;
    Ok(Json(Page {
        runs: rows.into_iter().map(Listed::from).collect(),
        next_cursor: next.map(|place| place.to_string()),
        total: store.count_runs(&filter).await?,
    }))
}
