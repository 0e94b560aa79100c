//! `/compare` and `/api/v1/compare`: which runs does an address name, and what is known of them? The
//! numbers are made by `rungs_report::compare`; `runner compare` prints the same.

use axum::Json;
use axum::extract::{Query, State};
use rungs_report::compare::{By, Compared, Comparison, compare};
use rungs_spec::RunKey;
use rungs_spec::result::RunResult;
use rungs_store::{CellOf, Store, StoreError};

use crate::charts::MOST_RUNS;
use crate::error::Failure;
use crate::state::Dashboard;

/// A query, name by name; a name may come more than once (a form's boxes).
pub type Pairs = Vec<(String, String)>;

/// The last value of a name.
pub fn given<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let mut found = pairs.iter().rev().filter(|(key, _)| key == name);
    found
        .next()
        .map(|(_, value)| value.trim())
        .filter(|v| !v.is_empty())
}

/// Run keys or prefixes of every value of a name, in order.
pub fn prefixes(pairs: &Pairs, name: &str) -> Vec<String> {
    let values = pairs.iter().filter(|(key, _)| key == name);
    let split = |c: char| c == ',' || c == ';' || c.is_whitespace();
    values
        .flat_map(|(_, value)| value.split(split))
        .filter(|prefix| !prefix.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `by=`. Errors: another word.
pub fn by(pairs: &Pairs) -> Result<By, Failure> {
    let refuse = |e: rungs_report::ReportError| Failure::bad_request("bad_query", e.to_string());
    given(pairs, "by").map_or_else(|| Ok(By::default()), |word| word.parse().map_err(refuse))
}

/// The runs of these prefixes, each once, in the order given.
///
/// Errors: a prefix that is no run's (404) or several runs' (400), more runs than fit beside each other.
pub async fn find(store: &Store, prefixes: &[String]) -> Result<Vec<RunKey>, Failure> {
    let mut keys = Vec::new();
    for prefix in prefixes {
        let key = store.find_run(prefix).await?;
        if !keys.contains(&key) {
            keys.push(key);
        }
        if keys.len() > MOST_RUNS {
            return Err(Failure::bad_request(
                "too_many_runs",
                format!(
                    "runs= names more than {MOST_RUNS} runs; leave some out, or look at a table's page for all of its rows."
                ),
            ));
        }
    }
    Ok(keys)
}

/// What a comparison asks of runs, in that order; of a run without results, its recipe.
pub async fn load(store: &Store, keys: &[RunKey]) -> Result<Vec<Compared>, StoreError> {
    let mut results = store.results(keys).await?;
    let mut runs = Vec::new();
    for key in keys {
        let file = store.run_file(key).await?;
        runs.push(Compared {
            label: label(key, &store.cells_of(key).await?),
            arithmetic: file.arithmetic,
            result: results.remove(key).unwrap_or_else(|| RunResult::new(&file)),
        });
    }
    Ok(runs)
}

/// `warmup / bs1024 / seed 1` by the first cell that wants it, else the beginning of its key.
pub fn label(key: &RunKey, cells: &[CellOf]) -> String {
    cells.first().map_or_else(
        || key.short().to_owned(),
        |c| format!("{} / {} / seed {}", c.row, c.column, c.seed),
    )
}

/// `GET /api/v1/compare?runs=&by=`
pub async fn get(
    State(dashboard): State<Dashboard>,
    Query(pairs): Query<Pairs>,
) -> Result<Json<Comparison>, Failure> {
    let by = by(&pairs)?;
    let asked = prefixes(&pairs, "runs");
    if asked.is_empty() {
        return Err(Failure::bad_request(
            "no_runs",
            "runs= names the runs to compare by key or prefix, separated by commas; /api/v1/runs lists them.",
        ));
    }
    let store = dashboard.some_store().await?;
    let keys = find(&store, &asked).await?;
    Ok(Json(compare(&load(&store, &keys).await?, by)?))
}
