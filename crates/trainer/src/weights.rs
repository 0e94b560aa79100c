//! State dicts: names, shapes and bytes of a network's weights, read from and written to safetensors
//! files under PyTorch's names.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use rungs_spec::model::Model;
pub use rungs_spec::weights::OWN_PREFIX;
use rungs_spec::weights::passed_over;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use crate::network::Network;
use crate::norm::{Replicas, RunningStats};
use crate::parameters::Parameters;

/// Tensors by state-dict name, on the CPU.
pub type StateDict = BTreeMap<String, Tensor>;

/// Master weights and the given running statistics, in PyTorch's shapes.
pub fn state_dict(network: &Network, parameters: &Parameters, stats: &RunningStats) -> StateDict {
    let mut dict = named(network, parameters, &parameters.master);
    dict.extend(named_stats(network, stats));
    dict
}

/// A flat tensor as one tensor per parameter.
pub fn named(network: &Network, parameters: &Parameters, flat: &Tensor) -> StateDict {
    let flat = flat.to_device(tch::Device::Cpu);
    let names = network.parameters.iter().enumerate();
    names
        .map(|(i, spec)| (spec.name.clone(), parameters.view(&flat, i).contiguous()))
        .collect()
}

/// Running statistics under their names.
pub fn named_stats(network: &Network, stats: &RunningStats) -> StateDict {
    let mut dict = StateDict::new();
    for (n, norm) in network.norms.iter().enumerate() {
        let (mean, var) = stats.of(n);
        for (part, value) in [("running_mean", mean), ("running_var", var)] {
            dict.insert(
                format!("{}.{part}", norm.name),
                value.to_device(tch::Device::Cpu).contiguous(),
            );
        }
    }
    dict
}

/// BLAKE3, in hex, of a state dict: for each name in order of its bytes, the name, a zero byte, the
/// safetensors name of its kind (`F32`), its shape as little-endian u64s, its little-endian values.
pub fn digest(dict: &StateDict) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for (name, tensor) in dict {
        hasher
            .update(name.as_bytes())
            .update(&[0])
            .update(dtype(tensor.kind())?.to_string().as_bytes());
        for side in tensor.size() {
            hasher.update(&(side as u64).to_le_bytes());
        }
        hasher.update(&bytes(tensor)?);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The bytes of a safetensors file.
pub fn serialize(dict: &StateDict, metadata: Option<(&str, String)>) -> anyhow::Result<Vec<u8>> {
    let mut parts = Vec::with_capacity(dict.len());
    for (name, tensor) in dict {
        let shape: Vec<usize> = tensor.size().iter().map(|side| *side as usize).collect();
        parts.push((name.as_str(), dtype(tensor.kind())?, shape, bytes(tensor)?));
    }
    let views = parts
        .iter()
        .map(|(name, dtype, shape, data)| {
            safetensors::tensor::TensorView::new(*dtype, shape.clone(), data)
                .map(|view| (*name, view))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let metadata =
        metadata.map(|(key, value)| std::collections::HashMap::from([(key.to_owned(), value)]));
    Ok(safetensors::serialize(views, metadata)?)
}

/// Every tensor of a safetensors file.
pub fn read(path: &Path) -> anyhow::Result<StateDict> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    parse(&bytes).with_context(|| format!("{}: is not a whole safetensors file", path.display()))
}

/// Every tensor in the bytes of a safetensors file.
pub fn parse(bytes: &[u8]) -> anyhow::Result<StateDict> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut dict = StateDict::new();
    for (name, view) in file.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::I64 => Kind::Int64,
            other => {
                bail!("tensor `{name}` is {other:?}; F16, BF16, F32, F64 and I64 are understood")
            }
        };
        let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
        dict.insert(
            name.to_owned(),
            Tensor::f_from_data_size(view.data(), &shape, kind)?,
        );
    }
    Ok(dict)
}

