//! A carrier over an asynchronous reader and writer.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Tokio;
use crate::sys::Carrier;

impl Tokio {
    /// Makes a carrier of a reader and a writer of tokio, for [`Connection::over`](crate::Connection::over).
    ///
    /// Such are the halves of a stream from `into_split` or `tokio::io::split`. Their runtime must go on as long as the
    /// connection, in either mode.
    ///
    /// ```
    /// use typed_pipe::{Connection, Tokio};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let (one, other) = tokio::io::duplex(1000); // or two programs, and any stream of tokio
    /// let over = |stream| {
    ///     let (reader, writer) = tokio::io::split(stream);
    ///     Ok::<_, typed_pipe::Error>(Connection::over(Tokio::carrier(reader, writer))?.into_tokio()?)
    /// };
    /// let (one, other) = (over(one)?, over(other)?);
    /// let (one, other) = tokio::join!(one.into_typed::<String, ()>(), other.into_typed::<(), String>());
    /// one?.send(&"hello".into()).await?;
    /// assert_eq!(other?.recv().await?, "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A writer that buffers is flushed after each write; what that leaves over goes with the next operation of the
    /// connection.
    pub fn carrier<R, W>(reader: R, writer: W) -> impl Carrier + fmt::Debug
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        Streams { reader: Some(reader), writer, unflushed: false, failed: None }
    }
}

struct Streams<R, W> {
    /// `None` once the direction was ended.
    reader: Option<R>,
    writer: W,
    unflushed: bool,
    /// The error of a flush, for the next operation: the write before it was told to be done.
    failed: Option<io::Error>,
}

impl<R, W> fmt::Debug for Streams<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokio::carrier").finish_non_exhaustive()
    }
}

impl<R, W: AsyncWrite + Unpin> Streams<R, W> {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.writer).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<R, W> Carrier for Streams<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(Ok(0)) };
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(reader).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let written = ready!(Pin::new(&mut self.writer).poll_write(cx, bytes))?;
        self.unflushed = true;
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            self.failed = Some(error);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }

    fn stop_reading(&mut self) {
        self.reader = None;
    }
}
