//! `trainer bench step`: how fast one training step is, on random images, with no loader.

use std::collections::BTreeMap;
use std::time::Instant;

use rungs_spec::model::Model;
use rungs_spec::protocol::{
    Arithmetic, DatasetRef, InputRef, NUMERICS_VERSION, PROTOCOL_VERSION, RunFile,
};
use rungs_spec::recipe::{Recipe, Source};
use rungs_spec::{RunKey, dataset, runkey};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::{print, recipe_file};
use crate::cli::{BenchStepArgs, DeviceArg, ReplicaLayoutArg};
use crate::events::Events;
use crate::failure::Failure;
use crate::init::{self, Distribution};
use crate::mixup::Mixup;
use crate::readback::Readback;
use crate::replica_layout::ReplicaLayout;
use crate::teacher::{self, Teacher};
use crate::training::Training;
use crate::{determinism, environment, supported};

/// Steps before the clock starts: oneDNN compiles its kernels at their first use.
const WARM_UP: u64 = 3;

#[derive(Debug, Serialize)]
struct Benched {
    model: String,
    batch_size: u32,
    input_size: u32,
    precision: String,
    replicas: u32,
    device: String,
    threads: u32,
    /// Trainable scalars, so that a peer can show that it trains the same network.
    parameters: i64,
    steps: u64,
    images_per_s: f64,
    ms_per_step: f64,
    /// CPU time of the process: what a busy machine does not change.
    cpu_ms_per_step: f64,
    peak_bytes: u64,
    cpu: String,
    /// Share of the steps' time that went into logging them, with `--log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logging_share: Option<f64>,
}

/// A block of steps, timed.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Block {
    steps: u64,
    ms_per_step: f64,
    cpu_ms_per_step: f64,
}

/// A network on random images.
struct Bench {
    run: RunFile,
    training: Training,
    images: Tensor,
    labels: Tensor,
    step: u64,
    log: Option<Log>,
}

/// Writes every step's loss and learning rate, as a run does.
struct Log {
    events: Events,
    readback: Readback,
    /// Spent in it, and in all steps.
    seconds: (f64, f64),
}

/// `trainer bench step`. With `--turns`, a block of steps for every line on standard input (their
/// number), answered by a JSON line: so that two programs can take turns, which is the only way to
/// compare them on a machine with other work.
pub fn step(args: &BenchStepArgs) -> anyhow::Result<()> {
    let mut bench = Bench::new(args)?;
    bench.block(WARM_UP)?;
    let mut all = Block::default();
    if args.turns {
        print::json_line(&bench.benched(args, all))?;
        for line in std::io::stdin().lines() {
            let block = bench.block(line?.trim().parse()?)?;
            print::json_line(&block)?;
            all = all.and(block);
        }
    } else {
        all = bench.block(u64::from(args.steps))?;
    }
    let benched = bench.benched(args, all);
    if args.turns {
        return print::json_line(&benched);
    }
    if args.json {
        return print::json(&benched);
    }
    print::line(format_args!(
        "{} at {} px, batch {}, {}: {:.1} images/s, {:.2} ms a step ({:.2} ms CPU) on {}",
        benched.model,
        benched.input_size,
        benched.batch_size,
        benched.precision,
        benched.images_per_s,
        benched.ms_per_step,
        benched.cpu_ms_per_step,
        match args.device {
            DeviceArg::Cpu => format!("{} threads of {}", benched.threads, benched.cpu),
            DeviceArg::Cuda => "cuda:0".to_owned(),
        },
    ))?;
    Ok(())
}

impl Block {
    fn and(self, other: Block) -> Block {
        let steps = self.steps + other.steps;
        let mean =
            |a: f64, b: f64| (a * self.steps as f64 + b * other.steps as f64) / steps.max(1) as f64;
        Block {
            steps,
            ms_per_step: mean(self.ms_per_step, other.ms_per_step),
            cpu_ms_per_step: mean(self.cpu_ms_per_step, other.cpu_ms_per_step),
        }
    }
}

