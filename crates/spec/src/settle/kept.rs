//! What was settled is kept beside its experiment: planning, comparing and showing a table all ask for the
//! same cells, and tables of thousands of cells are made anew with every change of the home.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Settlement, cell};
use crate::error::SpecError;
use crate::experiment::{Column, Experiment, Row};

/// Profile, row, column.
type Place = (Option<String>, String, String);

/// Settled cells of one experiment. It says nothing about what the experiment is: all are equal, and a copy
/// of an experiment, which may be changed, begins without.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<Place, Arc<Settlement>>>);

impl Clone for Kept {
    fn clone(&self) -> Kept {
        Kept::default()
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Kept) -> bool {
        true
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Experiment {
    /// A cell as the file says it, without any `--set`: settled when first asked for.
    ///
    /// Errors: those of [`cell`]; none is kept.
    pub fn settled(
        &self,
        profile: Option<&str>,
        row: &Row,
        column: &Column,
    ) -> Result<Arc<Settlement>, SpecError> {
        let place = (
            profile.map(str::to_owned),
            row.id.clone(),
            column.id.clone(),
        );
        let held = || self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held().get(&place) {
            return Ok(found.clone());
        }
        let found = Arc::new(cell(self, profile, row, column, &[])?);
        held().insert(place, found.clone());
        Ok(found)
    }

    /// As [`Self::settled`], with settings of `--set` over it, which are not kept.
    pub fn settled_with(
        &self,
        profile: Option<&str>,
        row: &Row,
        column: &Column,
        set: &[String],
    ) -> Result<Arc<Settlement>, SpecError> {
        if set.is_empty() {
            return self.settled(profile, row, column);
        }
        Ok(Arc::new(cell(self, profile, row, column, set)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment() -> Experiment {
        let text = include_str!("../experiment/design.toml");
        Experiment::parse("design", "design.toml", text).expect("a good file")
    }

    #[test]
    fn what_is_kept_is_what_is_settled_in_every_profile() {
        let e = experiment();
        let profiles = std::iter::once(None).chain(e.profiles.keys().map(|p| Some(p.as_str())));
        for profile in profiles {
            for row in &e.rows {
                for column in e.columns.iter().filter(|c| !c.reference_only) {
                    let anew = cell(&e, profile, row, column, &[]).expect("settles");
                    let first = e.settled(profile, row, column).expect("settles");
                    let again = e.settled(profile, row, column).expect("settles");
                    assert_eq!(*first, anew, "{profile:?} {}/{}", row.id, column.id);
                    assert!(Arc::ptr_eq(&first, &again));
                }
            }
        }
    }

    #[test]
    fn settings_are_not_kept_and_a_changed_copy_settles_anew() {
        let e = experiment();
        let (row, column) = (&e.rows[0], &e.columns[0]);
        let set = ["epochs=7".to_owned()];
        let with = e.settled_with(None, row, column, &set).expect("settles");
        assert_eq!(with.recipe.epochs, 7);
        let without = e.settled(None, row, column).expect("settles");
        assert_ne!(without.recipe.epochs, 7);
        let mut copy = e.clone();
        copy.base
            .insert("epochs".to_owned(), toml::Value::Integer(9));
        let changed = copy.settled(None, row, column).expect("settles");
        assert_eq!(changed.recipe.epochs, 9);
    }
}
