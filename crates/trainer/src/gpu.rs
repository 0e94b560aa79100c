//! What the GPUs of an attempt do, as NVIDIA's driver tells (NVML): how busy they are, their memory, their
//! energy. Without that driver nothing is measured, and nothing is said.
//!
//! Not yet run on a GPU: tested against a library that answers as NVML's documentation says.

use std::ffi::OsStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use tch::Device;

/// Comes with every driver; the name without `.1` only with its development files.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// Between two looks at how busy a GPU is; the driver's own answer is over a sixth of a second to one.
const EVERY: Duration = Duration::from_secs(1);

/// Of all GPUs of an attempt since the reading before. `None`: the driver does not know.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    /// Percent of the time in which something computed there, mean over GPUs and looks.
    pub busy: Option<f64>,
    /// Bytes in use there, of this and of other programs; the most at any look.
    pub memory_bytes: Option<f64>,
    /// Joules that the GPUs took, other programs' work on them included.
    pub energy_j: Option<f64>,
}

/// How NVML calls a GPU.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Index(u32),
    Uuid(String),
}

/// What was seen at the looks since the last reading.
#[derive(Debug, Default)]
struct Looks {
    busy: f64,
    of_busy: u32,
    memory: Option<f64>,
    over: bool,
}

struct Shared {
    nvml: Nvml,
    gpus: Vec<Name>,
    looks: Mutex<Looks>,
    changed: Condvar,
}

/// Looks at GPUs from a thread of its own until it is dropped.
pub struct Meter {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Joules since the driver was loaded, at the last reading.
    energy: Option<f64>,
}

impl Meter {
    /// Of the GPUs among these devices; `None` where there are none, or no driver that tells of them.
    pub fn of(devices: &[Device]) -> Option<Meter> {
        let numbers: Vec<usize> = devices
            .iter()
            .filter_map(|device| match device {
                Device::Cuda(number) => Some(*number),
                _ => None,
            })
            .collect();
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let mut gpus = names(&numbers, visible.as_deref())?;
        // A GPU that several replicas share counts once.
        gpus.sort();
        gpus.dedup();
        Meter::open(LIBRARY.as_ref(), gpus)
    }

    fn open(library: &OsStr, gpus: Vec<Name>) -> Option<Meter> {
        if gpus.is_empty() {
            return None;
        }
        let nvml = Nvml::builder().lib_path(library).init().ok()?;
        let shared = Arc::new(Shared {
            nvml,
            gpus,
            looks: Mutex::default(),
            changed: Condvar::new(),
        });
        shared.device(&shared.gpus[0]).ok()?;
        let energy = shared.energy();
        let of = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("gpu-meter".to_owned())
            .spawn(move || of.watch())
            .ok()?;
        Some(Meter {
            shared,
            thread: Some(thread),
            energy,
        })
    }

    /// What the driver calls the GPUs: `NVIDIA H100 80GB HBM3`.
    pub fn models(&self) -> Vec<String> {
        let model = |name| self.shared.device(name).and_then(|gpu| gpu.name()).ok();
        self.shared.gpus.iter().filter_map(model).collect()
    }