impl Bench {
    fn new(args: &BenchStepArgs) -> anyhow::Result<Bench> {
        let recipe = match &args.recipe {
            Some(file) => recipe_file::read(file)?.0,
            None => {
                let table = toml::Table::from_iter([
                    ("batch_size".to_owned(), toml::Value::Integer(32)),
                    ("replicas".to_owned(), toml::Value::Integer(1)),
                ]);
                rungs_spec::settle::complete(&table)?
            }
        };
        if args.device == DeviceArg::Cuda && !tch::Cuda::is_available() {
            anyhow::bail!(
                "--device cuda: libtorch sees no GPU on this machine; `trainer devices` lists what it sees, and \
                 docs/GPU.md says which libtorch a GPU needs"
            );
        }
        let run = RunFile {
            v: PROTOCOL_VERSION,
            run: any_key(),
            seed: 1,
            numerics: NUMERICS_VERSION,
            arithmetic: match args.device {
                DeviceArg::Cpu => Arithmetic::Cpu,
                DeviceArg::Cuda => Arithmetic::Cuda,
            },
            compute_threads: args.threads,
            devices: args.devices.clone(),
            timing: false,
            checkpoint_every_s: f64::INFINITY,
            dataset: DatasetRef {
                name: recipe.dataset.clone(),
                identity: String::new(),
                path: None,
                layout: None,
                known: None,
            },
            inputs: teacher_input(&recipe)?,
            recipe,
        };
        determinism::set_up(args.threads);
        let classes = dataset::find(&run.recipe.dataset).map_or(1000, |dataset| dataset.classes);
        let mut settled = supported::settle(&run).map_err(wrong)?;
        let device = settled.layout.main();
        if let Some(layout) = args.replica_layout {
            settled.layout = match layout {
                ReplicaLayoutArg::Slices => ReplicaLayout::Slices(device),
                ReplicaLayoutArg::MicroBatches => ReplicaLayout::MicroBatches(device),
            };
        }
        let model = Model::of_recipe(&run.recipe, classes)?;
        anyhow::ensure!(
            run.recipe.mixup_lambdas.is_none(),
            "bench step draws its own lambdas: leave mixup_lambdas out and set mixup_alpha"
        );
        let mixup = Mixup::of_run(&run, u64::MAX).map_err(wrong)?;
        let teacher = Teacher::of_run(&run, classes, settled.arithmetic, device).map_err(wrong)?;
        let mut training = Training::new(&model, settled, mixup, teacher, 1);
        init::draw(
            &mut training.parameters,
            &training.network.parameters,
            Distribution::Xavier,
            1,
        );
        training.parameters.refresh();
        let (n, side) = (
            i64::from(run.recipe.batch_size),
            i64::from(run.recipe.input_size),
        );
        let kind = training.arithmetic().master();
        determinism::seed_libtorch(1);
        let images = Tensor::randn([n, side, side, 3], (Kind::Float, device))
            .to_kind(kind)
            .permute([0, 3, 1, 2]);
        let labels = Tensor::randint(i64::from(classes), [n], (Kind::Int64, device));
        Ok(Bench {
            run,
            training,
            images,
            labels,
            step: 0,
            log: args.log.as_deref().map(Log::new).transpose()?,
        })
    }

    fn block(&mut self, steps: u64) -> anyhow::Result<Block> {
        let begun = (Instant::now(), environment::cpu_seconds());
        for _ in 0..steps {
            let loss = self
                .training
                .step(&self.images, &self.labels, self.step, 1e-3)
                .map_err(wrong)?;
            if let Some(log) = &mut self.log {
                log.step(self.step, loss).map_err(wrong)?;
            }
            self.step += 1;
        }
        if let Some(log) = &mut self.log {
            log.seconds.1 += begun.0.elapsed().as_secs_f64();
        }
        if self.training.device != Device::Cpu {
            for device in 0..tch::Cuda::device_count() {
                tch::Cuda::synchronize(device);
            }
        }
        let per_step = |seconds: f64| 1000.0 * seconds / steps.max(1) as f64;
        Ok(Block {
            steps,
            ms_per_step: per_step(begun.0.elapsed().as_secs_f64()),
            cpu_ms_per_step: per_step(environment::cpu_seconds() - begun.1),
        })
    }

    fn benched(&self, args: &BenchStepArgs, block: Block) -> Benched {
        let recipe = &self.run.recipe;
        Benched {
            model: recipe.model.clone(),
            batch_size: recipe.batch_size,
            input_size: recipe.input_size,
            precision: format!("{:?}", recipe.precision).to_lowercase(),
            replicas: recipe.replicas,
            device: match args.device {
                DeviceArg::Cpu => "cpu".to_owned(),
                DeviceArg::Cuda => "cuda:0".to_owned(),
            },
            threads: args.threads,
            parameters: self.training.parameters.master.numel() as i64,
            steps: block.steps,
            images_per_s: match block.ms_per_step {
                0.0 => 0.0,
                ms => 1000.0 * f64::from(recipe.batch_size) / ms,
            },
            ms_per_step: block.ms_per_step,
            cpu_ms_per_step: block.cpu_ms_per_step,
            peak_bytes: environment::peak_bytes(),
            cpu: environment::cpu_model(),
            logging_share: self.log.as_ref().map(|log| log.seconds.0 / log.seconds.1),
        }
    }
}

impl Log {
    fn new(path: &std::path::Path) -> anyhow::Result<Log> {
        let events = Events::create(path, 1).map_err(wrong)?;
        let events = events.ok_or_else(|| {
            anyhow::anyhow!("{}: is there already; name a new file", path.display())
        })?;
        Ok(Log {
            events,
            readback: Readback::new(),
            seconds: (0.0, 0.0),
        })
    }

    fn step(&mut self, step: u64, loss: Tensor) -> Result<(), Failure> {
        let begun = Instant::now();
        self.readback.push(step, 0, loss, 1e-3);
        if self.readback.is_due() {
            self.readback.flush(&mut self.events)?;
        }
        self.seconds.0 += begun.elapsed().as_secs_f64();
        Ok(())
    }
}

fn wrong(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!(failure.message)
}

/// The teacher's weights, which only a file can give here.
fn teacher_input(recipe: &Recipe) -> anyhow::Result<BTreeMap<String, InputRef>> {
    let Some(distill) = &recipe.distill else {
        return Ok(BTreeMap::new());
    };
    let Source::File(file) = &distill.teacher else {
        anyhow::bail!(
            "{} is a run of an experiment, which bench step does not know: name a file, \
             {{ weights = FILE, model = NAME }}",
            teacher::INPUT
        );
    };
    let input = InputRef {
        model: file.model.clone(),
        run_dir: None,
        checkpoint: None,
        file: Some(file.weights.clone().into()),
    };
    Ok(BTreeMap::from([(teacher::INPUT.to_owned(), input)]))
}

/// A run file needs a key; nothing here depends on which.
fn any_key() -> RunKey {
    runkey::of_json(&serde_json::Value::Null)
}
