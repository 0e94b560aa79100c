//! What the commands do, one file each. Options are in `cli.rs`.

mod bench;
mod changes;
mod chart;
mod claims;
mod compare;
mod control;
mod daemon;
mod dashboard;
mod data;
mod doctor;
mod export;
mod list;
mod logs;
mod plan;
mod reindex;
mod reproduce;
mod runs;
mod series;
mod show;
mod status;
mod submission;
mod top_up;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::output::Log;

/// What the log says during a command.
pub fn log(cli: &Cli) -> Log {
    match cli.command {
        _ if cli.global.quiet => Log::Quiet,
        Command::Daemon(_) | Command::Dashboard(_) => Log::Scheduler,
        _ => Log::Progress,
    }
}

/// Does what was typed.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let context = Context::new(cli.global);
    context.check()?;
    match cli.command {
        Command::List(args) => list::run(&context, &args).await,
        Command::Plan(args) => plan::run(&context, &args).await,
        Command::Reproduce(args) => reproduce::run(&context, &args).await,
        Command::Daemon(args) => daemon::run(&context, &args).await,
        Command::Status => status::run(&context).await,
        Command::Runs(args) => runs::run(&context, &args).await,
        Command::Show(args) => show::run(&context, &args).await,
        Command::Logs(args) => logs::run(&context, &args).await,
        Command::Series(args) => series::run(&context, &args).await,
        Command::Export(args) => export::run(&context, &args).await,
        Command::Claims(args) => claims::run(&context, &args).await,
        Command::TopUp(args) => top_up::run(&context, &args).await,
        Command::Compare(args) => compare::run(&context, &args).await,
        Command::Cancel(args) => control::cancel(&context, &args).await,
        Command::Retry(args) => control::retry(&context, &args).await,
        Command::Priority(args) => control::priority(&context, &args).await,
        Command::Pause => control::pause(&context).await,
        Command::Resume => control::resume(&context).await,
        Command::Data(args) => data::run(&context, &args),
        Command::Doctor => doctor::run(&context).await,
        Command::Reindex => reindex::run(&context).await,
        Command::Bench(command) => bench::run(&context, &command).await,
        Command::Dashboard(args) => dashboard::run(&context, &args).await,
    }
}

/// A table as people read it on a terminal.
fn table_text(table: &rungs_report::Table) -> String {
    use std::io::IsTerminal as _;
    let out = std::io::stdout();
    let width = rustix::termios::tcgetwinsize(&out)
        .map_or(0, |size| usize::from(size.ws_col))
        .max(if out.is_terminal() { 40 } else { 120 });
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    rungs_report::text::render(table, width, colour)
}
