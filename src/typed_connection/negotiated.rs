//! A handshake in two steps: first the protocol, then the types of its messages.

use std::future::Future;

use super::connection::TypedConnection;
use super::handshake::Handshake;
use super::handshake_state::HandshakeDone;
use crate::channel::{Inbound, Outbound};
use crate::connection::Connection;
use crate::error::{Error, TransitionError};
use crate::state::{Blocking, Mode};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard};

/// A connection whose two sides agree on a protocol, and not yet on the types of their messages.
///
/// [`Handshake::negotiate`] returns it. The program chooses its types by the [name](Self::protocol) of the protocol, and
/// goes on with [`perform`](Self::perform).
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, Handshake};
///
/// fn serve(connection: Connection) -> Result<u64, Error> {
///     let agreed = Handshake::new().protocols(["count/2", "count/1"]).negotiate(connection)?;
///     match agreed.protocol() {
///         Some("count/2") => agreed.perform::<(), u64>()?.recv(),
///         _ => agreed.perform::<(), u32>()?.recv().map(u64::from), // what every program could do
///     }
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || serve(server));
/// let old = Handshake::new().protocols(["count/1"]);
/// old.perform::<u32, ()>(client)?.send(&7)?;
/// assert_eq!(serving.join().unwrap()?, 7);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the other side waits until `perform` is called"]
pub struct Negotiated<F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    handshake: Handshake<F, C, M>,
    done: HandshakeDone<M>,
    protocol: Option<String>,
}

