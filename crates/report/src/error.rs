//! What a report refuses, and the cure.

/// A refusal that a person can act on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// An export format that this table does not have.
    #[error("`--format {format}` is not for this table: {why}")]
    NotForThisTable {
        /// Format asked for.
        format: String,
        /// Why not, and what to do instead.
        why: String,
    },
    /// A word that is not in a list of choices.
    #[error("unknown {what} \"{given}\"; known: {known}")]
    Unknown {
        /// What was being chosen.
        what: &'static str,
        /// What was given.
        given: String,
        /// The choices.
        known: String,
    },
    /// A chart that cannot be drawn as asked.
    #[error("cannot draw this chart: {0}")]
    Chart(String),
    /// A value that could not be written in the format asked for.
    #[error("cannot write the {format} export: {message}")]
    Write {
        /// Format.
        format: &'static str,
        /// What the writer said.
        message: String,
    },
}

/// `Unknown` unless `given` is one of `choices` (word, value).
pub(crate) fn choose<T: Copy>(
    what: &'static str,
    given: &str,
    choices: &[(&str, T)],
) -> Result<T, ReportError> {
    choices
        .iter()
        .find(|(word, _)| *word == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| ReportError::Unknown {
            what,
            given: given.to_owned(),
            known: choices
                .iter()
                .map(|(word, _)| *word)
                .collect::<Vec<_>>()
                .join(", "),
        })
}
