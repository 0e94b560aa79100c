//! `[[column]]` and `[[row]]`: the tree of rows, what they add, skip, and what the paper printed.

use std::collections::BTreeMap;

use toml::de::DeValue;
use toml::{Spanned, Table, Value};

use super::super::{Added, Column, PaperValue, Row};
use super::reader::{Entry, Reader};
use crate::error::{SpecError, nearest};
use crate::keys;

impl<'i> Reader<'i> {
    pub(super) fn columns(&self, entry: Option<&Entry<'i>>) -> Result<Vec<Column>, SpecError> {
        let mut columns: Vec<Column> = Vec::new();
        for item in self.tables(entry, "[[column]]")? {
            let mut k = self.keys(item, "[[column]]")?;
            let (id, id_at) = self.id(&mut k)?;
            if columns.iter().any(|c| c.id == id) {
                return Err(self.error(
                    id_at,
                    format!("column id \"{id}\" is used twice; ids name cells, so give it another"),
                ));
            }
            let column = Column {
                label: k
                    .take("label")
                    .map_or(Ok(id.clone()), |v| self.string(v, "label"))?,
                set: k
                    .take("set")
                    .map_or(Ok(Table::new()), |v| self.recipe_keys(v, "column.set", &[]))?,
                add: k.take("add").map_or(Ok(Vec::new()), |v| self.added(v))?,
                reference_only: k
                    .take("reference_only")
                    .map_or(Ok(false), |v| self.boolean(v, "reference_only"))?,
                id,
            };
            self.done(k)?;
            columns.push(column);
        }
        Ok(columns)
    }

    pub(super) fn rows(
        &self,
        entry: Option<&Entry<'i>>,
        columns: &[Column],
    ) -> Result<Vec<Row>, SpecError> {
        let mut rows: Vec<Row> = Vec::new();
        let mut on_at: Vec<(usize, usize)> = Vec::new();
        for item in self.tables(entry, "[[row]]")? {
            let mut k = self.keys(item, "[[row]]")?;
            let (id, id_at) = self.id(&mut k)?;
            if id == "base" {
                return Err(self.error(
                    id_at,
                    "row id \"base\" is taken: on = \"base\" starts a new root",
                ));
            }
            if rows.iter().any(|r| r.id == id) {
                return Err(self.error(
                    id_at,
                    format!("row id \"{id}\" is used twice; ids name cells, so give it another"),
                ));
            }
            let on = match k.take("on") {
                Some(v) => {
                    on_at.push((rows.len(), v.span().start));
                    Some(self.string(v, "on")?).filter(|on| on != "base")
                }
                None => rows.last().map(|r| r.id.clone()),
            };
            let row = Row {
                label: k
                    .take("label")
                    .map_or(Ok(id.clone()), |v| self.string(v, "label"))?,
                against: on.clone(),
                on,
                add: k.take("add").map_or(Ok(Vec::new()), |v| self.added(v))?,
                set: k
                    .take("set")
                    .map_or(Ok(Table::new()), |v| self.recipe_keys(v, "row.set", &[]))?,
                skip: k
                    .take("skip")
                    .map_or(Ok(BTreeMap::new()), |v| self.skip(v, columns))?,
                paper: k
                    .take("paper")
                    .map_or(Ok(BTreeMap::new()), |v| self.paper_values(v, columns))?,
                id,
            };
            self.done(k)?;
            rows.push(row);
        }
        for (index, offset) in on_at {
            self.stands(&rows, index, offset)?;
        }
        Ok(rows)
    }

    /// `on` must name a row, and following it must end at a root.
    pub(super) fn stands(
        &self,
        rows: &[Row],
        index: usize,
        offset: usize,
    ) -> Result<(), SpecError> {
        let mut seen = vec![rows[index].id.as_str()];
        let mut at = rows[index].on.as_deref();
        while let Some(on) = at {
            let Some(row) = rows.iter().find(|r| r.id == on) else {
                let known = nearest(on, rows.iter().map(|r| r.id.as_str()).chain(["base"]));
                return Err(self.error(offset, format!("on = \"{on}\" names no row; {known}")));
            };
            if seen.contains(&on) {
                seen.push(on);
                let message = format!(
                    "a cycle in on: {}; a stack needs a root (on = \"base\")",
                    seen.join(" stands on ")
                );
                return Err(self.error(offset, message));
            }
            seen.push(on);
            at = row.on.as_deref();
        }
        Ok(())
    }

