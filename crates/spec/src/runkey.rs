//! The run key: a run's identity. Equal key = trained once, shared by every table.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// BLAKE3, 64 hex digits, of the canonical JSON of what a run depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RunKey(String);

impl RunKey {
    /// Parses a full key.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
        .then(|| RunKey(text.to_owned()))
    }
    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RunKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        RunKey::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a run key (64 hex digits)"))
        })
    }
}

/// BLAKE3 of canonical JSON: objects sorted by key, no white space, numbers in their shortest form.
pub fn of_json(value: &serde_json::Value) -> RunKey {
    RunKey(
        blake3::hash(canonical(value).as_bytes())
            .to_hex()
            .to_string(),
    )
}

/// Canonical JSON text: objects sorted by key, no white space, and every number that is a whole
/// number written as an integer, so that `256` and `256.0` are the same hyperparameter.
pub fn canonical(value: &serde_json::Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            out.push('{');
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Number(n) => match n.as_f64() {
            Some(x) if x.fract() == 0.0 && x.abs() < 9.0e15 => {
                out.push_str(&format!("{:.0}", x + 0.0))
            }
            _ => out.push_str(&n.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_have_one_form() {
        assert_eq!(
            canonical(&json!({"b": 256.0, "a": [1, 0.1, -0.0]})),
            r#"{"a":[1,0.1,0],"b":256}"#
        );
        assert_eq!(of_json(&json!({"a": 1})), of_json(&json!({"a": 1.0})));
        assert_ne!(of_json(&json!({"a": 1})), of_json(&json!({"a": 1.5})));
    }

    #[test]
    fn a_key_is_64_lower_case_hex_digits() {
        let key = of_json(&json!(null));
        assert_eq!(RunKey::parse(key.as_str()), Some(key));
        assert_eq!(RunKey::parse("ABC"), None);
    }
}
