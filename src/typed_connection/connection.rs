//! Connections of typed messages.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use super::halves::{Channels, ReceivingHalf, SendingHalf};
use super::handshake::{Handshake, explained};
#[cfg(feature = "shared-memory")]
use super::shared_memory::TransportKind;
use crate::channel::{Found, Inbound, Outbound, Receivable, Sendable, WithHandles};
use crate::connection::{ConnectOptions, Connection, WriteHalf};
use crate::error::{Error, TransitionError};
use crate::handles::Handles;
use crate::path::PipePath;
#[cfg(feature = "fanout")]
use crate::state::complete_by;
use crate::state::{Blocking, Mode, Waited, complete, woken_at};
use crate::sys::{Peer, WaitLimit};
use crate::wait::{left, within};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard};

/// The default limit of incoming bytes kept during a send.
const INCOMING: usize = 16 << 20;

/// A connection on which one side sends `Out` and receives `In`, and the other the reverse.
///
/// Both sides agree on wire and protocol in a [handshake](Handshake) before the first message.
///
/// [`send`](Self::send) and [`recv`](Self::recv) suit sides that take turns. The [sender](Self::sender) and the
/// [receiver](Self::receiver) in it have every other operation of channels.
///
/// A blocked `send` drains incoming bytes, so that two sides that both send before they receive do not deadlock. Beyond
/// [a limit](Self::recv_buffer_limit) of kept bytes, the error is [`Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// use std::thread;
/// use typed_pipe::{Listener, TypedConnection};
///
/// let listener = Listener::temporary()?;
/// let path = listener.path().clone();
/// let serving = thread::spawn(move || -> Result<(), typed_pipe::Error> {
///     let mut client = listener.accept()?.into_typed::<u64, String>()?;
///     while let Ok(word) = client.recv() {
///         client.send(&(word.len() as u64))?;
///     }
///     Ok(())
/// });
///
/// let mut server = TypedConnection::<String, u64>::connect(path)?;
/// server.send(&"hello".into())?;
/// assert_eq!(server.recv()?, 5);
/// # drop(server);
/// # serving.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// [`split`](Self::split) returns a sender and a receiver, for two threads. A peer that does not use this crate makes
/// no handshake: there, [`Connection::split`] gives ends for channels on any wire.
#[doc(alias("duplex", "bidirectional", "channel"))]
pub struct TypedConnection<Out: ?Sized, In, F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    sender: SendingHalf<Out, F, C, M>,
    receiver: ReceivingHalf<In, F, C, M>,
    incoming: usize,
    #[cfg(feature = "shared-memory")]
    transport: TransportKind,
}

impl<M: Mode> Connection<M> {
    /// Turns it into a connection of typed messages, on the default wire, after a handshake.
    ///
    /// Both sides must do this: two sides in one process each need a thread of their own. [`Handshake`] sets other
    /// wires, identifiers and timeouts.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<u64, String>()?.recv());
    /// client.into_typed::<str, u64>()?.send("hello")?;
    /// assert_eq!(serving.join().unwrap()?, "hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Handshake::perform`].
    pub fn into_typed<Out: Outbound + ?Sized, In: Inbound>(
        self,
    ) -> M::Ret<
        impl Future<Output = Result<TypedConnection<Out, In, LengthPrefixed, Postcard, M>, Error>>,
    > {
        Handshake::new().in_mode().perform(self)
    }
}

impl<Out: ?Sized, In> TypedConnection<Out, In> {
    /// Connects to the listener at a path, waits until it is there, and performs the handshake on the default wire.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Listener, TypedConnection};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone(); // all that a client needs
    /// let serving = thread::spawn(move || listener.accept()?.into_typed::<(), u32>()?.recv());
    /// TypedConnection::<u32, ()>::connect(path)?.send(&7)?;
    /// assert_eq!(serving.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// It blocks its thread, and with it all tasks of the thread. In a task, connect with
    /// `ConnectOptions::new().into_tokio()`, and call [`into_typed`](Connection::into_typed).
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect`] and [`Handshake::perform`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error>
    where
        Out: Outbound,
        In: Inbound,
    {
        Connection::connect(path)?.into_typed()
    }

    /// Connects to the listener at a path and performs the handshake on the default wire, waiting for at most
    /// `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Listener, TypedConnection};
    ///
    /// let listener = Listener::temporary()?; // no thread accepts and performs the handshake
    /// let made = TypedConnection::<u32, u32>::connect_timeout(listener.path(), Duration::from_millis(10));
    /// assert_eq!(made.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect_timeout`] and [`Handshake::perform`].
    pub fn connect_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self, Error>
    where
        Out: Outbound,
        In: Inbound,
    {
        let until = within(timeout);
        let connection = ConnectOptions::new().connect_until(PipePath::new(path)?, until)?;
        Handshake::new().timeout(left(until)).perform(connection)
    }
}

