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
    /// Parameters and their defaults, as TOML.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Refinements that cannot stand in one stack with it.
    pub excludes: &'static [&'static str],
    /// Why it does not apply to this model; `None` where it does.
    pub inapplicable: fn(&ModelInfo) -> Option<&'static str>,
    /// Recipe keys it sets, given its parameters and the model's name so far.
    pub sets: fn(&Parameters<'_>) -> Vec<(&'static str, Value)>,
}

/// What a refinement sees when it is applied.
pub struct Parameters<'a> {
    /// Settled parameters: catalogue, then `add`, then the profile.
    pub values: &'a toml::Table,
    /// Model so far.
    pub model: &'a ModelInfo,
}

impl Parameters<'_> {
    fn get(&self, name: &str) -> Value {
        self.values
            .get(name)
            .cloned()
            .unwrap_or(Value::Boolean(false))
    }
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
        parameters: &[("epochs", "5.0")],
        excludes: &[],
        inapplicable: always,
        sets: |p| vec![("warmup_epochs", p.get("epochs"))],
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
        parameters: &[("loss_scale", "1024.0")],
        excludes: &[],
        inapplicable: always,
        sets: |p| {
            vec![
                ("precision", word("fp16")),
                ("loss_scale", p.get("loss_scale")),
            ]
        },
    },
];

/// The refinement of that id.
pub fn find(id: &str) -> Option<&'static Refinement> {
    REFINEMENTS.iter().find(|r| r.id == id)
}

impl Refinement {
    /// Default parameters.
    pub fn defaults(&self) -> toml::Table {
        let text: String = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        text.parse().unwrap_or_default()
    }

    /// What is wrong with a parameter, by name and value.
    pub fn check_parameter(&self, name: &str, value: &Value) -> Result<(), String> {
        let known = self.defaults();
        if !known.contains_key(name) {
            return Err(if self.parameters.is_empty() {
                format!(
                    "refinement \"{}\" has no parameters, so not \"{name}\"",
                    self.id
                )
            } else {
                format!(
                    "refinement \"{}\" has no parameter \"{name}\"; {}",
                    self.id,
                    crate::error::nearest(name, self.parameters.iter().map(|(n, _)| *n))
                )
            });
        }
        // The keys that it sets hold the ranges: apply it with this one parameter changed.
        let mut values = known;
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
        let values = self.defaults();
        let model = &crate::model::MODELS[0];
        (self.sets)(&Parameters {
            values: &values,
            model,
        })
        .iter()
        .any(|(path, _)| *path == "epochs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_parameter_is_valid_and_every_key_exists() {
        for refinement in REFINEMENTS {
            assert_eq!(
                refinement.defaults().len(),
                refinement.parameters.len(),
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
