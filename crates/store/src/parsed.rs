//! Experiment files that were parsed are kept by their content: a page asks for the same file with every
//! change of the home, and a file of thousands of cells takes a second to check.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rungs_spec::SpecError;
use rungs_spec::experiment::Experiment;

/// Most that are kept; more than anyone has open. One more, and it begins anew.
const MOST: usize = 64;

/// What errors call the file, and the digest of what it says with the name it was parsed under.
type Text = (String, blake3::Hash);

/// Experiments by name, file and content.
#[derive(Debug, Default)]
pub struct Parsed(Mutex<HashMap<Text, Arc<Experiment>>>);

impl Parsed {
    /// As [`Experiment::parse`], once for a name, a file and a text. Errors are not kept.
    pub fn experiment(
        &self,
        name: &str,
        file: &str,
        text: &str,
    ) -> Result<Arc<Experiment>, SpecError> {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(name.as_bytes())
            .update(&[0])
            .update(text.as_bytes());
        let key = (file.to_owned(), hasher.finalize());
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held().get(&key) {
            return Ok(found.clone());
        }
        let found = Arc::new(Experiment::parse(name, file, text)?);
        let mut kept = held();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_parsed_once_and_another_text_name_or_file_is_another_experiment() {
        let text = rungs_spec::builtin::find("table4").expect("built in");
        let parsed = Parsed::default();
        let first = parsed.experiment("a", "a.toml", text).expect("good");
        assert!(Arc::ptr_eq(
            &first,
            &parsed.experiment("a", "a.toml", text).expect("good")
        ));
        let named = parsed.experiment("b", "a.toml", text).expect("good");
        assert_eq!((&*named.name, &*first.name), ("b", "a"));
        let moved = parsed.experiment("a", "b.toml", text).expect("good");
        assert_eq!(moved.file, "b.toml");
        let changed = format!("{text}\n# more\n");
        let changed = parsed.experiment("a", "a.toml", &changed).expect("good");
        assert_ne!(changed.hash, first.hash);
    }

    #[test]
    fn it_does_not_grow_without_end_and_keeps_no_errors() {
        let parsed = Parsed::default();
        for n in 0..2 * MOST {
            let text = format!(
                "# {n}\n{}",
                rungs_spec::builtin::find("figure1").expect("is")
            );
            parsed.experiment("f", "f.toml", &text).expect("good");
        }
        assert!(parsed.experiment("f", "f.toml", "title = 3").is_err());
        assert!(parsed.0.lock().expect("held").len() <= MOST);
    }
}
