//! Names of pipes.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Operation};
use crate::sys;

/// The path of a pipe, checked once.
///
/// A name of a single part, such as `jobs`, leads to a private place of this user. Anything else is a
/// path, and taken as it is. Making a `PipePath` touches no file: whether there is a pipe shows when
/// it is made or opened.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The path is that of a file. A name of a single part lies in `$XDG_RUNTIME_DIR/typed-pipe`, or where
/// that variable is not set in `typed-pipe-UID` in the folder for temporary files; its first owner makes
/// that folder, with mode 0700, and refuses one that is not private. The last part may have 250 bytes,
/// the whole path 4095 on Linux and 1023 elsewhere.
///
/// ## Windows
///
/// Pipes have a name space of their own, which all users share. The prefix `\\.\pipe\` is put before a name
/// that lacks it, and `/` becomes `\`. Empty parts and parts `.` are left out; a part `..` is refused. Upper
/// and lower case are the same. The whole may have 256 characters. Names of other machines, and the other
/// prefix `\\?\`, are refused.
///
/// ```
/// use typed_pipe::{ErrorKind, PipePath};
///
/// let path = PipePath::new("/run/app/jobs")?;
/// # #[cfg(unix)]
/// assert_eq!(path.as_path().to_str(), Some("/run/app/jobs"));
/// # #[cfg(windows)]
/// # assert_eq!(path.as_path().to_str(), Some(r"\\.\pipe\run\app\jobs"));
/// assert_eq!(PipePath::new("").unwrap_err().kind(), ErrorKind::InvalidName);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PipePath(Arc<Path>);

impl PipePath {
    /// Checks a name by the rules of the system.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, PipePath, WriteEnd};
    ///
    /// let path = PipePath::new("/run/app/jobs")?; // as from the settings of a program
    /// let end = WriteEnd::from(path.clone()); // cannot fail: the path is known to be good
    ///
    /// let error = PipePath::new("jobs\0news").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidName);
    /// # drop(end);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName): the name is empty, too long, has a NUL in it, has
    /// no last part, or is that of another machine.
    pub fn new(name: impl AsRef<Path>) -> Result<Self, Error> {
        let name = name.as_ref();
        match sys::resolve(name) {
            Ok(path) => Ok(Self(path.into())),
            Err(error) => Err(Error::new(Operation::Name, error).at(Some(&name.into()))),
        }
    }

    /// A path that the system itself has given.
    pub(crate) fn given(path: &Path) -> Self {
        Self(path.into())
    }

    /// The path, to be handed to another process, as an argument for instance.
    ///
    /// ```
    /// use std::process::Command;
    /// use typed_pipe::Pipe;
    ///
    /// let pipe = Pipe::temporary()?;
    /// let mut worker = Command::new("worker");
    /// worker.env("JOBS", pipe.path().as_path()); // the worker gives it to `TypedReceiver::connect`
    /// assert!(pipe.path().as_path().is_absolute());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn shared(&self) -> &Arc<Path> {
        &self.0
    }
}

impl AsRef<Path> for PipePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<OsStr> for PipePath {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl fmt::Debug for PipePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for PipePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
