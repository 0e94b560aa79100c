//! The one catalogue of refinements: what each changes, what it needs, its test. Adding one touches
//! this file (and the trainer, which the compiler names if a recipe key is new).

use toml::Value;

use crate::model::ModelInfo;

/// One named change to a recipe.
pub struct Refinement {
    /// Id in experiment files.
    pub id: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Where the paper describes it.
    pub section: &'static str,
    /// What it changes, one sentence.
    pub what: &'static str,
    /// What can be said about it in `add` and in profiles.
    pub parameters: &'static [Parameter],
    /// Refinements that cannot stand in one stack with it.
    pub excludes: &'static [&'static str],
    /// Why it does not apply to this model; `None` where it does.
    pub inapplicable: fn(&ModelInfo) -> Option<&'static str>,
    /// Recipe keys it sets, given its parameters and the model's name so far.
    pub sets: fn(&Parameters<'_>) -> Vec<(&'static str, Value)>,
}

/// A parameter of a refinement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Name in experiment files.
    pub name: &'static str,
    /// Its value when nobody sets it.
    pub default: ParameterDefault,
}

/// Where a parameter's value comes from when nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterDefault {
    /// This TOML value.
    Is(&'static str),
    /// The recipe key's own default, which may depend on `variant`.
    OfRecipe,
    /// Must be given; this is what it looks like.
    Required(&'static str),
}

const fn p(name: &'static str, default: &'static str) -> Parameter {
    Parameter {
        name,
        default: ParameterDefault::Is(default),
    }
}

const fn of_recipe(name: &'static str) -> Parameter {
    Parameter {
        name,
        default: ParameterDefault::OfRecipe,
    }
}

/// What a refinement sees when it is applied.
pub struct Parameters<'a> {
    /// Settled parameters: catalogue, then `add`, then the profile.
    pub values: &'a toml::Table,
    /// Model so far.
    pub model: &'a ModelInfo,
}

