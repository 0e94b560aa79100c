//! Text to [`Experiment`]: every refusal names file, line, column, what is wrong and the nearest
//! valid name. Nothing starts from a file that was refused.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::{Added, Column, Experiment, Paper, PaperValue, Profile, Row};
use crate::error::{SpecError, nearest};
use crate::keys::{self, TABLES};
use crate::{metric, refinement, settle};

type Entry<'i> = Spanned<DeValue<'i>>;

impl Experiment {
    /// Parses and checks a file. `name` is its stem, `file` what errors call it.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Experiment, SpecError> {
        let reader = Reader { text, name, file };
        reader.experiment().map_err(|e| e.in_file(file))
    }
}

struct Reader<'i> {
    text: &'i str,
    name: &'i str,
    file: &'i str,
}

/// A table whose keys are taken one by one; what is left over is unknown.
struct Keys<'t, 'i> {
    table: &'t DeTable<'i>,
    offset: usize,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'t, 'i> Keys<'t, 'i> {
    fn take(&mut self, name: &'static str) -> Option<&'t Entry<'i>> {
        self.known.push(name);
        self.table
            .iter()
            .find(|(k, _)| k.get_ref() == name)
            .map(|(_, v)| v)
    }
}

impl<'i> Reader<'i> {
    fn error(&self, offset: usize, message: impl Into<String>) -> SpecError {
        SpecError::new(message).at_offset(self.text, offset)
    }

