//! The only SQL that is put together while running: lists of runs by filter and order. Everything a
//! person can choose is an enum or a bound parameter; no text of theirs becomes SQL.

use rungs_spec::error::nearest;
use rungs_spec::result::RunState;
use sqlx::{QueryBuilder, Sqlite};

use crate::time::{int, seed_int};

/// Which runs, in which order. The default is all of them, newest decision first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunFilter {
    /// Any of these states; empty = all.
    pub states: Vec<RunState>,
    /// Wanted by a cell of this experiment (file stem).
    pub experiment: Option<String>,
    /// Wanted under this profile.
    pub profile: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Dataset.
    pub dataset: Option<String>,
    /// Seed.
    pub seed: Option<u64>,
    /// The key begins with this.
    pub prefix: Option<String>,
    /// Order.
    pub order: RunOrder,
    /// At most so many.
    pub limit: Option<u64>,
    /// After leaving out so many.
    pub offset: u64,
}

/// Order of a list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunOrder {
    /// Newest first: by the last time anything was decided or ended.
    #[default]
    Newest,
    /// Running first, then as they will be claimed, then what is over, newest first.
    Queue,
    /// By key.
    Key,
}

/// The words of `runner runs [FILTER]`.
const WORDS: &[&str] = &[
    "state",
    "experiment",
    "profile",
    "model",
    "dataset",
    "seed",
    "run",
];
/// The words for states.
const STATES: &[&str] = &[
    "new",
    "blocked",
    "queued",
    "running",
    "done",
    "failed",
    "cancelled",
];

impl RunFilter {
    /// Reads `key=value` words: `state=failed,cancelled model=resnet50 seed=1`. A bare word is a state
    /// or else the beginning of a run key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut filter = RunFilter::default();
        for word in text.split_whitespace() {
            let (key, value) = match word.split_once('=') {
                Some(pair) => pair,
                None if word.bytes().all(|b| b.is_ascii_hexdigit()) => ("run", word),
                None => ("state", word),
            };
            match key {
                "state" => {
                    for state in value.split(',') {
                        filter
                            .states
                            .push(RunState::from_word(state).ok_or_else(|| {
                                format!(
                                    "{state:?} is no state of a run; {}",
                                    nearest(state, STATES.iter().copied())
                                )
                            })?);
                    }
                }
                "experiment" => filter.experiment = Some(value.to_owned()),
                "profile" => filter.profile = Some(value.to_owned()),
                "model" => filter.model = Some(value.to_owned()),
                "dataset" => filter.dataset = Some(value.to_owned()),
                "seed" => {
                    filter.seed = Some(
                        value
                            .parse()
                            .map_err(|_| format!("seed={value}: not a whole number"))?,
                    )
                }
                "run" => filter.prefix = Some(value.to_ascii_lowercase()),
                other => {
                    return Err(format!(
                        "{other:?} is nothing to filter runs by; {}",
                        nearest(other, WORDS.iter().copied())
                    ));
                }
            }
        }
        Ok(filter)
    }
}

/// A queued run with a dependency that is not done.
const BLOCKED: &str = "(r.state = 'queued' AND EXISTS (SELECT 1 FROM dependencies d JOIN runs s ON s.id = d.on_run_id \
                       WHERE d.run_id = r.id AND s.state != 'done'))";

/// Columns as [`crate::lists`] reads them.
pub(crate) fn list_query(filter: &RunFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT r.key, CASE WHEN ");
    query.push(BLOCKED);
    query.push(
        " THEN 'blocked' ELSE r.state END AS state, r.seed, r.model, r.dataset, r.priority, r.tries, r.message,
             r.queued_at_ms, r.ended_at_ms, r.retry_at_ms,
             (SELECT max(a.attempt) FROM attempts a WHERE a.run_id = r.id) AS attempts,
             (SELECT min(a.started_at_ms) FROM attempts a WHERE a.run_id = r.id) AS started_at_ms,
             (SELECT a.slot FROM attempts a WHERE a.run_id = r.id AND r.state = 'running' ORDER BY a.attempt DESC LIMIT 1) AS slot,
             (SELECT group_concat(s.key) FROM dependencies d JOIN runs s ON s.id = d.on_run_id
              WHERE d.run_id = r.id AND s.state != 'done') AS waits_for,
             p.next_step, p.steps, p.steps_per_epoch, p.images_per_s
         FROM runs r LEFT JOIN attempts p ON p.run_id = r.id
             AND p.attempt = (SELECT max(a.attempt) FROM attempts a WHERE a.run_id = r.id AND a.step0 IS NOT NULL)
         WHERE ",
    );
    conditions(&mut query, filter);
    query.push(match filter.order {
        RunOrder::Newest => " ORDER BY max(ifnull(r.ended_at_ms, 0), ifnull(r.queued_at_ms, 0)) DESC, r.queue_order DESC, r.id DESC",
        RunOrder::Queue => {
            " ORDER BY CASE r.state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END,
                 CASE WHEN r.state IN ('running', 'queued') THEN -r.priority END,
                 CASE WHEN r.state IN ('running', 'queued') THEN r.queue_order ELSE -ifnull(r.ended_at_ms, 0) END, r.id"
        }
        RunOrder::Key => " ORDER BY r.key",
    });
    query
        .push(" LIMIT ")
        .push_bind(filter.limit.map_or(-1, int))
        .push(" OFFSET ")
        .push_bind(int(filter.offset));
    query
}

/// How many [`list_query`] would list without a limit.
pub(crate) fn count_query(filter: &RunFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM runs r WHERE ");
    conditions(&mut query, filter);
    query
}

/// Whatever the filter asks for, bound.
fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &RunFilter) {
    let RunFilter {
        states,
        experiment,
        profile,
        model,
        dataset,
        seed,
        prefix,
        order: _,
        limit: _,
        offset: _,
    } = filter;
    query.push("1 = 1");
    if !states.is_empty() {
        query.push(" AND (0 = 1");
        for state in states {
            match state {
                RunState::Blocked => query.push(" OR ").push(BLOCKED),
                RunState::Queued => query
                    .push(" OR (r.state = 'queued' AND NOT ")
                    .push(BLOCKED)
                    .push(")"),
                RunState::New
                | RunState::Running
                | RunState::Done
                | RunState::Failed
                | RunState::Cancelled => query.push(" OR r.state = ").push_bind(state.word()),
            };
        }
        query.push(")");
    }
    if experiment.is_some() || profile.is_some() {
        query.push(" AND EXISTS (SELECT 1 FROM cells c JOIN applications a ON a.id = c.application_id WHERE c.run_id = r.id");
        if let Some(experiment) = experiment {
            query
                .push(" AND a.experiment = ")
                .push_bind(experiment.clone());
        }
        if let Some(profile) = profile {
            query.push(" AND a.profile = ").push_bind(profile.clone());
        }
        query.push(")");
    }
    if let Some(model) = model {
        query.push(" AND r.model = ").push_bind(model.clone());
    }
    if let Some(dataset) = dataset {
        query.push(" AND r.dataset = ").push_bind(dataset.clone());
    }
    if let Some(seed) = seed {
        query.push(" AND r.seed = ").push_bind(seed_int(*seed));
    }
    if let Some(prefix) = prefix {
        // `g` sorts right behind all hex digits.
        query.push(" AND r.key >= ").push_bind(prefix.clone());
        query.push(" AND r.key < ").push_bind(format!("{prefix}g"));
    }
}
