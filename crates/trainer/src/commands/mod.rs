//! What each command does. Results on stdout, errors as one paragraph on stderr.
#![expect(clippy::print_stdout, reason = "these commands print their results")]

mod bench;
mod inspect;
mod recipe_file;
mod schedule;
mod weights_in;

use serde::Serialize;

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
        Command::Bench(Bench::Step(args)) => bench::step(&args),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            EXIT_USAGE
        }
    }
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn devices(json: bool) -> anyhow::Result<()> {
    let info = environment::trainer_info();
    if json {
        return print_json(&info);
    }
    println!("trainer {}, libtorch {}", info.version, info.libtorch);
    for device in info.devices {
        let gib = device.memory_bytes as f64 / f64::from(1 << 30);
        println!(
            "{:8} {} ({} threads, {gib:.1} GiB)",
            device.id, device.name, device.threads
        );
    }
    Ok(())
}
