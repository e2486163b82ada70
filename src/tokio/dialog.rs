//! Coming to an agreement.

use std::future::poll_fn;
use std::io;

use super::Tokio;
use super::wait::before;
use crate::dialog::{
    Agreement, Handshake, HandshakeDone, Inbound, Outbound, Patience, ReceivingHalf, SendingHalf,
};
use crate::duplex::Connection;
use crate::error::{Error, Operation};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard};

impl Connection<Tokio> {
    /// Makes the connection a channel in each direction, on the usual wire, when the other side agrees.
    ///
    /// [`Agreement`] has other wires, identifiers and deadlines: [`into_channels_with`](Self::into_channels_with). The
    /// bytes are those of a [`TypedConnection`](crate::TypedConnection), which the other side may well have.
    ///
    /// A task that sends does not receive meanwhile. Where both sides send more than the pipe holds before they
    /// receive, each must have a task that sends and another that receives, or `tokio::join!` both: else the two wait
    /// for each other.
    ///
    /// ```
    /// use typed_pipe::{Listener, TypedConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let mut listener = Listener::temporary()?.into_tokio()?;
    /// let path = listener.path().clone();
    /// let client = std::thread::spawn(move || {
    ///     let mut server = TypedConnection::<String, u64>::connect(path)?;
    ///     server.send(&"hello".into())?;
    ///     server.recv()
    /// });
    ///
    /// let client_of_ours = listener.accept().await?;
    /// let (mut sender, mut receiver) = client_of_ours.into_channels::<u64, String>().await?;
    /// let word = receiver.recv().await?;
    /// sender.send(&(word.len() as u64)).await?;
    /// assert_eq!(client.join().unwrap()?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`into_channels_with`](Self::into_channels_with).
    pub async fn into_channels<Out, In>(
        self,
    ) -> Result<
        (
            SendingHalf<Out, LengthPrefixed, Postcard, Tokio>,
            ReceivingHalf<In, LengthPrefixed, Postcard, Tokio>,
        ),
        Error,
    >
    where
        Out: Outbound + ?Sized,
        In: Inbound,
    {
        self.into_channels_with(Agreement::new()).await
    }

    /// Makes the connection a channel in each direction, when the other side agrees.
    ///
    /// Where the future is dropped, the connection is. No handles can be beside the messages: the type of either
    /// side must not say so.
    ///
    /// ```
    /// use typed_pipe::{Agreement, Connection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let (client, server) = Connection::pair()?;
    /// let ours = Agreement::new().sending("question/1").receiving("answer/1");
    /// let theirs = Agreement::new().sending("answer/1").receiving("question/1");
    /// let (ours, theirs) = tokio::join!(
    ///     client.into_tokio()?.into_channels_with::<str, u32, _, _>(ours),
    ///     server.into_tokio()?.into_channels_with::<u32, String, _, _>(theirs),
    /// );
    /// let ((mut asking, _), (_, mut asked)) = (ours?, theirs?);
    /// asking.send("how long is this?").await?;
    /// assert_eq!(asked.recv().await?, "how long is this?");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Agreement::make`].
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for time.
    pub async fn into_channels_with<Out, In, F, C>(
        self,
        agreement: Agreement<F, C>,
    ) -> Result<(SendingHalf<Out, F, C, Tokio>, ReceivingHalf<In, F, C, Tokio>), Error>
    where
        Out: Outbound + ?Sized,
        In: Inbound,
        F: Framing + Clone,
        C: Codec + Clone,
    {
        let mut connection = self;
        if In::WITH_HANDLES {
            connection.reader().raw_mut().let_in();
        }
        let handshake = agreement.begin(Out::WITH_HANDLES, In::WITH_HANDLES);
        let done = shake_hands(connection, handshake, agreement.patience()).await;
        let (handshake, reader, writer) = done?;
        agreement.conclude(&handshake, reader, writer)
    }
}

/// Tells the other side what this one has to say, and hears what it says.
pub(super) async fn shake_hands(
    connection: Connection<Tokio>,
    mut handshake: Handshake,
    patience: Patience,
) -> Result<HandshakeDone<Tokio>, Error> {
    let (mut reader, mut writer) = connection.split();
    let talked = async {
        while let Some(bytes) = handshake.pending() {
            let sent = poll_fn(|cx| writer.poll_write_bytes(cx, bytes)).await?;
            handshake.sent(sent);
        }
        while let Some(room) = handshake.room() {
            let got = poll_fn(|cx| reader.poll_read_bytes(cx, room)).await;
            handshake.got(got)?;
        }
        Ok(())
    };
    let talked = before(patience.until(), talked).await;
    match talked.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
        Ok(()) => Ok((handshake, reader, writer)),
        Err(error) => Err(reader.failed(Operation::Agree, error)),
    }
}

impl<T: ?Sized, F: Framing, C: Codec> SendingHalf<T, F, C, Tokio> {
    /// Says that this was all, and does not wait until it is received: the other side still has its own to say.
    pub(super) async fn finish_sending(&mut self) -> Result<(), Error> {
        self.parts().1.stage_goodbye();
        self.flush().await?;
        self.parts().0.finish_in_place().await
    }
}
