//! A failed step from one state to another.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::{Error, ErrorKind};

/// A failed transition between two states, with the old state and the reason.
///
/// `?` converts it into an [`Error`] or an [`io::Error`] and drops the state; [`into_parts`](Self::into_parts)
/// keeps the state, to try again. To wait for the other side, `open` and `open_timeout` are enough.
///
/// ```no_run
/// use std::thread::sleep;
/// use std::time::Duration;
/// use typed_pipe::{ErrorKind, WriteEnd};
///
/// let mut end = WriteEnd::at("/run/app/jobs")?;
/// let end = loop {
///     match end.try_open() {
///         Ok(open) => break open,
///         Err(failed) if matches!(failed.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock) => {
///             println!("{failed}");
///             end = failed.into_state(); // the closed end, as it was
///         }
///         Err(failed) => return Err(failed.into()),
///     }
///     sleep(Duration::from_secs(1));
/// };
/// end.into_sender::<str>().send("here I am")?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub struct TransitionError<S> {
    // Behind a pointer, so that results stay small.
    state: Box<S>,
    error: Error,
}

impl<S> TransitionError<S> {
    /// The same error, with another state to go back to.
    pub(crate) fn map<T>(self, state: impl FnOnce(S) -> T) -> TransitionError<T> {
        let (before, error) = self.into_parts();
        TransitionError::new(state(before), error)
    }

    pub(crate) fn new(state: S, error: Error) -> Self {
        Self { state: Box::new(state), error }
    }

    /// Why the transition failed.
    ///
    /// ```
    /// use typed_pipe::{Operation, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let failed = WriteEnd::at(name)?.try_open().unwrap_err();
    /// assert_eq!(failed.error().operation(), Operation::OpenWriter);
    /// assert_eq!(failed.error().to_string(), failed.to_string()); // it has the same text
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The kind of the failure, as [`Error::kind`].
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("log");
    /// // A program that logs if there is a reader, and does without it otherwise:
    /// let log = match WriteEnd::at(name)?.try_open() {
    ///     Ok(end) => Some(end.into_text()),
    ///     Err(failed) if matches!(failed.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock) => None,
    ///     Err(failed) => return Err(failed.into()),
    /// };
    /// assert!(log.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The state from before the transition.
    ///
    /// ```
    /// use typed_pipe::WriteEnd;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let failed = WriteEnd::at(name)?.try_open().unwrap_err();
    /// let end = failed.state(); // looked at, and still in the error
    /// assert_eq!(end.path().map(|path| path.as_path()), failed.error().path());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Returns the state from before the transition.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let failed = WriteEnd::at(&name)?.try_open().unwrap_err(); // there is no such pipe
    /// let reader = Pipe::new(&name)?.mkfifo()?.into_reader().open()?; // now there is
    /// let end = failed.into_state().open()?;
    /// # drop((reader, end));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "dropping the state closes what it holds"]
    pub fn into_state(self) -> S {
        *self.state
    }

    /// Returns the state from before the transition and the reason.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let failed = WriteEnd::at(name)?.try_open().unwrap_err();
    /// let (end, error) = failed.into_parts(); // one to try again, one for the log
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # drop(end);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_parts(self) -> (S, Error) {
        (*self.state, self.error)
    }
}

impl<S> fmt::Debug for TransitionError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitionError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<S> fmt::Display for TransitionError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<S> StdError for TransitionError<S> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl<S> From<TransitionError<S>> for Error {
    fn from(failed: TransitionError<S>) -> Self {
        failed.error
    }
}

impl<S> From<TransitionError<S>> for io::Error {
    fn from(failed: TransitionError<S>) -> Self {
        failed.error.into()
    }
}