/// A failed step, with the connection if nothing else is on its way there.
type Failed<M> = TransitionError<Option<Connection<M>>>;

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> Handshake<F, C, M> {
    /// Agrees on the protocol, before the types of the messages are chosen.
    ///
    /// The peer may do the same, or [`perform`](Self::perform) a handshake in one step. [`Negotiated`] has an example.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, Handshake};
    ///
    /// // Both accept one name at first. The failed step gives the connection back, to try another one.
    /// fn agree(connection: Connection, names: [&str; 2]) -> Result<Option<String>, Error> {
    ///     let failed = Handshake::new().protocols([names[0]]).negotiate(connection).unwrap_err();
    ///     let (connection, error) = failed.into_parts();
    ///     let connection = connection.ok_or(error)?;
    ///     let agreed = Handshake::new().protocols([names[1]]).negotiate(connection)?;
    ///     let name = agreed.protocol().map(String::from);
    ///     agreed.perform::<(), ()>()?;
    ///     Ok(name)
    /// }
    ///
    /// let (one, other) = Connection::pair()?;
    /// let agreeing = thread::spawn(|| agree(one, ["chat/2", "chat/1"]));
    /// assert_eq!(agree(other, ["talk", "chat/1"])?.as_deref(), Some("chat/1"));
    /// # agreeing.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`perform`](Self::perform), but for types that differ. [`Refused`](crate::ErrorKind::Refused): the peer
    /// refuses the connection. The error has the connection if both sides have found the same difference: then both can
    /// begin another handshake there.
    pub fn negotiate(
        &self,
        connection: Connection<M>,
    ) -> M::Ret<impl Future<Output = Result<Negotiated<F, C, M>, Failed<M>>> + use<F, C, M>> {
        M::run(self.clone().negotiating(connection))
    }

    #[cfg_attr(not(feature = "shared-memory"), allow(unused_mut, reason = "memory is prepared"))]
    async fn negotiating(
        mut self,
        mut connection: Connection<M>,
    ) -> Result<Negotiated<F, C, M>, Failed<M>> {
        #[cfg(feature = "shared-memory")]
        if let Err(error) = self.offer_memory(&mut connection) {
            return Err(TransitionError::new(Some(connection), error));
        }
        let (reader, writer) = connection.into_halves();
        let mut done = (self.undecided(), reader, writer);
        let exchanged = self.exchange(&mut done).await;
        exchanged.map_err(|error| TransitionError::new(None, error))?;
        match done.0.protocol() {
            Ok(protocol) => Ok(Negotiated { handshake: self, done, protocol }),
            Err(error) => Err(given_back(done, error)),
        }
    }

    /// Refuses a client, in words that it reads as its error.
    ///
    /// It waits for the client's part of the handshake, and is for a program that accepts a connection only to turn it away:
    /// it is full, or about to end. The words are cut after 4,000 bytes. A client with the first edition of this crate reads
    /// some 240 of them.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || Handshake::new().refuse(server, "all tables are taken"));
    /// let error = client.into_typed::<u32, u32>().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Refused);
    /// assert!(error.to_string().contains("all tables are taken"));
    /// serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`perform`](Self::perform), but for a peer that differs: [`Mismatch`](crate::ErrorKind::Mismatch) is no
    /// error here.
    #[doc(alias("reject"))]
    pub fn refuse(
        &self,
        connection: Connection<M>,
        words: &str,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<F, C, M>> {
        M::run(self.refusal(connection, words))
    }

    pub(crate) fn refusal(
        &self,
        connection: Connection<M>,
        words: &str,
    ) -> impl Future<Output = Result<(), Error>> + use<F, C, M> {
        let end = (0..=words.len().min(MOST_WORDS)).rev().find(|end| words.is_char_boundary(*end));
        let state = self.refusing(words.get(..end.unwrap_or_default()).unwrap_or_default());
        let this = self.clone();
        async move {
            let (reader, writer) = connection.into_halves();
            this.exchange(&mut (state, reader, writer)).await
        }
    }
}

const MOST_WORDS: usize = 4000;

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> Negotiated<F, C, M> {
    /// The name of the protocol on which both sides agree; `None` if one of them sets no names.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), u32>()); // sets none
    /// let agreed = Handshake::new().protocols(["count/1"]).negotiate(client)?;
    /// assert_eq!(agreed.protocol(), None);
    /// agreed.perform::<u32, ()>()?.send(&7)?;
    /// # drop(serving);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Agrees on the types of the messages, and turns the connection into a typed one.
    ///
    /// Messages of a negotiated connection carry no handles: with [`WithHandles`](crate::WithHandles) this does not compile.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), u32>().unwrap_err());
    /// let agreed = Handshake::new().negotiate(client)?;
    /// let failed = agreed.perform::<u64, ()>().unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::Mismatch);
    /// assert!(failed.to_string().contains("u64 here, u32 there"));
    /// assert!(failed.state().is_some()); // the connection, for another handshake if the peer makes one
    /// # serving.join().unwrap();
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Handshake::perform`]. The error has the connection if both sides have found that their types differ.
    pub fn perform<Out: Outbound + ?Sized, In: Inbound>(
        self,
    ) -> M::Ret<
        impl Future<Output = Result<TypedConnection<Out, In, F, C, M>, Failed<M>>>
        + use<Out, In, F, C, M>,
    > {
        const { assert!(!Out::WITH_HANDLES && !In::WITH_HANDLES, "no handles after `negotiate`") };
        M::run(self.performing())
    }

    async fn performing<Out: Outbound + ?Sized, In: Inbound>(
        self,
    ) -> Result<TypedConnection<Out, In, F, C, M>, Failed<M>> {
        let Self { handshake, mut done, .. } = self;
        let lost = |error| TransitionError::new(None, error);
        done.0.describe_as(handshake.announcement::<Out, In>());
        handshake.exchange(&mut done).await.map_err(lost)?;
        if let Err(error) = done.0.conclude() {
            return Err(given_back(done, error));
        }
        #[cfg(feature = "shared-memory")]
        let made = {
            let until = handshake.until();
            handshake.conclude_with_memory(done, until).await
        };
        #[cfg(not(feature = "shared-memory"))]
        let made = handshake.conclude(&done.0, done.1, done.2);
        made.map(TypedConnection::new).map_err(lost)
    }
}

/// The error of two sides that differ, with the connection if nothing else is on its way there.
fn given_back<M: Mode>((state, reader, writer): HandshakeDone<M>, error: Error) -> Failed<M> {
    let error = error.at(reader.shared_path());
    let whole = state.is_whole().then(|| Connection::from_halves((reader, writer)));
    TransitionError::new(whole, error)
}
