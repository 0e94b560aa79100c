//! Recipes beside each other: every key with the value of each side.

use std::collections::BTreeSet;

use rungs_spec::recipe::Recipe;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Compared;
use crate::error::ReportError;

/// A recipe key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Key {
    /// Dotted name.
    pub key: String,
    /// Whether two sides have different values.
    pub differs: bool,
    /// The value of each side; `None` where the key does not exist.
    pub values: Vec<Option<Value>>,
}

/// Every recipe key with the value of each side, and beside them what else a run key rests on.
pub(super) fn recipes(groups: &[Vec<&Compared>]) -> Result<Vec<Key>, ReportError> {
    let mut facts: Vec<Map<String, Value>> = Vec::new();
    for group in groups {
        let mut of = flat(&group[0].result.recipe)?;
        let seeds: Vec<u64> = group.iter().map(|run| run.result.seed).collect();
        let seed = match seeds.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        of.insert("seed".to_owned(), seed);
        of.insert("arithmetic".to_owned(), json!(group[0].arithmetic));
        facts.push(of);
    }
    let names: BTreeSet<&String> = facts.iter().flat_map(Map::keys).collect();
    let key = |name: &String| {
        let values: Vec<Option<Value>> = facts.iter().map(|of| of.get(name).cloned()).collect();
        Key {
            key: name.clone(),
            differs: values.iter().any(|v| *v != values[0]),
            values,
        }
    };
    Ok(names.into_iter().map(key).collect())
}

fn flat(recipe: &Recipe) -> Result<Map<String, Value>, ReportError> {
    let mut facts = Map::new();
    let value = serde_json::to_value(recipe).map_err(|e| ReportError::Write {
        format: "json",
        message: e.to_string(),
    })?;
    flatten(&mut facts, "", &value);
    Ok(facts)
}

/// Leaves of a JSON value by their dotted paths; lists stay whole.
pub fn flatten(facts: &mut Map<String, Value>, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(facts, &path, value);
            }
        }
        other => {
            facts.insert(path.to_owned(), other.clone());
        }
    }
}
