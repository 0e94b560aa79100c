//! Recipe keys on their way to a recipe: each with every layer that set it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::{Table, Value};

use super::flatten;
use crate::{keys, recipe};

#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) value: Option<Value>,
    pub(super) from: Cow<'static, str>,
    pub(super) refinement: Option<&'static str>,
}

/// Keys set so far, each with every layer that set it, the one in force last.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft(pub(super) BTreeMap<&'static str, Vec<Layer>>);

impl Draft {
    pub(super) fn set(
        &mut self,
        path: &str,
        value: &Value,
        from: &str,
        refinement: Option<&'static str>,
    ) -> Result<(), String> {
        let key = keys::find(path).ok_or_else(|| keys::unknown(path))?;
        let value = key.check(value)?;
        let layer = Layer {
            value,
            from: from.to_owned().into(),
            refinement,
        };
        self.0.entry(key.path).or_default().push(layer);
        Ok(())
    }

    pub(super) fn table(&mut self, table: &Table, from: &str) -> Result<(), String> {
        for (path, value) in flatten(table) {
            self.set(&path, &value, from, None)?;
        }
        Ok(())
    }

    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.0
            .get(path)
            .and_then(|layers| layers.last())
            .and_then(|l| l.value.as_ref())
    }

    pub(super) fn str(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }

    pub(super) fn task(&self) -> recipe::Task {
        match self.str("task") {
            Some("detect") => recipe::Task::Detect,
            Some("segment") => recipe::Task::Segment,
            _ => recipe::Task::Classify,
        }
    }

    pub(super) fn is_set(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}
