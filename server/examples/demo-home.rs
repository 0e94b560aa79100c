//! `cargo run -p rungs-server --example demo-home -- DIR`: writes a home with invented numbers, to
//! look at the dashboard without training anything. Part of it is done, one run failed, the rest waits;
//! under the profile `standard` everything is done with three seeds.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use rungs_spec::home::Home;
use rungs_store::{SlotRow, Store};
use support::Fate;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| anyhow::anyhow!("name a directory for the home"))?;
    anyhow::ensure!(
        !dir.exists(),
        "{} is there already; name a new directory",
        dir.display()
    );
    let home = Home(dir);
    std::fs::create_dir_all(home.dir())?;
    let quick = support::plan(&home, "quick", 1);
    support::write(&home, &quick, |row, column, _| match (row, column) {
        ("no-bias-decay", "bs1024") => Fate::Begun,
        ("fp16", "bs256") => Fate::Failed,
        ("fp16", "bs1024") => Fate::Queued,
        ("warmup", "bs1024") => Fate::Done(2),
        _ => Fate::Done(1),
    });
    let standard = support::plan(&home, "standard", 3);
    support::write(&home, &standard, |_, _, _| Fate::Done(1));
    let db = home.database();
    let found = rungs_store::reindex(&home, &db).await?;
    for problem in &found.problems {
        eprintln!("{problem}");
    }
    let store = Store::open_writer(&db).await?;
    let running = &quick
        .cell("no-bias-decay", "bs1024")
        .ok_or_else(|| anyhow::anyhow!("table4 has that cell"))?
        .runs[0];
    store
        .adopt(running, 1, Some(std::process::id()), "cpu-0")
        .await?;
    let slot = |name: &str, run| SlotRow {
        slot: name.to_owned(),
        device: "cpu".to_owned(),
        threads: 1,
        run,
        attempt: Some(1),
        updated_at_ms: 0,
    };
    store
        .set_slots(&[slot("cpu-0", Some(running.clone())), slot("cpu-1", None)])
        .await?;
    store.close().await;
    eprintln!(
        "{} runs, {} events; look at it with: server --home {}",
        found.runs,
        found.events,
        home.dir().display()
    );
    Ok(())
}
