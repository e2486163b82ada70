//! Ends: opened, read from, written to.

use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::wait::{check, pause, try_until};
use super::{Driven, Tokio};
use crate::end::{End, Hold, Reopen, is_end};
use crate::error::{Error, Obstacle, Operation, TransitionError};
use crate::state::{Closed, Direction, Open, Read, Write};
use crate::sys::{Pauses, Polled, Raw, Until, Wait};
use crate::wait::Sleeper;

impl<D: Direction, P: Hold> End<D, Closed, P> {
    /// Lets the end be opened under [tokio](Tokio).
    ///
    /// ```
    /// use typed_pipe::state::Closed;
    /// use typed_pipe::{Pipe, Tokio, WriteEnd};
    ///
    /// struct Logger {
    ///     end: WriteEnd<Closed<Tokio>>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let logger = Logger { end: WriteEnd::at(pipe.path())?.into_tokio() };
    /// let mut reader = pipe.into_reader().into_tokio().open().await?;
    /// let mut writer = logger.end.open().await?; // other tasks may run meanwhile
    /// writer.write(b"hello").await?;
    /// assert_eq!(reader.read(&mut [0; 8]).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_tokio(self) -> End<D, Closed<Tokio>, P> {
        self.with_state(Closed { mode: PhantomData })
    }
}

impl<D: Direction, P: Hold> End<D, Closed<Tokio>, P> {
    /// Lets the end be opened by a thread that blocks.
    ///
    /// ```
    /// use typed_pipe::state::Closed;
    /// use typed_pipe::{Error, Pipe, Tokio, WriteEnd};
    ///
    /// fn hello(end: WriteEnd<Closed<Tokio>>) -> Result<usize, Error> {
    ///     end.into_blocking().open()?.write(b"hello") // in no runtime
    /// }
    ///
    /// let pipe = Pipe::temporary()?;
    /// let end = WriteEnd::at(pipe.path())?.into_tokio();
    /// let reader = pipe.into_reader().open()?;
    /// assert_eq!(hello(end)?, 5);
    /// # drop(reader);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn into_blocking(self) -> End<D, Closed, P> {
        self.with_state(Closed { mode: PhantomData })
    }
}

impl<D: Direction, P: Reopen> End<D, Closed<Tokio>, P> {
    /// Opens the end, and waits as long as it takes.
    ///
    /// What it waits for is what the [`open`](End::open) of the mode that blocks waits for.
    ///
    /// The future owns the end: where it is dropped, the end is, and with it what the end holds of its pipe.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let end = WriteEnd::at(pipe.path())?.into_tokio();
    /// // A thread that blocks could not open both: the one that waits lets the other go on.
    /// let (writer, reader) = tokio::join!(end.open(), pipe.into_reader().into_tokio().open());
    /// let (mut writer, mut reader) = (writer?, reader?);
    /// writer.write(b"hello").await?;
    /// assert_eq!(reader.read(&mut [0; 8]).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks, and [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs
    /// here. In each the closed end is given back.
    ///
    /// # Panics
    ///
    /// Where the runtime has no drivers for I/O and time.
    pub async fn open(self) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        self.open_before(None).await
    }

    /// Opens the end if that takes no waiting.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// drop(pipe);
    /// let failed = WriteEnd::at(path)?.into_tokio().try_open().unwrap_err(); // at once
    /// assert_eq!(failed.kind(), ErrorKind::NotFound);
    /// let end = failed.into_state(); // to try again
    /// # drop(end);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), [`NotFound`](crate::ErrorKind::NotFound) and
    /// [`NotReady`](crate::ErrorKind::NotReady).
    ///
    /// # Panics
    ///
    /// As [`open`](Self::open).
    pub fn try_open(mut self) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        match self.open_raw(Until::Now) {
            Ok(raw) => self.opened(raw),
            Err(error) => Err(self.unchanged(D::OPENING, error)),
        }
    }

    /// Opens the end, and waits for some time at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// drop(pipe);
    /// let end = WriteEnd::at(path)?.into_tokio();
    /// let failed = end.open_timeout(Duration::from_millis(10)).await.unwrap_err(); // it may come again
    /// assert_eq!(failed.kind(), ErrorKind::TimedOut);
    /// let end = failed.into_state(); // `tokio::time::timeout` around `open` would have dropped it
    /// # drop(end);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [`TimedOut`](crate::ErrorKind::TimedOut).
    ///
    /// # Panics
    ///
    /// As [`open`](Self::open).
    pub async fn open_timeout(
        self,
        timeout: Duration,
    ) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        self.open_before(Instant::now().checked_add(timeout)).await
    }

    async fn open_before(
        mut self,
        end: Option<Instant>,
    ) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        let sleeper = self.stop().map(Sleeper::new);
        match try_until(end, sleeper.as_ref(), || self.open_raw(Until::Now)).await {
            Ok(raw) => self.opened(raw),
            Err(error) => Err(self.unchanged(D::OPENING, error)),
        }
    }

    fn opened(self, raw: Raw) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        match drive::<D, _, _>(raw, &self) {
            Ok(io) => Ok(self.with_state(Open { io })),
            Err((_, error)) => Err(self.unchanged(D::OPENING, error)),
        }
    }
}

