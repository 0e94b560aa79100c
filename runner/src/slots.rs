//! How a machine is shared out: how many threads a run computes with, and how many runs go side by
//! side.
//!
//! The threads of a run are fixed when it is first queued and kept in its recipe.json, because
//! floating-point sums depend on how they are split. So they follow from the machine's description
//! and the recipe alone, never from load, timing or `--slots`.

use rungs_spec::model::{Model, counts};
use rungs_spec::protocol::{Arithmetic, TrainerInfo};
use rungs_spec::recipe::{Recipe, Task};

/// MACs of one forward pass of one image below which a run computes on one thread. At this size the
/// layers are too small to share out: two runs of one thread each finish sooner than two runs of
/// two threads one after the other.
const SMALL_MACS: u64 = 500_000_000;

/// CPU threads that this process may use, at least 1.
pub fn machine_threads(info: &TrainerInfo) -> u32 {
    info.devices
        .iter()
        .filter(|d| d.kind == "cpu")
        .map(|d| d.threads)
        .max()
        .filter(|t| *t > 0)
        .unwrap_or(1)
}

/// CUDA devices.
pub fn gpus(info: &TrainerInfo) -> u32 {
    u32::try_from(info.devices.iter().filter(|d| d.kind == "cuda").count()).unwrap_or(u32::MAX)
}

/// CPU threads that a run computes with.
pub fn compute_threads(info: &TrainerInfo, recipe: &Recipe, arithmetic: Arithmetic) -> u32 {
    let threads = machine_threads(info);
    match arithmetic {
        Arithmetic::Cuda => (threads / gpus(info).max(1)).max(1),
        Arithmetic::Cpu | Arithmetic::CpuEmulatedHalf => {
            if is_small(recipe) {
                1
            } else {
                threads
            }
        }
    }
}

/// Whether the layers of a recipe's network are too small to be shared out between threads.
fn is_small(recipe: &Recipe) -> bool {
    // Of a detector or a segmenter the backbone is counted, over a square of the size it sees.
    let size = match (recipe.task, &recipe.detect, &recipe.segment) {
        (Task::Detect, Some(detect), _) => detect.short_side,
        (Task::Segment, _, Some(segment)) => segment.crop_size,
        _ => recipe.input_size,
    };
    // The classifier's size hardly changes the MACs: 1000 classes stand for any number.
    let macs = Model::of_recipe(recipe, 1000).map(|model| counts(&model, size).macs);
    // A model that cannot be counted is treated as large: slower, never wrong.
    macs.is_ok_and(|macs| macs < SMALL_MACS)
}

/// What a scheduler shares out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Slot names: `cuda:0`, ... or `cpu:0`, ..., or `slurm` as often as jobs may be in its queue.
    pub slots: Vec<String>,
    /// CPU threads that the attempts alive together may compute with; `None` = no limit, because a
    /// person chose the number of slots, or Slurm shares out its nodes.
    pub threads: Option<u32>,
    /// The slots are places in Slurm's queue.
    pub jobs: bool,
}

impl Shares {
    /// One slot per GPU, else one per CPU thread with a budget of threads; or so many as `--slots`
    /// says.
    pub fn of(info: &TrainerInfo, asked: Option<u32>) -> Shares {
        let gpus = gpus(info);
        let (kind, natural) = if gpus > 0 {
            ("cuda", gpus)
        } else {
            ("cpu", machine_threads(info))
        };
        let count = asked.unwrap_or(natural);
        Shares {
            slots: (0..count).map(|i| format!("{kind}:{i}")).collect(),
            threads: if asked.is_none() && gpus == 0 {
                Some(natural)
            } else {
                None
            },
            jobs: false,
        }
    }
}

/// The value of CUDA_VISIBLE_DEVICES for a slot; `None` for a CPU slot. More slots than GPUs share
/// them in turn.
pub fn visible_devices(info: &TrainerInfo, slot: &str) -> Option<String> {
    let number: u32 = slot.strip_prefix("cuda:")?.parse().ok()?;
    Some((number % gpus(info).max(1)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rungs_spec::protocol::Device;

    fn machine(threads: u32, gpus: u32) -> TrainerInfo {
        let cpu = Device {
            id: "cpu".into(),
            kind: "cpu".into(),
            name: "a CPU".into(),
            memory_bytes: 1 << 34,
            threads,
        };
        let gpu = |i| Device {
            id: format!("cuda:{i}"),
            kind: "cuda".into(),
            name: "a GPU".into(),
            memory_bytes: 1 << 36,
            threads: 0,
        };
        TrainerInfo {
            protocol: 1,
            numerics: 1,
            version: "0".into(),
            libtorch: "0".into(),
            devices: std::iter::once(cpu).chain((0..gpus).map(gpu)).collect(),
        }
    }

    #[test]
    fn cpu_threads_become_slots_with_a_budget() {
        let shares = Shares::of(&machine(2, 0), None);
        assert_eq!(shares.slots, ["cpu:0", "cpu:1"]);
        assert_eq!(shares.threads, Some(2));
    }

    #[test]
    fn gpus_become_slots() {
        let info = machine(16, 2);
        let shares = Shares::of(&info, None);
        assert_eq!(shares.slots, ["cuda:0", "cuda:1"]);
        assert_eq!(shares.threads, None);
        assert_eq!(visible_devices(&info, "cuda:1").as_deref(), Some("1"));
        assert_eq!(visible_devices(&info, "cuda:3").as_deref(), Some("1"));
        assert_eq!(visible_devices(&info, "cpu:0"), None);
    }

    #[test]
    fn asked_slots_are_given() {
        let shares = Shares::of(&machine(2, 0), Some(3));
        assert_eq!(shares.slots.len(), 3);
        assert_eq!(shares.threads, None);
    }
}
