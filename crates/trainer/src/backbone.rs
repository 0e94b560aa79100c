//! What do detection and segmentation take of a classification network? Its layers up to the
//! classifier, stage by stage, and their weights under the prefix that torchvision's networks of these
//! tasks have.

use rungs_spec::model::{BatchNorm, Conv, Layer};

use crate::failure::Failure;
use crate::init::Distribution;
use crate::initial::InitialFile;
use crate::supported::InitialWeights;
use crate::training::Training;
use crate::weights::{self, StateDict};

/// Before the names of a classification network's weights.
pub const PREFIX: &str = "backbone.";

/// What is drawn from before a backbone's weights are laid over it.
pub fn distribution(init: &InitialWeights) -> Distribution {
    match init {
        InitialWeights::Drawn(distribution) => *distribution,
        InitialWeights::Loaded(_) => Distribution::Xavier,
    }
}

/// Lays the weights of a file over the drawn ones. Of the parameters that `own` names, which no backbone
/// has, those that are not in the file stay as drawn. Error: weights of another network (permanent).
pub fn load(
    file: InitialFile,
    training: &mut Training,
    own: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    let Training {
        network,
        parameters,
        replicas,
        ..
    } = training;
    let drawn = weights::state_dict(network, parameters, &replicas.mean(network));
    let mut dict = weights(file.dict);
    for (name, tensor) in drawn.into_iter().filter(|(name, _)| own(name)) {
        dict.entry(name).or_insert(tensor);
    }
    weights::load(&dict, network, parameters, replicas)
        .map_err(|error| Failure::permanent(format!("{}: {error:#}", file.path.display())))
}

/// Number of the stage, from 1, that a block belongs to.
pub fn stage_of(layer: &Layer) -> Option<u32> {
    match layer {
        Layer::Residual { name, .. } => stage_in(name),
        _ => None,
    }
}

/// Number of the stage, from 1, in the name of a block or of a parameter inside it.
pub fn stage_in(name: &str) -> Option<u32> {
    let own = name.strip_prefix(PREFIX).unwrap_or(name);
    own.strip_prefix("layer")?.split('.').next()?.parse().ok()
}

/// Channels behind a block.
pub fn width_of(layer: &Layer) -> Option<u32> {
    match layer {
        Layer::Residual { main, .. } => main.iter().rev().find_map(|layer| match layer {
            Layer::Conv(conv) => Some(conv.output),
            _ => None,
        }),
        _ => None,
    }
}

/// What a layer divides the side of a map by.
pub fn stride_of(layer: &Layer) -> u32 {
    match layer {
        Layer::Conv(conv) => conv.stride[0],
        Layer::MaxPool { stride, .. } | Layer::AvgPool { stride, .. } => *stride,
        Layer::Residual { main, .. } => main.iter().map(stride_of).product(),
        Layer::BatchNorm(_)
        | Layer::Relu
        | Layer::GlobalAvgPool
        | Layer::Dropout { .. }
        | Layer::Linear { .. }
        | Layer::Branches { .. } => 1,
    }
}

/// A layer of a ResNet with what is inside it, under its name here.
pub fn prefixed(layer: &Layer) -> Layer {
    let all = |layers: &[Layer]| layers.iter().map(prefixed).collect();
    match layer {
        Layer::Conv(conv) => Layer::Conv(Conv {
            name: format!("{PREFIX}{}", conv.name),
            ..conv.clone()
        }),
        Layer::BatchNorm(bn) => Layer::BatchNorm(BatchNorm {
            name: format!("{PREFIX}{}", bn.name),
            ..bn.clone()
        }),
        Layer::Residual {
            name,
            main,
            shortcut,
        } => Layer::Residual {
            name: format!("{PREFIX}{name}"),
            main: all(main),
            shortcut: all(shortcut),
        },
        other => other.clone(),
    }
}

/// The backbone's weights out of a classification network's, under their names here; those of a
/// network that has a backbone stay as they are.
pub fn weights(dict: StateDict) -> StateDict {
    if dict.keys().any(|name| name.starts_with(PREFIX)) {
        return dict;
    }
    let named = dict
        .into_iter()
        .filter(|(name, _)| !name.starts_with("fc.") && !rungs_spec::weights::passed_over(name));
    named
        .map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor))
        .collect()
}
