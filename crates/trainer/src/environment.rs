//! What this machine and this program are: recorded with every attempt, and printed by `devices`.

use rungs_spec::protocol::{Device, NUMERICS_VERSION, PROTOCOL_VERSION, TrainerInfo};
use serde::Serialize;

/// Of one attempt: `environment.json`, and the `started` event.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Host name.
    pub host: String,
    /// CPU model as /proc/cpuinfo says.
    pub cpu: String,
    /// Process id.
    pub pid: u32,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Version of the GPU driver, if there is one.
    pub driver: Option<String>,
    /// Device computed on.
    pub device: String,
    /// Models of the GPUs among them; empty on a CPU, or where the driver does not tell.
    pub gpus: Vec<String>,
    /// libtorch's compute threads.
    pub compute_threads: u32,
    /// Version of the trainer.
    pub trainer: String,
    /// Commit it was built from, if known.
    pub commit: Option<String>,
    /// Version of libtorch.
    pub libtorch: String,
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// [`NUMERICS_VERSION`].
    pub numerics: u32,
    /// The data really seen.
    pub dataset: SeenData,
}

/// Digests over ids, labels and bytes of the images that a run uses.
#[derive(Debug, Clone, Serialize)]
pub struct SeenData {
    /// As in the recipe.
    pub name: String,
    /// Images trained on.
    pub train: u64,
    /// BLAKE3 of them.
    pub train_blake3: String,
    /// Images evaluated on.
    pub val: u64,
    /// BLAKE3 of them.
    pub val_blake3: String,
}

/// Version of libtorch at build time.
pub fn libtorch() -> String {
    match env!("RUNGS_LIBTORCH") {
        "" => "2.13.0".to_owned(), // tch 0.26 builds with no other
        version => version.to_owned(),
    }
}

/// The commit of this build.
pub fn commit() -> Option<String> {
    option_env!("RUNGS_COMMIT").map(str::to_owned)
}

/// `trainer devices`.
pub fn trainer_info() -> TrainerInfo {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let mut devices = vec![Device {
        id: "cpu".to_owned(),
        kind: "cpu".to_owned(),
        name: cpu_model(),
        memory_bytes: proc_value("/proc/meminfo", "MemTotal:").map_or(0, |kib| kib * 1024),
        threads,
    }];
    for i in 0..tch::Cuda::device_count().max(0) {
        devices.push(Device {
            id: format!("cuda:{i}"),
            kind: "cuda".to_owned(),
            name: gpu_name(i).unwrap_or_else(|| "NVIDIA GPU".to_owned()),
            memory_bytes: 0,
            threads: 0,
        });
    }
    TrainerInfo {
        protocol: PROTOCOL_VERSION,
        numerics: NUMERICS_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: libtorch(),
        devices,
    }
}

/// The driver's name of the i-th GPU; libtorch's C interface does not tell it.
fn gpu_name(i: i64) -> Option<String> {
    let mut cards: Vec<_> = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .ok()?
        .flatten()
        .collect();
    cards.sort_by_key(std::fs::DirEntry::file_name);
    let text = std::fs::read_to_string(cards.get(i as usize)?.path().join("information")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("Model:"))
        .map(|name| name.trim().to_owned())
}

/// Version of NVIDIA's kernel module, if it is loaded.
pub fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/sys/module/nvidia/version").ok()?;
    Some(text.trim().to_owned())
}

/// Program and arguments of this process.
pub fn command() -> Vec<String> {
    let words = std::env::args_os();
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// CPU time of all threads of this process, seconds.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Host name.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// CPU model.
pub fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

/// Highest resident memory of this process, bytes.
pub fn peak_bytes() -> u64 {
    proc_value("/proc/self/status", "VmHWM:").map_or(0, |kib| kib * 1024)
}

/// Resident memory of this process, bytes.
pub fn resident_bytes() -> u64 {
    proc_value("/proc/self/status", "VmRSS:").map_or(0, |kib| kib * 1024)
}

fn proc_value(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(key))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
