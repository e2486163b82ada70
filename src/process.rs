//! Child programs as the peer of a pipe: waiting for them, until they exit at most.

use std::process::Child;
use std::time::Duration;

use crate::end::{End, PipeRef, Reopen};
use crate::error::{Error, ErrorKind, Obstacle, TransitionError};
use crate::state::{Closed, Open, Read, Write};
use crate::sys::WaitLimit;
use crate::wait::{left, sooner, within};

impl<P: Reopen> End<Write, Closed, P> {
    /// Opens the end, and waits until a child program reads from the pipe or exits.
    ///
    /// This is [`open`](End::open) for a program that was given the path, as a file to read from.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use std::process::Command;
    /// use typed_pipe::Pipe;
    ///
    /// let pipe = Pipe::temporary()?;
    /// let mut child = Command::new("sha256sum").arg(pipe.path()).spawn()?;
    /// let mut end = pipe.into_writer().open_with(&mut child)?;
    /// end.write_all(b"hello")?;
    /// drop(end); // the program reads to the end
    /// assert!(child.wait()?.success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](End::open), and [`ChildExited`](ErrorKind::ChildExited): the program has ended, and no process
    /// reads from the pipe. A process that the program has started may still do so: wait for that with `open`.
    ///
    /// Each gives back the closed end.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// A program that opens its files without waiting (`O_NONBLOCK`), as gzip does, finds the pipe at its end, since no
    /// writer has it open yet. Give it the pipe as its standard input, by the shell: `gzip -c < PIPE`.
    #[doc(alias("subprocess", "child"))]
    pub fn open_with(
        self,
        child: &mut Child,
    ) -> Result<End<Write, Open, P>, TransitionError<Self>> {
        self.open_with_timeout(child, Duration::MAX)
    }

    /// Opens the end as [`open_with`](Self::open_with), and waits for at most `timeout`.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::process::Command;
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let mut child = Command::new("sleep").arg("60").spawn()?; // it runs, and never opens the pipe
    /// let failed = pipe.into_writer().open_with_timeout(&mut child, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::TimedOut);
    /// child.kill()?;
    /// child.wait()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn open_with_timeout(
        self,
        child: &mut Child,
        timeout: Duration,
    ) -> Result<End<Write, Open, P>, TransitionError<Self>> {
        let opened = watching(child, timeout, self, |end, until| {
            end.open_until(until).map_err(TransitionError::into_parts)
        });
        opened.map_err(|(end, error)| TransitionError::new(end, error))
    }
}

impl<P: PipeRef> End<Read, Open, P> {
    /// Waits until a child program opens the pipe for writing, or exits.
    ///
    /// Opening a reading end does not wait for a writer; the first read does, however long that takes. Call this before
    /// that read, for a program that was given the path as a file to write to. It reads nothing. Afterwards the exit of
    /// the program is the end of the stream.
    ///
    /// Open the reading end before any wait for the program: many a program opens its output first.
    ///
    /// ```no_run
    /// use std::io::Read;
    /// use std::process::Command;
    /// use typed_pipe::Pipe;
    ///
    /// let pipe = Pipe::temporary()?;
    /// let mut child = Command::new("sort").arg("names").arg("-o").arg(pipe.path()).spawn()?;
    /// let mut end = pipe.into_reader().open()?;
    /// end.wait_for_peer(&mut child)?;
    /// let mut sorted = String::new();
    /// end.read_to_string(&mut sorted)?;
    /// assert!(child.wait()?.success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ChildExited`](ErrorKind::ChildExited): the program has ended, and no writer has come.
    /// - [`Cancelled`](ErrorKind::Cancelled): see [`cancelled_by`](End::cancelled_by).
    /// - [`Io`](ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// Only Linux reports a writer that has written nothing yet; this calls `tee` on the pipe for that. On the other
    /// systems this waits until there are bytes, on FreeBSD also until a writer has left; on macOS a program that opens
    /// the pipe and exits with nothing written counts as one that never opened it.
    ///
    /// ## Windows
    ///
    /// A program of this system opens a pipe like a file only if it is given the whole name, which
    /// [`PipePath`](crate::PipePath) is. The end of a client has found its owner when it is open, and does not
    /// wait.
    #[doc(alias("subprocess", "child"))]
    pub fn wait_for_peer(&mut self, child: &mut Child) -> Result<(), Error> {
        self.wait_for_peer_timeout(child, Duration::MAX)
    }

    /// Waits as [`wait_for_peer`](Self::wait_for_peer), for at most `timeout`.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::process::Command;
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let mut end = Pipe::temporary()?.into_reader().open()?;
    /// let mut child = Command::new("sleep").arg("60").spawn()?; // it runs, and never opens the pipe
    /// let error = end.wait_for_peer_timeout(&mut child, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // the end is still open, for another try
    /// child.kill()?;
    /// child.wait()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`wait_for_peer`](Self::wait_for_peer), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn wait_for_peer_timeout(
        &mut self,
        child: &mut Child,
        timeout: Duration,
    ) -> Result<(), Error> {
        let waited = watching(child, timeout, self, |end, until| {
            end.wait_for_writer_until(until).map_err(|error| (end, error))
        });
        waited.map_err(|(_, error)| error)
    }
}

/// Retries an operation with short timeouts, and checks the program in between.
///
/// After its exit there is one more try, which sees what the program did before.
fn watching<T, S>(
    child: &mut Child,
    timeout: Duration,
    mut state: S,
    mut attempt: impl FnMut(S, WaitLimit) -> Result<T, (S, Error)>,
) -> Result<T, (S, Error)> {
    let until = within(timeout);
    let mut exited = None;
    loop {
        let time = if exited.is_some() { Duration::ZERO } else { LOOK_AT_CHILD };
        let (back, error) = match attempt(state, sooner(until, time)) {
            Err((back, error)) if error.kind() == ErrorKind::TimedOut => (back, error),
            done => return done,
        };
        if let Some(status) = exited {
            return Err((back, error.because(Obstacle::ChildExited(status))));
        }
        exited = match child.try_wait() {
            Ok(exited) => exited,
            Err(unknown) => return Err((back, error.because(unknown))),
        };
        if exited.is_none() && left(until).is_zero() {
            return Err((back, error));
        }
        state = back;
    }
}

/// The longest time until the exit of a program is noticed.
const LOOK_AT_CHILD: Duration = Duration::from_millis(50);
