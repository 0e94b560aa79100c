//! `mode` with `refinements = [...]`: rows that are generated instead of written one by one.

use std::collections::BTreeMap;

use super::super::{Added, Column, Mode, Row};
use super::reader::{Entry, Keys, Reader};
use crate::error::{SpecError, nearest};
use crate::refinement;

/// Id of the generated row without any refinement.
const NONE: &str = "none";
/// Id of the generated row with all of them.
const ALL: &str = "all";

impl<'i> Reader<'i> {
    /// `mode` and the rows: those of the file, or those that the mode generates.
    pub(super) fn mode_and_rows(
        &self,
        k: &mut Keys<'_, 'i>,
        columns: &[Column],
    ) -> Result<(Mode, Vec<Row>), SpecError> {
        let (mode, at) = match k.take("mode") {
            None => (Mode::Stacked, 0),
            Some(v) => (self.mode(v)?, v.span().start),
        };
        let (rows, refinements, skip) = (k.take("row"), k.take("refinements"), k.take("skip"));
        if mode == Mode::Stacked {
            if let Some(stray) = refinements.or(skip) {
                let message = "refinements and skip at the top belong to a mode that generates rows; set mode = \
                               \"leave-one-out\", \"one-at-a-time\" or \"all-subsets\", or write [[row]]s";
                return Err(self.error(stray.span().start, message));
            }
            return Ok((mode, self.rows(rows, columns)?));
        }
        if let Some(row) = rows {
            let message = "this mode generates the rows from refinements = [...]: take out the [[row]]s, or the mode";
            return Err(self.error(row.span().start, message));
        }
        let Some(list) = refinements else {
            let message = "this mode needs refinements = [...]: ids of `runner list --refinements`, in the order in \
                           which they are added";
            return Err(self.error(at, message));
        };
        let skip = skip.map_or(Ok(BTreeMap::new()), |v| self.skip(v, columns))?;
        let added = self.added(list)?;
        self.distinct(&added, mode, list)?;
        let rows = generated(mode, &added)
            .into_iter()
            .map(|row| Row {
                skip: skip.clone(),
                ..row
            })
            .collect();
        Ok((mode, rows))
    }

    fn mode(&self, entry: &Entry<'i>) -> Result<Mode, SpecError> {
        let word = self.string(entry, "mode")?;
        let known = Mode::WORDS.iter().find(|(name, _)| *name == word);
        known.map(|(_, mode)| *mode).ok_or_else(|| {
            let nearest = nearest(&word, Mode::WORDS.iter().map(|(name, _)| *name));
            self.error(
                entry.span().start,
                format!("unknown mode \"{word}\"; {nearest}"),
            )
        })
    }

    fn distinct(&self, added: &[Added], mode: Mode, list: &Entry<'i>) -> Result<(), SpecError> {
        let at = list.span().start;
        if added.len() < 2 {
            return Err(self.error(
                at,
                "refinements needs at least two: with one there is nothing to attribute",
            ));
        }
        for (i, one) in added.iter().enumerate() {
            if added[..i].iter().any(|other| other.id == one.id) {
                return Err(self.error(at, format!("refinement \"{}\" is named twice", one.id)));
            }
        }
        if mode == Mode::AllSubsets && added.len() > Mode::MOST_OF_ALL_SUBSETS {
            let message = format!(
                "{} refinements have {} subsets, a row each; all-subsets takes {} at most, leave-one-out any number",
                added.len(),
                1_u64.checked_shl(added.len() as u32).unwrap_or(u64::MAX),
                Mode::MOST_OF_ALL_SUBSETS
            );
            return Err(self.error(at, message));
        }
        Ok(())
    }
}

fn title(added: &Added) -> &str {
    refinement::find(&added.id).map_or(&added.id, |known| known.title)
}

/// A row that stands on another, or is a root, and is compared to that or to yet another one.
fn row(id: String, label: String, on: Option<&str>, against: Option<&str>, add: &[Added]) -> Row {
    Row {
        id,
        label,
        on: on.map(str::to_owned),
        against: against.or(on).map(str::to_owned),
        add: add.to_vec(),
        set: toml::Table::new(),
        skip: BTreeMap::new(),
        paper: BTreeMap::new(),
    }
}