/// Puts a state dict into a network: every name must be there, in the right shape, and no other.
/// `num_batches_tracked`, `AuxLogits.*` and a checkpoint's own extras are passed over.
pub fn load(
    dict: &StateDict,
    network: &Network,
    parameters: &mut Parameters,
    replicas: &Replicas,
) -> anyhow::Result<()> {
    check(dict, network)?;
    let _guard = tch::no_grad_guard();
    for (i, spec) in network.parameters.iter().enumerate() {
        parameters
            .view(&parameters.master, i)
            .copy_(&dict[&spec.name]);
    }
    for stats in replicas.each() {
        load_stats(dict, network, stats);
    }
    parameters.refresh();
    Ok(())
}

/// Copies running statistics out of a state dict that [`check`] accepted.
pub fn load_stats(dict: &StateDict, network: &Network, stats: &RunningStats) {
    for (n, norm) in network.norms.iter().enumerate() {
        let (mean, var) = stats.of(n);
        mean.shallow_clone()
            .copy_(&dict[&format!("{}.running_mean", norm.name)]);
        var.shallow_clone()
            .copy_(&dict[&format!("{}.running_var", norm.name)]);
    }
}

fn check(dict: &StateDict, network: &Network) -> anyhow::Result<()> {
    let mut expected: BTreeMap<String, Vec<i64>> = network
        .parameters
        .iter()
        .map(|spec| (spec.name.clone(), spec.shape.clone()))
        .collect();
    for norm in &network.norms {
        for part in ["running_mean", "running_var"] {
            expected.insert(format!("{}.{part}", norm.name), vec![norm.channels]);
        }
    }
    let missing: Vec<&str> = expected
        .keys()
        .filter(|name| !dict.contains_key(*name))
        .map(String::as_str)
        .collect();
    let unknown: Vec<&str> = dict
        .keys()
        .filter(|name| !expected.contains_key(*name) && !passed_over(name))
        .map(String::as_str)
        .collect();
    let shapes: Vec<String> = expected
        .iter()
        .filter_map(|(name, shape)| {
            let found = dict.get(name)?.size();
            (found != *shape).then(|| format!("{name} is {found:?}, expected {shape:?}"))
        })
        .collect();
    let mut problems = Vec::new();
    for (what, names) in [("missing", missing), ("unknown", unknown)] {
        if !names.is_empty() {
            problems.push(format!("{what}: {}", names.join(", ")));
        }
    }
    if !shapes.is_empty() {
        problems.push(format!("wrong shapes: {}", shapes.join("; ")));
    }
    if !problems.is_empty() {
        bail!(
            "the weights are not those of this model: {}",
            problems.join(". ")
        );
    }
    Ok(())
}

/// The model of that name in the shape of given weights ([`rungs_spec::weights::model_of`]).
pub fn model_of(name: &str, dict: &StateDict) -> anyhow::Result<Model> {
    let shape = |tensor: &Tensor| tensor.size().iter().map(|side| *side as u64).collect();
    let shapes = dict
        .iter()
        .map(|(name, tensor)| (name.clone(), shape(tensor)));
    rungs_spec::weights::model_of(name, &shapes.collect()).map_err(anyhow::Error::msg)
}

fn dtype(kind: Kind) -> anyhow::Result<Dtype> {
    Ok(match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        other => bail!("tensors of kind {other:?} are not written"),
    })
}

