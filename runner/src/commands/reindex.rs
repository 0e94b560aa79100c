//! `runner reindex`: rebuilds the database from the home's files.

use anyhow::bail;
use rungs_store::Reindexed;

use super::daemon::take_lock;
use crate::context::Context;
use crate::output;
use crate::scheduler::catchup;

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    if !context.home.dir().is_dir() {
        bail!(
            "there is no home {}; name another with --home",
            context.home.dir().display()
        );
    }
    let lock = take_lock(context).await?;
    let db = context.database();
    let found = catchup::rebuild(&context.home, &db, &lock).await?;
    // Whose trainer is gone is back on the queue at once.
    catchup::open(&context.home, &db, lock).await?;
    let Reindexed {
        runs,
        attempts,
        events,
        decisions,
        problems,
    } = found;
    if context.json {
        return output::print_json(&serde_json::json!({
            "database": db, "runs": runs, "attempts": attempts, "events": events,
            "decisions": decisions, "problems": problems,
        }));
    }
    output::print(&format!(
        "rebuilt {} from {runs} runs, {attempts} attempts, {events} events and {decisions} decisions",
        db.display()
    ))
}
