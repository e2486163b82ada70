//! Receiving values.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Tokio;
use crate::channel::{Message, Receivable, TypedReceiver, item};
use crate::end::{End, Hold};
use crate::error::Error;
use crate::state::{Open, Read};
use crate::wire::{Codec, Framing, Shared, WriterId};

impl<T, P: Hold, F: Framing, C: Codec> TypedReceiver<T, End<Read, Open<Tokio>, P>, F, C> {
    /// Receives the next value, waiting until it is there.
    ///
    /// Where the future is dropped, no message is lost: what has arrived of it stays here.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::timeout;
    /// use typed_pipe::Pipe;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let end = pipe.into_reader().into_tokio().open().await?;
    /// let mut receiver = end.into_receiver::<String>();
    /// let late = timeout(Duration::from_millis(10), receiver.recv()).await;
    /// assert!(late.is_err()); // nobody writes
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a receiver that blocks.
    pub async fn recv(&mut self) -> Result<T, Error>
    where
        T: Receivable,
    {
        poll_fn(|cx| self.poll_fill(cx)).await?;
        self.parts().1.message()
    }

    /// Receives the next value in its borrowed form, straight from the buffer.
    ///
    /// Where the future is dropped, no message is lost.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub async fn recv_ref(&mut self) -> Result<T::Ref<'_>, Error>
    where
        T: Message,
    {
        poll_fn(|cx| self.poll_fill(cx)).await?;
        self.parts().1.message()
    }

    /// Reads until there is a whole message.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (end, incoming) = self.parts();
        while !incoming.step()? {
            let read = ready!(end.poll_read_bytes(cx, incoming.room()));
            incoming.note(read)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T, P: Hold, C: Codec> TypedReceiver<T, End<Read, Open<Tokio>, P>, Shared, C> {
    /// Receives the next value with the writer that sent it, waiting until it is there.
    ///
    /// Where the future is dropped, no message is lost.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub async fn recv_from(&mut self) -> Result<(WriterId, T), Error>
    where
        T: Receivable,
    {
        let value = self.recv().await?;
        self.with_last_writer(value)
    }
}

/// Ends when the last writer has left between two messages, with a goodbye or without one, when a
/// [`Stop`](crate::Stop) ends the wait, or after a fatal error.
impl<T, P, F, C> Stream for TypedReceiver<T, End<Read, Open<Tokio>, P>, F, C>
where
    T: Receivable,
    P: Hold,
    F: Framing,
    C: Codec,
{
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        let filled = ready!(receiver.poll_fill(cx));
        let received = filled.and_then(|()| receiver.parts().1.message());
        Poll::Ready(item(received))
    }
}
