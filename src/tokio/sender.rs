//! Sending values.

use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use serde::Serialize;

use super::Tokio;
use crate::channel::{LastWords, Message, Sendable, TypedSender};
use crate::end::{End, Hold};
use crate::error::{Error, Operation, TransitionError};
use crate::state::{Open, Write};
use crate::wire::{Codec, Framing};

impl<T, P, F, C> TypedSender<T, End<Write, Open<Tokio>, P>, F, C>
where
    T: ?Sized,
    P: Hold,
    F: Framing,
    C: Codec,
{
    /// Sends a value: encodes it, and writes it with all that was fed before.
    ///
    /// The value is taken by the call itself. Where the future is dropped, the value stays in the sender, as if
    /// it had been fed: it goes first with the next `send` or `flush`, and must not be sent again. Who drops futures
    /// without end looks at [`pending`](TypedSender::pending) now and then: all of it is memory.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::timeout;
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<Vec<u8>>();
    /// let mut sender = WriteEnd::at(path)?.into_tokio().open().await?.into_sender::<[u8]>();
    ///
    /// let picture = vec![7; 1 << 20]; // more than the pipe holds
    /// let late = timeout(Duration::from_millis(10), sender.send(&picture)).await;
    /// assert!(late.is_err() && sender.pending() > 0);
    /// let (sent, received) = tokio::join!(sender.flush(), receiver.recv()); // the rest of it
    /// sent?;
    /// assert_eq!(received?.len(), 1 << 20);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a sender that blocks. After each, [`is_half_sent`](Error::is_half_sent) tells whether the message
    /// may be sent again.
    pub fn send<'a>(
        &'a mut self,
        value: &T,
    ) -> impl Future<Output = Result<(), Error>> + use<'a, T, P, F, C>
    where
        T: Sendable,
    {
        self.send_staged(value)
    }

    /// Sends a value in its borrowed form.
    ///
    /// Where the future is dropped, the value stays in the sender, as with [`send`](Self::send).
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<String>();
    /// let mut sender = WriteEnd::at(path)?.into_tokio().open().await?.into_sender::<String>();
    /// sender.send(&"as a `String`".into()).await?;
    /// sender.send_ref(&"as a `&str`").await?; // the same to the receiver
    /// assert_eq!(receiver.recv().await?, "as a `String`");
    /// assert_eq!(receiver.recv().await?, "as a `&str`");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_ref<'a, 'b>(
        &'a mut self,
        value: &T::Ref<'b>,
    ) -> impl Future<Output = Result<(), Error>> + use<'a, 'b, T, P, F, C>
    where
        T: Message,
        T::Ref<'b>: Serialize,
    {
        self.send_staged(value)
    }

    /// Takes a value to be sent with others, in pieces of about 64 KiB.
    ///
    /// It is sent when enough is collected, or by the next [`flush`](Self::flush) or [`send`](Self::send). The value
    /// is taken by the call itself. Where the future is dropped, nothing is lost.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<u32>();
    /// let mut sender = WriteEnd::at(path)?.into_tokio().open().await?.into_sender::<u32>();
    /// sender.feed(&1).await?;
    /// sender.feed(&2).await?;
    /// assert!(sender.pending() > 0); // nothing is written
    /// sender.send(&3).await?; // and now all of it
    /// assert_eq!(sender.pending(), 0);
    /// let sum = receiver.recv().await? + receiver.recv().await? + receiver.recv().await?;
    /// assert_eq!(sum, 6);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a sender that blocks.
    pub fn feed<'a>(
        &'a mut self,
        value: &T,
    ) -> impl Future<Output = Result<(), Error>> + use<'a, T, P, F, C>
    where
        T: Sendable,
    {
        let staged = self.parts().1.stage(value);
        async move {
            staged?;
            let written = poll_fn(|cx| self.poll_write_batch(cx)).await;
            written.map_err(|error| self.parts().1.withdraw(error))
        }
    }

    /// Sends what was fed.
    ///
    /// Where the future is dropped, what is not sent stays in the sender.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<u32>();
    /// let mut sender = WriteEnd::at(path)?.into_tokio().open().await?.into_sender::<u32>();
    /// sender.feed(&7).await?; // it would wait for company
    /// sender.flush().await?;
    /// assert_eq!((sender.pending(), receiver.recv().await?), (0, 7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a sender that blocks.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_write_out(cx)).await
    }

    /// Feeds all values, and flushes.
    ///
    /// Where the future is dropped, the values after the one that it was at are not taken.
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
    /// sender.send_all("in a few writes".split(' ')).await?;
    /// assert_eq!(sender.pending(), 0);
    /// assert_eq!(receiver.recv().await?, "in");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send); the values after the one that failed are not taken.
    pub async fn send_all<V: Borrow<T>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> Result<(), Error>
    where
        T: Sendable,
    {
        for value in values {
            self.feed(value.borrow()).await?;
        }
        self.flush().await
    }

    /// Says that this was all, and waits until it is taken.
    ///
    /// What was fed is sent first, then a goodbye, by which the receiver can tell a sender that has finished from
    /// one that has vanished. Then the end is closed; that of a connection ends its direction alone, which a program that
    /// knows no goodbye reads as the end of the stream. [`LastWords`] says what can be known.
    ///
    /// Where the future is dropped, the sender is, with what it had not sent: what must not be lost is
    /// [flushed](Self::flush) before.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let sender = tokio::spawn(async move {
    ///     let mut sender = WriteEnd::at(path)?.into_tokio().open().await?.into_sender::<u32>();
    ///     sender.send(&7).await?;
    ///     sender.finish().await
    /// });
    ///
    /// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<u32>();
    /// assert_eq!(receiver.recv().await?, 7);
    /// assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);
    /// println!("last words: {:?}", sender.await.unwrap()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a sender that blocks. In each the sender is given back, to try again: nothing is sent twice.
    pub async fn finish(mut self) -> Result<LastWords, TransitionError<Self>> {
        let words = self.finish_in_place().await;
        words.map_err(|error| TransitionError::new(self, error))
    }

    async fn finish_in_place(&mut self) -> Result<LastWords, Error> {
        self.parts().1.stage_goodbye();
        self.flush().await?;
        let (end, outgoing) = self.parts();
        let taken = end.wait_until_taken().await;
        let taken = taken.map_err(|error| outgoing.failed(Operation::Finish, error))?;
        let half_closed = poll_fn(|cx| end.poll_finish(cx)).await;
        outgoing.last_words(taken, half_closed)
    }

    fn send_staged<'a, V: Serialize + ?Sized>(
        &'a mut self,
        value: &V,
    ) -> impl Future<Output = Result<(), Error>> + use<'a, T, P, F, C, V> {
        let staged = self.parts().1.stage(value);
        async move {
            staged?;
            self.write_or_withdraw().await
        }
    }

    /// Writes all that is staged. Where that fails, the last message is taken back if nothing of it is written.
    pub(super) async fn write_or_withdraw(&mut self) -> Result<(), Error> {
        self.flush().await.map_err(|error| self.parts().1.withdraw(error))
    }

    /// Writes what is enough for a batch.
    fn poll_write_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (end, outgoing) = self.parts();
        while let Some(bytes) = outgoing.batch() {
            let written = ready!(end.poll_write_bytes(cx, bytes));
            outgoing.note(written)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the last message back, unless a part of it is sent, and lets the error say whether it is.
    pub(super) fn take_back(&mut self, error: Error) -> Error {
        let (end, outgoing) = self.parts();
        // What is not going to be awaited must not be written later.
        if let Ok(written @ 1..) = end.give_up_write() {
            let _ = outgoing.note(Ok(written));
        }
        outgoing.withdraw(error)
    }

    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (end, outgoing) = self.parts();
        while let Some(bytes) = outgoing.pending() {
            let written = ready!(end.poll_write_bytes(cx, bytes));
            outgoing.note(written)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes values as [`feed`](TypedSender::feed) does. Closing it says goodbye and ends the direction of a connection, and
/// does not wait until that is taken: [`finish`](TypedSender::finish) does. A one-way pipe is closed when it is dropped.
impl<T, V, P, F, C> Sink<V> for TypedSender<T, End<Write, Open<Tokio>, P>, F, C>
where
    T: Sendable + ?Sized,
    V: Borrow<T>,
    P: Hold,
    F: Framing,
    C: Codec,
{
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_write_batch(cx)
    }

    fn start_send(self: Pin<&mut Self>, value: V) -> Result<(), Error> {
        self.get_mut().parts().1.stage(value.borrow())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_write_out(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let sender = self.get_mut();
        sender.parts().1.stage_goodbye();
        ready!(sender.poll_write_out(cx))?;
        let (end, outgoing) = sender.parts();
        let half_closed = ready!(end.poll_finish(cx));
        Poll::Ready(outgoing.last_words(false, half_closed).map(drop))
    }
}
