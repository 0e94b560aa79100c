//! `trainer`: executes one attempt of a run on libtorch. The only crate that links libtorch.
//!
//! | question | module |
//! |---|---|
//! | what may the command line say, what does a command do? | [`cli`], [`commands`] |
//! | what happens from a run directory to an exit status? | [`run`], [`session`] |
//! | which attempt is this, who may write? | [`attempts`], [`events`] |
//! | what does the log say? | [`log`] |
//! | what is in a checkpoint, which one counts? | [`checkpoint`] |
//! | what is one training step? | [`training`], [`loss`], [`loss_scale`], [`optimiser`] |
//! | which replicas are computed where? | [`replica_layout`], [`share`] |
//! | how are images mixed, what does a teacher say? | [`mixup`], [`teacher`] |
//! | how is a layer computed? | [`network`], [`norm`], [`parameters`] |
//! | where do initial weights come from? | [`init`], [`initial`], [`weights`] |
//! | how do predictions get into pictures? | [`pictures`] |
//! | what is detection, what is segmentation? | [`detect`], [`segment`] |
//! | what of a recipe is supported? | [`supported`] |
//! | which allocator, and why is memory not given back? | [`memory`] |
//! | where do random numbers come from? | [`determinism`], [`dropout`] |
//!
//! Architecture invariants: knows neither SQL nor the store; only appends to files in its run
//! directory; reads back from the device once per block of steps.

mod attempts;
mod backbone;
mod batch;
mod checkpoint;
mod cli;
mod commands;
mod detect;
mod determinism;
mod dropout;
mod environment;
mod evaluate;
mod events;
mod failure;
mod gpu;
mod init;
mod initial;
mod log;
mod loss;
mod loss_scale;
mod memory;
mod mixup;
mod network;
mod norm;
mod optimiser;
mod parameters;
mod pictures;
mod readback;
mod replica_layout;
mod run;
mod segment;
mod session;
mod share;
mod supported;
mod teacher;
#[cfg(test)]
mod test_support;
mod training;
mod weights;

use clap::Parser;

fn main() {
    std::process::exit(commands::execute(cli::Cli::parse().command));
}
