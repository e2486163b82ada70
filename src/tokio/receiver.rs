//! Receiving values.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Tokio;
use crate::channel::{Message, Receivable, TypedReceiver};
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
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<String>();
    /// let mut sender = WriteEnd::at(path)?.into_tokio().open().await?.into_sender::<str>();
    /// sender.send("no `String` is made of this").await?;
    /// let text: &str = receiver.recv_ref().await?; // until the next receive
    /// assert_eq!(text, "no `String` is made of this");
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```
    /// use typed_pipe::wire::{Shared, Wire};
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let wire = Wire::default().with_framing(Shared::default());
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let end = pipe.into_reader().into_tokio().open().await?;
    /// let mut receiver = end.into_receiver_with::<u32, _, _>(wire.clone());
    ///
    /// let end = WriteEnd::at(&path)?.into_tokio().open().await?;
    /// let mut one = end.into_sender_with::<u32, _, _>(wire.clone());
    /// let end = WriteEnd::at(&path)?.into_tokio().open().await?;
    /// let mut other = end.into_sender_with::<u32, _, _>(wire);
    /// one.send(&1).await?;
    /// other.send(&2).await?;
    ///
    /// let (first, second) = (receiver.recv_from().await?, receiver.recv_from().await?);
    /// assert_ne!(first.0, second.0); // two writers
    /// assert_eq!(first.1 + second.1, 3);
    /// # Ok(())
    /// # }
    /// ```
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
/// [`Stop`](crate::Stop) ends the wait, or after a fatal error. Where the system tells of a reset, that is an error, even
/// between two messages.
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
        if receiver.parts().1.has_failed() {
            return Poll::Ready(None);
        }
        let filled = ready!(receiver.poll_fill(cx));
        let incoming = receiver.parts().1;
        let received = filled.and_then(|()| incoming.message());
        Poll::Ready(incoming.item(received))
    }
}
