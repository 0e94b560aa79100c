//! `runner bench loader`: how fast are images read, decoded and prepared on this machine, and in how
//! much memory?

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rungs_data::decode::Decoder;
use rungs_data::files::Files;
use rungs_data::preprocess::affine::Matrix;
use rungs_data::preprocess::{Layout, Out, Pipeline, Scratch};
use rungs_data::random::{Purpose, Stream};
use rungs_data::{Dataset, Image, Loader, LoaderConfig, Output};
use rungs_spec::recipe::{Augment, Variant};
use serde::Serialize;

use super::usage::{cpu_seconds, peak_bytes, reset_peak};
use crate::cli::{BenchLoaderArgs, PipelineName};
use crate::context::Context;
use crate::output;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    /// With the most threads: every step of every image finished.
    images_per_s: f64,
    stages: Stages,
    /// Peak resident memory of the process, with the most threads.
    peak_bytes: u64,
    runs: Vec<Run>,
}

/// Images a second of each stage alone, on one thread.
#[derive(Debug, Serialize)]
struct Stages {
    read: f64,
    decode: f64,
    resize: f64,
    colour: f64,
}

#[derive(Debug, Serialize)]
struct Run {
    threads: usize,
    images_per_s: f64,
    peak_bytes: u64,
}

/// One answer of `--turns`, under the names that bench/peers/pytorch_step.py reads.
#[derive(Debug, Serialize)]
struct Turn {
    images_per_s: f64,
    ms_per_step: f64,
    cpu_ms_per_step: f64,
}

struct Bench {
    dataset: Arc<dyn Dataset>,
    /// Different files.
    files: usize,
    config: LoaderConfig,
    train: bool,
    batches: usize,
}

pub(super) fn run(context: &Context, args: &BenchLoaderArgs) -> anyhow::Result<()> {
    let mut bench = Bench::new(args)?;
    if args.turns {
        return bench.turns();
    }
    let stages = bench.stages()?;
    let mut runs = Vec::new();
    for threads in &args.threads {
        bench.config.workers = usize::from(*threads);
        reset_peak();
        let seconds = bench.pass(args.batches as usize)?.as_secs_f64();
        runs.push(Run {
            threads: bench.config.workers,
            images_per_s: (args.batches * args.batch) as f64 / seconds,
            peak_bytes: peak_bytes(),
        });
    }
    let most = runs.iter().max_by_key(|run| run.threads);
    let most = most.context("give --threads a number")?;
    let report = Report {
        images_per_s: most.images_per_s,
        peak_bytes: most.peak_bytes,
        stages,
        runs,
    };
    if context.json {
        return output::print_json(&report);
    }
    let Stages {
        read,
        decode,
        resize,
        colour,
    } = report.stages;
    let mut text = format!(
        "{} files, {:?}, {} px, batches of {}\n\
         one thread, images/s of each stage: read {read:.0}, decode {decode:.0}, resize {resize:.0}, colour {colour:.0}\n",
        bench.files, args.pipeline, args.size, args.batch
    );
    for run in &report.runs {
        text += &format!(
            "{} threads: {:.0} images/s, peak memory {:.0} MiB\n",
            run.threads,
            run.images_per_s,
            run.peak_bytes as f64 / f64::from(1 << 20)
        );
    }
    output::print(&text)
}

impl Bench {
    fn new(args: &BenchLoaderArgs) -> anyhow::Result<Self> {
        let train = args.pipeline == PipelineName::Train;
        let split = args.dir.join(if train { "train" } else { "val" });
        let dir = if split.is_dir() { &split } else { &args.dir };
        let files = Files::below(dir)?;
        let count = files.len();
        let batches = args.batches as usize;
        let dataset = files.repeated(args.batch as usize * batches);
        let config = LoaderConfig {
            seed: 1,
            batch_size: args.batch as usize,
            input_size: args.size,
            augment: Augment {
                crop_area: [0.08, 1.0],
                crop_ratio: [0.75, 4.0 / 3.0],
                flip: 0.5,
                hue: 0.4,
                saturation: 0.4,
                brightness: 0.4,
                contrast: 0.0,
                pca_std: 0.1,
                antialias: args.antialias,
                resize_short: (f64::from(args.size) / 0.875).ceil() as u32,
            },
            variant: Variant::Paper,
            max_corrupt: 0,
            layout: Layout::ChannelsLast,
            output: if args.bytes {
                Output::Bytes
            } else {
                Output::Floats
            },
            workers: usize::from(args.threads.iter().copied().max().unwrap_or(1)),
        };
        Ok(Bench {
            dataset: Arc::new(dataset),
            files: count,
            config,
            train,
            batches,
        })
    }

