//! Which exit status a failure has. Everything that is not a [`Failure`] is status 2: usage, a bad
//! file, a home that cannot be used.

use std::fmt;
use std::process::ExitCode;

/// A command did what it was asked, and the outcome is not success.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// A run failed: exit status 1.
    Run(String),
    /// `--check` found a result that contradicts the paper: exit status 3.
    Check(String),
    /// A person interrupted it: exit status 130, as shells have it.
    Interrupted,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Run(message) | Failure::Check(message) => f.write_str(message),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Failure {}

/// The exit status of an error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Run(_)) => ExitCode::from(1),
        Some(Failure::Check(_)) => ExitCode::from(3),
        Some(Failure::Interrupted) => ExitCode::from(130),
        None => ExitCode::from(2),
    }
}

/// One paragraph: the error and what caused it, each cause once.
pub fn paragraph(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_its_effect_repeats_is_said_once() {
        let error = anyhow::anyhow!("no such file").context("cannot read x: no such file");
        assert_eq!(paragraph(&error), "cannot read x: no such file");
        let error = anyhow::anyhow!("no such file").context("cannot read x");
        assert_eq!(paragraph(&error), "cannot read x: no such file");
    }
}
