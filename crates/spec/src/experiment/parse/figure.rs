//! `[figure]`: charts over runs that tables train, or block diagrams of models.

use std::collections::BTreeMap;

use toml::Table;

use super::super::{Column, Figure, Panel, Row, SERIES, Series};
use super::reader::{Entry, Reader};
use crate::error::{SpecError, nearest};
use crate::model;

/// What a panel's x axis may be.
const AXES: &[&str] = &["epoch", "step", "time"];

impl<'i> Reader<'i> {
    /// The figure, and its series as rows of one column.
    pub(super) fn figure(
        &self,
        entry: &Entry<'i>,
    ) -> Result<(Figure, Vec<Column>, Vec<Row>), SpecError> {
        let mut k = self.keys(entry, "[figure]")?;
        let mut figure = Figure::default();
        let mut rows: Vec<Row> = Vec::new();
        for item in k
            .take("panels")
            .map_or(Ok(Vec::new()), |v| self.array(v, "panels"))?
        {
            figure.panels.push(self.panel(item)?);
        }
        for item in k
            .take("series")
            .map_or(Ok(Vec::new()), |v| self.array(v, "series"))?
        {
            let (series, label) = self.series(item)?;
            let id = format!("{}-{}-{}", series.experiment, series.row, series.column);
            if rows.iter().any(|r| r.id == id) {
                let message = format!("the series {id} is named twice");
                return Err(self.error(item.span().start, message));
            }
            figure.series.push(series);
            rows.push(Row {
                label: label.unwrap_or_else(|| id.clone()),
                id,
                on: None,
                against: None,
                add: Vec::new(),
                set: Table::new(),
                skip: BTreeMap::new(),
                paper: BTreeMap::new(),
            });
        }
        for item in k
            .take("models")
            .map_or(Ok(Vec::new()), |v| self.array(v, "models"))?
        {
            let name = self.string(item, "a model")?;
            model::find(&name).map_err(|e| self.error(item.span().start, e.message))?;
            figure.models.push(name);
        }
        self.done(k)?;
        let drawn = !figure.panels.is_empty() && !figure.series.is_empty();
        if drawn != figure.models.is_empty() {
            return Err(self.error(
                entry.span().start,
                "[figure] has either panels = [{ x, y }] with series = [{ experiment, row, column }], or models = [...]",
            ));
        }
        let column = Column {
            id: SERIES.to_owned(),
            label: "Series".to_owned(),
            set: Table::new(),
            add: Vec::new(),
            reference_only: false,
        };
        let columns = if rows.is_empty() {
            Vec::new()
        } else {
            vec![column]
        };
        Ok((figure, columns, rows))
    }

    fn panel(&self, entry: &Entry<'i>) -> Result<Panel, SpecError> {
        let mut k = self.keys(entry, "a panel")?;
        let mut text = |name: &'static str| match k.take(name) {
            Some(v) => Ok((self.string(v, name)?, v.span().start)),
            None => Err(self.error(
                entry.span().start,
                format!("a panel needs {name} = \"...\""),
            )),
        };
        let (x, x_at) = text("x")?;
        let (y, y_at) = text("y")?;
        if !AXES.contains(&x.as_str()) {
            let known = nearest(&x, AXES.iter().copied());
            return Err(self.error(x_at, format!("x = \"{x}\" is no axis; {known}")));
        }
        self.metric(&y, y_at)?;
        self.done(k)?;
        Ok(Panel { x, y })
    }

    fn series(&self, entry: &Entry<'i>) -> Result<(Series, Option<String>), SpecError> {
        let mut k = self.keys(entry, "a series")?;
        let mut text = |name: &'static str| match k.take(name) {
            Some(v) => self.string(v, name),
            None => Err(self.error(
                entry.span().start,
                format!("a series needs {name} = \"...\": it is a cell of a table"),
            )),
        };
        let series = Series {
            experiment: text("experiment")?,
            row: text("row")?,
            column: text("column")?,
        };
        let label = k
            .take("label")
            .map(|v| self.string(v, "label"))
            .transpose()?;
        self.done(k)?;
        Ok((series, label))
    }
}
