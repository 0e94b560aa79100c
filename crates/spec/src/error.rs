//! What is wrong with what a person wrote, where, and the cure.

use std::fmt;

/// A refusal that a person can act on: exit code 2.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecError {
    /// File (or `--set`, a command) it stands in.
    pub file: Option<String>,
    /// Line and column, from 1.
    pub at: Option<(usize, usize)>,
    /// What is wrong, and the cure.
    pub message: String,
}

impl SpecError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        SpecError {
            file: None,
            at: None,
            message: message.into(),
        }
    }

    /// At a byte offset of `text`.
    pub fn at_offset(mut self, text: &str, offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.at = Some((line, column));
        self
    }

    /// In this file, unless it has one.
    pub fn in_file(mut self, file: &str) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}")?;
            if let Some((line, column)) = self.at {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for SpecError {}

/// `; did you mean "x"?` when a known name is near, else the list of known names.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let best = known
        .iter()
        .map(|k| {
            (
                strsim::damerau_levenshtein(&given.to_lowercase(), &k.to_lowercase()),
                *k,
            )
        })
        .min();
    match best {
        Some((distance, name)) if distance <= 1 + given.len() / 3 => {
            format!("did you mean \"{name}\"?")
        }
        _ => format!("known: {}", known.join(", ")),
    }
}
