//! Names of pipes.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, NameError, Operation};
use crate::sys;

/// The path of a pipe, checked once.
///
/// A path is that of a file, as in every other program: `jobs` is `./jobs`. It is made absolute at once, so that it leads
/// to the same pipe after a change of the current folder, in a child process elsewhere and inside a message. Making a
/// `PipePath` touches no file: whether a pipe exists shows when it is made or opened.
///
/// # Which path
///
/// | the pipe is for | use |
/// |---|---|
/// | a path that the user typed, or another program agreed on | [`new`](Self::new), as given |
/// | a service of the machine | [`new`](Self::new), such as `/run/app/jobs` |
/// | the programs of one user, which know its name | [`private`](Self::private) |
/// | a child process, which gets its path | [`Pipe::temporary`](crate::Pipe::temporary), [`Listener::temporary`](crate::Listener::temporary) |
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The last part may have 250 bytes, the whole path 4095 on Linux and 1023 elsewhere. Private names lie in
/// `$XDG_RUNTIME_DIR/typed-pipe`, or where that variable is not set in `typed-pipe-UID` in the folder for temporary files.
/// The first owner of one makes that folder, with mode 0700, and refuses one that is not private.
///
/// ## Windows
///
/// Pipes have a name space of their own, which all users share, and no current folder. The prefix `\\.\pipe\` is put
/// before a name that lacks it, and `/` becomes `\`. Empty parts and parts `.` are left out; a part `..` is refused. Upper
/// and lower case are the same. The whole may have 256 characters. Names of other machines, and the other
/// prefix `\\?\`, are refused. A private name is `\\.\pipe\typed-pipe\SID\NAME`: another user can make it first, but no
/// client takes that user's pipe for this user's.
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
///
/// A message can carry the path of another pipe:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{Pipe, PipePath, TypedSender};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     dish: String,
///     reply_to: PipePath,
/// }
///
/// let (orders, replies) = (Pipe::temporary()?, Pipe::temporary()?);
/// let path = orders.path().clone();
/// let mut orders = orders.into_reader().open()?.into_receiver::<Order>();
/// let order = Order { dish: "soup".into(), reply_to: replies.path().clone() };
/// TypedSender::<Order>::connect(path)?.send(&order)?;
/// assert_eq!(&orders.recv()?.reply_to, replies.path());
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias("filename", "address"))]
pub struct PipePath(Arc<Path>);

impl PipePath {
    /// Checks a path by the rules of the system, and makes it absolute.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, PipePath, WriteEnd};
    ///
    /// let path = PipePath::new("/run/app/jobs")?; // as from the settings of a program
    /// let end = WriteEnd::from(path.clone()); // cannot fail: the path is known to be good
    ///
    /// # #[cfg(unix)]
    /// assert_eq!(PipePath::new("jobs")?.as_path(), std::env::current_dir()?.join("jobs"));
    ///
    /// let error = PipePath::new("jobs\0news").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidName);
    /// # drop(end);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidName`](crate::ErrorKind::InvalidName): the path is empty, too long, has a NUL in it, has
    ///   no last part, or is that of another machine.
    /// - [`NotFound`](crate::ErrorKind::NotFound): the path is relative, and the current folder is gone.
    pub fn new(name: impl AsRef<Path>) -> Result<Self, Error> {
        Self::checked(name.as_ref(), sys::resolve)
    }

    /// The path of a name in the private folder of this user.
    ///
    /// Programs of the same user that know the name meet there. No other user can make or open a pipe in that folder.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, PipePath};
    ///
    /// let path = PipePath::private("jobs")?; // such as `/run/user/1000/typed-pipe/jobs`
    /// let pipe = Pipe::new(&path)?; // not made yet
    /// assert!(path.as_path().is_absolute() && path.as_path().ends_with("jobs"));
    /// assert_eq!(PipePath::private("app/jobs").unwrap_err().kind(), ErrorKind::InvalidName);
    /// # drop(pipe);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName): the name has more than one part, or is no name of a pipe; see
    /// [`new`](Self::new).
    ///
    /// # Platform-specific behavior
    ///
    /// Where the folder lies: see [above](Self#platform-specific-behavior).
    #[doc(alias("XDG_RUNTIME_DIR", "runtime folder"))]
    pub fn private(name: impl AsRef<Path>) -> Result<Self, Error> {
        Self::checked(name.as_ref(), sys::private)
    }

    fn checked(
        name: &Path,
        resolve: fn(&Path) -> Result<PathBuf, NameError>,
    ) -> Result<Self, Error> {
        match resolve(name) {
            Ok(path) => Ok(Self(path.into())),
            Err(error) => Err(Error::new(Operation::Name, error).at(Some(&name.into()))),
        }
    }

    /// Wraps a path that the system itself returned.
    pub(crate) fn given(path: &Path) -> Self {
        Self(path.into())
    }

    /// The path, to pass to another process, for instance as an argument.
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

/// Checks the name, as [`PipePath::new`].
impl FromStr for PipePath {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

/// Checks the name, as [`PipePath::new`].
impl From<PipePath> for PathBuf {
    fn from(path: PipePath) -> Self {
        path.0.to_path_buf()
    }
}

/// Serializes as a path, so that a message can carry the path of another pipe. A path that is not UTF-8 fails.
impl Serialize for PipePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Checks the name, as [`PipePath::new`].
impl<'de> Deserialize<'de> for PipePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(PathBuf::deserialize(deserializer)?).map_err(de::Error::custom)
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
