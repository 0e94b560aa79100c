//! Which replicas are computed together, and where? The mathematics is the same for every layout;
//! only speed and memory differ. The one place that knows devices by name.

use rungs_spec::protocol::{Arithmetic as Planned, RunFile};
use tch::Device;

use crate::failure::Failure;

/// How the replicas of a batch are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaLayout {
    /// One pass over the whole batch, in which only BN works slice by slice.
    Slices(Device),
    /// One pass per replica, one after the other, gradients added: the activations of one replica
    /// at a time.
    MicroBatches(Device),
    /// On each device a copy of the network and, in one pass, an equal share of the replicas;
    /// gradients are added in the order of the devices on the first one.
    Devices(Vec<Device>),
}

/// What one device does of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where.
    pub device: Device,
    /// Replicas it computes.
    pub replicas: usize,
    /// Passes that it needs for them.
    pub passes: usize,
}

impl ReplicaLayout {
    /// Of a run: slices on the one device of its arithmetic, or the devices it names. `trainer bench
    /// step --replica-layout` compares.
    ///
    /// Errors: devices of another arithmetic, or that share the replicas unevenly (permanent); a GPU
    /// that is not to be seen here (transient).
    pub fn of_run(run: &RunFile) -> Result<ReplicaLayout, Failure> {
        if run.devices.is_empty() {
            let device = match run.arithmetic {
                Planned::Cuda => Device::Cuda(0),
                Planned::Cpu | Planned::CpuEmulatedHalf => Device::Cpu,
            };
            present(device)?;
            return Ok(ReplicaLayout::Slices(device));
        }
        let mut devices = Vec::new();
        for name in &run.devices {
            let device = parse(name).map_err(Failure::permanent)?;
            if (device == Device::Cpu) == (run.arithmetic == Planned::Cuda) {
                return Err(Failure::permanent(format!(
                    "devices = {:?}: the run was planned for {}, and {name} is not; name devices of that kind, or plan \
                     the run for this one",
                    run.devices,
                    match run.arithmetic {
                        Planned::Cuda => "NVIDIA GPUs (cuda)",
                        Planned::Cpu | Planned::CpuEmulatedHalf => "the CPU (cpu)",
                    }
                )));
            }
            present(device)?;
            devices.push(device);
        }
        let replicas = run.recipe.replicas as usize;
        if !replicas.is_multiple_of(devices.len()) {
            return Err(Failure::permanent(format!(
                "replicas = {replicas} cannot be spread evenly over {} devices: name a number of devices that divides \
                 it",
                devices.len()
            )));
        }
        Ok(ReplicaLayout::Devices(devices))
    }

    /// Where parameters, momentum and evaluation are.
    pub fn main(&self) -> Device {
        match self {
            ReplicaLayout::Slices(device) | ReplicaLayout::MicroBatches(device) => *device,
            ReplicaLayout::Devices(devices) => devices.first().copied().unwrap_or(Device::Cpu),
        }
    }

    /// The parts of a batch with so many replicas, the main device's first.
    pub fn parts(&self, replicas: usize) -> Vec<Part> {
        match self {
            ReplicaLayout::Slices(device) => vec![Part {
                device: *device,
                replicas,
                passes: 1,
            }],
            ReplicaLayout::MicroBatches(device) => vec![Part {
                device: *device,
                replicas,
                passes: replicas,
            }],
            ReplicaLayout::Devices(devices) => devices
                .iter()
                .map(|device| Part {
                    device: *device,
                    replicas: replicas / devices.len(),
                    passes: 1,
                })
                .collect(),
        }
    }

    /// `cpu`, or `cuda:0 cuda:1`.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.devices().into_iter().map(name).collect();
        names.join(" ")
    }

    /// Where it computes.
    pub fn devices(&self) -> Vec<Device> {
        self.parts(1).into_iter().map(|part| part.device).collect()
    }
}

fn name(device: Device) -> String {
    match device {
        Device::Cuda(n) => format!("cuda:{n}"),
        _ => "cpu".to_owned(),
    }
}

/// A device by its name in `trainer devices`.
pub fn parse(name: &str) -> Result<Device, String> {
    let number = name
        .strip_prefix("cuda:")
        .and_then(|number| number.parse().ok());
    match (name, number) {
        ("cpu", _) => Ok(Device::Cpu),
        (_, Some(number)) => Ok(Device::Cuda(number)),
        _ => Err(format!(
            "\"{name}\" is not a device: devices are named cpu, cuda:0, cuda:1, ... as `trainer devices` lists them"
        )),
    }
}

/// As [`parse`], of a device that is there.
pub fn device(name: &str) -> Result<Device, Failure> {
    let device = parse(name).map_err(Failure::permanent)?;
    present(device)?;
    Ok(device)
}

fn present(device: Device) -> Result<(), Failure> {
    match device {
        Device::Cuda(n) if n as i64 >= tch::Cuda::device_count() => {
            Err(Failure::transient(format!(
                "the run was planned for the NVIDIA GPU {}, and libtorch sees {} here; `trainer devices` lists them",
                name(device),
                tch::Cuda::device_count()
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_by_name() {
        assert_eq!(parse("cpu"), Ok(Device::Cpu));
        assert_eq!(parse("cuda:3"), Ok(Device::Cuda(3)));
        for bad in ["cuda", "gpu:0", "cuda:x", ""] {
            assert!(parse(bad).expect_err("refused").contains("trainer devices"));
        }
    }

    #[test]
    fn every_layout_computes_every_replica_once() {
        for layout in [
            ReplicaLayout::Slices(Device::Cpu),
            ReplicaLayout::MicroBatches(Device::Cpu),
            ReplicaLayout::Devices(vec![Device::Cuda(0), Device::Cuda(1)]),
        ] {
            let parts = layout.parts(8);
            assert_eq!(parts.iter().map(|part| part.replicas).sum::<usize>(), 8);
            assert!(parts.iter().all(|part| part.replicas % part.passes == 0));
            assert_eq!(parts[0].device, layout.main());
        }
        let two = ReplicaLayout::Devices(vec![Device::Cuda(0), Device::Cuda(1)]);
        assert_eq!(two.names(), "cuda:0 cuda:1");
    }
}
