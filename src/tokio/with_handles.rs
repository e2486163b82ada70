//! Handles beside messages.

use std::future::poll_fn;

use super::Tokio;
use crate::channel::{Receivable, Sendable, TypedReceiver, TypedSender, WithHandles};
use crate::duplex::{ReadHalf, WriteHalf};
use crate::error::Error;
use crate::handles::Handles;
use crate::wire::{Codec, Framing};

impl<T: Sendable, F: Framing, C: Codec> TypedSender<WithHandles<T>, WriteHalf<Tokio>, F, C> {
    /// Sends a value with handles beside it, waiting until there is room for it.
    ///
    /// Where the future is dropped before it is done, either nothing of the value has gone and its handles are where they
    /// were, or the value and its handles are kept, and go before anything else.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Read;
    /// use typed_pipe::{Connection, Handles, WithHandles};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::io::{Seek, Write};
    /// # let mut log = tempfile::tempfile()?;
    /// # log.write_all(b"started")?;
    /// # log.rewind()?;
    /// let (client, server) = Connection::pair()?;
    /// let (client, server) = (client.into_tokio()?, server.into_tokio()?);
    /// let (client, server) = tokio::join!(
    ///     client.into_channels::<WithHandles<u32>, ()>(),
    ///     server.into_channels::<(), WithHandles<u32>>(),
    /// );
    /// let (mut sender, _) = client?;
    /// let (_, mut receiver) = server?;
    ///
    /// let mut handles = Handles::new();
    /// let number = handles.add(log);
    /// sender.send_with(&number, &mut handles).await?;
    /// let (number, mut handles) = receiver.recv_with().await?;
    /// let mut words = String::new();
    /// handles.take::<File>(number)?.read_to_string(&mut words)?;
    /// assert_eq!(words, "started");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a sender that blocks.
    pub async fn send_with(&mut self, value: &T, handles: &mut Handles) -> Result<(), Error> {
        // What was fed goes first: the handles go with the next byte that is written.
        self.flush().await?;
        self.stage_with(value, handles)?;
        let sent = self.write_or_withdraw().await;
        self.take_back_unsent(sent, handles)
    }
}

impl<T: Receivable, F: Framing, C: Codec> TypedReceiver<WithHandles<T>, ReadHalf<Tokio>, F, C> {
    /// Receives the next value with the handles beside it, waiting until it is there.
    ///
    /// Where the future is dropped before it is done, nothing is lost. An example is at
    /// [`send_with`](TypedSender::send_with).
    ///
    /// # Errors
    ///
    /// Those of a receiver that blocks.
    pub async fn recv_with(&mut self) -> Result<(T, Handles), Error> {
        self.parts().0.raw_mut().let_in();
        poll_fn(|cx| self.poll_fill(cx)).await?;
        self.message_with()
    }
}
