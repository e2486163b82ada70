//! Connecting, and connections as streams of bytes.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Tokio;
use super::wait::try_until;
use crate::duplex::{ConnectOptions, Connection, ReadHalf, WriteHalf};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::state::Mode;
use crate::sys::Until;
use crate::wait::Sleeper;

impl ConnectOptions {
    /// Lets a task of [tokio](Tokio) connect.
    #[must_use]
    pub fn into_tokio(self) -> ConnectOptions<Tokio> {
        self.in_mode()
    }
}

impl ConnectOptions<Tokio> {
    /// Lets a thread that blocks connect.
    #[must_use]
    pub fn into_blocking(self) -> ConnectOptions {
        self.in_mode()
    }

    /// Connects to the listener at a path, and waits as long as it takes.
    ///
    /// Where the future is dropped, so is what was begun; the listener may see a client that leaves at once.
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks, and [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here.
    ///
    /// # Panics
    ///
    /// Where the runtime has no drivers for I/O and time.
    pub async fn connect(&self, path: impl AsRef<Path>) -> Result<Connection<Tokio>, Error> {
        Ok(self.connect_before(PipePath::new(path)?, None).await?.into_tokio()?)
    }

    /// Connects to the listener at a path, if that takes no waiting.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), [`NotFound`](crate::ErrorKind::NotFound) and
    /// [`NotReady`](crate::ErrorKind::NotReady).
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    pub fn try_connect(&self, path: impl AsRef<Path>) -> Result<Connection<Tokio>, Error> {
        let path = PipePath::new(path)?;
        let halves = self.connect_raw(&path, Until::Now).map_err(|error| failed(&path, error))?;
        Ok(self.connected(halves, path).into_tokio()?)
    }

    /// Connects to the listener at a path, and waits for some time at most.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), and [`TimedOut`](crate::ErrorKind::TimedOut).
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_timeout(
        &self,
        path: impl AsRef<Path>,
        timeout: Duration,
    ) -> Result<Connection<Tokio>, Error> {
        let end = Instant::now().checked_add(timeout);
        Ok(self.connect_before(PipePath::new(path)?, end).await?.into_tokio()?)
    }
}

impl<M: Mode> ConnectOptions<M> {
    /// Connects, in no mode yet.
    pub(super) async fn connect_before(
        &self,
        path: PipePath,
        end: Option<Instant>,
    ) -> Result<Connection, Error> {
        let sleeper = self.stop().map(Sleeper::new);
        let halves = try_until(end, sleeper.as_ref(), || self.connect_raw(&path, Until::Now)).await;
        match halves {
            Ok(halves) => Ok(self.connected(halves, path)),
            Err(error) => Err(failed(&path, error)),
        }
    }
}

fn failed(path: &PipePath, error: io::Error) -> Error {
    Error::new(Operation::Connect, error).at(Some(path.shared()))
}

impl Connection {
    /// Lets tasks of [tokio](Tokio) use the connection.
    ///
    /// # Errors
    ///
    /// Those of [`End::into_tokio`](crate::End::into_tokio). In each the connection is given back.
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Connection<Tokio>, TransitionError<Self>> {
        let (reader, writer) = self.split();
        let back = |reader, writer, error| {
            Err(TransitionError::new(Self::of_halves(reader, writer), error))
        };
        let reader = match reader.into_tokio() {
            Ok(reader) => reader,
            Err(failed) => {
                let (reader, error) = failed.into_parts();
                return back(reader, writer, error);
            }
        };
        match writer.into_tokio() {
            Ok(writer) => Ok(Connection::of_halves(reader, writer)),
            Err(failed) => {
                let (writer, error) = failed.into_parts();
                back(reader.into_blocking(), writer, error)
            }
        }
    }
}

impl Connection<Tokio> {
    /// Lets a thread that blocks use the connection.
    pub fn into_blocking(self) -> Connection {
        let (reader, writer) = self.split();
        Connection::of_halves(reader.into_blocking(), writer.into_blocking())
    }

    /// Says that this was all, and keeps the half that is read from.
    ///
    /// The other side reads the end of the stream once it has read what was written, and can still answer.
    ///
    /// Where the future is dropped, the connection is: `shutdown` of tokio's `AsyncWriteExt` borrows it, and does the same.
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks. In each the connection is given back.
    pub async fn finish(self) -> Result<ReadHalf<Tokio>, TransitionError<Self>> {
        let (reader, writer) = self.split();
        match writer.finish().await {
            Ok(()) => Ok(reader),
            Err(failed) => {
                let (writer, error) = failed.into_parts();
                Err(TransitionError::new(Self::of_halves(reader, writer), error))
            }
        }
    }
}

impl WriteHalf<Tokio> {
    /// Says that this was all, and closes the half: the other side reads the end of the stream.
    ///
    /// Where the future is dropped, the half is, which does the same as far as that takes no waiting.
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks. In each the half is given back.
    pub async fn finish(mut self) -> Result<(), TransitionError<Self>> {
        match self.finish_in_place().await {
            Ok(()) => Ok(()),
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }
}

impl AsyncRead for Connection<Tokio> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().reader()).poll_read(cx, buf)
    }
}

/// What is written is in the pipe: there is nothing to flush. Shutting down ends the direction: the other side reads the
/// end of the stream, and can still answer.
impl AsyncWrite for Connection<Tokio> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().writer()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().writer()).poll_shutdown(cx)
    }
}