    /// Since the reading before, or since the meter was made.
    pub fn read(&mut self) -> Reading {
        // What is shorter than a look's interval is looked at now.
        self.shared.look();
        let looks = std::mem::take(&mut *self.shared.looks());
        let before = std::mem::replace(&mut self.energy, self.shared.energy());
        Reading {
            busy: (looks.of_busy > 0).then(|| looks.busy / f64::from(looks.of_busy)),
            memory_bytes: looks.memory,
            energy_j: self.energy.zip(before).map(|(now, then)| now - then),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.shared.looks().over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn device(&self, name: &Name) -> Result<nvml_wrapper::Device<'_>, NvmlError> {
        match name {
            Name::Index(index) => self.nvml.device_by_index(*index),
            Name::Uuid(uuid) => self.nvml.device_by_uuid(uuid.as_str()),
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        loop {
            self.look();
            let looks = self.looks();
            let waited = self.changed.wait_timeout_while(looks, EVERY, |l| !l.over);
            let (looks, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if looks.over {
                return;
            }
        }
    }

    fn look(&self) {
        let gpus: Vec<_> = self.gpus.iter().flat_map(|n| self.device(n)).collect();
        let busy: Vec<f64> = gpus
            .iter()
            .flat_map(|gpu| gpu.utilization_rates())
            .map(|rates| f64::from(rates.gpu))
            .collect();
        let used: Vec<f64> = gpus
            .iter()
            .flat_map(|gpu| gpu.memory_info())
            .map(|memory| memory.used as f64)
            .collect();
        let mut looks = self.looks();
        looks.busy += busy.iter().sum::<f64>();
        looks.of_busy += busy.len() as u32;
        if !used.is_empty() {
            let used = used.iter().sum::<f64>();
            looks.memory = Some(looks.memory.map_or(used, |most| most.max(used)));
        }
    }

    /// Joules of all GPUs since the driver was loaded; `None` unless every one tells.
    fn energy(&self) -> Option<f64> {
        let of = |name| self.device(name)?.total_energy_consumption();
        let each: Result<Vec<u64>, NvmlError> = self.gpus.iter().map(of).collect();
        Some(each.ok()?.iter().map(|mj| *mj as f64 / 1000.0).sum())
    }
}

/// How NVML calls those CUDA devices. `CUDA_VISIBLE_DEVICES` holds indices or UUIDs; the
/// runner makes CUDA count as NVML does (`CUDA_DEVICE_ORDER=PCI_BUS_ID`). `None`: a slice of a GPU
/// called by its name (`MIG-...`), whose share NVML does not tell, or a device that is not visible.
fn names(numbers: &[usize], visible: Option<&str>) -> Option<Vec<Name>> {
    let visible: Option<Vec<&str>> = visible.map(|v| v.split(',').map(str::trim).collect());
    let name = |number: &usize| {
        let Some(visible) = &visible else {
            return Some(Name::Index(u32::try_from(*number).ok()?));
        };
        let word = *visible.get(*number)?;
        if word.starts_with("GPU-") {
            return Some(Name::Uuid(word.to_owned()));
        }
        word.parse().ok().map(Name::Index)
    };
    numbers.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_called_as_the_environment_numbers_them() {
        let index = |i| Some(vec![Name::Index(i)]);
        assert_eq!(names(&[2], None), index(2));
        assert_eq!(names(&[0], Some("3")), index(3));
        assert_eq!(names(&[1], Some("3, 5")), index(5));
        let uuid = Name::Uuid("GPU-8a3c".to_owned());
        assert_eq!(names(&[0], Some("GPU-8a3c")), Some(vec![uuid]));
        assert_eq!(names(&[0], Some("MIG-8a3c")), None);
        assert_eq!(names(&[1], Some("3")), None, "not visible");
    }

    #[test]
    fn without_gpus_or_their_driver_nothing_is_measured() {
        assert!(Meter::of(&[Device::Cpu]).is_none());
        let nowhere = "libnvidia-ml-that-is-not-there.so".as_ref();
        assert!(Meter::open(nowhere, vec![Name::Index(0)]).is_none());
    }

    /// Two GPUs: 40 and 60 % busy, 3 and 5 GB, each call one joule and two joules more than the one before.
    const DRIVER: &str = r#"
        #include <stdint.h>
        #include <string.h>
        typedef struct { unsigned gpu, memory; } rates_t;
        typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
        static int gpus[2] = { 0, 1 };
        static unsigned long long energy[2] = { 1000, 50000 };
        int nvmlInit_v2(void) { return 0; }
        int nvmlShutdown(void) { return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) {
            if (i > 1) return 2;
            *device = &gpus[i];
            return 0;
        }
        int nvmlDeviceGetName(void *d, char *name, unsigned n) {
            strncpy(name, *(int *)d ? "Second" : "First", n);
            return 0;
        }
        int nvmlDeviceGetUtilizationRates(void *d, rates_t *r) {
            r->gpu = *(int *)d ? 60 : 40;
            return 0;
        }
        int nvmlDeviceGetMemoryInfo_v2(void *d, memory_t *m) {
            m->used = *(int *)d ? 5000000000ull : 3000000000ull;
            return 0;
        }
        int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj) {
            int i = *(int *)d;
            *mj = energy[i] += i ? 2000 : 1000;
            return 0;
        }
    "#;

    #[test]
    fn gpus_are_read_through_the_drivers_functions() {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("nvml.c"), dir.path().join("nvml.so"));
        std::fs::write(&source, DRIVER).unwrap();
        let built = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status()
            .unwrap();
        assert!(built.success());
        let gpus = vec![Name::Index(0), Name::Index(1)];
        let mut meter = Meter::open(library.as_os_str(), gpus).unwrap();
        assert_eq!(meter.models(), ["First", "Second"]);
        let wanted = Reading {
            busy: Some(50.0),
            memory_bytes: Some(8e9),
            energy_j: Some(3.0),
        };
        assert_eq!(meter.read(), wanted);
        assert_eq!(meter.read(), wanted, "each reading is of its own time");
        // A GPU that the driver does not have.
        assert!(Meter::open(library.as_os_str(), vec![Name::Index(7)]).is_none());
    }
}
