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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RunOrder {
    /// Newest first: by the last time anything was decided or ended.
    #[default]
    Newest,
    /// Running first, then as they will be claimed, then what is over, newest first.
    Queue,
    /// By key.
    Key,
    /// By one value, in pages.
    By(Paged),
}

/// An order whose list can be read page by page: by one value, equal ones by age in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged {
    /// Which value.
    pub by: SortBy,
    /// Highest first.
    pub descending: bool,
    /// Only what stands behind this place.
    pub after: Option<Place>,
}

/// A place in a list: the value that it is sorted by there, and the row that has it. It stays where it is
/// while runs before it come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) value: String,
    pub(crate) id: i64,
}

/// What a list of runs can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The last time anything was decided or ended.
    Updated,
    /// When it was queued.
    Queued,
    /// When it was over.
    Ended,
    /// Run key.
    Run,
    /// Model.
    Model,
    /// Dataset.
    Dataset,
    /// Seed.
    Seed,
    /// Stored state; blocked runs stand with the queued ones.
    State,
    /// Priority.
    Priority,
}

impl SortBy {
    /// All of them.
    pub const ALL: [SortBy; 9] = [
        SortBy::Updated,
        SortBy::Queued,
        SortBy::Ended,
        SortBy::Run,
        SortBy::Model,
        SortBy::Dataset,
        SortBy::Seed,
        SortBy::State,
        SortBy::Priority,
    ];

    /// The word in addresses.
    pub fn word(self) -> &'static str {
        match self {
            SortBy::Updated => "updated",
            SortBy::Queued => "queued",
            SortBy::Ended => "ended",
            SortBy::Run => "run",
            SortBy::Model => "model",
            SortBy::Dataset => "dataset",
            SortBy::Seed => "seed",
            SortBy::State => "state",
            SortBy::Priority => "priority",
        }
    }

    /// SQL that is never NULL.
    fn sql(self) -> &'static str {
        match self {
            SortBy::Updated => "max(ifnull(r.ended_at_ms, 0), ifnull(r.queued_at_ms, 0))",
            SortBy::Queued => "ifnull(r.queued_at_ms, 0)",
            SortBy::Ended => "ifnull(r.ended_at_ms, 0)",
            SortBy::Run => "r.key",
            SortBy::Model => "r.model",
            SortBy::Dataset => "r.dataset",
            SortBy::Seed => "r.seed",
            SortBy::State => "r.state",
            SortBy::Priority => "r.priority",
        }
    }

    fn is_text(self) -> bool {
        matches!(
            self,
            SortBy::Run | SortBy::Model | SortBy::Dataset | SortBy::State
        )
    }
}

impl Paged {
    /// Reads `updated`, `-ended`: a leading minus means highest first. Error: one sentence with the nearest word.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, descending) = match text.strip_prefix('-') {
            Some(word) => (word, true),
            None => (text, false),
        };
        let by = SortBy::ALL.into_iter().find(|by| by.word() == word);
        Ok(Paged {
            by: by.ok_or_else(|| {
                let known = SortBy::ALL.iter().map(|by| by.word());
                format!(
                    "{word:?} is nothing to sort runs by; {}",
                    nearest(word, known)
                )
            })?,
            descending,
            after: None,
        })
    }

    fn order(&self) -> String {
        let (sql, way) = (self.by.sql(), if self.descending { "DESC" } else { "ASC" });
        format!(" ORDER BY {sql} {way}, r.id {way}")
    }
}

impl Place {
    /// Reads what [`Self`] is written as.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, digits) = text.split_once('-')?;
        let bytes: Option<Vec<u8>> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        Some(Place {
            id: id.parse().ok()?,
            value: String::from_utf8(bytes?).ok()?,
        })
    }
}

/// For addresses: opaque to people, safe in a URL.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-", self.id)?;
        self.value.bytes().try_for_each(|b| write!(f, "{b:02x}"))
    }
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
             p.next_step, p.steps, p.steps_per_epoch, p.images_per_s, r.id, CAST(",
    );
    query.push(match &filter.order {
        RunOrder::By(paged) => paged.by.sql(),
        RunOrder::Newest | RunOrder::Queue | RunOrder::Key => "''",
    });
    query.push(
        " AS TEXT) AS sorted_by
         FROM runs r LEFT JOIN attempts p ON p.run_id = r.id
             AND p.attempt = (SELECT max(a.attempt) FROM attempts a WHERE a.run_id = r.id AND a.step0 IS NOT NULL)
         WHERE ",
    );
    let order = order(&filter.order);
    // The few rows of a page are chosen first: the columns above are worked out for nothing else.
    if filter.limit.is_some() {
        query.push("r.id IN (SELECT r.id FROM runs r WHERE ");
        conditions(&mut query, filter);
        behind(&mut query, &filter.order);
        query.push(&order);
        query
            .push(" LIMIT ")
            .push_bind(filter.limit.map_or(-1, int));
        query.push(" OFFSET ").push_bind(int(filter.offset));
        query.push(")").push(&order);
    } else {
        conditions(&mut query, filter);
        behind(&mut query, &filter.order);
        query.push(&order);
        query
            .push(" LIMIT -1 OFFSET ")
            .push_bind(int(filter.offset));
    }
    query
}

/// Leaves out what stands before a place.
fn behind(query: &mut QueryBuilder<Sqlite>, order: &RunOrder) {
    let RunOrder::By(Paged {
        by,
        descending,
        after: Some(place),
    }) = order
    else {
        return;
    };
    query.push(format!(
        " AND ({}, r.id) {} (",
        by.sql(),
        if *descending { "<" } else { ">" }
    ));
    if by.is_text() {
        query.push_bind(place.value.clone());
    } else {
        query.push_bind(place.value.parse::<i64>().unwrap_or(0));
    }
    query.push(", ").push_bind(place.id).push(")");
}

fn order(order: &RunOrder) -> String {
    match order {
        RunOrder::Newest => {
            " ORDER BY max(ifnull(r.ended_at_ms, 0), ifnull(r.queued_at_ms, 0)) DESC, r.queue_order DESC, r.id DESC".to_owned()
        }
        RunOrder::Queue => {
            " ORDER BY CASE r.state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END,
                 CASE WHEN r.state IN ('running', 'queued') THEN -r.priority END,
                 CASE WHEN r.state IN ('running', 'queued') THEN r.queue_order ELSE -ifnull(r.ended_at_ms, 0) END, r.id".to_owned()
        }
        RunOrder::Key => " ORDER BY r.key".to_owned(),
        RunOrder::By(paged) => paged.order(),
    }
}

/// How many [`list_query`] would list without a limit.
pub(crate) fn count_query(filter: &RunFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM runs r WHERE ");
    conditions(&mut query, filter);
    query
}

/// How many of each state [`list_query`] would list without a limit.
pub(crate) fn states_query(filter: &RunFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT CASE WHEN ");
    query.push(BLOCKED);
    query.push(" THEN 'blocked' ELSE r.state END AS state, count(*) AS n FROM runs r WHERE ");
    conditions(&mut query, filter);
    query.push(" GROUP BY 1");
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
        // Gathered once instead of asked of every run.
        query.push(" AND r.id IN (SELECT c.run_id FROM applications a JOIN cells c ON a.id = c.application_id WHERE 1 = 1");
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
