//! Why the program failed.

use std::fmt;
use std::io;
use std::path::Path;

use typed_pipe::ErrorKind;

/// The exit code of a failure.
pub(crate) const FAILED: u8 = 1;
/// The exit code of a command line that is wrong.
pub(crate) const WRONG_LINE: u8 = 2;
/// The exit code if some messages could not be shown or sent, or the peer does not tell what was asked.
pub(crate) const NOT_ALL: u8 = 3;
/// The exit code of `who` without a name, and of `clean` of what somebody holds.
pub(crate) const NOT_FREE: u8 = 4;
/// The exit codes of `call`. The service answered with an error.
pub(crate) const REFUSED: u8 = 5;
/// The service knows no such method, or no such arguments of it: nothing is done.
pub(crate) const NO_SUCH_CALL: u8 = 6;
/// No service is there, or something else: nothing is sent.
pub(crate) const NO_SERVICE: u8 = 7;
/// The answer did not come in time.
pub(crate) const LATE: u8 = 8;
/// The exit code of a program that Ctrl-C has ended.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Debug)]
pub(crate) enum Failure {
    Pipe(typed_pipe::Error),
    File(String, io::Error),
    Words(String),
    /// One with an exit code of its own.
    Coded(u8, String),
    /// The standard output is closed.
    NobodyReads,
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Coded(code, _) => *code,
            Self::Pipe(error) if error.kind() == ErrorKind::Cancelled => INTERRUPTED,
            _ => FAILED,
        }
    }

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
            Self::Words(words) | Self::Coded(_, words) => f.write_str(words),
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