impl<Out: Outbound + Inbound, In: Outbound + Inbound> TypedConnection<Out, In> {
    /// Makes both sides of a connection in this process, ready for messages: for tests, in one thread.
    ///
    /// Two sides that call [`into_typed`](Connection::into_typed) in one thread would wait for each other.
    ///
    /// ```
    /// use typed_pipe::TypedConnection;
    ///
    /// let (mut client, mut server) = TypedConnection::<String, u64>::pair()?;
    /// client.send(&"hello".into())?;
    /// let word = server.recv()?;
    /// server.send(&(word.len() as u64))?;
    /// assert_eq!(client.recv()?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// A message for which there is no room waits for the other side to receive: bytes of some kilobytes have room on every
    /// system.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::pair`].
    #[doc(alias("test", "mock", "socketpair"))]
    pub fn pair() -> Result<(Self, TypedConnection<In, Out>), Error> {
        let (one, other) = Handshake::new().perform_both(Connection::pair()?)?;
        #[cfg(feature = "shared-memory")]
        let (one, other) = {
            let socket = || TransportKind::Socket { reason: None };
            ((one, socket()), (other, socket()))
        };
        Ok((Self::new(one), TypedConnection::new(other)))
    }
}

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> Handshake<F, C, M> {
    /// Performs the handshake, and turns the connection into one of typed messages.
    ///
    /// It waits in the thread or task that serves this client, never in that of the listener: a silent client delays no
    /// other.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (mut client, server) = Connection::pair()?;
    /// client.writer().write(b"GET / HTTP/1.1\r\n\r\n")?; // a program without a handshake
    /// let error = Handshake::new().perform::<u32, u32>(server).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future drops the connection.
    ///
    /// # Errors
    ///
    /// - [`Mismatch`](crate::ErrorKind::Mismatch): the peer speaks another wire or protocol.
    /// - [`TimedOut`](crate::ErrorKind::TimedOut): the peer has not sent its part of the handshake in time.
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): the peer has left.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`Connection::cancelled_by`].
    /// - [`Io`](crate::ErrorKind::Io): any other.
    pub fn perform<Out: Outbound + ?Sized, In: Inbound>(
        &self,
        connection: Connection<M>,
    ) -> M::Ret<
        impl Future<Output = Result<TypedConnection<Out, In, F, C, M>, Error>> + use<Out, In, F, C, M>,
    > {
        M::run(self.clone().performed(connection))
    }

    pub(crate) async fn performed<Out: Outbound + ?Sized, In: Inbound>(
        self,
        connection: Connection<M>,
    ) -> Result<TypedConnection<Out, In, F, C, M>, Error> {
        let child = self.child().cloned();
        #[cfg(not(feature = "shared-memory"))]
        let made = self.performing(connection).await;
        #[cfg(feature = "shared-memory")]
        let made = self.performing_with_memory(connection).await;
        match made {
            Ok(made) => Ok(TypedConnection::new(made)),
            Err(error) => Err(explained::<M>(child.as_ref(), error).await),
        }
    }
}

impl<Out: ?Sized, In, F: Framing, C: Codec, M: Mode> TypedConnection<Out, In, F, C, M> {
    #[cfg(not(feature = "shared-memory"))]
    pub(super) fn new((sender, receiver): Channels<Out, In, F, C, M>) -> Self {
        Self { sender, receiver, incoming: INCOMING }
    }

    #[cfg(feature = "shared-memory")]
    pub(super) fn new(
        ((sender, receiver), transport): (Channels<Out, In, F, C, M>, TransportKind),
    ) -> Self {
        Self { sender, receiver, incoming: INCOMING, transport }
    }

