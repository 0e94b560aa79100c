//! `runner runs`: a list of runs.

use rungs_spec::result::RunState;
use rungs_store::{RunFilter, RunRow};
use serde::Serialize;

use crate::cli::RunsArgs;
use crate::context::Context;
use crate::output;

#[derive(Debug, Serialize)]
struct Row {
    run: String,
    state: RunState,
    seed: u64,
    model: String,
    dataset: String,
    attempts: u32,
    step: u64,
    steps: u64,
    message: Option<String>,
}

pub(super) async fn run(context: &Context, args: &RunsArgs) -> anyhow::Result<()> {
    let words = args.filter.join(" ");
    let filter = RunFilter::parse(&words).map_err(anyhow::Error::msg)?;
    let rows = match context.reader().await? {
        Some(store) => store.runs(&filter).await?,
        None => Vec::new(),
    };
    let rows: Vec<Row> = rows.into_iter().map(row).collect();
    if context.json {
        output::print_json(&rows)
    } else {
        output::print(&text(&rows))
    }
}

fn row(row: RunRow) -> Row {
    Row {
        run: row.key.to_string(),
        state: row.state,
        seed: row.seed,
        model: row.model,
        dataset: row.dataset,
        attempts: row.attempts,
        step: row.progress.step,
        steps: row.progress.steps,
        message: row.message,
    }
}

fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        text += &format!(
            "{}  {:9}  seed {:<3} {:14} {:16} {:>8} of {:<8} {}\n",
            &row.run[..12],
            row.state.word(),
            row.seed,
            row.model,
            row.dataset,
            row.step,
            row.steps,
            row.message.as_deref().unwrap_or("")
        );
    }
    text + &format!("{} runs\n", rows.len())
}
