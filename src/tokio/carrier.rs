//! A carrier over an asynchronous reader and writer.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

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
    /// connection, and while it waits for what comes in.
    pub fn carrier<R, W>(reader: R, writer: W) -> impl Carrier + fmt::Debug
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let flushed = Arc::<Flushed>::default();
        let wakes = Arc::clone(&flushed).into();
        let reader = Some(reader);
        Streams { reader, writer, unflushed: false, flushed, wakes, failed: None }
    }
}

struct Streams<R, W> {
    /// `None` once the direction was ended.
    reader: Option<R>,
    writer: W,
    unflushed: bool,
    /// What a flush that goes on wakes, and the waker of that.
    flushed: Arc<Flushed>,
    wakes: Waker,
    /// The error of a flush, for the next operation: the write before it was told to be done.
    failed: Option<io::Error>,
}

impl<R, W> fmt::Debug for Streams<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokio::carrier").finish_non_exhaustive()
    }
}

/// What waits for a flush: the writing half, and the reading one, which may wait for the answer to what is flushed.
#[derive(Debug, Default)]
struct Flushed(Mutex<[Option<Waker>; 2]>);

impl Flushed {
    fn note(&self, half: Half, cx: &Context<'_>) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [writing, reading] = &mut *wakers;
        let waker = if let Half::Writing = half { writing } else { reading };
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl Wake for Flushed {
    fn wake(self: Arc<Self>) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[derive(Clone, Copy, Debug)]
enum Half {
    Writing,
    Reading,
}

impl<R, W: AsyncWrite + Unpin> Streams<R, W> {
    fn poll_flush(&mut self, half: Half, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            self.flushed.note(half, cx);
            let mut cx = Context::from_waker(&self.wakes);
            ready!(Pin::new(&mut self.writer).poll_flush(&mut cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Goes on with a flush. What fails is told by the next operation of the writing half.
    fn flush_on(&mut self, half: Half, cx: &Context<'_>) {
        if self.failed.is_none() {
            if let Poll::Ready(Err(error)) = self.poll_flush(half, cx) {
                self.failed = Some(error);
            }
        }
    }

    fn poll_flushed(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self.failed.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => self.poll_flush(Half::Writing, cx),
        }
    }
}

impl<R, W> Carrier for Streams<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.flush_on(Half::Reading, cx);
        let Some(reader) = &mut self.reader else { return Poll::Ready(Ok(0)) };
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(reader).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flushed(cx))?;
        let written = ready!(Pin::new(&mut self.writer).poll_write(cx, bytes))?;
        self.unflushed = true;
        self.flush_on(Half::Writing, cx);
        Poll::Ready(Ok(written))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flushed(cx))?;
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }

    fn stop_reading(&mut self) {
        self.reader = None;
    }
}
