//! The experiment files of the repository, built into the binary.

include!(concat!(env!("OUT_DIR"), "/experiments.rs"));

/// The text of a built-in experiment, by file stem.
pub fn find(name: &str) -> Option<&'static str> {
    EXPERIMENTS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, text)| *text)
}