impl Parameters<'_> {
    /// `(key, value of the parameter)` for each parameter that has a value.
    fn keys(&self, pairs: &[(&'static str, &str)]) -> Vec<(&'static str, Value)> {
        let value =
            |(key, name): &(&'static str, &str)| Some((*key, self.values.get(*name)?.clone()));
        pairs.iter().filter_map(value).collect()
    }

    /// The model's name with another ending: `("resnet50", "", "b")` gives `resnet50b`.
    fn renamed(&self, ending: &str, new: &str) -> Vec<(&'static str, Value)> {
        let stem = self
            .model
            .name
            .strip_suffix(ending)
            .unwrap_or(self.model.name);
        vec![("model", Value::String(format!("{stem}{new}")))]
    }
}

/// The letter of a ResNet: `Some("")` for v1, `Some("b")`, ...; `None` for other models.
fn tweak(model: &ModelInfo) -> Option<&'static str> {
    let stem = model.name.strip_prefix("resnet")?;
    Some(stem.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn always(_: &ModelInfo) -> Option<&'static str> {
    None
}

fn word(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// All refinements, in the order of the paper.
pub const REFINEMENTS: &[Refinement] = &[
    Refinement {
        id: "linear-scaling",
        title: "Linear scaling of the learning rate",
        section: "3.1",
        what: "multiplies the learning rate by batch_size / 256",
        parameters: &[],
        excludes: &[],
        inapplicable: always,
        sets: |_| vec![("lr_scaling", word("linear"))],
    },
    Refinement {
        id: "warmup",
        title: "Learning-rate warmup",
        section: "3.1",
        what: "raises the learning rate linearly from 0 to its peak over the first epochs, per batch",
        parameters: &[p("epochs", "5.0")],
        excludes: &[],
        inapplicable: always,
        sets: |p| p.keys(&[("warmup_epochs", "epochs")]),
    },
    Refinement {
        id: "zero-gamma",
        title: "Zero gamma",
        section: "3.1",
        what: "starts gamma of the last BN of each residual branch at 0, so that each block starts as its shortcut",
        parameters: &[],
        excludes: &[],
        inapplicable: |model| {
            (!model.residual)
                .then_some("it has no residual branches whose last BN could start at zero")
        },
        sets: |_| vec![("zero_gamma", Value::Boolean(true))],
    },
    Refinement {
        id: "no-bias-decay",
        title: "No bias decay",
        section: "3.1",
        what: "weight decay on weights of convolutions and linear layers only, not on biases, gamma and beta",
        parameters: &[],
        excludes: &[],
        inapplicable: always,
        sets: |_| vec![("decay", word("weights"))],
    },
    Refinement {
        id: "fp16",
        title: "FP16 training",
        section: "3.2",
        what: "parameters, activations and gradients in half precision, FP32 master weights, the loss multiplied by a scale",
        parameters: &[p("loss_scale", "1024.0")],
        excludes: &[],
        inapplicable: always,
        sets: |p| {
            let mut keys = vec![("precision", word("fp16"))];
            keys.extend(p.keys(&[("loss_scale", "loss_scale")]));
            keys
        },
    },
    Refinement {
        id: "resnet-b",
        title: "ResNet-B",
        section: "4.1",
        what: "moves the stride of a down-sampling block from its first 1x1 convolution to the 3x3, so that no input is skipped",
        parameters: &[],
        excludes: &[],
        inapplicable: |model| {
            (tweak(model) != Some(""))
                .then_some("it changes a ResNet v1 (resnet50, resnet101, resnet152)")
        },
        sets: |p| p.renamed("", "b"),
    },
    Refinement {
        id: "resnet-c",
        title: "ResNet-C",
        section: "4.1",
        what: "three 3x3 convolutions instead of the 7x7 one in the stem",
        parameters: &[],
        excludes: &[],
        inapplicable: |model| {
            (tweak(model) != Some("b"))
                .then_some("it changes a ResNet-B: put resnet-b below it, or start from resnet50b")
        },
        sets: |p| p.renamed("b", "c"),
    },
    Refinement {
        id: "resnet-d",
        title: "ResNet-D",
        section: "4.1",
        what: "average pooling before a 1x1 convolution of stride 1 in the shortcut, so that no input is skipped there",
        parameters: &[],
        excludes: &[],
        inapplicable: |model| {
            (tweak(model) != Some("c"))
                .then_some("it changes a ResNet-C: put resnet-c below it, or start from resnet50c")
        },
        sets: |p| p.renamed("c", "d"),
    },
    Refinement {
        id: "cosine",
        title: "Cosine learning-rate decay",
        section: "5.1",
        what: "lowers the learning rate after the warmup by half a cosine, lr (1 + cos(pi t / T)) / 2, instead of in steps",
        parameters: &[],
        excludes: &[],
        inapplicable: always,
        sets: |_| {
            let cosine = toml::Table::from_iter([("kind".to_owned(), word("cosine"))]);
            vec![("schedule", Value::Table(cosine))]
        },
    },
    Refinement {
        id: "label-smoothing",
        title: "Label smoothing",
        section: "5.2",
        what: "targets of 1 - epsilon + epsilon / K for the label and epsilon / K for the other classes",
        parameters: &[p("epsilon", "0.1")],
        excludes: &[],
        inapplicable: always,
        sets: |p| p.keys(&[("label_smoothing", "epsilon")]),
    },
    Refinement {
        id: "distillation",
        title: "Knowledge distillation",
        section: "5.3",
        what: "adds T^2 times the cross entropy to a teacher's softened predictions for the same augmented batch",
        parameters: &[
            Parameter {
                name: "teacher",
                default: ParameterDefault::Required(
                    "{ experiment = \"teachers\", row = \"label-smoothing\", column = \"resnet152d\" } or { weights = FILE, model = NAME }",
                ),
            },
            p("temperature", "20.0"),
            of_recipe("soft_weight"),
            of_recipe("hard_weight"),
        ],
        excludes: &[],
        inapplicable: always,
        sets: |p| {
            p.keys(&[
                ("distill.teacher", "teacher"),
                ("distill.temperature", "temperature"),
                ("distill.soft_weight", "soft_weight"),
                ("distill.hard_weight", "hard_weight"),
            ])
        },
    },
    Refinement {
        id: "mixup",
        title: "Mixup",
        section: "5.4",
        what: "trains on lambda x_i + (1 - lambda) x_j and their labels mixed alike, lambda of each batch from Beta(alpha, alpha), for more epochs",
        parameters: &[p("alpha", "0.2"), p("epochs", "200")],
        excludes: &[],
        inapplicable: always,
        sets: |p| p.keys(&[("mixup_alpha", "alpha"), ("epochs", "epochs")]),
    },
];

/// The refinement of that id.
pub fn find(id: &str) -> Option<&'static Refinement> {
    REFINEMENTS.iter().find(|r| r.id == id)
}

impl Refinement {
    /// Parameters that have a default of their own.
    pub fn defaults(&self) -> toml::Table {
        let text: String = self
            .parameters
            .iter()
            .filter_map(|parameter| match parameter.default {
                ParameterDefault::Is(value) => Some(format!("{} = {value}\n", parameter.name)),
                ParameterDefault::OfRecipe | ParameterDefault::Required(_) => None,
            })
            .collect();
        text.parse().unwrap_or_default()
    }

    /// What is missing among settled parameters, and what it looks like.
    pub fn missing(&self, values: &toml::Table) -> Option<String> {
        self.parameters.iter().find_map(|parameter| match parameter.default {
            ParameterDefault::Required(form) if !values.contains_key(parameter.name) => Some(format!(
                "refinement \"{0}\" needs its {1}: add = [{{ id = \"{0}\", {1} = {form} }}]",
                self.id, parameter.name
            )),
            _ => None,
        })
    }

    /// Whether one of its keys is `model`.
    pub fn sets_model(&self) -> bool {
        self.sets_key("model")
    }

    /// What is wrong with a parameter, by name and value.
    pub fn check_parameter(&self, name: &str, value: &Value) -> Result<(), String> {
        if !self.parameters.iter().any(|p| p.name == name) {
            return Err(if self.parameters.is_empty() {
                format!(
                    "refinement \"{}\" has no parameters, so not \"{name}\"",
                    self.id
                )
            } else {
                format!(
                    "refinement \"{}\" has no parameter \"{name}\"; {}",
                    self.id,
                    crate::error::nearest(name, self.parameters.iter().map(|p| p.name))
                )
            });
        }
        // The keys that it sets hold the ranges: apply it with this one parameter changed.
        let mut values = self.defaults();
        values.insert(name.to_owned(), value.clone());
        let model = &crate::model::MODELS[0];
        for (path, value) in (self.sets)(&Parameters {
            values: &values,
            model,
        }) {
            if let Some(key) = crate::keys::find(path) {
                key.check(&value).map_err(|e| {
                    format!("refinement \"{}\", parameter \"{name}\": {e}", self.id)
                })?;
            }
        }
        Ok(())
    }

    /// Whether one of its keys is `epochs` (a profile that sets epochs must then set it too).
    pub fn sets_epochs(&self) -> bool {
        self.sets_key("epochs")
    }

    fn sets_key(&self, key: &str) -> bool {
        let values = self.defaults();
        let model = &crate::model::MODELS[0];
        let parameters = Parameters {
            values: &values,
            model,
        };
        (self.sets)(&parameters)
            .iter()
            .any(|(path, _)| *path == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_parameter_is_valid_and_every_key_exists() {
        for refinement in REFINEMENTS {
            let own = |p: &&Parameter| matches!(p.default, ParameterDefault::Is(_));
            assert_eq!(
                refinement.defaults().len(),
                refinement.parameters.iter().filter(own).count(),
                "{}",
                refinement.id
            );
            for (name, value) in refinement.defaults() {
                refinement
                    .check_parameter(&name, &value)
                    .expect("default parameter");
            }
            let values = refinement.defaults();
            for (path, value) in (refinement.sets)(&Parameters {
                values: &values,
                model: &crate::model::MODELS[0],
            }) {
                let key = crate::keys::find(path).expect("a key of the recipe");
                key.check(&value).expect("a valid value");
            }
        }
    }

    #[test]
    fn the_tweaks_turn_one_resnet_into_the_next() {
        for (id, from, to) in [
            ("resnet-b", "resnet50", "resnet50b"),
            ("resnet-c", "resnet101b", "resnet101c"),
            ("resnet-d", "resnet152c", "resnet152d"),
        ] {
            let refinement = find(id).expect("in the catalogue");
            let model = crate::model::find(from).expect("a model");
            assert_eq!((refinement.inapplicable)(model), None);
            let values = toml::Table::new();
            let keys = (refinement.sets)(&Parameters {
                values: &values,
                model,
            });
            assert_eq!(keys, [("model", word(to))]);
            for other in ["mobilenet", "inception-v3", to] {
                let other = crate::model::find(other).expect("a model");
                assert!(
                    (refinement.inapplicable)(other).is_some(),
                    "{id} on {}",
                    other.name
                );
            }
        }
    }

    #[test]
    fn distillation_needs_a_teacher() {
        let distillation = find("distillation").expect("in the catalogue");
        let missing = distillation
            .missing(&distillation.defaults())
            .expect("a message");
        assert!(missing.contains("teacher"), "{missing}");
        assert!(find("mixup").expect("in the catalogue").sets_epochs());
    }

    #[test]
    fn unknown_parameters_and_values_out_of_range_are_named() {
        let warmup = find("warmup").expect("in the catalogue");
        assert!(
            warmup
                .check_parameter("epoch", &Value::Integer(1))
                .unwrap_err()
                .contains("did you mean \"epochs\"")
        );
        assert!(
            warmup
                .check_parameter("epochs", &Value::Integer(-1))
                .unwrap_err()
                .contains("warmup_epochs")
        );
        let zero = find("zero-gamma").expect("in the catalogue");
        assert!(
            zero.check_parameter("x", &Value::Integer(1))
                .unwrap_err()
                .contains("no parameters")
        );
    }
}
