//! `runner doctor`: what this machine has and lacks.

use std::path::Path;

use rungs_spec::dataset::DATASETS;
use rungs_store::Store;
use serde::Serialize;
use serde_json::Value;

use crate::cli::ExecutorName;
use crate::context::Context;
use crate::executor::{Executor, slurm};
use crate::scheduler::SchedulerLock;
use crate::trainer::Trainer;
use crate::{failure, output, slots};

/// How it is with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    /// Not there, and only needed for some uses.
    Absent,
    /// Not there or broken, and needed.
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    health: Health,
    /// For people: what was found, or the cure.
    says: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
}

fn finding(what: &str, health: Health, says: impl Into<String>) -> Finding {
    Finding {
        what: what.to_owned(),
        health,
        says: says.into(),
        details: Value::Null,
    }
}

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let mut findings = vec![home(context), disk(context)];
    findings.extend(trainer(context));
    findings.extend(datasets(context));
    findings.push(database(context).await);
    findings.push(scheduler(context));
    findings.push(slurm(context).await);
    if context.json {
        return output::print_json(&serde_json::json!({ "findings": findings }));
    }
    let lines: Vec<String> = findings
        .iter()
        .map(|f| {
            let mark = match f.health {
                Health::Ok => "ok",
                Health::Absent => "-",
                Health::Bad => "BAD",
            };
            format!("{mark:4} {:24} {}", f.what, f.says)
        })
        .collect();
    output::print(&lines.join("\n"))
}

fn home(context: &Context) -> Finding {
    let dir = context.home.dir();
    let shown = dir.display();
    if !dir.exists() {
        return finding(
            "home",
            Health::Ok,
            format!("{shown}, made by the first `runner reproduce`"),
        );
    }
    match rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
        Ok(()) if dir.is_dir() => finding("home", Health::Ok, shown.to_string()),
        Ok(()) => finding("home", Health::Bad, format!("{shown} is not a directory")),
        Err(error) => {
            let cure = "make it writable or choose another with --home";
            finding(
                "home",
                Health::Bad,
                format!("{shown} cannot be written ({error}); {cure}"),
            )
        }
    }
}

/// The nearest directory that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors()
        .find(|d| d.exists())
        .unwrap_or(Path::new("."))
}

fn disk(context: &Context) -> Finding {
    const LOW: u64 = 2 << 30;
    match rustix::fs::statvfs(existing(context.home.dir())) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let says = format!("{:.1} GB free where the home is", free as f64 / 1e9);
            if free < LOW {
                let cure = "checkpoints may not fit; free some, or choose another home";
                finding("disk", Health::Bad, format!("{says}; {cure}"))
            } else {
                finding("disk", Health::Ok, says)
            }
        }
        Err(error) => finding("disk", Health::Bad, format!("cannot be asked: {error}")),
    }
}

fn trainer(context: &Context) -> Vec<Finding> {
    let trainer = match Trainer::look(&context.home) {
        Ok(trainer) => trainer,
        Err(error) => {
            return vec![finding("trainer", Health::Bad, failure::paragraph(&error))];
        }
    };
    let info = &trainer.info;
    let mut findings = vec![
        finding(
            "trainer",
            Health::Ok,
            format!("{} {}", trainer.path.display(), info.version),
        ),
        finding("libtorch", Health::Ok, info.libtorch.clone()),
    ];
    for device in &info.devices {
        let memory = device.memory_bytes as f64 / 1e9;
        let threads = if device.threads > 0 {
            format!(", {} threads", device.threads)
        } else {
            String::new()
        };
        let says = format!("{}, {memory:.1} GB{threads}", device.name);
        findings.push(Finding {
            details: serde_json::json!(device),
            ..finding(&format!("device {}", device.id), Health::Ok, says)
        });
    }
    let shares = slots::Shares::of(info, None);
    findings.push(finding("slots", Health::Ok, shares.slots.join(", ")));
    findings
}

/// Those of the catalogue and of this home.
fn datasets(context: &Context) -> Vec<Finding> {
    let registered = match rungs_store::dataset::registered(&context.home) {
        Ok(registered) => registered,
        Err(error) => return vec![finding("datasets", Health::Bad, error.to_string())],
    };
    let known = DATASETS.iter().map(|dataset| dataset.name);
    let own = registered.keys().map(String::as_str);
    let own = own.filter(|name| DATASETS.iter().all(|dataset| dataset.name != *name));
    known
        .chain(own)
        .map(|name| {
            let what = format!("dataset {name}");
            match rungs_store::dataset::dataset_path(&context.home, name) {
                Ok(Some(path)) => finding(&what, Health::Ok, path.display().to_string()),
                Ok(None) => finding(&what, Health::Ok, "made from a seed"),
                Err(error) if registered.contains_key(name) => {
                    finding(&what, Health::Bad, error.to_string())
                }
                Err(_) => {
                    let cure = format!(
                        "not here: `runner data fetch {name}` fetches it or says who has it"
                    );
                    finding(&what, Health::Absent, cure)
                }
            }
        })
        .collect()
}

async fn database(context: &Context) -> Finding {
    let path = context.database();
    let shown = path.display();
    if !path.exists() {
        let says = format!("{shown}, made by the first `runner reproduce`");
        return finding("database", Health::Ok, says);
    }
    let opened = match Store::open_reader(&path).await {
        Ok(store) => store.count_runs(&rungs_store::RunFilter::default()).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(runs) => finding("database", Health::Ok, format!("{shown}, {runs} runs")),
        Err(error) => finding("database", Health::Bad, error.to_string()),
    }
}

fn scheduler(context: &Context) -> Finding {
    match SchedulerLock::holder(&context.home) {
        Some(pid) => finding("scheduler", Health::Ok, format!("process {pid}")),
        None => finding(
            "scheduler",
            Health::Absent,
            "none now; `runner reproduce` is its own",
        ),
    }
}

async fn slurm(context: &Context) -> Finding {
    let home = &context.home;
    let Some(sbatch) = slurm::commands::find("sbatch") else {
        return finding(
            "slurm",
            Health::Absent,
            "no sbatch on PATH: runs stay on this machine",
        );
    };
    if !home.slurm().exists() {
        let says = format!(
            "{}; write {} to use it (docs/SLURM.md)",
            sbatch.display(),
            home.slurm().display()
        );
        return finding("slurm", Health::Absent, says);
    }
    match Executor::of(ExecutorName::Slurm, home).await {
        Ok(_) => finding(
            "slurm",
            Health::Ok,
            format!(
                "{}, takes jobs as {} says",
                sbatch.display(),
                home.slurm().display()
            ),
        ),
        Err(error) => finding("slurm", Health::Bad, failure::paragraph(&error)),
    }
}