    /// How the messages go to the other side: through shared memory, or not, and why.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake, SharedMemory, TransportKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<u64, String>()); // which offers none
    /// let handshake = Handshake::new().shared_memory(SharedMemory::offered());
    /// let client = handshake.perform::<str, u64>(client)?;
    /// match client.transport() {
    ///     TransportKind::SharedMemory => println!("as fast as can be"),
    ///     other => println!("through a {other}"), // socket, and no shared memory: the other side offers none
    /// }
    /// # drop(serving);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[cfg(feature = "shared-memory")]
    pub fn transport(&self) -> &TransportKind {
        &self.transport
    }

    /// Sets how many incoming bytes a blocked send keeps; 16 MiB unless set.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<[u8], Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], Vec<u8>>()?.recv_buffer_limit(1000);
    /// let mut server = serving.join().unwrap()?;
    ///
    /// while server.sender().try_send(&[7; 1000]).is_ok() {} // both send, neither receives
    /// let error = loop {
    ///     if let Err(error) = client.send(&[7; 1000]) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::Deadlock);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn recv_buffer_limit(mut self, bytes: usize) -> Self {
        self.incoming = bytes;
        self
    }

    /// Sends a value, waiting until there is room for it.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Error};
    ///
    /// fn exchange(connection: Connection) -> Result<Vec<u8>, Error> {
    ///     let mut side = connection.into_typed::<[u8], Vec<u8>>()?;
    ///     side.send(&vec![7; 1 << 20])?; // more than fits, and both sides do this first
    ///     side.recv()
    /// }
    ///
    /// let (one, other) = Connection::pair()?;
    /// let exchanging = thread::spawn(|| exchange(other));
    /// assert_eq!(exchange(one)?.len(), 1 << 20);
    /// assert_eq!(exchanging.join().unwrap()?.len(), 1 << 20);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future leaves the value in the sender, as with
    /// [`TypedSender::send`](crate::TypedSender::send).
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::send`](crate::TypedSender::send), and [`Deadlock`](crate::ErrorKind::Deadlock): the peer
    /// does not receive, and sends more than the [limit](Self::recv_buffer_limit). After a receive,
    /// [`flush`](Self::flush) sends the rest of a half-sent message.
    pub fn send<'a>(
        &'a mut self,
        value: &Out,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, Out, In, F, C, M>>
    where
        Out: Sendable,
    {
        let staged = self.sender.parts().1.stage(value);
        self.sending(staged)
    }

    /// Sends a value of another type, as [`TypedSender::send_as`](crate::TypedSender::send_as); drains incoming bytes, as
    /// [`send`](Self::send).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), (String, u32)>()?.recv());
    /// client.into_typed::<(String, u32), ()>()?.send_as(&("borrowed", 7_u32))?;
    /// assert_eq!(serving.join().unwrap()?, ("borrowed".to_owned(), 7));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::send_as`](crate::TypedSender::send_as) and [`send`](Self::send).
    pub fn send_as<'a, V: Sendable + ?Sized>(
        &'a mut self,
        value: &V,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, Out, V, In, F, C, M>>
    where
        Out: Outbound,
    {
        let staged = self.sender.parts().1.stage_as(value, Out::known);
        self.sending(staged)
    }

    fn sending<'a>(
        &'a mut self,
        staged: Result<(), Error>,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, Out, In, F, C, M>> {
        let write = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            let Self { sender, receiver, incoming, .. } = &mut **this;
            sender.poll_write_or_withdraw_by(cx, taking_in(receiver, *incoming, until))
        };
        M::wait(staged, self.sender.limit::<M>(), self, write, Waited)
    }

    /// Sends the messages fed to the [sender](Self::sender), and the rest of a half-sent one; drains incoming bytes, as
    /// [`send`](Self::send).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), typed_pipe::Error> {
    ///     let mut server = server.into_typed::<u64, String>()?;
    ///     let word = server.recv()?;
    ///     server.send(&(word.len() as u64))
    /// });
    /// let mut client = client.into_typed::<str, u64>()?;
    /// client.sender().feed("hello")?;
    /// client.flush()?; // before waiting for an answer: else it would never come
    /// assert_eq!(client.recv()?, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::flush`](crate::TypedSender::flush), and [`Deadlock`](crate::ErrorKind::Deadlock).
    pub fn flush<'a>(
        &'a mut self,
    ) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, Out, In, F, C, M>> {
        let write = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            let Self { sender, receiver, incoming, .. } = &mut **this;
            sender.poll_write_out_by(cx, taking_in(receiver, *incoming, until))
        };
        M::wait(Ok(()), self.sender.limit::<M>(), self, write, Waited)
    }

    /// Receives the next value, waiting until it is there.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), Error> {
    ///     let mut server = server.into_typed::<u32, u32>()?;
    ///     let mut sum = 0;
    ///     loop {
    ///         match server.recv() {
    ///             Ok(number) => sum += number,
    ///             Err(error) if error.kind() == ErrorKind::Finished => return server.send(&sum),
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    /// });
    /// let mut client = client.into_typed::<u32, u32>()?;
    /// client.sender().send_all([1, 2, 3])?;
    /// assert_eq!(client.finish()?.recv()?, 6);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv`](crate::TypedReceiver::recv). [`Finished`](crate::ErrorKind::Finished): the peer has
    /// finished sending, and can still receive.
    #[inline(always)]
    pub fn recv<'a>(
        &'a mut self,
    ) -> M::Ret<impl Future<Output = Result<In, Error>> + use<'a, Out, In, F, C, M>>
    where
        In: Receivable,
    {
        type Filled<'a, In, F, C, M> = &'a mut ReceivingHalf<In, F, C, M>;
        let fill = |receiver: &mut Filled<'a, In, F, C, M>,
                    cx: &mut Context<'_>,
                    until: WaitLimit| { receiver.poll_fill_in_mode(cx, until) };
        let until = self.receiver.limit::<M>();
        M::wait(Ok(()), until, &mut self.receiver, fill, Found::new())
    }

    /// The sender, for everything beyond [`send`](Self::send): batches, timeouts, handles, bytes.
    ///
    /// It drains no incoming bytes: if both sides send more than fits this way, each waits for the other to receive.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], ()>()?;
    /// let mut server = serving.join().unwrap()?;
    ///
    /// client.sender().feed(b"one")?;
    /// client.sender().send(b"other")?; // both in one write
    /// assert_eq!((server.recv()?, server.recv()?), (b"one".to_vec(), b"other".to_vec()));
    ///
    /// let large = vec![7; 4 << 20];
    /// let late = client.sender().send_timeout(&large, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(late.kind(), ErrorKind::TimedOut);
    /// assert!(late.is_half_sent()); // `flush` goes on with it
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("send_timeout", "try_send", "timeout"))]
    pub fn sender(&mut self) -> &mut SendingHalf<Out, F, C, M> {
        &mut self.sender
    }

    /// The receiver, for everything beyond [`recv`](Self::recv): timeouts, borrowed messages, handles, bytes.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<str, ()>());
    /// let mut client = client.into_typed::<(), String>()?;
    /// let mut server = serving.join().unwrap()?;
    ///
    /// assert_eq!(client.receiver().try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
    /// server.send("hello")?;
    /// let word: &str = client.receiver().recv_ref()?; // allocates no `String`
    /// assert_eq!(word, "hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("recv_timeout", "try_recv", "timeout"))]
    pub fn receiver(&mut self) -> &mut ReceivingHalf<In, F, C, M> {
        &mut self.receiver
    }

    /// Finishes sending, and returns the receiver: the peer reads [`Finished`](crate::ErrorKind::Finished), and can
    /// still answer.
    ///
    /// A server that shuts down while its clients may still send keeps the receiver until each has left, and drops what
    /// still comes. If it drops the receiver at once, the next `send` of the client is
    /// [`Disconnected`](crate::ErrorKind::Disconnected); the client's next [`recv`](Self::recv) is `Finished` all the same.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<u32, u32>());
    /// let client = client.into_typed::<u32, u32>()?;
    /// let mut server = serving.join().unwrap()?;
    ///
    /// let mut answers = client.finish()?;
    /// assert_eq!(server.recv().unwrap_err().kind(), ErrorKind::Finished);
    /// server.send(&7)?;
    /// assert_eq!(answers.recv()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// After this, no program that sends compiles:
    ///
    /// ```compile_fail,E0599
    /// let mut server = typed_pipe::TypedConnection::<u32, u32>::connect("/run/app/door")?;
    /// let mut answers = server.finish()?;
    /// answers.send(&7)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`Unsupported`](crate::ErrorKind::Unsupported) as for
    /// [`Connection::finish`](crate::Connection::finish). Each gives back the connection, to try again: nothing is sent
    /// twice.
    pub fn finish(
        self,
    ) -> M::Ret<impl Future<Output = Result<ReceivingHalf<In, F, C, M>, TransitionError<Self>>>>
    {
        let until = self.sender.limit::<M>();
        M::run(self.finishing(until))
    }

    /// Finishes sending, waiting for at most `timeout`, and returns the receiver.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], ()>()?;
    /// let server = serving.join().unwrap()?; // which does not receive
    ///
    /// while client.sender().try_send(&[7; 1000]).is_ok() {} // until there is no room
    /// client.sender().feed(&[8; 1000])?;
    /// let failed = client.finish_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::TimedOut);
    /// let mut client = failed.into_state(); // to try again: nothing is lost
    /// assert!(client.sender().pending() > 0);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn finish_timeout(
        self,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<ReceivingHalf<In, F, C, M>, TransitionError<Self>>>>
    {
        M::run(self.finishing(M::within(timeout)))
    }

    /// Finishes sending without waiting, and returns the receiver.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), String>());
    /// let mut client = client.into_typed::<str, ()>()?;
    /// let mut server = serving.join().unwrap()?;
    /// client.send("this is all")?;
    /// let rest = client.try_finish()?;
    /// assert_eq!(server.recv()?, "this is all");
    /// assert!(server.recv().unwrap_err().is_end());
    /// # drop(rest);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`WouldBlock`](crate::ErrorKind::WouldBlock): there is no room for the
    /// goodbye now.
    pub fn try_finish(self) -> Result<ReceivingHalf<In, F, C, M>, TransitionError<Self>> {
        complete(self.finishing(WaitLimit::Now))
    }

    async fn finishing(
        mut self,
        until: WaitLimit,
    ) -> Result<ReceivingHalf<In, F, C, M>, TransitionError<Self>> {
        let Self { sender, receiver, incoming, .. } = &mut self;
        sender.parts().1.stage_goodbye();
        let said =
            poll_fn(|cx| sender.poll_write_out_by(cx, taking_in(receiver, *incoming, until)));
        let ended = match woken_at::<M, _>(until, said).await {
            Ok(()) => sender.io_mut().finish_in_place(until).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => Ok(self.receiver),
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }

    /// Splits it into a sender and a receiver, for instance for two threads.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Listener, TypedConnection};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// let serving = thread::spawn(move || -> Result<(), typed_pipe::Error> {
    ///     let (mut sender, receiver) = listener.accept()?.into_typed::<u32, u32>()?.split();
    ///     for number in receiver {
    ///         sender.send(&(number? + 1))?;
    ///     }
    ///     Ok(())
    /// });
    ///
    /// let (mut sender, receiver) = TypedConnection::<u32, u32>::connect(path)?.split();
    /// let hearing = thread::spawn(move || receiver.collect::<Result<Vec<_>, _>>());
    /// sender.send_all([1, 2, 3])?;
    /// drop(sender); // so that the peer's loop ends, and then the one here
    /// assert_eq!(hearing.join().unwrap()?, [2, 3, 4]);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn split(mut self) -> (SendingHalf<Out, F, C, M>, ReceivingHalf<In, F, C, M>) {
        self.sender.io_mut().raw().set_apart(true);
        (self.sender, self.receiver)
    }

    /// The path of the listener; `None` for a connection made from a handle.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Listener, TypedConnection};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// let serving = thread::spawn(move || listener.accept()?.into_typed::<u32, u32>());
    /// let server = TypedConnection::<u32, u32>::connect(&path)?;
    /// assert_eq!(server.path(), Some(&path));
    /// assert_eq!(serving.join().unwrap()?.path(), Some(&path)); // the client that was accepted
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> Option<&PipePath> {
        self.receiver.get_ref().path()
    }

    /// Identifies the peer, as [`Connection::peer`].
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<u32, u32>());
    /// let client = client.into_typed::<u32, u32>()?;
    /// let server = client.peer()?;
    /// println!("connected to process {:?} of user {}", server.pid(), server.user());
    /// assert!(server.is_same_user());
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not identify it.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.receiver.get_ref().peer()
    }
}

