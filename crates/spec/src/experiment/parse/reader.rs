//! Reading one spanned value of a file: what it must be, and where it stands if it is not.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::error::{SpecError, nearest};
use crate::keys::{self, TABLES};
use crate::{metric, refinement, settle};

/// A value with its place in the text.
pub(super) type Entry<'i> = Spanned<DeValue<'i>>;

/// A file being read.
pub(super) struct Reader<'i> {
    pub(super) text: &'i str,
    pub(super) name: &'i str,
    pub(super) file: &'i str,
}

/// A table whose keys are taken one by one; what is left over is unknown.
pub(super) struct Keys<'t, 'i> {
    pub(super) table: &'t DeTable<'i>,
    pub(super) offset: usize,
    pub(super) what: &'static str,
    pub(super) known: Vec<&'static str>,
}

impl<'t, 'i> Keys<'t, 'i> {
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'t Entry<'i>> {
        self.known.push(name);
        self.table
            .iter()
            .find(|(k, _)| k.get_ref() == name)
            .map(|(_, v)| v)
    }
}

impl<'i> Reader<'i> {
    pub(super) fn error(&self, offset: usize, message: impl Into<String>) -> SpecError {
        SpecError::new(message).at_offset(self.text, offset)
    }

    pub(super) fn keys<'t>(
        &self,
        entry: &'t Entry<'i>,
        what: &'static str,
    ) -> Result<Keys<'t, 'i>, SpecError> {
        let offset = entry.span().start;
        match entry.get_ref() {
            DeValue::Table(table) => Ok(Keys {
                table,
                offset,
                what,
                known: Vec::new(),
            }),
            other => Err(self.error(
                offset,
                format!("{what} must be a table, not a {}", other.type_str()),
            )),
        }
    }

    /// Refuses keys that nobody took.
    pub(super) fn done(&self, keys: Keys<'_, 'i>) -> Result<(), SpecError> {
        for (key, _) in keys.table.iter() {
            if !keys.known.contains(&key.get_ref().as_ref()) {
                let message = format!(
                    "unknown key \"{}\" in {}; {}",
                    key.get_ref(),
                    keys.what,
                    nearest(key.get_ref(), keys.known.iter().copied())
                );
                return Err(self.error(key.span().start, message));
            }
        }
        Ok(())
    }

    pub(super) fn metric(&self, name: &str, offset: usize) -> Result<(), SpecError> {
        if metric::find(name).is_some() || name.starts_with("system/") {
            return Ok(());
        }
        let known = nearest(name, metric::METRICS.iter().map(|m| m.name));
        Err(self.error(offset, format!("unknown metric \"{name}\"; {known}")))
    }

    pub(super) fn refinement(
        &self,
        id: &str,
        offset: usize,
    ) -> Result<&'static refinement::Refinement, SpecError> {
        refinement::find(id).ok_or_else(|| {
            self.error(
                offset,
                format!(
                    "unknown refinement \"{id}\"; {}",
                    settle::known_refinements(id)
                ),
            )
        })
    }

    /// A table of recipe keys, each checked where it stands; `except` names keys of another kind.
    pub(super) fn recipe_keys(
        &self,
        entry: &Entry<'i>,
        what: &'static str,
        except: &[&str],
    ) -> Result<Table, SpecError> {
        let keys = self.keys(entry, what)?;
        let mut out = Table::new();
        for (key, value) in keys.table.iter() {
            let name = key.get_ref().as_ref();
            if except.contains(&name) {
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) if TABLES.contains(&name) => {
                    for (inner_key, inner_value) in inner.iter() {
                        self.recipe_key(
                            &format!("{name}.{}", inner_key.get_ref()),
                            inner_key.span().start,
                            inner_value,
                        )?;
                    }
                }
                _ => self.recipe_key(name, key.span().start, value)?,
            }
            out.insert(name.to_owned(), self.value(value)?);
        }
        Ok(out)
    }

    pub(super) fn recipe_key(
        &self,
        path: &str,
        offset: usize,
        value: &Entry<'i>,
    ) -> Result<(), SpecError> {
        let key = keys::find(path).ok_or_else(|| self.error(offset, keys::unknown(path)))?;
        let at = value.span().start;
        key.check(&self.value(value)?)
            .map(|_| ())
            .map_err(|e| self.error(at, e))
    }

    pub(super) fn id(&self, k: &mut Keys<'_, 'i>) -> Result<(String, usize), SpecError> {
        let (what, offset) = (k.what, k.offset);
        let entry = k
            .take("id")
            .ok_or_else(|| self.error(offset, format!("{what} needs an id")))?;
        let id = self.string(entry, "id")?;
        let fine = !id.is_empty()
            && id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c));
        if !fine {
            let message = format!(
                "id \"{id}\": use letters, digits, \"-\", \"_\", \".\" and \"+\" (it stands in URLs)"
            );
            return Err(self.error(entry.span().start, message));
        }
        Ok((id, entry.span().start))
    }

    pub(super) fn tables<'t>(
        &self,
        entry: Option<&'t Entry<'i>>,
        what: &str,
    ) -> Result<Vec<&'t Entry<'i>>, SpecError> {
        let entry = entry.ok_or_else(|| {
            self.error(0, format!("the file has no {what}; it needs at least one"))
        })?;
        self.array(entry, what)
    }

    pub(super) fn array<'t>(
        &self,
        entry: &'t Entry<'i>,
        what: &str,
    ) -> Result<Vec<&'t Entry<'i>>, SpecError> {
        match entry.get_ref() {
            DeValue::Array(items) => Ok(items.iter().collect()),
            other => Err(self.error(
                entry.span().start,
                format!("{what} must be a list, not a {}", other.type_str()),
            )),
        }
    }

    pub(super) fn string(&self, entry: &Entry<'i>, what: &str) -> Result<String, SpecError> {
        match entry.get_ref() {
            DeValue::String(s) => Ok(s.to_string()),
            other => Err(self.error(
                entry.span().start,
                format!("{what} must be text, not a {}", other.type_str()),
            )),
        }
    }

    pub(super) fn boolean(&self, entry: &Entry<'i>, what: &str) -> Result<bool, SpecError> {
        entry
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.error(entry.span().start, format!("{what} must be true or false")))
    }

    pub(super) fn whole(&self, entry: &Entry<'i>, what: &str) -> Result<u64, SpecError> {
        match self.value(entry)?.as_integer() {
            Some(n) if (1..=10_000).contains(&n) => Ok(n.unsigned_abs()),
            _ => Err(self.error(
                entry.span().start,
                format!("{what} must be a whole number from 1 to 10000"),
            )),
        }
    }

    /// The value without its spans.
    pub(super) fn value(&self, entry: &Entry<'i>) -> Result<Value, SpecError> {
        let wrong = || self.error(entry.span().start, "this number is out of range");
        Ok(match entry.get_ref() {
            DeValue::String(s) => Value::String(s.to_string()),
            DeValue::Integer(n) => {
                Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).map_err(|_| wrong())?)
            }
            DeValue::Float(x) => Value::Float(x.as_str().parse().map_err(|_| wrong())?),
            DeValue::Boolean(b) => Value::Boolean(*b),
            DeValue::Datetime(d) => Value::Datetime(*d),
            DeValue::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|i| self.value(i))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => {
                let pairs = table
                    .iter()
                    .map(|(k, v)| Ok((k.get_ref().to_string(), self.value(v)?)));
                Value::Table(pairs.collect::<Result<_, SpecError>>()?)
            }
        })
    }
}
