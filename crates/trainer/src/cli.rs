//! The command line: what may be said. The handlers are in [`crate::commands`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Executes one attempt of a run on libtorch.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Execute RUN_DIR/recipe.json: exit 0 finished, 75 checkpointed after SIGTERM, 1 permanent failure
    Run(RunArgs),
    /// Devices that runs can compute on
    Devices {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Parameters, MACs, layers and state-dict names of a model
    Inspect(InspectArgs),
    /// Step, epoch and learning rate of every step of a recipe
    Schedule {
        /// recipe.json of a run, a bare recipe, or a TOML or JSON table of some of its keys
        recipe: PathBuf,
        /// As CSV (the only form)
        #[arg(long)]
        csv: bool,
    },
    /// Logits of ready-made inputs
    Forward(ForwardArgs),
    /// Top-1 and top-5 of any weights
    Eval(EvalArgs),
    /// What a finished run says of test images whose labels a server holds, as the file that it judges
    Predict(PredictArgs),
    /// Benchmarks
    #[command(subcommand)]
    Bench(Bench),
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Directory with recipe.json
    #[arg(long)]
    pub run_dir: PathBuf,
    /// Number of this attempt; default: the next free one
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: Option<u32>,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of a model
    #[arg(required_unless_present = "list")]
    pub model: Option<String>,
    /// List the models instead
    #[arg(long, conflicts_with = "model")]
    pub list: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Classes of the classifier
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub classes: u32,
    /// Share of the published channels
    #[arg(long, default_value_t = 1.0)]
    pub width: f64,
    /// Blocks per stage, for example 1,1,1,1; default: the published ones
    #[arg(long, value_delimiter = ',')]
    pub depths: Option<Vec<u32>>,
    /// Paper or released code
    #[arg(long, value_enum, default_value_t = VariantArg::Paper)]
    pub variant: VariantArg,
    /// Side of the input, pixels; default: the model's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub input_size: Option<u32>,
}

/// Paper or released code.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum VariantArg {
    /// As the paper says
    Paper,
    /// As the released code does
    Gluoncv,
}

/// `forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Name of a model
    #[arg(long)]
    pub model: String,
    /// Safetensors file of its state dict
    #[arg(long)]
    pub weights: PathBuf,
    /// Safetensors file with `x` (N, 3, H, W; f32 or f64)
    #[arg(long)]
    pub input: PathBuf,
    /// Safetensors file to write `y` (logits) to
    #[arg(long)]
    pub output: PathBuf,
    /// Batch statistics instead of running ones (dropout stays off)
    #[arg(long)]
    pub train_mode: bool,
}

/// `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Name of a model
    #[arg(long)]
    pub model: String,
    /// Safetensors file of its state dict
    #[arg(long)]
    pub weights: PathBuf,
    /// Dataset whose validation split is evaluated
    #[arg(long)]
    pub dataset: String,
    /// Directory of the dataset; default: the usual places
    #[arg(long)]
    pub data_path: Option<PathBuf>,
    /// Side of the input, pixels; default: the model's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub input_size: Option<u32>,
    /// Short side before the centre crop, pixels; default: ceil(input size / 0.875)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub resize_short: Option<u32>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Directory of the run: recipe.json and its checkpoints, of which the last is used
    #[arg(long)]
    pub run_dir: PathBuf,
    /// Where to compute: `cpu`, `cuda:0`, ...
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// `bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Training steps on random images: images per second
    Step(BenchStepArgs),
    /// A kernel of detection on tensors of a file, taking turns with another program
    Operator(BenchOperatorArgs),
    /// A detector on random images, taking turns with another program
    Detection(BenchDetectionArgs),
}

/// `bench step`.
#[derive(Debug, Args)]
pub struct BenchStepArgs {
    /// recipe.json, a bare recipe, or a TOML or JSON table of some of its keys; default: ResNet-50 at batch 32
    #[arg(long)]
    pub recipe: Option<PathBuf>,
    /// libtorch threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
    /// Steps that are timed, after three that are not
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu)]
    pub device: DeviceArg,
    /// How the replicas of a batch are computed on one device; default: as runs do
    #[arg(long, value_enum)]
    pub replica_layout: Option<ReplicaLayoutArg>,
    /// Spread the replicas over these devices of the kind of `--device`, for example cuda:0,cuda:1
    #[arg(long, value_delimiter = ',', conflicts_with = "replica_layout")]
    pub devices: Vec<String>,
    /// Take turns with another program: for every line on standard input so many steps, answered by a JSON line
    #[arg(long, conflicts_with = "steps")]
    pub turns: bool,
    /// Log every step into this new event file, as a run does, and tell which share of the time that takes
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `bench operator`. For every line on standard input so many calls, answered by a JSON line.
#[derive(Debug, Args)]
pub struct BenchOperatorArgs {
    /// Which
    #[arg(value_enum)]
    pub operator: OperatorArg,
    /// Safetensors file with `boxes` (n, 4) and `scores` (n), or `features` (n, channels, height, width) and
    /// `rois` (r, 5); f32
    #[arg(long)]
    pub tensors: PathBuf,
    /// Of `nms`: overlap above which a box goes
    #[arg(long, default_value_t = 0.7)]
    pub iou: f64,
    /// Of `nms`: boxes that stay at most
    #[arg(long, default_value_t = 300)]
    pub keep: usize,
    /// Pool features whose channels lie side by side in memory
    #[arg(long)]
    pub channels_last: bool,
    /// libtorch threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
}

/// `bench detection`. For every line on standard input so many calls, answered by a JSON line.
#[derive(Debug, Args)]
pub struct BenchDetectionArgs {
    /// recipe.json, or a TOML or JSON table of some of its keys with task = "detect"; a call has `batch_size` images
    #[arg(long)]
    pub recipe: PathBuf,
    /// Training steps, instead of detecting
    #[arg(long)]
    pub training: bool,
    /// Width of the images as the network sees them, pixels
    #[arg(long, default_value_t = 800)]
    pub width: usize,
    /// Their height
    #[arg(long, default_value_t = 600)]
    pub height: usize,
    /// libtorch threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
}

/// A kernel of detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OperatorArg {
    /// Non-maximum suppression
    Nms,
    /// 14 x 14 bins of 2 x 2 samples at stride 16
    RoiAlign,
    /// The same, and the gradient of the features
    RoiAlignTraining,
}

/// How the replicas of a batch are computed on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplicaLayoutArg {
    /// One pass over the whole batch, BN slice by slice
    Slices,
    /// One pass per replica, gradients added: less memory
    MicroBatches,
}

/// Where a benchmark computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The CPU, on `--threads`
    Cpu,
    /// The first GPU
    Cuda,
}
