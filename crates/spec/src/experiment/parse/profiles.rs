//! `[profile.P]`: declared substitutions.

use std::collections::BTreeMap;

use toml::Value;

use super::super::{Column, Profile, Row};
use super::reader::{Entry, Reader};
use crate::error::{SpecError, nearest};
use crate::refinement;

impl<'i> Reader<'i> {
    pub(super) fn profiles(
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
    pub(super) fn epochs_settled(
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
}
