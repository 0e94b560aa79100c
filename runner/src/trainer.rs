//! Which trainer this runner starts, and what it said of itself and this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use rungs_spec::home::Home;
use rungs_spec::protocol::{NUMERICS_VERSION, PROTOCOL_VERSION, TrainerInfo};
use serde::{Deserialize, Serialize};

use crate::executor::Executor;
use crate::executor::slurm::Config;
use crate::files;

/// A trainer that answers and speaks our protocol.
#[derive(Debug, Clone)]
pub struct Trainer {
    /// The program.
    pub path: PathBuf,
    /// What it said.
    pub info: TrainerInfo,
}

/// HOME/machine.json: what the trainer said, and which file on disk said it, so that it need not be
/// asked again.
#[derive(Debug, Serialize, Deserialize)]
struct MachineFile {
    #[serde(flatten)]
    info: TrainerInfo,
    trainer: Stamp,
}

/// Identity of a program file, and of the devices it may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    size: u64,
    modified_ns: u64,
    /// CUDA_VISIBLE_DEVICES of the runner.
    visible_devices: Option<String>,
    /// CPUs that this process may use: a job system may have given it fewer than the machine has.
    cpus: usize,
    /// CPUs and GPUs of a job, where runs are trained as jobs of Slurm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<(u32, u32)>,
}

/// Where the trainer is: `RUNGS_TRAINER`, beside this program, then `PATH`.
pub fn find() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("RUNGS_TRAINER")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from);
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.canonicalize().ok()?.parent()?.join("trainer")));
    if let Some(named) = &named {
        if is_program(named) {
            return named
                .canonicalize()
                .with_context(|| format!("{}", named.display()));
        }
        bail!(
            "there is no trainer at {}, which RUNGS_TRAINER names; correct or unset RUNGS_TRAINER, \
             or build the trainer with `make build`",
            named.display()
        );
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = beside
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path).map(|dir| dir.join("trainer")))
        .find(|candidate| is_program(candidate));
    found.with_context(|| {
        format!(
            "there is no trainer: looked at RUNGS_TRAINER (not set), beside the runner ({}), and for \
             `trainer` on PATH; `make build` builds one, or set RUNGS_TRAINER to its path",
            beside.as_deref().map_or_else(|| "unknown".to_owned(), |p| p.display().to_string())
        )
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

impl Trainer {
    /// Finds the trainer and learns what it can do; asks it only if its file or this machine's
    /// devices changed since HOME/machine.json was written, and keeps the answer there. Where runs are
    /// jobs of Slurm, what a job asks for takes the place of this machine's devices.
    pub fn of_home(home: &Home, executor: &Executor) -> anyhow::Result<Trainer> {
        let path = find()?;
        let stamp = Stamp::of(&path, executor.slurm())?;
        if let Some(info) = remembered(home, &stamp) {
            return Ok(Trainer { path, info });
        }
        let info = asked(&path, executor.slurm())?;
        let text = serde_json::to_string_pretty(&MachineFile {
            info: info.clone(),
            trainer: stamp,
        })?;
        files::write_atomically(&home.machine(), text.as_bytes())?;
        Ok(Trainer { path, info })
    }

    /// As [`Trainer::of_home`], with the executor that the home was last used with, but writes
    /// nothing: for commands that only look.
    pub fn look(home: &Home) -> anyhow::Result<Trainer> {
        let path = find()?;
        let slurm = match machine_file(home) {
            Some(MachineFile { trainer, .. }) if trainer.job.is_some() => Config::load(home).ok(),
            _ => None,
        };
        let stamp = Stamp::of(&path, slurm.as_ref())?;
        let info = match remembered(home, &stamp) {
            Some(info) => info,
            None => asked(&path, slurm.as_ref())?,
        };
        Ok(Trainer { path, info })
    }
}

fn asked(path: &Path, slurm: Option<&Config>) -> anyhow::Result<TrainerInfo> {
    let info = ask(path)?;
    Ok(slurm.map_or_else(|| info.clone(), |config| config.describe(&info)))
}

impl Stamp {
    fn of(path: &Path, slurm: Option<&Config>) -> anyhow::Result<Stamp> {
        let meta = path
            .metadata()
            .with_context(|| format!("cannot look at {}", path.display()))?;
        let modified = meta
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Ok(Stamp {
            path: path.to_owned(),
            size: meta.len(),
            modified_ns: modified.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
            visible_devices: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            job: slurm.map(|config| (config.cpus, config.gpus.count().unwrap_or(0))),
        })
    }
}

/// A file that cannot be read is written anew: it holds nothing that cannot be asked again.
fn machine_file(home: &Home) -> Option<MachineFile> {
    let text = std::fs::read_to_string(home.machine()).ok()?;
    serde_json::from_str(&text).ok()
}

fn remembered(home: &Home, stamp: &Stamp) -> Option<TrainerInfo> {
    let file = machine_file(home)?;
    let known = file.info.protocol == PROTOCOL_VERSION && file.info.numerics == NUMERICS_VERSION;
    (known && file.trainer == *stamp).then_some(file.info)
}

/// Starts `trainer devices --json` and checks that the two speak of the same things.
pub fn ask(path: &Path) -> anyhow::Result<TrainerInfo> {
    let shown = path.display();
    let output = Command::new(path)
        .args(["devices", "--json"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start the trainer {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{shown} devices --json` failed ({}): {}; build it again with `make build`, or set \
             RUNGS_TRAINER to another trainer",
            output.status,
            said.trim()
        );
    }
    let info: TrainerInfo = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cannot read what `{shown} devices --json` printed"))?;
    if (info.protocol, info.numerics) != (PROTOCOL_VERSION, NUMERICS_VERSION) {
        bail!(
            "the trainer {shown} speaks protocol {} with numerics {}, this runner needs protocol \
             {PROTOCOL_VERSION} with numerics {NUMERICS_VERSION}; build both from one source with \
             `make build`",
            info.protocol,
            info.numerics
        );
    }
    Ok(info)
}
