//! What can go wrong with data: one paragraph each, naming the place and the cure.

use std::path::{Path, PathBuf};

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No dataset has this name.
    #[error("no dataset is called \"{name}\"; {hint}")]
    UnknownDataset {
        /// As asked for.
        name: String,
        /// Nearest known name, or all of them.
        hint: String,
    },
    /// A file or directory of a dataset is not there.
    #[error("{dataset}: {what} is not there ({looked}); {cure}")]
    Missing {
        /// Dataset.
        dataset: String,
        /// File or directory.
        what: String,
        /// Where it was looked for.
        looked: String,
        /// What to do.
        cure: String,
    },
    /// The operating system refused a file.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system refused to write a file.
    #[error("{}: cannot be written: {source}; free some space, or choose another place", path.display())]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{}: {problem}; {cure}", path.display())]
    BadFile {
        /// File.
        path: PathBuf,
        /// Expected and found.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// What annotates an image is wrong.
    #[error("{0}")]
    Annotation(crate::scenes::Problem),
    /// As [`DataError::Annotation`], of a dataset with more of them.
    #[error(
        "{first}. {more} more are wrong in {dataset}: `runner data verify {dataset}` names all"
    )]
    Annotations {
        /// Dataset.
        dataset: String,
        /// The first of them.
        first: crate::scenes::Problem,
        /// Others.
        more: usize,
    },
    /// One image cannot be decoded: tolerated up to `max_corrupt` times a pass.
    #[error("{place} cannot be decoded: {problem}")]
    Corrupt {
        /// The file, or the file and the place in it.
        place: String,
        /// Why.
        problem: String,
    },
    /// More undecodable images than the recipe tolerates.
    #[error(
        "{count} images of {dataset} cannot be decoded, the recipe tolerates {max} (the last was {last}); \
         repair the dataset, or set max_corrupt"
    )]
    TooManyCorrupt {
        /// Dataset.
        dataset: String,
        /// Undecodable images of this pass so far.
        count: u64,
        /// `max_corrupt`.
        max: u32,
        /// The last of them.
        last: Box<DataError>,
    },
    /// The recipe asks for something that this dataset or pipeline cannot do.
    #[error("{0}")]
    Recipe(String),
    /// The operating system gives no more threads; another attempt may succeed.
    #[error(
        "a loader thread cannot be started: {0}; end other programs, or raise the limit on threads"
    )]
    Threads(std::io::Error),
    /// A loader thread died: a bug of ours.
    #[error(
        "a loader thread panicked: {0}; this is a bug, please report it with the run's recipe.json"
    )]
    Panic(String),
}

impl DataError {
    /// A file that cannot be read.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> DataError {
        DataError::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// A file that cannot be written.
    pub(crate) fn write(path: &Path, source: std::io::Error) -> DataError {
        DataError::Write {
            path: path.to_owned(),
            source,
        }
    }

    /// A file that is not what its name says. What is quoted from it in `problem` stays on one line and
    /// moves no cursor.
    pub(crate) fn bad(
        path: &Path,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> DataError {
        let shown = |c: char| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        };
        let problem: String = problem.into().trim_end().chars().map(shown).collect();
        DataError::BadFile {
            path: path.to_owned(),
            problem,
            cure: cure.into(),
        }
    }
}
