//! Whether a file of weights fits a model, from its names and shapes alone: a plan refuses what a
//! trainer would only refuse after everything was queued.

use std::collections::BTreeMap;

use crate::model::{self, Layer, Model, Shape};
use crate::recipe::Variant;

/// Shape of every tensor of a file, by state-dict name.
pub type Shapes = BTreeMap<String, Vec<u64>>;

/// Names under which a checkpoint of Rungs keeps what is not part of the model.
pub const OWN_PREFIX: &str = "rungs/";

/// Whether a tensor may be present or absent without meaning anything to us.
pub fn passed_over(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
        || name.starts_with("AuxLogits.")
        || name.starts_with(OWN_PREFIX)
}

/// Classes of a file with the weights of `model`. Depths, width and classes follow from the shapes.
/// Errors: the first names that are missing, unknown, or of another shape.
pub fn classes(model: &str, found: &Shapes) -> Result<u32, String> {
    let expected = model_of(model, found)?;
    let mut wanted = Shapes::new();
    expect(&expected.layers, &mut wanted);
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|(name, shape)| match found.get(name) {
            None => Some(format!("{name} is missing")),
            Some(other) if other != shape => Some(format!("{name} is {other:?}, not {shape:?}")),
            Some(_) => None,
        })
        .collect();
    let known = |name: &str| wanted.contains_key(name) || passed_over(name);
    let unknown = found
        .keys()
        .filter(|name| !known(name))
        .map(|name| format!("{name} is unknown"));
    let wrong: Vec<String> = missing.into_iter().chain(unknown).collect();
    if wrong.is_empty() {
        return Ok(expected.classes);
    }
    Err(format!(
        "these are not the weights of {model}: {}{}",
        wrong[..wrong.len().min(3)].join(", "),
        match wrong.len() {
            0..=3 => String::new(),
            n => format!(" and {} more", n - 3),
        }
    ))
}

/// The model of that name in the shape of given weights: classes, depths, width and variant are read
/// off the shapes; what else does not fit is for the caller to find.
pub fn model_of(name: &str, found: &Shapes) -> Result<Model, String> {
    let info = model::find(name).map_err(|e| e.message)?;
    let published = Model::published(name, Variant::Paper).map_err(|e| e.message)?;
    let last = published.layers.iter().rev().find_map(|layer| match layer {
        Layer::Linear { name, input, .. } => Some((format!("{name}.weight"), *input)),
        _ => None,
    });
    let (classifier, features) = last.ok_or_else(|| format!("{name} has no classifier"))?;
    let Some([classes, width]) = found.get(&classifier).and_then(|s| s.first_chunk::<2>()) else {
        return Err(format!(
            "these are not the weights of {name}: {classifier} is missing"
        ));
    };
    let blocks = |stage: usize| {
        let block = |n: &u32| found.contains_key(&format!("layer{stage}.{n}.conv1.weight"));
        (0..).take_while(block).count() as u32
    };
    let depths: Vec<u32> = (1..=4).map(blocks).take_while(|n| *n > 0).collect();
    // The classifier's input says most about the width, which is rounded to multiples of 8 channels;
    // a ResNet of fewer stages ends in fewer features.
    let features = match depths.len() {
        0 => f64::from(features),
        stages => f64::from(256_u32 << (stages - 1)),
    };
    let shape = Shape {
        depths,
        width: *width as f64 / features,
        dropout: info.dropout,
        variant: if found.contains_key("layer1.0.conv1.bias") {
            Variant::Gluoncv
        } else {
            Variant::Paper
        },
        classes: u32::try_from(*classes).map_err(|_| format!("{classifier}: too many classes"))?,
    };
    Model::build(name, &shape)
        .map_err(|e| format!("these are not the weights of {name}: {}", e.message))
}

fn expect(layers: &[Layer], wanted: &mut Shapes) {
    fn put(wanted: &mut Shapes, name: String, shape: &[u32]) {
        wanted.insert(name, shape.iter().copied().map(u64::from).collect());
    }
    for layer in layers {
        match layer {
            Layer::Conv(c) => {
                let [kh, kw] = c.kernel;
                let shape = [c.output, c.input / c.groups, kh, kw];
                put(wanted, format!("{}.weight", c.name), &shape);
                if c.bias {
                    put(wanted, format!("{}.bias", c.name), &[c.output]);
                }
            }
            Layer::BatchNorm(bn) => {
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    put(wanted, format!("{}.{part}", bn.name), &[bn.channels]);
                }
            }
            Layer::Linear {
                name,
                input,
                output,
            } => {
                put(wanted, format!("{name}.weight"), &[*output, *input]);
                put(wanted, format!("{name}.bias"), &[*output]);
            }
            Layer::Residual { main, shortcut, .. } => {
                expect(main, wanted);
                expect(shortcut, wanted);
            }
            Layer::Branches { branches, .. } => {
                for branch in branches {
                    expect(branch, wanted);
                }
            }
            Layer::Relu
            | Layer::MaxPool { .. }
            | Layer::AvgPool { .. }
            | Layer::GlobalAvgPool
            | Layer::Dropout { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(name: &str) -> Shapes {
        let model = Model::published(name, Variant::Paper).expect("a model");
        let mut shapes = Shapes::new();
        expect(&model.layers, &mut shapes);
        shapes
    }

    #[test]
    fn the_weights_of_every_model_are_its_own() {
        for info in model::MODELS {
            let mut found = shapes(info.name);
            assert_eq!(classes(info.name, &found), Ok(1000), "{}", info.name);
            found.insert("bn1.num_batches_tracked".into(), Vec::new());
            found.insert("AuxLogits.fc.bias".into(), vec![1000]);
            found.insert("rungs/momentum/fc.bias".into(), vec![1000]);
            assert_eq!(classes(info.name, &found), Ok(1000), "{}", info.name);
        }
    }

    #[test]
    fn the_weights_of_another_model_are_refused_by_name() {
        for (model, other) in [
            ("resnet50d", "resnet50"),
            ("mobilenet", "resnet50"),
            ("inception-v3", "mobilenet"),
            ("resnet50", "resnet50c"),
        ] {
            let error = classes(model, &shapes(other)).unwrap_err();
            assert!(error.contains(model), "{error}");
            assert!(
                error.contains("missing") || error.contains("unknown"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_shape_is_named() {
        let mut found = shapes("resnet50");
        found.insert("layer1.0.conv2.weight".into(), vec![64, 64, 5, 5]);
        let error = classes("resnet50", &found).unwrap_err();
        assert!(
            error.contains("layer1.0.conv2.weight is [64, 64, 5, 5]"),
            "{error}"
        );
    }
}