    fn keys<'t>(
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
    fn done(&self, keys: Keys<'_, 'i>) -> Result<(), SpecError> {
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

    fn experiment(&self) -> Result<Experiment, SpecError> {
        let root = DeTable::parse(self.text).map_err(|e| {
            let offset = e.span().map_or(0, |s| s.start);
            self.error(offset, format!("not TOML: {}", e.message()))
        })?;
        let root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
        let mut k = self.keys(&root, "an experiment file")?;
        let title = match k.take("title") {
            Some(v) => self.string(v, "title")?,
            None => {
                return Err(self.error(
                    0,
                    "title is missing: one sentence that says what the table shows",
                ));
            }
        };
        let paper = k.take("paper").map(|v| self.paper(v)).transpose()?;
        let metrics = match k.take("metrics") {
            Some(v) => self.metrics(v)?,
            None => vec!["val/top1".to_owned(), "val/top5".to_owned()],
        };
        let seeds = k.take("seeds").map_or(Ok(1), |v| self.whole(v, "seeds"))?;
        let tolerance = match k.take("tolerance") {
            Some(v) => keys::number(&self.value(v)?)
                .filter(|x| *x > 0.0)
                .ok_or_else(|| {
                    self.error(
                        v.span().start,
                        "tolerance must be a number of points above 0",
                    )
                })?,
            None => 0.3,
        };
        let default_entry = k.take("default_profile");
        let default_profile = default_entry
            .map(|v| self.string(v, "default_profile"))
            .transpose()?;
        let base = match k.take("base") {
            Some(v) => self.recipe_keys(v, "[base]", &[])?,
            None => {
                return Err(self.error(
                    0,
                    "[base] is missing: the recipe under the first row (it may be empty)",
                ));
            }
        };
        let columns = self.columns(k.take("column"))?;
        let rows = self.rows(k.take("row"), &columns)?;
        let profiles = match k.take("profile") {
            Some(v) => self.profiles(v, &columns, &rows)?,
            None => BTreeMap::new(),
        };
        self.done(k)?;
        if let (Some(name), Some(entry)) = (&default_profile, default_entry)
            && !profiles.contains_key(name)
        {
            let message = format!(
                "default_profile = \"{name}\" is not a profile of this file; {}",
                nearest(name, profiles.keys().map(String::as_str))
            );
            return Err(self.error(entry.span().start, message));
        }
        let experiment = Experiment {
            name: self.name.to_owned(),
            file: self.file.to_owned(),
            hash: blake3::hash(self.text.as_bytes()).to_hex().to_string(),
            text: self.text.to_owned(),
            title,
            paper,
            metrics,
            seeds,
            default_profile,
            tolerance,
            base,
            columns,
            rows,
            profiles,
        };
        self.settles(&experiment)?;
        Ok(experiment)
    }

    /// Every cell of every profile must settle; a file that cannot is refused as a whole.
    fn settles(&self, e: &Experiment) -> Result<(), SpecError> {
        let profiles = std::iter::once(None).chain(e.profiles.keys().map(|p| Some(p.as_str())));
        for profile in profiles {
            for row in &e.rows {
                for column in e.columns.iter().filter(|c| !c.reference_only) {
                    settle::cell(e, profile, row, column, &[]).map_err(|mut error| {
                        let within =
                            profile.map_or(String::new(), |p| format!("profile \"{p}\", "));
                        error.message = format!("{within}{}", error.message);
                        error.file = None;
                        error
                    })?;
                }
            }
        }
        Ok(())
    }

    fn paper(&self, entry: &Entry<'i>) -> Result<Paper, SpecError> {
        let mut k = self.keys(entry, "paper")?;
        let text = |v: Option<&Entry<'i>>, what| v.map(|v| self.string(v, what)).transpose();
        let paper = Paper {
            arxiv: text(k.take("arxiv"), "paper.arxiv")?,
            table: text(k.take("table"), "paper.table")?,
            figure: text(k.take("figure"), "paper.figure")?,
        };
        self.done(k)?;
        Ok(paper)
    }

    fn metrics(&self, entry: &Entry<'i>) -> Result<Vec<String>, SpecError> {
        let mut names = Vec::new();
        for item in self.array(entry, "metrics")? {
            let name = self.string(item, "a metric")?;
            self.metric(&name, item.span().start)?;
            if names.contains(&name) {
                return Err(self.error(
                    item.span().start,
                    format!("metric \"{name}\" is named twice"),
                ));
            }
            names.push(name);
        }
        Ok(names)
    }

    fn metric(&self, name: &str, offset: usize) -> Result<(), SpecError> {
        if metric::find(name).is_some() || name.starts_with("system/") {
            return Ok(());
        }
        let known = nearest(name, metric::METRICS.iter().map(|m| m.name));
        Err(self.error(offset, format!("unknown metric \"{name}\"; {known}")))
    }

    fn columns(&self, entry: Option<&Entry<'i>>) -> Result<Vec<Column>, SpecError> {
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

    fn rows(&self, entry: Option<&Entry<'i>>, columns: &[Column]) -> Result<Vec<Row>, SpecError> {
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
    fn stands(&self, rows: &[Row], index: usize, offset: usize) -> Result<(), SpecError> {
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

    fn added(&self, entry: &Entry<'i>) -> Result<Vec<Added>, SpecError> {
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

    fn refinement(
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

    fn skip(
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

    fn column_id(
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

    fn paper_values(
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

    fn paper_value(&self, entry: &Entry<'i>) -> Result<PaperValue, SpecError> {
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

    fn profiles(
        &self,
        entry: &Entry<'i>,
        columns: &[Column],
        rows: &[Row],
    ) -> Result<BTreeMap<String, Profile>, SpecError> {
        let mut out = BTreeMap::new();
        for (name, body) in self.keys(entry, "[profile]")?.table.iter() {
            let mut k = self.keys(body, "a profile")?;
            let mut profile = Profile {
                seeds: k
                    .take("seeds")
                    .map(|v| self.whole(v, "seeds"))
                    .transpose()?,
                ..Profile::default()
            };
            if let Some(v) = k.take("column") {
                for (id, table) in self.keys(v, "[profile.P.column]")?.table.iter() {
                    self.column_id(id, columns)?;
                    profile.columns.insert(
                        id.get_ref().to_string(),
                        self.recipe_keys(table, "a profile's column", &[])?,
                    );
                }
            }
            if let Some(v) = k.take("row") {
                for (id, table) in self.keys(v, "[profile.P.row]")?.table.iter() {
                    if !rows.iter().any(|r| r.id == id.get_ref().as_ref()) {
                        let known = nearest(id.get_ref(), rows.iter().map(|r| r.id.as_str()));
                        return Err(self.error(
                            id.span().start,
                            format!("\"{}\" is no row; {known}", id.get_ref()),
                        ));
                    }
                    profile.rows.insert(
                        id.get_ref().to_string(),
                        self.recipe_keys(table, "a profile's row", &[])?,
                    );
                }
            }
            if let Some(v) = k.take("refinement") {
                for (id, table) in self.keys(v, "[profile.P.refinement]")?.table.iter() {
                    let known = self.refinement(id.get_ref(), id.span().start)?;
                    let Value::Table(parameters) = self.value(table)? else {
                        return Err(self.error(
                            table.span().start,
                            "a refinement's parameters must be a table",
                        ));
                    };
                    for (name, value) in &parameters {
                        known
                            .check_parameter(name, value)
                            .map_err(|e| self.error(table.span().start, e))?;
                    }
                    profile
                        .refinements
                        .insert(id.get_ref().to_string(), parameters);
                }
            }
            profile.set =
                self.recipe_keys(body, "a profile", &["seeds", "column", "row", "refinement"])?;
            self.epochs_settled(name.get_ref(), name.span().start, &profile, columns, rows)?;
            out.insert(name.get_ref().to_string(), profile);
        }
        Ok(out)
    }

    /// A profile that sets `epochs` must set the parameters of refinements that set `epochs`, else
    /// one row would quietly train at the paper's length.
    fn epochs_settled(
        &self,
        name: &str,
        offset: usize,
        profile: &Profile,
        columns: &[Column],
        rows: &[Row],
    ) -> Result<(), SpecError> {
        if !profile.set.contains_key("epochs") {
            return Ok(());
        }
        let added = columns
            .iter()
            .flat_map(|c| &c.add)
            .chain(rows.iter().flat_map(|r| &r.add));
        for added in added {
            let sets = refinement::find(&added.id).is_some_and(refinement::Refinement::sets_epochs);
            if sets
                && !profile
                    .refinements
                    .get(&added.id)
                    .is_some_and(|t| t.contains_key("epochs"))
            {
                let message = format!(
                    "profile \"{name}\" sets epochs, but refinement \"{}\" would set its own; add [profile.{name}.refinement.{}] epochs = ...",
                    added.id, added.id
                );
                return Err(self.error(offset, message));
            }
        }
        Ok(())
    }

    /// A table of recipe keys, each checked where it stands; `except` names keys of another kind.
    fn recipe_keys(
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

    fn recipe_key(&self, path: &str, offset: usize, value: &Entry<'i>) -> Result<(), SpecError> {
        let key = keys::find(path).ok_or_else(|| self.error(offset, keys::unknown(path)))?;
        let at = value.span().start;
        key.check(&self.value(value)?)
            .map(|_| ())
            .map_err(|e| self.error(at, e))
    }

    fn id(&self, k: &mut Keys<'_, 'i>) -> Result<(String, usize), SpecError> {
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

    fn tables<'t>(
        &self,
        entry: Option<&'t Entry<'i>>,
        what: &str,
    ) -> Result<Vec<&'t Entry<'i>>, SpecError> {
        let entry = entry.ok_or_else(|| {
            self.error(0, format!("the file has no {what}; it needs at least one"))
        })?;
        self.array(entry, what)
    }

    fn array<'t>(&self, entry: &'t Entry<'i>, what: &str) -> Result<Vec<&'t Entry<'i>>, SpecError> {
        match entry.get_ref() {
            DeValue::Array(items) => Ok(items.iter().collect()),
            other => Err(self.error(
                entry.span().start,
                format!("{what} must be a list, not a {}", other.type_str()),
            )),
        }
    }

    fn string(&self, entry: &Entry<'i>, what: &str) -> Result<String, SpecError> {
        match entry.get_ref() {
            DeValue::String(s) => Ok(s.to_string()),
            other => Err(self.error(
                entry.span().start,
                format!("{what} must be text, not a {}", other.type_str()),
            )),
        }
    }

    fn boolean(&self, entry: &Entry<'i>, what: &str) -> Result<bool, SpecError> {
        entry
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.error(entry.span().start, format!("{what} must be true or false")))
    }

    fn whole(&self, entry: &Entry<'i>, what: &str) -> Result<u64, SpecError> {
        match self.value(entry)?.as_integer() {
            Some(n) if (1..=10_000).contains(&n) => Ok(n.unsigned_abs()),
            _ => Err(self.error(
                entry.span().start,
                format!("{what} must be a whole number from 1 to 10000"),
            )),
        }
    }

    /// The value without its spans.
    fn value(&self, entry: &Entry<'i>) -> Result<Value, SpecError> {
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