impl<D: Direction, P: Hold> End<D, Open, P> {
    /// Lets tasks of [tokio](Tokio) use the end.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // by a thread that blocks
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// writer.write(b"hello")?;
    ///
    /// let mut reader = reader.into_tokio()?; // what is in the pipe stays there
    /// assert_eq!(reader.read(&mut [0; 8]).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// In each the end is given back.
    ///
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here, or the system cannot wait for
    ///   this handle beside others.
    /// - [`Exhausted`](crate::ErrorKind::Exhausted): the process has too many open files.
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        let (raw, rest) = self.into_parts();
        match drive::<D, _, _>(raw, &rest) {
            Ok(io) => Ok(rest.with_state(Open { io })),
            Err((io, error)) => {
                Err(rest.with_state(Open { io }).unchanged(Operation::Register, error))
            }
        }
    }
}

impl<D: Direction, P: Hold> End<D, Open<Tokio>, P> {
    /// Lets a thread that blocks use the end.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().into_tokio().open().await?;
    /// let mut writer = WriteEnd::at(path)?.into_tokio().open().await?;
    /// writer.write(b"hello").await?;
    ///
    /// let mut reader = reader.into_blocking(); // it is open all the time
    /// let reading = std::thread::spawn(move || reader.read(&mut [0; 8]));
    /// assert_eq!(reading.join().unwrap()?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_blocking(self) -> End<D, Open, P> {
        let (io, rest) = self.into_parts();
        rest.with_state(Open { io: io.polled.into_raw() })
    }
}

impl<P: Hold> End<Read, Open<Tokio>, P> {
    /// Reads some bytes, waiting until there are any; `Ok(0)` when the last writer has left.
    ///
    /// The first read waits for the first writer. See [`EndOfWriters`](crate::EndOfWriters) for what follows when
    /// the last one has left. Where the future is dropped, nothing was read.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().into_tokio().open().await?;
    /// let mut writer = WriteEnd::at(path)?.into_tokio().open().await?;
    /// writer.write(b"hello").await?;
    /// drop(writer);
    ///
    /// let mut buf = [0; 64];
    /// let n = reader.read(&mut buf).await?;
    /// assert_eq!(&buf[..n], b"hello");
    /// assert_eq!(reader.read(&mut buf).await?, 0); // the writer has left
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): the other side of a connection has left with bytes of this one
    ///   unread. What it wrote is read before; whether that was all, nobody has said.
    /// - [`Stopped`](crate::ErrorKind::Stopped): see [`End::stopped_by`](crate::End::stopped_by).
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The system does not tell of bytes that were left unread, but where the server disconnects the pipe, which no
    /// program of this crate does.
    ///
    /// ## macOS, FreeBSD
    ///
    /// The system may not tell of them.
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let read = poll_fn(|cx| self.poll_read_bytes(cx, buf)).await;
        read.map_err(|error| self.failed(Operation::Receive, error))
    }

    pub(super) fn poll_read_bytes(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (next_writer, Driven { polled, sleeper }) = (self.next_writer(), self.io_mut());
        check(sleeper.as_ref(), cx)?;
        let read = ready!(polled.poll_read(cx, buf));
        if is_end(&read) && next_writer {
            polled.renew()?;
        }
        Poll::Ready(read)
    }
}

