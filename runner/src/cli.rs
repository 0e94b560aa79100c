//! What may be typed: commands and options, without what they do (that is `commands/`).

pub mod data;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs stacked-refinement ablation tables and shows what each refinement is worth.
#[derive(Debug, Parser)]
#[command(name = "runner", version, propagate_version = true)]
#[command(
    after_help = "Exit status: 0 done, 1 a run failed, 2 usage or bad file, 3 --check failed, 130 interrupted."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Directory of the runs and the database
    #[arg(
        long,
        global = true,
        env = "RUNGS_HOME",
        default_value = "./results",
        value_name = "DIR"
    )]
    pub home: PathBuf,
    /// Database file, if not HOME/rungs.db
    #[arg(long, global = true, env = "RUNGS_DB", value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the experiments and what is done of them, or a catalogue
    List(ListArgs),
    /// Show the runs that `reproduce` would do, without doing them
    Plan(PlanArgs),
    /// Plan, queue, run, and print the table beside the paper's
    Reproduce(ReproduceArgs),
    /// Run what is queued until stopped
    Daemon(DaemonArgs),
    /// Say what runs, what waits, and what is done
    Status,
    /// List runs
    Runs(RunsArgs),
    /// Show one run: recipe, state, attempts, results
    Show(RunArgs),
    /// Print the log of a run
    Logs(LogsArgs),
    /// Print every point of a metric, exactly
    Series(SeriesArgs),
    /// Write an experiment's table in some format
    Export(ExportArgs),
    /// Judge every claim of the paper by the runs of this home: holds, fails, undecided
    Claims(ClaimsArgs),
    /// Add the seeds that a table needs to show the paper's steps, and run them
    TopUp(TopUpArgs),
    /// Compare two runs: what differs in their recipes and their results
    Compare(CompareArgs),
    /// Take a run off the queue, or stop it
    Cancel(RunArgs),
    /// Queue a failed or cancelled run again
    Retry(RunArgs),
    /// Change the place of a run in the queue
    Priority(PriorityArgs),
    /// Start no new attempts until `resume`
    Pause,
    /// Start attempts again
    Resume,
    /// Add, fetch, verify and pack datasets
    Data(data::DataArgs),
    /// Say what this machine has and lacks
    Doctor,
    /// Rebuild the database from the home's files
    Reindex,
    /// Measure how fast something is on this machine
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Serve the dashboard, and run what is queued
    Dashboard(DashboardArgs),
}

/// `runner list`.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct ListArgs {
    /// The refinements that rows can add
    #[arg(long)]
    pub refinements: bool,
    /// The models
    #[arg(long)]
    pub models: bool,
    /// The datasets
    #[arg(long)]
    pub datasets: bool,
    /// The metrics
    #[arg(long)]
    pub metrics: bool,
}

/// Which cells of which experiments.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Experiments, by name (see `runner list`) or as a path of a TOML file
    #[arg(required = true, value_name = "EXPERIMENT")]
    pub experiments: Vec<String>,
    /// Profile, if not the file's default
    #[arg(long)]
    pub profile: Option<String>,
    /// Seeds 1..=N of every cell, if not the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: Option<u64>,
    /// Recipe key to set in every cell, such as epochs=2; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Only these rows
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub rows: Option<Vec<String>>,
    /// Only these columns
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub columns: Option<Vec<String>>,
}

/// `runner plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which cells.
    #[command(flatten)]
    pub selection: Selection,
    /// Say where each value of one cell's recipe comes from
    #[arg(long, value_name = "ROW/COLUMN")]
    pub explain: Option<String>,
}

/// Where attempts are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutorName {
    /// On this machine.
    Local,
    /// As jobs of a Slurm cluster, as HOME/slurm.toml says (docs/SLURM.md).
    Slurm,
}

/// Where attempts are executed, and how many side by side.
#[derive(Debug, Clone, Args)]
pub struct ExecutorArgs {
    /// Where runs are trained
    #[arg(long, value_enum, default_value = "local")]
    pub executor: ExecutorName,
    /// Attempts side by side, if not one per GPU or what fits the CPU threads; with --executor slurm,
    /// jobs in its queue, if not max_jobs of slurm.toml
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slots: Option<u32>,
}

/// `runner reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Which cells.
    #[command(flatten)]
    pub selection: Selection,
    /// Executor.
    #[command(flatten)]
    pub executor: ExecutorArgs,
    /// Exit with status 3 if a result contradicts the paper: a verdict `off`, or a significant
    /// wrong sign
    #[arg(long)]
    pub check: bool,
}

/// `runner claims`.
#[derive(Debug, Args)]
pub struct ClaimsArgs {
    /// Profile whose runs count, if not each experiment's default
    #[arg(long)]
    pub profile: Option<String>,
    /// Exit with status 3 if a claim fails
    #[arg(long)]
    pub check: bool,
}

/// `runner top-up`.
#[derive(Debug, Args)]
pub struct TopUpArgs {
    /// Experiment, by name (see `runner list`) or as a path of a TOML file
    pub experiment: String,
    /// Profile, if not the file's default
    #[arg(long)]
    pub profile: Option<String>,
    /// Chance of seeing an effect that is there
    #[arg(long, default_value_t = 0.8, value_name = "SHARE")]
    pub power: f64,
    /// Effect to be seen, in points, if not each of the paper's own steps (at least 0.3)
    #[arg(long, value_name = "POINTS")]
    pub effect: Option<f64>,
    /// Most seeds of a cell
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(3..=100))]
    pub most: u64,
    /// Say how many seeds each step needs, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Executor.
    #[command(flatten)]
    pub executor: ExecutorArgs,
}