fn generated(mode: Mode, added: &[Added]) -> Vec<Row> {
    // Both ends are there in every mode, so that the total gain is known.
    let none = || row(NONE.into(), "None".into(), None, None, &[]);
    let all = || row(ALL.into(), "All".into(), Some(NONE), None, added);
    match mode {
        Mode::Stacked => Vec::new(),
        Mode::OneAtATime => {
            let alone = added.iter().map(|one| {
                let label = format!("+ {}", title(one));
                row(
                    one.id.clone(),
                    label,
                    Some(NONE),
                    None,
                    std::slice::from_ref(one),
                )
            });
            std::iter::once(none())
                .chain(alone)
                .chain([all()])
                .collect()
        }
        Mode::LeaveOneOut => {
            let without = added.iter().enumerate().map(|(i, one)| {
                let mut rest = added.to_vec();
                rest.remove(i);
                let (id, label) = (
                    format!("without-{}", one.id),
                    format!("\u{2212} {}", title(one)),
                );
                row(id, label, Some(NONE), Some(ALL), &rest)
            });
            [none(), all()].into_iter().chain(without).collect()
        }
        Mode::AllSubsets => {
            let of = |bits: usize| (0..added.len()).filter(move |i| bits >> i & 1 == 1);
            let id = |bits: usize| match bits {
                0 => NONE.to_owned(),
                _ => of(bits)
                    .map(|i| added[i].id.as_str())
                    .collect::<Vec<_>>()
                    .join("+"),
            };
            let mut subsets: Vec<usize> = (0..1 << added.len()).collect();
            subsets.sort_by_key(|bits| (bits.count_ones(), std::cmp::Reverse(bits.reverse_bits())));
            // Stands on itself without its last refinement, so that the stack keeps the order of the file.
            let rows = subsets.into_iter().map(|bits| match of(bits).next_back() {
                None => none(),
                Some(last) => {
                    let label: Vec<&str> = of(bits).map(|i| title(&added[i])).collect();
                    let below = id(bits & !(1 << last));
                    row(
                        id(bits),
                        label.join(" + "),
                        Some(&below),
                        None,
                        &added[last..=last],
                    )
                }
            });
            rows.collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::plan::{Options, explain};

    const HEAD: &str = "title = 't'\nrefinements = ['linear-scaling', 'warmup', 'zero-gamma']\n";
    const TAIL: &str = "[base]\nbatch_size = 1024\n[[column]]\nid = 'a'\n[[column]]\nid = 'm'\nset = { model = 'mobilenet' }\n";

    fn parse(mode: &str, more: &str) -> Result<Experiment, SpecError> {
        Experiment::parse(
            "t",
            "t.toml",
            &format!("mode = '{mode}'\n{more}{HEAD}{TAIL}"),
        )
    }

    const SKIP: &str = "skip = { m = ['zero-gamma'] }\n";

    fn recipe(experiment: &Experiment, row: &str) -> (f64, f64, bool) {
        let recipe = explain(experiment, &Options::default(), row, "a")
            .expect("settles")
            .recipe
            .clone();
        (recipe.peak_lr(), recipe.warmup_epochs, recipe.zero_gamma)
    }

    #[test]
    fn leave_one_out_is_none_all_and_all_but_one_each_compared_to_all() {
        let e = parse("leave-one-out", SKIP).expect("parses");
        let ids: Vec<&str> = e.rows.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "none",
                "all",
                "without-linear-scaling",
                "without-warmup",
                "without-zero-gamma"
            ]
        );
        assert!(
            e.rows[2..]
                .iter()
                .all(|r| r.against.as_deref() == Some("all"))
        );
        assert_eq!(recipe(&e, "all"), (0.4, 5.0, true));
        assert_eq!(recipe(&e, "without-warmup"), (0.4, 0.0, true));
        assert_eq!(recipe(&e, "without-linear-scaling"), (0.1, 5.0, true));
    }

    #[test]
    fn one_at_a_time_is_none_each_alone_and_all() {
        let e = parse("one-at-a-time", SKIP).expect("parses");
        assert_eq!(recipe(&e, "none"), (0.1, 0.0, false));
        assert_eq!(recipe(&e, "zero-gamma"), (0.1, 0.0, true));
        assert!(
            e.rows[1..]
                .iter()
                .all(|r| r.against.as_deref() == Some("none"))
        );
    }

    #[test]
    fn all_subsets_are_eight_rows_that_stand_on_each_other() {
        let e = parse("all-subsets", SKIP).expect("parses");
        assert_eq!(e.rows.len(), 8);
        assert_eq!(recipe(&e, "linear-scaling+zero-gamma"), (0.4, 0.0, true));
        assert_eq!(
            recipe(&e, "linear-scaling+warmup+zero-gamma"),
            (0.4, 5.0, true)
        );
        let ids: Vec<&str> = e.rows.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(
            ids[..5],
            [
                "none",
                "linear-scaling",
                "warmup",
                "zero-gamma",
                "linear-scaling+warmup"
            ]
        );
        assert_eq!(ids[7], "linear-scaling+warmup+zero-gamma");
    }

    #[test]
    fn what_cannot_be_generated_is_refused_with_the_cure() {
        let row = "[[row]]\nid = 'r'\n";
        for (text, word) in [
            (
                format!("mode = 'leave-one-uot'\n{HEAD}{TAIL}"),
                "did you mean \"leave-one-out\"",
            ),
            (
                format!("mode = 'leave-one-out'\n{HEAD}{TAIL}"),
                "zero-gamma",
            ),
            (
                format!("mode = 'leave-one-out'\n{SKIP}{HEAD}{TAIL}{row}"),
                "take out the [[row]]s",
            ),
            (
                format!("title = 't'\nmode = 'all-subsets'\n{TAIL}"),
                "needs refinements",
            ),
            (format!("{HEAD}{TAIL}{row}"), "belong to a mode"),
            (
                format!(
                    "title = 't'\nmode = 'one-at-a-time'\nrefinements = ['warmup', 'warmup']\n{TAIL}"
                ),
                "named twice",
            ),
            (
                format!("title = 't'\nmode = 'one-at-a-time'\nrefinements = ['warmup']\n{TAIL}"),
                "at least two",
            ),
        ] {
            let error = Experiment::parse("t", "t.toml", &text)
                .expect_err(word)
                .to_string();
            assert!(error.contains(word) && error.contains("t.toml"), "{error}");
        }
    }
}
