//! HOME/slurm.toml: what a job asks of Slurm.

use anyhow::{Context as _, bail};
use rungs_spec::home::Home;
use rungs_spec::protocol::{Device, TrainerInfo};
use serde::Deserialize;

use crate::slots;

/// HOME/slurm.toml. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sbatch --partition`.
    pub partition: Option<String>,
    /// `sbatch --account`.
    pub account: Option<String>,
    /// `sbatch --time`, such as `"08:00:00"`: the limit of one job. A run may take many times that.
    pub time: Option<String>,
    /// `sbatch --gpus`: a count, or `"KIND:COUNT"`. 0: runs train on CPUs.
    pub gpus: Gpus,
    /// `sbatch --cpus-per-task`.
    pub cpus: u32,
    /// `sbatch --mem`, such as `"32G"`.
    pub mem: Option<String>,
    /// Further options of sbatch, as they are.
    pub extra: Vec<String>,
    /// Seconds before the limit at which the trainer is told to write a checkpoint and leave.
    pub signal_s: u32,
    /// Jobs in Slurm's queue at a time, waiting ones included.
    pub max_jobs: u32,
    /// Seconds between two questions to squeue.
    pub poll_s: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            partition: None,
            account: None,
            time: None,
            gpus: Gpus::Count(0),
            cpus: 1,
            mem: None,
            extra: Vec::new(),
            signal_s: 120,
            max_jobs: 100,
            poll_s: 10,
        }
    }
}

/// GPUs of a job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a number of GPUs, or \"KIND:NUMBER\" as in \"a100:1\""
)]
pub enum Gpus {
    /// So many of any kind.
    Count(u32),
    /// `KIND:COUNT`.
    OfKind(String),
}

impl Gpus {
    /// How many; `None` if that cannot be read.
    pub fn count(&self) -> Option<u32> {
        match self {
            Gpus::Count(count) => Some(*count),
            Gpus::OfKind(text) => {
                let (kind, count) = text.rsplit_once(':')?;
                count.parse().ok().filter(|n| *n > 0 && !kind.is_empty())
            }
        }
    }

    /// As sbatch takes it.
    pub fn option(&self) -> String {
        match self {
            Gpus::Count(count) => count.to_string(),
            Gpus::OfKind(text) => text.clone(),
        }
    }
}

/// Options of sbatch that the runner sets itself, and by which key a person changes them.
const OURS: &[(&str, &str)] = &[
    ("--partition", "partition"),
    ("-p", "partition"),
    ("--account", "account"),
    ("-A", "account"),
    ("--time", "time"),
    ("-t", "time"),
    ("--gpus", "gpus"),
    ("-G", "gpus"),
    ("--gres", "gpus"),
    ("--gpus-per-node", "gpus"),
    ("--gpus-per-task", "gpus"),
    ("--cpus-per-task", "cpus"),
    ("-c", "cpus"),
    ("--mem", "mem"),
    ("--signal", "signal_s"),
];

/// Options of sbatch on which the runner relies: nobody else may set them.
const FORBIDDEN: &[&str] = &[
    "--job-name",
    "-J",
    "--output",
    "-o",
    "--error",
    "-e",
    "--open-mode",
    "--dependency",
    "-d",
    "--requeue",
    "--no-requeue",
    "--kill-on-invalid-dep",
    "--parsable",
    "--array",
    "-a",
    "--wrap",
    "--wait",
    "-W",
    "--test-only",
    "--hold",
    "-H",
    "--quiet",
    "-Q",
    "--ntasks",
    "-n",
    "--nodes",
    "-N",
];