/// `runner daemon`.
#[derive(Debug, Args)]
pub struct DaemonArgs {
    /// Executor.
    #[command(flatten)]
    pub executor: ExecutorArgs,
}

/// `runner runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Words such as `failed`, `state=done,failed`, `experiment=table4`, `model=resnet50`, `seed=1`,
    /// or the beginning of a run key
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// A command about one run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run key, or its unambiguous beginning
    pub run: String,
}

/// `runner priority`.
#[derive(Debug, Args)]
pub struct PriorityArgs {
    /// Run key, or its unambiguous beginning
    pub run: String,
    /// Higher goes first; runs are queued with 0
    #[arg(allow_negative_numbers = true, value_name = "N")]
    pub priority: i64,
}

/// `runner compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run key, or its unambiguous beginning
    #[arg(value_name = "RUN")]
    pub a: String,
    /// Run key, or its unambiguous beginning
    #[arg(value_name = "RUN")]
    pub b: String,
}

/// `runner logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Run key, or its unambiguous beginning
    pub run: String,
    /// Keep printing what is appended, until the run ends
    #[arg(long, short)]
    pub follow: bool,
}

/// `runner series`.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// Run key, or its unambiguous beginning
    pub run: String,
    /// Metric, such as train/loss (see `runner list --metrics`)
    pub metric: String,
    /// Also the points of attempts that a later attempt replaced
    #[arg(long)]
    pub superseded: bool,
}

/// Formats of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// One line per row, column and metric.
    Csv,
    /// Everything, as docs/schema/table.schema.json says.
    Json,
    /// For a README.
    Markdown,
    /// booktabs.
    Latex,
    /// One self-contained page.
    Html,
    /// The file that a benchmark's server takes.
    Submission,
    /// A chart: a figure's panel or block diagram, or a table's curves.
    Svg,
    /// The same as pixels.
    Png,
}

/// Which epoch's value a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SelectName {
    /// Best validation epoch, as the paper printed.
    Best,
    /// Last epoch.
    Last,
}

/// `runner export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Experiment, by name or as a path of a TOML file
    pub experiment: String,
    /// Format
    #[arg(long, value_enum)]
    pub format: FormatName,
    /// File to write, if not stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Profile, if not the file's default
    #[arg(long)]
    pub profile: Option<String>,
    /// Which epoch's value is shown
    #[arg(long, value_enum, default_value = "best")]
    pub select: SelectName,
    /// Digits of our numbers in LaTeX
    #[arg(long, value_enum, default_value = "digits")]
    pub round: RoundName,
    /// Of `--format submission`: row of the run, if not the last that has finished
    #[arg(long)]
    pub row: Option<String>,
    /// Of `--format submission`: column of the run; of a table's chart: column whose curves are drawn
    #[arg(long)]
    pub column: Option<String>,
    /// Of a figure's chart: its panel, a letter as in the paper
    #[arg(long, value_name = "LETTER", value_parser = clap::value_parser!(char))]
    pub panel: Option<char>,
    /// Of a table's chart: the metric, if not the first that has curves
    #[arg(long)]
    pub metric: Option<String>,
    /// Of `--format submission`: seed of the run, if not 1
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub seed: Option<u64>,
}

/// How our numbers are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoundName {
    /// Two decimals, as the paper prints.
    Digits,
    /// At the first significant digit of the deviation over seeds: 76.1(2), with siunitx.
    Sd,
}

/// `runner bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How fast images are read, decoded and prepared
    Loader(BenchLoaderArgs),
    /// How fast points of a run get from its event file into the database, and their room there
    Ingest(BenchIngestArgs),
}

/// `runner bench ingest`.
#[derive(Debug, Args)]
pub struct BenchIngestArgs {
    /// Steps of the run, each with a loss and a learning rate
    #[arg(long, default_value_t = 600_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub steps: u64,
}

/// Which preprocessing is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PipelineName {
    /// Random-resized crop, flip, hue, saturation, brightness, PCA noise, normalise.
    Train,
    /// Resize, centre crop, normalise.
    Eval,
}

/// `runner bench loader`.
#[derive(Debug, Args)]
pub struct BenchLoaderArgs {
    /// Directory of images at any depth; its `train` or `val` where it has them
    pub dir: PathBuf,
    /// Threads, such as 2 or 1,2
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1,2",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,
    /// Preprocessing
    #[arg(long, value_enum, default_value = "train")]
    pub pipeline: PipelineName,
    /// Images of a batch
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: u32,
    /// Side of the prepared images, pixels
    #[arg(long, default_value_t = 224, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub size: u32,
    /// Widen the filter when shrinking, as torchvision does
    #[arg(long)]
    pub antialias: bool,
    /// Bytes and a matrix an image, for a device to finish, instead of floats
    #[arg(long)]
    pub bytes: bool,
    /// Batches of a measurement
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batches: u32,
    /// Take turns with another program: a measurement for every line on standard input
    #[arg(long, hide = true)]
    pub turns: bool,
}

/// `runner dashboard`.
#[derive(Debug, Args)]
pub struct DashboardArgs {
    /// Address and port to serve on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub bind: std::net::SocketAddr,
    /// Executor.
    #[command(flatten)]
    pub executor: ExecutorArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rows_and_columns_are_lists() {
        let cli = Cli::parse_from([
            "runner",
            "plan",
            "table4",
            "--rows",
            "a,b",
            "--columns",
            "c",
        ]);
        let Command::Plan(args) = cli.command else {
            panic!("plan")
        };
        assert_eq!(
            args.selection.rows,
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(args.selection.columns, Some(vec!["c".to_owned()]));
    }
}