/// Writes, and keeps incoming bytes while there is no room.
fn taking_in<In, F, C, M: Mode>(
    receiver: &mut ReceivingHalf<In, F, C, M>,
    limit: usize,
    until: WaitLimit,
) -> impl FnMut(&mut WriteHalf<M>, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>> {
    move |io, cx, bytes| io.poll_write_or_take_in(receiver.io_mut(), limit, cx, bytes, until)
}

#[cfg(feature = "fanout")]
impl<Out: ?Sized, In, F: Framing, C: Codec> TypedConnection<Out, In, F, C> {
    /// Sends a value that is encoded already; drains incoming bytes, as [`send`](Self::send).
    pub(crate) fn send_encoded(&mut self, payload: &[u8]) -> Result<(), Error> {
        let Self { sender, receiver, incoming, .. } = self;
        sender.parts().1.stage_bytes(payload)?;
        let mut write = taking_in(receiver, *incoming, WaitLimit::Done);
        complete_by(|cx| sender.poll_write_or_withdraw_by(cx, &mut write))
    }
}

impl<T, In, F, C, M> TypedConnection<WithHandles<T>, In, F, C, M>
where
    T: Sendable,
    F: Framing,
    C: Codec,
    M: Mode,
{
    /// Sends a value with handles beside it, as
    /// [`TypedSender::send_with_handles`](crate::TypedSender::send_with_handles); drains incoming bytes, as
    /// [`send`](Self::send).
    ///
    /// ```
    /// use std::fs::File;
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), Error> {
    ///     let mut server = server.into_typed::<bool, WithHandles<String>>()?;
    ///     let (_, mut handles) = server.recv_with_handles()?;
    ///     server.send(&handles.take::<File>(0).is_ok())
    /// });
    /// let mut client = client.into_typed::<WithHandles<String>, bool>()?;
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// client.send_with_handles(&"is this a file?".into(), &mut handles)?;
    /// assert!(client.recv()?);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::send_with_handles`](crate::TypedSender::send_with_handles) and [`send`](Self::send).
    pub fn send_with_handles(
        &mut self,
        value: &T,
        handles: &mut Handles,
    ) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        let Self { sender, receiver, incoming, .. } = self;
        let until = sender.limit::<M>();
        let write = taking_in(receiver, *incoming, until);
        M::run(sender.sending_with_by(value, handles, until, write))
    }
}

