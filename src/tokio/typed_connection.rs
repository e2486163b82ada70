//! Typed connections.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Tokio;
use crate::channel::Receivable;
use crate::error::Error;
use crate::typed_connection::{Handshake, TypedConnection};
use crate::wire::{Codec, Framing};

impl<F: Framing + Clone, C: Codec + Clone> Handshake<F, C> {
    /// Switches the handshake to the mode [`Tokio`].
    ///
    /// ```
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let (client, server) = Connection::pair()?;
    /// let ours = Handshake::new().sending("question/1").receiving("answer/1").into_tokio();
    /// let theirs = Handshake::new().sending("answer/1").receiving("question/1").into_tokio();
    /// let (ours, theirs) = tokio::join!(
    ///     ours.perform::<str, u32>(client.into_tokio()?),
    ///     theirs.perform::<u32, String>(server.into_tokio()?),
    /// );
    /// let (mut ours, mut theirs) = (ours?, theirs?);
    /// ours.send("how long is this?").await?;
    /// assert_eq!(theirs.recv().await?, "how long is this?");
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_tokio(self) -> Handshake<F, C, Tokio> {
        self.in_mode()
    }
}

/// Yields messages, and ends as the stream of a receiver does.
impl<Out, In, F, C> Stream for TypedConnection<Out, In, F, C, Tokio>
where
    Out: ?Sized,
    In: Receivable,
    F: Framing,
    C: Codec,
{
    type Item = Result<In, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(self.get_mut().receiver()).poll_next(cx)
    }
}

// Nothing in it is pinned.
impl<Out: ?Sized, In, F, C> Unpin for TypedConnection<Out, In, F, C, Tokio> {}
