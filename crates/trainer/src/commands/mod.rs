//! What each command does. Results on stdout, errors as one paragraph on stderr.

mod bench;
mod bench_detection;
mod bench_operator;
mod inspect;
mod predict;
mod print;
mod recipe_file;
mod schedule;
mod weights_in;

use crate::cli::{Bench, Command};
use crate::environment;
use crate::failure::EXIT_USAGE;
use crate::run;

/// Executes a command and returns the exit status.
pub fn execute(command: Command) -> i32 {
    let result = match command {
        Command::Run(args) => return run::run(&args.run_dir, args.attempt),
        Command::Devices { json } => devices(json),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Schedule { recipe, csv: _ } => schedule::schedule(&recipe),
        Command::Forward(args) => weights_in::forward(&args),
        Command::Eval(args) => weights_in::eval(&args),
        Command::Predict(args) => predict::predict(&args),
        Command::Bench(Bench::Step(args)) => bench::step(&args),
        Command::Bench(Bench::Detection(args)) => bench_detection::detection(&args),
        Command::Bench(Bench::Operator(args)) => bench_operator::operator(&args),
    };
    match result {
        Ok(()) => 0,
        // A reader that has seen enough (`| head`) is no error.
        Err(error) if print::is_broken_pipe(&error) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            EXIT_USAGE
        }
    }
}

fn devices(json: bool) -> anyhow::Result<()> {
    let info = environment::trainer_info();
    if json {
        return print::json(&info);
    }
    print::line(format_args!(
        "trainer {}, libtorch {}",
        info.version, info.libtorch
    ))?;
    for device in info.devices {
        let gib = device.memory_bytes as f64 / f64::from(1 << 30);
        print::line(format_args!(
            "{:8} {} ({} threads, {gib:.1} GiB)",
            device.id, device.name, device.threads
        ))?;
    }
    Ok(())
}
