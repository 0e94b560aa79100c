//! The one catalogue of metrics: name, unit, digits, direction.

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Higher is better.
    Higher,
    /// Lower is better.
    Lower,
    /// Neither.
    None,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Name in events, SQL, TOML, JSON.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Unit; empty for plain numbers.
    pub unit: &'static str,
    /// Decimals shown.
    pub digits: usize,
    /// Which way is better.
    pub direction: Direction,
}

impl Metric {
    /// Whether values are percentages, which a verdict against the paper needs.
    pub fn is_percent(&self) -> bool {
        self.unit == "%"
    }
}

const fn m(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    digits: usize,
    direction: Direction,
) -> Metric {
    Metric {
        name,
        title,
        unit,
        digits,
        direction,
    }
}

/// All metrics.
pub const METRICS: &[Metric] = &[
    m("train/loss", "Training loss", "", 4, Direction::Lower),
    m("lr", "Learning rate", "", 5, Direction::None),
    m("val/loss", "Validation loss", "", 4, Direction::Lower),
    m("val/top1", "Top-1", "%", 2, Direction::Higher),
    m("val/top5", "Top-5", "%", 2, Direction::Higher),
    m("test/top1", "Test top-1", "%", 2, Direction::Higher),
    m("test/top5", "Test top-5", "%", 2, Direction::Higher),
    m(
        "time/epoch_min",
        "Time per epoch",
        "min",
        1,
        Direction::Lower,
    ),
    m(
        "speed/images_per_s",
        "Throughput",
        "images/s",
        0,
        Direction::Higher,
    ),
    m("model/params", "Parameters", "", 0, Direction::None),
    m("model/macs", "MACs", "", 0, Direction::Lower),
    m("val/map07", "mAP (11-point)", "%", 2, Direction::Higher),
    m("val/map_area", "mAP (area)", "%", 2, Direction::Higher),
    m("val/pixacc", "PixAcc", "%", 2, Direction::Higher),
    m("val/miou", "mIoU", "%", 2, Direction::Higher),
    m(
        "val/pixacc_ms",
        "PixAcc (multi-scale)",
        "%",
        2,
        Direction::Higher,
    ),
    m(
        "val/miou_ms",
        "mIoU (multi-scale)",
        "%",
        2,
        Direction::Higher,
    ),
    m(
        "backbone/val/top1",
        "Backbone top-1",
        "%",
        2,
        Direction::Higher,
    ),
    m(
        "system/images_per_s",
        "Images per second while training",
        "images/s",
        0,
        Direction::None,
    ),
    m(
        "system/corrupt_images",
        "Undecodable images of the epoch",
        "",
        0,
        Direction::None,
    ),
    m(
        "system/skipped_steps",
        "Steps skipped by overflow",
        "",
        0,
        Direction::None,
    ),
    m(
        "system/loss_scale",
        "Dynamic loss scale",
        "",
        0,
        Direction::None,
    ),
    m(
        "system/gpu_busy",
        "GPU busy, mean of the epoch",
        "%",
        0,
        Direction::None,
    ),
    m(
        "system/gpu_memory_bytes",
        "GPU memory in use, most of the epoch",
        "bytes",
        0,
        Direction::None,
    ),
    m(
        "system/gpu_energy_j",
        "GPU energy of the epoch",
        "J",
        0,
        Direction::None,
    ),
    m(
        "system/cpu_s",
        "CPU time of the attempt",
        "s",
        0,
        Direction::None,
    ),
    m(
        "system/rss_bytes",
        "Resident memory",
        "bytes",
        0,
        Direction::None,
    ),
];

/// The metric of that name.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}

/// Whether a metric comes from a timing run of its own instead of the training runs.
pub fn is_timed(name: &str) -> bool {
    name.starts_with("time/") || name.starts_with("speed/")
}
