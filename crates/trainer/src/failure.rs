//! Why a run stops, and which exit status and event says so.

use std::path::Path;

use rungs_spec::protocol::FailureClass;

/// Exit status: bad usage, a bad file, or a run that another trainer is at; nothing was begun.
pub const EXIT_USAGE: i32 = 2;
/// Exit status: something that another attempt may not meet again.
pub const EXIT_TRANSIENT: i32 = 74;
/// Exit status: a newer attempt has taken the run over.
pub const EXIT_SUPERSEDED: i32 = 73;

/// An attempt cannot go on.
#[derive(Debug)]
pub struct Failure {
    /// Whether another attempt could succeed.
    pub class: FailureClass,
    /// One paragraph: what, where, the cure.
    pub message: String,
}

impl Failure {
    /// Another attempt would fail again.
    pub fn permanent(message: impl Into<String>) -> Failure {
        Failure {
            class: FailureClass::Permanent,
            message: message.into(),
        }
    }

    /// Another attempt may succeed.
    pub fn transient(message: impl Into<String>) -> Failure {
        Failure {
            class: FailureClass::Transient,
            message: message.into(),
        }
    }
}

/// The operating system refused a file: perhaps not the next time.
pub fn io_failure(what: &str, path: &Path, error: std::io::Error) -> Failure {
    let cure = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; free some disk space, then start the run again: it continues from its last checkpoint"
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "; make the directory writable for this user, then start the run again"
        }
        _ => "",
    };
    Failure::transient(format!("{what} {}: {error}{cure}", path.display()))
}

/// Bad data is permanent: a retry reads the same bytes. What the system refused may come back.
impl From<rungs_data::DataError> for Failure {
    fn from(error: rungs_data::DataError) -> Failure {
        use rungs_data::DataError;
        let class = match &error {
            DataError::Io { .. }
            | DataError::Write { .. }
            | DataError::Panic(_)
            | DataError::Threads(_) => FailureClass::Transient,
            DataError::UnknownDataset { .. }
            | DataError::Missing { .. }
            | DataError::BadFile { .. }
            | DataError::Corrupt { .. }
            | DataError::TooManyCorrupt { .. }
            | DataError::Annotation(_)
            | DataError::Annotations { .. }
            | DataError::Recipe(_) => FailureClass::Permanent,
        };
        Failure {
            class,
            message: error.to_string(),
        }
    }
}

impl From<rungs_spec::SpecError> for Failure {
    fn from(error: rungs_spec::SpecError) -> Failure {
        Failure::permanent(error.to_string())
    }
}

/// libtorch refused a computation (memory, a device): perhaps not the next time.
impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Failure {
        Failure::transient(format!("libtorch: {error}"))
    }
}
