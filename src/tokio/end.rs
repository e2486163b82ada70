//! Ends: opened, read from, written to.

use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Tokio;
use crate::end::{End, PipeRef};
use crate::error::TransitionError;
use crate::state::{Closed, Direction, Open, Read, Write};
use crate::sys::WaitLimit;

impl<D: Direction, P: PipeRef> End<D, Closed, P> {
    /// Switches the closed end to the mode [`Tokio`].
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

impl<D: Direction, P: PipeRef> End<D, Closed<Tokio>, P> {
    /// Switches the closed end to the mode that blocks.
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

impl<D: Direction, P: PipeRef> End<D, Open, P> {
    /// Switches the open end to the mode [`Tokio`], for tasks.
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
    /// let mut reader = reader.into_tokio()?; // bytes in the pipe stay there
    /// assert_eq!(reader.read(&mut [0; 8]).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Each gives back the end.
    ///
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here, or the system cannot wait for
    ///   this handle beside others.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files.
    ///
    /// # Panics
    ///
    /// If the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<End<D, Open<Tokio>, P>, TransitionError<Self>> {
        self.into_mode()
    }
}

impl<D: Direction, P: PipeRef> End<D, Open<Tokio>, P> {
    /// Switches the open end to the mode that blocks.
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
    /// let mut reader = reader.into_blocking(); // it stays open
    /// let reading = std::thread::spawn(move || reader.read(&mut [0; 8]));
    /// assert_eq!(reading.join().unwrap()?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_blocking(self) -> End<D, Open, P> {
        self.into_mode_blocking()
    }
}

impl<P: PipeRef> AsyncRead for End<Read, Open<Tokio>, P> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read =
            ready!(self.get_mut().poll_read_until(cx, buf.initialize_unfilled(), WaitLimit::Done))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// Flushing does nothing: written bytes are in the pipe. Shutting down half-closes a connection, and
/// does nothing to an end of a one-way pipe, which [`close`](End::close) ends.
impl<P: PipeRef> AsyncWrite for End<Write, Open<Tokio>, P> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_until(cx, bytes, WaitLimit::Done)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_finish_until(cx, WaitLimit::Done)
    }
}