impl<Out, T, F, C, M> TypedConnection<Out, WithHandles<T>, F, C, M>
where
    Out: ?Sized,
    T: Receivable,
    F: Framing,
    C: Codec,
    M: Mode,
{
    /// Receives the next value with the handles beside it, as
    /// [`TypedReceiver::recv_with_handles`](crate::TypedReceiver::recv_with_handles).
    ///
    /// ```
    /// use std::fs::File;
    /// use std::thread;
    /// use typed_pipe::{Connection, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// let serving = thread::spawn(move || {
    ///     server.into_typed::<WithHandles<u32>, ()>()?.send_with_handles(&7, &mut handles)
    /// });
    /// let (number, mut handles) = client.into_typed::<(), WithHandles<u32>>()?.recv_with_handles()?;
    /// let file: File = handles.take(0)?;
    /// # assert_eq!((number, file.metadata()?.len()), (7, 0));
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv_with_handles`](crate::TypedReceiver::recv_with_handles).
    pub fn recv_with_handles(
        &mut self,
    ) -> M::Ret<impl Future<Output = Result<(T, Handles), Error>>> {
        self.receiver.recv_with_handles()
    }
}

/// Ends when the peer has left between two messages, with a goodbye or without one, when a
/// [`CancelToken`](crate::CancelToken) cancels the wait, or after a fatal error.
impl<Out: ?Sized, In: Receivable, F: Framing, C: Codec> Iterator
    for TypedConnection<Out, In, F, C>
{
    type Item = Result<In, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.next()
    }
}

impl<Out: ?Sized, In, F, C, M: Mode> fmt::Debug for TypedConnection<Out, In, F, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedConnection").field("io", &self.receiver).finish_non_exhaustive()
    }
}