impl<P: Hold> End<Write, Open<Tokio>, P> {
    /// Writes some bytes, waiting until there is room; tells how many.
    ///
    /// Where the future is dropped, nothing was written.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().into_tokio().open().await?;
    /// let mut writer = WriteEnd::at(path)?.into_tokio().open().await?;
    /// let mut rest = b"hello".as_slice();
    /// while !rest.is_empty() {
    ///     rest = &rest[writer.write(rest).await?..]; // `write_all` of tokio's `AsyncWriteExt` does this
    /// }
    /// drop(reader);
    /// assert!(writer.write(b"hello").await.unwrap_err().is_disconnected());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::ErrorKind::Disconnected): nobody reads any more.
    /// [`Stopped`](crate::ErrorKind::Stopped), or [`Io`](crate::ErrorKind::Io).
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The bytes of a future that was dropped may still be written, whole or not at all, until the next write. One
    /// with the same bytes goes on with them, and writes them once.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let written = poll_fn(|cx| self.poll_write_bytes(cx, bytes)).await;
        written.map_err(|error| self.failed(Operation::Send, error))
    }

    pub(super) fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Driven { polled, sleeper } = self.io_mut();
        if let Err(stopped) = check(sleeper.as_ref(), cx) {
            // What is not going to be awaited must not be written later.
            return Poll::Ready(match polled.give_up_write()? {
                0 => Err(stopped),
                written => Ok(written),
            });
        }
        polled.poll_write(cx, bytes)
    }

    /// Nothing that is pending is written after this; tells how much of it was.
    pub(super) fn give_up_write(&mut self) -> io::Result<usize> {
        self.io_mut().polled.give_up_write()
    }

    pub(super) fn poll_finish(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Driven { polled, sleeper } = self.io_mut();
        check(sleeper.as_ref(), cx)?;
        polled.poll_finish(cx)
    }

    pub(super) async fn finish_in_place(&mut self) -> Result<(), Error> {
        let finished = poll_fn(|cx| self.poll_finish(cx)).await;
        finished.map_err(|error| self.failed(Operation::Finish, error))
    }

    /// Waits until the readers have taken all; `Ok(false)` where nothing tells.
    pub(super) async fn wait_until_taken(&self) -> io::Result<bool> {
        let mut pauses = Pauses::new();
        loop {
            let error = match self.io().polled.raw().wait_until_taken(Wait::NOW) {
                Err(error) => error,
                done => return done,
            };
            let Some(time) = pauses.after(&error) else { return Err(error) };
            pause(time, self.io().sleeper.as_ref()).await?;
        }
    }
}

impl<P: Hold> AsyncRead for End<Read, Open<Tokio>, P> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.get_mut().poll_read_bytes(cx, buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// What is written is in the pipe: there is nothing to flush. Shutting down ends one direction of a connection, and
/// does nothing to an end of a one-way pipe, which [`close`](End::close) ends.
impl<P: Hold> AsyncWrite for End<Write, Open<Tokio>, P> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bytes(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_finish(cx)
    }
}

/// Gives what is open to the runtime of this task.
fn drive<D: Direction, S, P: Hold>(
    raw: Raw,
    end: &End<D, S, P>,
) -> Result<Driven, (Raw, io::Error)> {
    let Ok(runtime) = Handle::try_current() else { return Err((raw, Obstacle::NoRuntime.into())) };
    let polled = Polled::new(raw, D::WAY, runtime)?;
    Ok(Driven { polled, sleeper: end.stop().map(Sleeper::new) })
}
