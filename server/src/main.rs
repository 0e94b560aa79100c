//! `server`: the dashboard alone, without a scheduler (`runner dashboard` has both).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rungs_spec::home::Home;

/// Serve the dashboard and the JSON API of one home, without a scheduler.
#[derive(Debug, Parser)]
#[command(name = "server", version)]
struct Options {
    /// Directory with the runs.
    #[arg(
        long,
        env = "RUNGS_HOME",
        default_value = "./results",
        value_name = "DIR"
    )]
    home: PathBuf,
    /// Database, if not in the home.
    #[arg(long, env = "RUNGS_DB", value_name = "FILE")]
    db: Option<PathBuf>,
    /// Address; port 0 lets the system choose. Any but a loopback address needs the home's token.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "IP:PORT")]
    bind: SocketAddr,
    /// Print {"address", "url", "link"} on standard output once it listens.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let runtime = rungs_server::runtime();
    runtime.map_or_else(
        |error| failed(&error.into()),
        |runtime| runtime.block_on(serve()),
    )
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

async fn serve() -> ExitCode {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let home = Home(options.home);
    let db = rungs_store::database_path(&home, options.db.as_deref());
    let listen = rungs_server::bind(&home, options.bind).await?;
    eprintln!("Dashboard of {}: {}", home.dir().display(), listen.url);
    if let Some(link) = &listen.link {
        eprintln!("To change things from a browser, open this once: {link}");
    }
    if options.json {
        let line =
            serde_json::json!({"address": listen.address, "url": listen.url, "link": listen.link});
        #[expect(clippy::print_stdout, reason = "the result that --json asks for")]
        {
            println!("{line}");
        }
    }
    rungs_server::serve(listen, home, db, stopped()).await;
    Ok(())
}

/// Ctrl-C or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