    pub(super) fn added(&self, entry: &Entry<'i>) -> Result<Vec<Added>, SpecError> {
        let mut out = Vec::new();
        for item in self.array(entry, "add")? {
            let offset = item.span().start;
            let (id, parameters) = match item.get_ref() {
                DeValue::String(id) => (id.to_string(), Table::new()),
                DeValue::Table(_) => {
                    let Value::Table(mut table) = self.value(item)? else {
                        continue;
                    };
                    let Some(Value::String(id)) = table.remove("id") else {
                        return Err(
                            self.error(offset, "a refinement with parameters needs id = \"...\"")
                        );
                    };
                    (id, table)
                }
                other => {
                    let message = format!(
                        "add holds refinement ids or {{ id = ... }} tables, not a {}",
                        other.type_str()
                    );
                    return Err(self.error(offset, message));
                }
            };
            let known = self.refinement(&id, offset)?;
            for (name, value) in &parameters {
                known
                    .check_parameter(name, value)
                    .map_err(|e| self.error(offset, e))?;
            }
            out.push(Added { id, parameters });
        }
        Ok(out)
    }

    pub(super) fn skip(
        &self,
        entry: &Entry<'i>,
        columns: &[Column],
    ) -> Result<BTreeMap<String, Vec<String>>, SpecError> {
        let mut out = BTreeMap::new();
        for (key, list) in self.keys(entry, "skip")?.table.iter() {
            self.column_id(key, columns)?;
            let mut ids = Vec::new();
            for item in self.array(list, "skip")? {
                let id = self.string(item, "a refinement")?;
                self.refinement(&id, item.span().start)?;
                ids.push(id);
            }
            out.insert(key.get_ref().to_string(), ids);
        }
        Ok(out)
    }

    pub(super) fn column_id(
        &self,
        key: &Spanned<std::borrow::Cow<'i, str>>,
        columns: &[Column],
    ) -> Result<(), SpecError> {
        let id = key.get_ref().as_ref();
        if columns.iter().any(|c| c.id == id) {
            return Ok(());
        }
        let known = nearest(id, columns.iter().map(|c| c.id.as_str()));
        Err(self.error(key.span().start, format!("\"{id}\" is no column; {known}")))
    }

    pub(super) fn paper_values(
        &self,
        entry: &Entry<'i>,
        columns: &[Column],
    ) -> Result<BTreeMap<String, BTreeMap<String, PaperValue>>, SpecError> {
        let mut out = BTreeMap::new();
        for (key, values) in self.keys(entry, "paper")?.table.iter() {
            self.column_id(key, columns)?;
            let mut by_metric = BTreeMap::new();
            for (name, value) in self.keys(values, "paper values")?.table.iter() {
                self.metric(name.get_ref(), name.span().start)?;
                by_metric.insert(name.get_ref().to_string(), self.paper_value(value)?);
            }
            out.insert(key.get_ref().to_string(), by_metric);
        }
        Ok(out)
    }

    pub(super) fn paper_value(&self, entry: &Entry<'i>) -> Result<PaperValue, SpecError> {
        let wrong = || {
            self.error(
                entry.span().start,
                "a paper value is a number or { value = 8, unverified = true }",
            )
        };
        match self.value(entry)? {
            Value::Table(table) => {
                let value = table
                    .get("value")
                    .and_then(keys::number)
                    .ok_or_else(wrong)?;
                let unverified = match table.get("unverified") {
                    Some(v) => v.as_bool().ok_or_else(wrong)?,
                    None => false,
                };
                if table.keys().any(|k| k != "value" && k != "unverified") {
                    return Err(wrong());
                }
                Ok(PaperValue { value, unverified })
            }
            other => keys::number(&other)
                .map(|value| PaperValue {
                    value,
                    unverified: false,
                })
                .ok_or_else(wrong),
        }
    }
}
