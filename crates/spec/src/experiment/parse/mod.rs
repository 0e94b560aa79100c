//! Text to [`Experiment`]: every refusal names file, line, column, what is wrong and the nearest
//! valid name. Nothing starts from a file that was refused.

mod figure;
mod modes;
mod profiles;
mod reader;
mod rows;

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Experiment, Mode, Paper};
use crate::error::{SpecError, nearest};
use crate::keys;
use crate::settle::{self, Kept};
use reader::{Entry, Reader};

impl Experiment {
    /// Parses and checks a file. `name` is its stem, `file` what errors call it.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Experiment, SpecError> {
        let reader = Reader { text, name, file };
        reader.experiment().map_err(|e| e.in_file(file))
    }
}

impl<'i> Reader<'i> {
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
        let mut experiment = Experiment {
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
            base: toml::Table::new(),
            columns: Vec::new(),
            mode: Mode::Stacked,
            rows: Vec::new(),
            profiles: BTreeMap::new(),
            figure: None,
            kept: Kept::default(),
        };
        if let Some(entry) = k.take("figure") {
            self.done(k)?;
            let (figure, columns, rows) = self.figure(entry)?;
            experiment.figure = Some(figure);
            experiment.columns = columns;
            experiment.rows = rows;
            if experiment.rows.is_empty() {
                // A block diagram measures nothing.
                experiment.metrics.clear();
            }
            return Ok(experiment);
        }
        experiment.base = match k.take("base") {
            Some(v) => self.recipe_keys(v, "[base]", &[])?,
            None => {
                return Err(self.error(
                    0,
                    "[base] is missing: the recipe under the first row (it may be empty)",
                ));
            }
        };
        let columns = self.columns(k.take("column"))?;
        let (mode, rows) = self.mode_and_rows(&mut k, &columns)?;
        if let Some(v) = k.take("profile") {
            experiment.profiles = self.profiles(v, &columns, &rows)?;
        }
        experiment.columns = columns;
        experiment.mode = mode;
        experiment.rows = rows;
        self.done(k)?;
        if let (Some(name), Some(entry)) = (&experiment.default_profile, default_entry)
            && !experiment.profiles.contains_key(name)
        {
            let known = nearest(name, experiment.profiles.keys().map(String::as_str));
            let message =
                format!("default_profile = \"{name}\" is not a profile of this file; {known}");
            return Err(self.error(entry.span().start, message));
        }
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
}
