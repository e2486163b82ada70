//! Child programs as the peer of a pipe or a connection: waiting for them, until they exit at most.

use std::future::Future;
use std::process::Child;
use std::time::Duration;

use crate::connection::{Connection, Listener};
use crate::end::{End, PipeRef, Reopen};
use crate::error::{Error, ErrorKind, Obstacle, TransitionError};
use crate::state::{Closed, Mode, Open, Read, Write};
use crate::sys::{Ended, Process, WaitLimit};

impl<M: Mode, P: Reopen> End<Write, Closed<M>, P> {
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
    /// let mut end = pipe.into_writer().open_with(&child)?;
    /// end.write_all(b"hello")?;
    /// drop(end); // the program reads to the end
    /// assert!(child.wait()?.success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The program is only watched: its status stays for the one that waits for it. So two ends may watch the same one:
    ///
    /// ```no_run
    /// use std::process::Command;
    /// use std::thread;
    /// use typed_pipe::Pipe;
    ///
    /// let (video, audio) = (Pipe::temporary()?, Pipe::temporary()?);
    /// let mut ffmpeg = Command::new("ffmpeg");
    /// ffmpeg.arg("-i").arg(video.path()).arg("-i").arg(audio.path()).arg("out.mkv");
    /// let mut child = ffmpeg.spawn()?;
    /// thread::scope(|scope| {
    ///     let pictures = scope.spawn(|| video.into_writer().open_with(&child)?.write(b"..."));
    ///     let sound = scope.spawn(|| audio.into_writer().open_with(&child)?.write(b"..."));
    ///     pictures.join().unwrap()?;
    ///     sound.join().unwrap()
    /// })?;
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
    #[doc(alias("subprocess", "child", "shell", "spawn", "command", "gzip", "ffmpeg"))]
    pub fn open_with(
        self,
        child: &Child,
    ) -> M::Ret<
        impl Future<Output = Result<End<Write, Open<M>, P>, TransitionError<Self>>> + use<M, P>,
    > {
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
    /// let failed = pipe.into_writer().open_with_timeout(&child, Duration::from_millis(10)).unwrap_err();
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
        child: &Child,
        timeout: Duration,
    ) -> M::Ret<
        impl Future<Output = Result<End<Write, Open<M>, P>, TransitionError<Self>>> + use<M, P>,
    > {
        let (child, until) = (Process::of(child), M::within(timeout));
        M::run(async move {
            let opened =
                watching::<M, _, _, _>(&child, READ, until, self, |end, until| async move {
                    end.opening(until).await.map_err(TransitionError::into_parts)
                });
            opened.await.map_err(|(end, error)| TransitionError::new(end, error))
        })
    }
}

impl<M: Mode, P: PipeRef> End<Read, Open<M>, P> {
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
    /// end.wait_for_peer(&child)?;
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
    #[doc(alias("subprocess", "child", "shell", "spawn", "command", "gzip", "ffmpeg"))]
    pub fn wait_for_peer<'a>(
        &'a mut self,
        child: &Child,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, M, P>> {
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
    /// let error = end.wait_for_peer_timeout(&child, Duration::from_millis(10)).unwrap_err();
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
    pub fn wait_for_peer_timeout<'a>(
        &'a mut self,
        child: &Child,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, M, P>> {
        let (child, until) = (Process::of(child), M::within(timeout));
        M::run(async move {
            let waited =
                watching::<M, _, _, _>(&child, WRITTEN, until, self, |end, until| async move {
                    end.wait_for_writer_until(until).await.map_err(|error| (end, error))
                });
            waited.await.map_err(|(_, error)| error)
        })
    }
}

impl<M: Mode> Listener<M> {
    /// Accepts the next client, and waits until there is one or a child program exits.
    ///
    /// This is [`accept`](Self::accept) for a program that was given the path and is to connect. Any client is accepted.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::process::Command;
    /// use typed_pipe::{ErrorKind, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let mut child = Command::new("false").arg(listener.path()).spawn()?; // ends and never connects
    /// assert_eq!(listener.accept_with(&child).unwrap_err().kind(), ErrorKind::ChildExited);
    /// child.wait()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// To watch it during the handshake as well, see [`Handshake::watching`](crate::Handshake::watching).
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept), and [`ChildExited`](ErrorKind::ChildExited): the program has ended, and no client
    /// waits.
    #[doc(alias("subprocess", "child"))]
    pub fn accept_with<'a>(
        &'a self,
        child: &Child,
    ) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>> + use<'a, M>> {
        self.accept_with_timeout(child, Duration::MAX)
    }

    /// Accepts the next client as [`accept_with`](Self::accept_with), and waits for at most `timeout`.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::process::Command;
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let mut child = Command::new("sleep").arg("60").spawn()?; // it runs, and never connects
    /// let error = listener.accept_with_timeout(&child, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// child.kill()?;
    /// child.wait()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`accept_with`](Self::accept_with), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn accept_with_timeout<'a>(
        &'a self,
        child: &Child,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>> + use<'a, M>> {
        let (child, until) = (Process::of(child), M::within(timeout));
        M::run(async move {
            let accept =
                |(), until| async move { self.accepting(until).await.map_err(|error| ((), error)) };
            let accepted = watching::<M, _, _, _>(&child, "connected", until, (), accept);
            accepted.await.map_err(|((), error)| error)
        })
    }
}

/// Retries an operation with short timeouts, and checks the program in between.
///
/// After its exit there is one more try, which sees what the program did before.
pub(crate) async fn watching<M: Mode, S, T, F>(
    child: &Process,
    awaited: &'static str,
    until: WaitLimit,
    mut state: S,
    mut attempt: impl FnMut(S, WaitLimit) -> F,
) -> Result<T, (S, Error)>
where
    F: Future<Output = Result<T, (S, Error)>>,
{
    loop {
        let (back, error) = match attempt(state, M::sooner(until, LOOK_AT_CHILD)).await {
            Err((back, error)) if error.kind() == ErrorKind::TimedOut => (back, error),
            done => return done,
        };
        match child.ended() {
            Ok(None) if M::over(until).is_some() => return Err((back, error)),
            Ok(None) => state = back,
            Ok(Some(Ended(status))) => {
                // What is there by now is there at once.
                return attempt(back, WaitLimit::Now).await.map_err(|(back, error)| {
                    let error = match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::NotFound => {
                            error.because(Obstacle::ChildExited(awaited, status))
                        }
                        _ => error,
                    };
                    (back, error)
                });
            }
            Err(unknown) => return Err((back, error.because(unknown))),
        }
    }
}

/// What the child of a writing end is to do.
const READ: &str = Obstacle::STARTED_READING;

/// What the child of a reading end is to do.
const WRITTEN: &str = "opened it for writing";

/// The longest time until the exit of a program is noticed.
const LOOK_AT_CHILD: Duration = Duration::from_millis(50);