    /// Time of `batches` batches, the loader's start included.
    fn pass(&self, batches: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let data = self.dataset.clone();
        let loader = match self.train {
            true => Loader::train(data, &self.config, 0, 0)?,
            false => Loader::eval(data, &self.config, self.config.batch_size)?,
        };
        for batch in loader.take(batches) {
            std::hint::black_box(&batch?.images);
        }
        Ok(begun.elapsed())
    }

    /// A line on standard input is a number of batches; the answer is a line of JSON. At the end of the
    /// input, the peak of memory.
    fn turns(&self) -> anyhow::Result<()> {
        self.pass(1)?;
        output::print(&serde_json::json!({ "files": self.files }).to_string())?;
        for line in std::io::stdin().lines() {
            let line = line?;
            let batches: usize = line.trim().parse().with_context(|| {
                format!("standard input: \"{line}\" is no number of batches; give one a line")
            })?;
            let batches = batches.clamp(1, self.batches);
            let cpu = cpu_seconds();
            let seconds = self.pass(batches)?.as_secs_f64();
            let step = 1e3 / batches as f64;
            output::print(&serde_json::to_string(&Turn {
                images_per_s: (batches * self.config.batch_size) as f64 / seconds,
                ms_per_step: seconds * step,
                cpu_ms_per_step: (cpu_seconds() - cpu) * step,
            })?)?;
        }
        output::print(&serde_json::json!({ "peak_bytes": peak_bytes() }).to_string())
    }

    /// Each stage over every file, one after the other.
    fn stages(&self) -> anyhow::Result<Stages> {
        let config = &self.config;
        let pipeline = Pipeline::new(
            &config.augment,
            config.variant,
            config.input_size,
            config.layout,
        )?;
        let values = (config.input_size * config.input_size * 3) as usize;
        let (mut floats, mut pixels) = (vec![0.0; values], vec![0; values]);
        let mut matrix = Matrix::default();
        let (mut bytes, mut image) = (Vec::new(), Image::default());
        let (mut decoder, mut scratch) = (Decoder::default(), Scratch::default());
        let files = self.files.min(self.dataset.len());
        let mut time = [Duration::ZERO; 4];
        // Twice: the first time files come from the disk and buffers grow.
        for round in 0..2 {
            for index in 0..files {
                let place = || self.dataset.place(index);
                let begun = Instant::now();
                bytes.clear();
                self.dataset.bytes(index, &mut bytes)?;
                let read = Instant::now();
                let opened = decoder.open(&bytes, &place)?;
                let plan = if self.train {
                    let mut stream = Stream::new(Purpose::Augment, config.seed, 0, index as u64);
                    pipeline.plan_train(opened.width, opened.height, &mut stream, &mut scratch)
                } else {
                    pipeline.plan_evaluate(opened.width, opened.height, &mut scratch)
                };
                opened.region(plan.needed, &place, &mut image)?;
                let decoded = Instant::now();
                let origin = [plan.needed.x, plan.needed.y];
                let out = Out::Bytes(&mut pixels, &mut matrix);
                pipeline.carry_out(&plan, &image, origin, &mut scratch, out);
                let resized = Instant::now();
                // The same resize with the colour matrix applied as it goes.
                let out = Out::Floats(&mut floats);
                pipeline.carry_out(&plan, &image, origin, &mut scratch, out);
                let done = resized.elapsed();
                if round == 1 {
                    let resize = resized - decoded;
                    time[0] += read - begun;
                    time[1] += decoded - read;
                    time[2] += resize;
                    time[3] += done.saturating_sub(resize);
                }
            }
        }
        let [read, decode, resize, colour] = time.map(|t| files as f64 / t.as_secs_f64().max(1e-9));
        Ok(Stages {
            read,
            decode,
            resize,
            colour,
        })
    }
}