fn bytes(tensor: &Tensor) -> anyhow::Result<Vec<u8>> {
    let tensor = tensor.to_device(tch::Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use rungs_spec::model::{self, Shape};
    use rungs_spec::recipe::Variant;

    use super::*;
    use crate::parameters::Arithmetic;

    fn network(variant: Variant) -> (Network, Parameters, Replicas) {
        let shape = Shape {
            depths: vec![1, 2],
            width: 0.25,
            dropout: 0.0,
            variant,
            classes: 7,
        };
        let network = Network::new(&Model::build("resnet50", &shape).expect("a known model"));
        let parameters = Parameters::new(&network, Arithmetic::Plain(Kind::Float), Device::Cpu);
        let replicas = Replicas::new(&network, 1, Kind::Float, Device::Cpu);
        (network, parameters, replicas)
    }

    fn dict() -> StateDict {
        let (network, parameters, replicas) = network(Variant::Paper);
        state_dict(&network, &parameters, &replicas.mean(&network))
    }

    #[test]
    fn what_is_written_is_read_back_and_the_shape_is_read_off_it() {
        let dict = dict();
        let back = parse(&serialize(&dict, None).expect("writes")).expect("reads");
        assert_eq!(
            digest(&dict).expect("digest"),
            digest(&back).expect("digest")
        );
        let model = model_of("resnet50", &back).expect("a model");
        assert_eq!(model.classes, 7);
        let (mut network, mut parameters, replicas) = network(Variant::Paper);
        assert_eq!(Network::new(&model).parameters, network.parameters);
        load(&back, &network, &mut parameters, &replicas).expect("loads");
        network = Network::new(&model);
        assert_eq!(network.norms.len(), 1 + 4 + 4 + 3);
    }

    #[test]
    fn one_changed_value_changes_the_digest() {
        let mut other = dict();
        let _ = other
            .get_mut("fc.bias")
            .expect("fc.bias")
            .narrow(0, 0, 1)
            .fill_(1e-30);
        assert_ne!(
            digest(&dict()).expect("digest"),
            digest(&other).expect("digest")
        );
    }

    #[test]
    fn missing_unknown_and_misshapen_tensors_are_listed() {
        let mut dict = dict();
        let fc = dict.remove("fc.weight").expect("fc.weight");
        dict.insert("head.weight".into(), fc);
        dict.insert(
            "bn1.weight".into(),
            Tensor::zeros([3], (Kind::Float, Device::Cpu)),
        );
        dict.insert(
            "bn1.num_batches_tracked".into(),
            Tensor::zeros([], (Kind::Int64, Device::Cpu)),
        );
        dict.insert(
            "AuxLogits.fc.weight".into(),
            Tensor::zeros([3], (Kind::Float, Device::Cpu)),
        );
        let (network, mut parameters, replicas) = network(Variant::Paper);
        let error = load(&dict, &network, &mut parameters, &replicas)
            .expect_err("refused")
            .to_string();
        assert!(error.contains("missing: fc.weight"), "{error}");
        assert!(error.contains("unknown: head.weight."), "{error}");
        assert!(
            error.contains("bn1.weight is [3], expected [16]"),
            "{error}"
        );
        assert!(
            !error.contains("num_batches_tracked") && !error.contains("AuxLogits"),
            "{error}"
        );
    }

    /// The classifier of MobileNet is called `classifier`, as in timm.
    #[test]
    fn the_width_of_every_kind_of_network_is_read_off_its_weights() {
        for (name, depths, width) in [
            ("mobilenet", vec![], 0.25),
            ("mobilenet", vec![], 1.0),
            ("inception-v3", vec![], 0.25),
            ("inception-v3", vec![], 0.5),
            ("resnet50d", vec![1, 2], 0.125),
            ("resnet50c", vec![1, 2, 3, 1], 0.5),
        ] {
            let shape = Shape {
                depths,
                width,
                dropout: model::find(name).expect("a known model").dropout,
                variant: Variant::Paper,
                classes: 7,
            };
            let built = Model::build(name, &shape).expect("a known model");
            let network = Network::new(&built);
            let dict = network
                .parameters
                .iter()
                .map(|spec| {
                    let zeros = Tensor::zeros(spec.shape.as_slice(), (Kind::Float, Device::Cpu));
                    (spec.name.clone(), zeros)
                })
                .collect();
            assert_eq!(
                model_of(name, &dict).expect("a model"),
                built,
                "{name} {width}"
            );
        }
    }

    #[test]
    fn biases_in_1x1_convolutions_mean_the_released_codes_variant() {
        let (network, parameters, replicas) = network(Variant::Gluoncv);
        let dict = state_dict(&network, &parameters, &replicas.mean(&network));
        let model = model_of("resnet50", &dict).expect("a model");
        assert_eq!(Network::new(&model).parameters, network.parameters);
    }
}
