//! Why the program failed.

use std::fmt;
use std::io;
use std::path::Path;

/// The exit code of a failure.
pub(crate) const FAILED: u8 = 1;
/// The exit code if some messages could not be shown or sent, or the peer does not tell what was asked.
pub(crate) const NOT_ALL: u8 = 3;
/// The exit code of `who` without a name, and of `clean` of what somebody holds.
pub(crate) const NOT_FREE: u8 = 4;

#[derive(Debug)]
pub(crate) enum Failure {
    Pipe(typed_pipe::Error),
    File(String, io::Error),
    Words(String),
    /// The standard output is closed.
    NobodyReads,
}

impl Failure {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::File(path, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe(error) => error.fmt(f),
            Self::File(path, error) => write!(f, "{path}: {error}"),
            Self::Words(words) => f.write_str(words),
            Self::NobodyReads => f.write_str("the standard output is closed"),
        }
    }
}

impl From<typed_pipe::Error> for Failure {
    fn from(error: typed_pipe::Error) -> Self {
        Self::Pipe(error)
    }
}

impl<T> From<typed_pipe::TransitionError<T>> for Failure {
    fn from(error: typed_pipe::TransitionError<T>) -> Self {
        Self::Pipe(error.into())
    }
}
