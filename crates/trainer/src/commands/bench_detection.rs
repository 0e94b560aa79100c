//! `trainer bench detection`: how fast a detector is on a random image with a few boxes, training or
//! not, with no loader. It takes turns with another program, as `bench operator` does.

use std::time::Instant;

use anyhow::Context as _;
use rungs_data::scenes::Object;
use rungs_data::scenes::detection::Prepared;
use rungs_spec::model::Model;
use rungs_spec::recipe::Recipe;
use serde::Serialize;
use tch::{Device, Kind};

use super::{print, recipe_file};
use crate::cli::BenchDetectionArgs;
use crate::detect::batch::{self, Group};
use crate::detect::evaluate::Subject;
use crate::detect::network::{Detector, Shape};
use crate::detect::step::{Asked, Learner};
use crate::determinism::Stream;
use crate::init::{self, Distribution};
use crate::norm::Replicas;
use crate::optimiser::{Optimiser, Settings};
use crate::parameters::{Arithmetic, Parameters};
use crate::{determinism, environment};

/// Calls before the clock starts.
const WARM_UP: u64 = 1;
/// Of VOC.
const CLASSES: u32 = 20;

/// What a peer compares before it compares any time.
#[derive(Debug, Serialize)]
struct Answer {
    /// Scalars of the network.
    count: usize,
    sums: [f64; 0],
}

/// Some calls, timed.
#[derive(Debug, Serialize)]
struct Block {
    ms_per_step: f64,
    cpu_ms_per_step: f64,
}

#[derive(Debug, Serialize)]
struct Peak {
    peak_bytes: u64,
}

/// A detector with images.
struct Work {
    detector: Detector,
    asked: Asked,
    parameters: Parameters,
    replicas: Replicas,
    optimiser: Optimiser,
    groups: Vec<Group>,
    training: bool,
    step: u64,
}

/// `trainer bench detection`.
pub fn detection(args: &BenchDetectionArgs) -> anyhow::Result<()> {
    determinism::set_up(args.threads);
    let (recipe, _) = recipe_file::read(&args.recipe)?;
    let mut work = Work::new(&recipe, args)?;
    print::json_line(&Answer {
        count: work.parameters.master.numel(),
        sums: [],
    })?;
    work.block(WARM_UP)?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let calls = line
            .trim()
            .parse()
            .with_context(|| format!("{line:?} on standard input: expected a number of calls"))?;
        print::json_line(&work.block(calls)?)?;
    }
    print::json_line(&Peak {
        peak_bytes: environment::peak_bytes(),
    })
}

impl Work {
    fn new(recipe: &Recipe, args: &BenchDetectionArgs) -> anyhow::Result<Work> {
        let place = args.recipe.display();
        let detect = recipe
            .detect
            .as_ref()
            .with_context(|| format!("{place}: set task = \"detect\""))?;
        let shape = Shape::of_recipe(detect, CLASSES);
        let detector = Detector::new(&Model::of_recipe(recipe, 1)?, shape)
            .map_err(|failure| anyhow::anyhow!("{place}: {}", failure.message))?;
        let arithmetic = Arithmetic::Plain(Kind::Float);
        let mut parameters = Parameters::new(&detector.network, arithmetic, Device::Cpu);
        let specs = &detector.network.parameters;
        init::draw(&mut parameters, specs, Distribution::Xavier, 1);
        init::spread(&mut parameters, specs, Detector::spread, 1);
        parameters.refresh();
        let settings = Settings {
            momentum: recipe.momentum,
            nesterov: recipe.nesterov,
            weight_decay: recipe.weight_decay,
            decay: recipe.decay,
            clip: recipe.clip,
            skip_overflow: false,
        };
        let mut optimiser = Optimiser::new(&parameters, settings);
        optimiser.set_rates(&parameters, |spec| detector.rate(&spec.name));
        let images = (0..recipe.batch_size).map(|i| image(args, u64::from(i)));
        let groups = batch::groups(images.collect(), Device::Cpu)
            .map_err(|failure| anyhow::anyhow!(failure.message))?;
        Ok(Work {
            asked: Asked::new(detect, detector.stride),
            replicas: Replicas::new(&detector.network, 1, Kind::Float, Device::Cpu),
            detector,
            parameters,
            optimiser,
            groups,
            training: args.training,
            step: 0,
        })
    }

    fn call(&mut self) -> anyhow::Result<()> {
        if self.training {
            let mut learner = Learner {
                detector: &self.detector,
                parameters: &mut self.parameters,
                stats: self.replicas.each(),
                optimiser: &mut self.optimiser,
                asked: &self.asked,
                seed: 1,
            };
            let loss = learner
                .step(&self.groups, self.step, 1e-4)
                .map_err(|failure| anyhow::anyhow!(failure.message))?;
            drop(loss);
            self.step += 1;
            return Ok(());
        }
        let leaves = self.parameters.leaves();
        let stats = &self.replicas.each()[0];
        let subject = Subject::new(&self.detector, &self.asked, leaves, stats);
        for group in &self.groups {
            drop(subject.detect(group));
        }
        Ok(())
    }

    fn block(&mut self, calls: u64) -> anyhow::Result<Block> {
        let begun = (Instant::now(), environment::cpu_seconds());
        for _ in 0..calls {
            self.call()?;
        }
        let per_call = |seconds: f64| 1000.0 * seconds / calls.max(1) as f64;
        Ok(Block {
            ms_per_step: per_call(begun.0.elapsed().as_secs_f64()),
            cpu_ms_per_step: per_call(environment::cpu_seconds() - begun.1),
        })
    }
}

/// Noise, with eight boxes of a tenth to a half of its sides.
fn image(args: &BenchDetectionArgs, number: u64) -> Prepared {
    let mut stream = Stream::new(number, "bench detection");
    let [width, height] = [args.width, args.height];
    let objects = (0..8).map(|i| {
        let mut side = |length: usize| {
            let share = 0.1 + 0.4 * stream.uniform();
            let size = share * length as f64;
            let first = stream.uniform() * (length as f64 - size - 1.0);
            (first as f32, (first + size) as f32)
        };
        let ((left, right), (top, bottom)) = (side(width), side(height));
        Object {
            label: i % i64::from(CLASSES),
            corners: [left, top, right, bottom],
            difficult: false,
        }
    });
    let objects = objects.collect();
    Prepared {
        pixels: (0..width * height * 3)
            .map(|_| stream.normal() as f32)
            .collect(),
        width,
        height,
        original: [width, height],
        scale: [1.0; 2],
        objects,
        ..Prepared::default()
    }
}