impl Config {
    /// Reads and checks it; the error names the file, the place and the cure.
    pub fn load(home: &Home) -> anyhow::Result<Config> {
        let path = home.slurm();
        let shown = path.display();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "--executor slurm needs {shown}, which is not there: it says what a job asks for, as \
                 in `partition = \"gpu\"`, `time = \"08:00:00\"`, `gpus = 1`, `cpus = 8`, \
                 `mem = \"32G\"`, a line each (docs/SLURM.md explains all keys)"
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        };
        let config: Config = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let place = before.map_or_else(String::new, |before| {
                format!(":{}", before.matches('\n').count() + 1)
            });
            let what = error.message().replace('\n', " ");
            anyhow::anyhow!("{shown}{place}: {what} (docs/SLURM.md explains all keys)")
        })?;
        config.check().with_context(|| {
            let line = |key: &str| text.lines().position(|l| l.trim_start().starts_with(key));
            let place = config.wrong_key().and_then(line);
            place.map_or_else(|| shown.to_string(), |at| format!("{shown}:{}", at + 1))
        })?;
        Ok(config)
    }

    /// The first key whose value cannot be right.
    fn wrong_key(&self) -> Option<&'static str> {
        self.check().err().and_then(|error| {
            let text = error.to_string();
            [
                "time", "gpus", "cpus", "mem", "extra", "signal_s", "max_jobs", "poll_s",
            ]
            .into_iter()
            .find(|key| text.starts_with(key))
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        if let Some(time) = &self.time {
            let Some(limit) = seconds(time) else {
                bail!(
                    "time = {time:?} is not a time: write \"HOURS:MINUTES:SECONDS\", or \
                     \"DAYS-HOURS:MINUTES:SECONDS\""
                );
            };
            if limit <= u64::from(self.signal_s) {
                bail!(
                    "signal_s = {} is not shorter than time = {time:?}: no time would be left to train",
                    self.signal_s
                );
            }
        }
        if self.gpus.count().is_none() {
            bail!(
                "gpus = {:?} is not a number, nor \"KIND:NUMBER\" as in \"a100:1\"",
                self.gpus.option()
            );
        }
        for (key, value) in [
            ("cpus", self.cpus),
            ("max_jobs", self.max_jobs),
            ("poll_s", self.poll_s),
        ] {
            if value == 0 {
                bail!("{key} = 0 makes no sense: give at least 1");
            }
        }
        if let Some(mem) = &self.mem {
            let digits = mem.trim_end_matches(['K', 'M', 'G', 'T']);
            if mem.len() > digits.len() + 1 || digits.parse::<u64>().is_err() {
                bail!("mem = {mem:?} is not an amount of memory: write it as in \"32G\"");
            }
        }
        for option in &self.extra {
            check_extra(option)?;
        }
        Ok(())
    }

    /// The machine that jobs run on, as far as it decides how a run computes: the trainer `info`
    /// speaks of the machine where the runner is, which may well have neither.
    pub fn describe(&self, info: &TrainerInfo) -> TrainerInfo {
        let cpu = Device {
            id: "cpu".to_owned(),
            kind: "cpu".to_owned(),
            name: "a node of Slurm".to_owned(),
            memory_bytes: 0,
            threads: self.cpus,
        };
        let gpu = |i| Device {
            id: format!("cuda:{i}"),
            kind: "cuda".to_owned(),
            name: "a GPU of Slurm".to_owned(),
            memory_bytes: 0,
            threads: 0,
        };
        let gpus = (0..self.gpus.count().unwrap_or(0)).map(gpu);
        TrainerInfo {
            devices: std::iter::once(cpu).chain(gpus).collect(),
            ..info.clone()
        }
    }

    /// Places in Slurm's queue; `asked` is `--slots`.
    pub fn shares(&self, asked: Option<u32>) -> slots::Shares {
        let count = asked.unwrap_or(self.max_jobs);
        slots::Shares {
            slots: (0..count).map(|_| "slurm".to_owned()).collect(),
            threads: None,
            jobs: true,
        }
    }
}

fn check_extra(option: &str) -> anyhow::Result<()> {
    let name = option.split('=').next().unwrap_or_default();
    let short = name.get(..2).filter(|_| !name.starts_with("--"));
    let is = |known: &str| known == name || Some(known) == short;
    if !option.starts_with('-') {
        bail!(
            "extra: {option:?} is not an option of sbatch: write each as one text, as in \
             \"--qos=long\""
        );
    }
    if let Some((_, key)) = OURS.iter().find(|(known, _)| is(known)) {
        bail!("extra: {option:?} stands beside the key `{key}`: set that instead");
    }
    if FORBIDDEN.iter().any(|known| is(known)) {
        bail!("extra: {option:?} is set by the runner, which relies on it: leave it out");
    }
    Ok(())
}

/// Seconds of a time limit as sbatch reads it: `M`, `M:S`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`; `None`
/// if it is none, or nothing.
fn seconds(time: &str) -> Option<u64> {
    let (days, rest) = match time.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, time),
    };
    let parts: Vec<u64> = rest
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let total = match (days, parts.as_slice()) {
        (None, [m]) => m * 60,
        (None, [m, s]) => m * 60 + s,
        (None, [h, m, s]) => h * 3600 + m * 60 + s,
        (Some(d), [h]) => d * 86_400 + h * 3600,
        (Some(d), [h, m]) => d * 86_400 + h * 3600 + m * 60,
        (Some(d), [h, m, s]) => d * 86_400 + h * 3600 + m * 60 + s,
        _ => return None,
    };
    Some(total).filter(|total| *total > 0)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
