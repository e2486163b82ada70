//! `TypedConnection`.

use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::agreement::Agreement;
use super::message::{Inbound, Outbound};
use crate::channel::{Message, Receivable, Sendable, TypedReceiver, TypedSender, WithHandles};
use crate::duplex::{ConnectOptions, Connection, ReadHalf, WriteHalf};
use crate::error::{Error, Operation, TransitionError};
use crate::handles::Handles;
use crate::path::PipePath;
use crate::state::Blocking;
use crate::sys::{Peer, Until};
use crate::wait::half::WriteWithin as _;
use crate::wait::{left, within};
use crate::wire::{BorrowingCodec, Codec, Framing, LengthPrefixed, Postcard};

/// The bytes that are kept of what comes in while something is sent, unless set.
const INCOMING: usize = 16 << 20;

/// A connection on which one side sends `Out` and receives `In`, and the other the reverse.
///
/// Both sides have [agreed](Agreement) on what they speak before the first message.
///
/// While it sends and finds no room, it takes in what comes: both sides may send much before they receive, and do not
/// hold each other up, until [so much](Self::keep_incoming) is kept; then the error is
/// [`Congested`](crate::ErrorKind::Congested).
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
/// Tasks get the two halves at once, by `into_channels` of a connection in the mode `Tokio`.
///
/// [`split`](Self::split) makes it a sender and a receiver, for two threads. Where the other side is a program that
/// knows nothing of this crate, there is no agreement: [`Connection::split`] gives ends for channels on any wire.
pub struct TypedConnection<Out: ?Sized, In, F = LengthPrefixed, C = Postcard> {
    sender: SendingHalf<Out, F, C>,
    receiver: ReceivingHalf<In, F, C>,
    incoming: usize,
}

/// What a [`TypedConnection`] sends with.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, SendingHalf};
///
/// struct Chat {
///     name: String,
///     words: SendingHalf<str>,
/// }
///
/// let (client, server) = Connection::pair()?;
/// let hearing = thread::spawn(move || server.into_typed::<(), String>()?.recv());
/// let (words, _) = client.into_typed::<str, ()>()?.split();
/// let mut chat = Chat { name: "Ada".into(), words };
/// chat.words.send(&format!("{} is here", chat.name))?;
/// assert_eq!(hearing.join().unwrap()?, "Ada is here");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub type SendingHalf<T, F = LengthPrefixed, C = Postcard, M = Blocking> =
    TypedSender<T, WriteHalf<M>, F, C>;

/// What a [`TypedConnection`] receives with.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, ReceivingHalf};
///
/// fn sum(numbers: ReceivingHalf<u32>) -> Result<u32, Error> {
///     numbers.sum()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || server.into_typed::<u32, ()>()?.send_all([1, 2, 3]));
/// let (_, numbers) = client.into_typed::<(), u32>()?.split();
/// assert_eq!(sum(numbers)?, 6);
/// # serving.join().unwrap()?;
/// # Ok::<(), Error>(())
/// ```
pub type ReceivingHalf<T, F = LengthPrefixed, C = Postcard, M = Blocking> =
    TypedReceiver<T, ReadHalf<M>, F, C>;

/// Both of them.
pub(crate) type Channels<Out, In, F, C, M = Blocking> =
    (SendingHalf<Out, F, C, M>, ReceivingHalf<In, F, C, M>);

impl Connection {
    /// Makes it a connection of typed messages, on the usual wire, when the other side agrees.
    ///
    /// It takes the other side to agree: each must do this, in a thread of its own where both are in one process.
    /// [`Agreement`] has other wires, identifiers and deadlines.
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
    /// Those of [`Agreement::make`].
    pub fn into_typed<Out: Outbound + ?Sized, In: Inbound>(
        self,
    ) -> Result<TypedConnection<Out, In>, Error> {
        Agreement::new().make(self)
    }
}

impl<Out: ?Sized, In> TypedConnection<Out, In> {
    /// Connects to the listener at a path, waits until it is there, and agrees with it on the usual wire.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Listener, TypedConnection};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone(); // all that a client must know
    /// let serving = thread::spawn(move || listener.accept()?.into_typed::<(), u32>()?.recv());
    /// TypedConnection::<u32, ()>::connect(path)?.send(&7)?;
    /// assert_eq!(serving.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect`] and [`Agreement::make`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error>
    where
        Out: Outbound,
        In: Inbound,
    {
        Connection::connect(path)?.into_typed()
    }

    /// Connects to the listener at a path and agrees with it on the usual wire, waiting for some time at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Listener, TypedConnection};
    ///
    /// let listener = Listener::temporary()?; // it is there, and nobody accepts and agrees
    /// let made = TypedConnection::<u32, u32>::connect_timeout(listener.path(), Duration::from_millis(10));
    /// assert_eq!(made.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect_timeout`] and [`Agreement::make`].
    pub fn connect_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self, Error>
    where
        Out: Outbound,
        In: Inbound,
    {
        let until = within(timeout);
        let connection = ConnectOptions::new().connect_until(PipePath::new(path)?, until)?;
        Agreement::new().within(left(until)).make(connection)
    }
}

impl<Out: ?Sized, In, F: Framing, C: Codec> TypedConnection<Out, In, F, C> {
    pub(super) fn new(sender: SendingHalf<Out, F, C>, receiver: ReceivingHalf<In, F, C>) -> Self {
        Self { sender, receiver, incoming: INCOMING }
    }

    /// Sets how many bytes are kept of what comes in while something is sent; 16 MiB unless set.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<[u8], Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], Vec<u8>>()?.keep_incoming(1000);
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// while server.try_send(&[7; 1000]).is_ok() {} // both send, and neither receives
    /// let error = loop {
    ///     if let Err(error) = client.send(&[7; 1000]) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::Congested);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn keep_incoming(mut self, bytes: usize) -> Self {
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
    ///     side.send(&vec![7; 1 << 20])?; // more than there is room for, and both do this first
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
    /// # Errors
    ///
    /// Those of [`TypedSender::send`], and [`Congested`](crate::ErrorKind::Congested): the other side does not receive,
    /// and sends more than is [kept](Self::keep_incoming). After a receive, [`flush`](Self::flush) goes on with what is
    /// half sent.
    pub fn send(&mut self, value: &Out) -> Result<(), Error>
    where
        Out: Sendable,
    {
        let write = Self::taking_in(&mut self.receiver, self.incoming, Until::Done);
        self.sender.send_by(value, write)
    }

    /// Sends a value if there is room for all of it. The value stays with the caller.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), u32>());
    /// let mut client = client.into_typed::<u32, ()>()?;
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// let error = loop {
    ///     if let Err(error) = client.try_send(&7) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::NotReady);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::try_send`].
    pub fn try_send(&mut self, value: &Out) -> Result<(), Error>
    where
        Out: Sendable,
    {
        self.sender.try_send(value)
    }

    /// Sends a value, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], ()>()?;
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// let large = vec![7; 4 << 20];
    /// let error = client.send_timeout(&large, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(error.is_half_sent()); // `flush` goes on with it
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send) and [`TypedSender::send_timeout`].
    pub fn send_timeout(&mut self, value: &Out, timeout: Duration) -> Result<(), Error>
    where
        Out: Sendable,
    {
        let write = Self::taking_in(&mut self.receiver, self.incoming, within(timeout));
        self.sender.send_by(value, write)
    }

    /// Takes a value to be sent with others, as [`TypedSender::feed`].
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), u32>());
    /// let mut client = client.into_typed::<u32, ()>()?;
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// client.feed(&1)?;
    /// client.feed(&2)?;
    /// assert_eq!(server.try_recv().unwrap_err().kind(), ErrorKind::NotReady);
    /// client.flush()?;
    /// assert_eq!([server.recv()?, server.recv()?], [1, 2]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::feed`] and [`send`](Self::send).
    pub fn feed(&mut self, value: &Out) -> Result<(), Error>
    where
        Out: Sendable,
    {
        let write = Self::taking_in(&mut self.receiver, self.incoming, Until::Done);
        self.sender.feed_by(value, write)
    }

    /// Sends what was fed, and what was half sent.
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
    /// client.feed("hello")?;
    /// client.flush()?; // before an answer is awaited: it would never come
    /// assert_eq!(client.recv()?, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::flush`], and [`Congested`](crate::ErrorKind::Congested).
    pub fn flush(&mut self) -> Result<(), Error> {
        let write = Self::taking_in(&mut self.receiver, self.incoming, Until::Done);
        self.sender.write_out(write)
    }

    /// Sends what was fed, as far as there is room.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], ()>()?;
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// while client.try_send(&[7; 1000]).is_ok() {} // until there is no room
    /// client.feed(&[8; 1000])?;
    /// assert_eq!(client.try_flush().unwrap_err().kind(), ErrorKind::NotReady);
    /// while client.try_flush().is_err() {
    ///     assert_eq!(server.recv()?, [7; 1000]); // which makes room
    /// }
    /// assert_eq!(client.pending(), 0);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::try_flush`].
    pub fn try_flush(&mut self) -> Result<(), Error> {
        self.sender.try_flush()
    }

    /// Sends what was fed, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], ()>()?;
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// while client.try_send(&[7; 1000]).is_ok() {} // until there is no room
    /// client.feed(&[8; 1000])?;
    /// let error = client.flush_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(client.pending() > 0); // for the next time
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::flush_timeout`], and [`Congested`](crate::ErrorKind::Congested).
    pub fn flush_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        let write = Self::taking_in(&mut self.receiver, self.incoming, within(timeout));
        self.sender.write_out(write)
    }

    /// Feeds all values, and flushes.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), String>()?.collect());
    /// client.into_typed::<str, ()>()?.send_all(["how", "are", "you"])?;
    /// let words: Result<Vec<String>, typed_pipe::Error> = serving.join().unwrap();
    /// assert_eq!(words?, ["how", "are", "you"]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send); the values after the one that failed are not taken.
    pub fn send_all<V: Borrow<Out>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> Result<(), Error>
    where
        Out: Sendable,
    {
        for value in values {
            self.feed(value.borrow())?;
        }
        self.flush()
    }

    /// How many bytes were fed and not sent yet.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), String>());
    /// let mut client = client.into_typed::<str, ()>()?;
    /// client.feed("hello")?;
    /// assert_eq!(client.pending(), 10); // the length of the message, that of the text, and five letters
    /// client.flush()?;
    /// assert_eq!(client.pending(), 0);
    /// # agreeing.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn pending(&self) -> usize {
        self.sender.pending()
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
    /// client.send_all([1, 2, 3])?;
    /// assert_eq!(client.finish()?.recv()?, 6);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv`]. [`Finished`](crate::ErrorKind::Finished): the other side said that this was
    /// all, and may still be sent to.
    pub fn recv(&mut self) -> Result<In, Error>
    where
        In: Receivable,
    {
        self.receiver.recv()
    }

    /// Receives the next value if it is there.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<u32, ()>());
    /// let mut client = client.into_typed::<(), u32>()?;
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// assert_eq!(client.try_recv().unwrap_err().kind(), ErrorKind::NotReady);
    /// server.send(&7)?;
    /// assert_eq!(client.try_recv()?, 7);
    /// drop(server);
    /// assert!(client.try_recv().unwrap_err().is_end());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<In, Error>
    where
        In: Receivable,
    {
        self.receiver.try_recv()
    }

    /// Receives the next value, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<u32, ()>());
    /// let mut client = client.into_typed::<(), u32>()?;
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// let error = client.recv_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// server.send(&7)?; // late, and not too late
    /// assert_eq!(client.recv_timeout(Duration::from_secs(10))?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<In, Error>
    where
        In: Receivable,
    {
        self.receiver.recv_timeout(timeout)
    }

    /// Receives the next value in its borrowed form, as [`TypedReceiver::recv_ref`].
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<str, ()>()?.send("hello"));
    /// let mut client = client.into_typed::<(), String>()?;
    /// let word: &str = client.recv_ref()?; // no `String` is made for it
    /// assert_eq!(word, "hello");
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub fn recv_ref(&mut self) -> Result<In::Ref<'_>, Error>
    where
        In: Message,
        C: BorrowingCodec,
    {
        self.receiver.recv_ref()
    }

    /// Says that this was all, and keeps the receiver: the other side reads
    /// [`Finished`](crate::ErrorKind::Finished), and can still answer.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<u32, u32>());
    /// let client = client.into_typed::<u32, u32>()?;
    /// let mut server = agreeing.join().unwrap()?;
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
    /// Those of [`flush`](Self::flush), and [`Unsupported`](crate::ErrorKind::Unsupported) as for
    /// [`Connection::finish`]. In each the connection is given back, to try again: nothing is sent twice.
    pub fn finish(self) -> Result<ReceivingHalf<In, F, C>, TransitionError<Self>> {
        self.finish_until(Until::Done)
    }

    /// Says that this was all, waiting for some time at most, and keeps the receiver.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), Vec<u8>>());
    /// let mut client = client.into_typed::<[u8], ()>()?;
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// while client.try_send(&[7; 1000]).is_ok() {} // until there is no room
    /// client.feed(&[8; 1000])?;
    /// let failed = client.finish_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::TimedOut);
    /// let client = failed.into_state(); // to try again: nothing is lost
    /// assert!(client.pending() > 0);
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
    ) -> Result<ReceivingHalf<In, F, C>, TransitionError<Self>> {
        self.finish_until(within(timeout))
    }

    /// Says that this was all if that can be done without waiting, and goes on receiving.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), String>());
    /// let mut client = client.into_typed::<str, ()>()?;
    /// let mut server = agreeing.join().unwrap()?;
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
    /// Those of [`finish`](Self::finish), and [`NotReady`](crate::ErrorKind::NotReady): there is no room for it now.
    pub fn try_finish(self) -> Result<ReceivingHalf<In, F, C>, TransitionError<Self>> {
        self.finish_until(Until::Now)
    }

    fn finish_until(
        mut self,
        until: Until,
    ) -> Result<ReceivingHalf<In, F, C>, TransitionError<Self>> {
        let write = Self::taking_in(&mut self.receiver, self.incoming, until);
        let said = self.sender.say_goodbye_by(write);
        let ended = said.and_then(|()| end(&mut self.sender, until));
        match ended {
            Ok(()) => Ok(self.receiver),
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }

    /// Makes it a sender and a receiver, for two threads for instance.
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
    /// drop(sender); // so that the loop over there ends, and then the one here
    /// assert_eq!(hearing.join().unwrap()?, [2, 3, 4]);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn split(self) -> (SendingHalf<Out, F, C>, ReceivingHalf<In, F, C>) {
        (self.sender, self.receiver)
    }

    /// The path of the listener; `None` for a connection that was made of a handle.
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

    /// Who is on the other side, as [`Connection::peer`].
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
    /// [`Io`](crate::ErrorKind::Io): the system does not tell.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.receiver.get_ref().peer()
    }

    /// How it writes: what comes in while there is no room is kept.
    fn taking_in(
        receiver: &mut ReceivingHalf<In, F, C>,
        limit: usize,
        until: Until,
    ) -> impl FnMut(&mut WriteHalf, &[u8]) -> io::Result<usize> {
        move |io, bytes| io.write_or_take_in(receiver.io_mut(), limit, bytes, until)
    }
}

/// Ends the direction of a sender that has said goodbye.
fn end<T: ?Sized, F: Framing, C: Codec>(
    sender: &mut SendingHalf<T, F, C>,
    until: Until,
) -> Result<(), Error> {
    let half = sender.io_mut();
    let ended = half.wait_with(until, |io, wait| io.finish(wait));
    ended.map_err(|error| half.failed(Operation::Finish, error))
}

impl<T: ?Sized, F: Framing, C: Codec> SendingHalf<T, F, C> {
    /// Says that this was all, and does not wait until it is received: the other side still has its own to say.
    pub(crate) fn finish_sending(mut self, until: Until) -> Result<(), Error> {
        self.say_goodbye_by(|io, bytes| io.write_until(bytes, until))?;
        end(&mut self, until)
    }
}

impl<T: Sendable, In, F: Framing, C: Codec> TypedConnection<WithHandles<T>, In, F, C> {
    /// Sends a value with handles beside it, as [`TypedSender::send_with`].
    ///
    /// ```
    /// use std::fs::File;
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), Error> {
    ///     let mut server = server.into_typed::<bool, WithHandles<String>>()?;
    ///     let (_, mut handles) = server.recv_with()?;
    ///     server.send(&handles.take::<File>(0).is_ok())
    /// });
    /// let mut client = client.into_typed::<WithHandles<String>, bool>()?;
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// client.send_with(&"is this a file?".into(), &mut handles)?;
    /// assert!(client.recv()?);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::send_with`] and [`send`](Self::send).
    pub fn send_with(&mut self, value: &T, handles: &mut Handles) -> Result<(), Error> {
        let write = Self::taking_in(&mut self.receiver, self.incoming, Until::Done);
        self.sender.send_with_by(value, handles, write)
    }

    /// Sends a value with handles beside it, if there is room for all of it.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), WithHandles<String>>());
    /// let mut client = client.into_typed::<WithHandles<String>, ()>()?;
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// let large = "x".repeat(10_000);
    /// while client.try_send_with(&large, &mut Handles::new()).is_ok() {} // until there is no room
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// let error = client.try_send_with(&large, &mut handles).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotReady);
    /// assert_eq!(handles.len(), 1); // still there
    /// # drop(server);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::try_send_with`].
    pub fn try_send_with(&mut self, value: &T, handles: &mut Handles) -> Result<(), Error> {
        self.sender.try_send_with(value, handles)
    }

    /// Sends a value with handles beside it, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), WithHandles<String>>());
    /// let mut client = client.into_typed::<WithHandles<String>, ()>()?;
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// let (large, mut none) = ("x".repeat(10_000), Handles::new());
    /// let error = loop {
    ///     if let Err(error) = client.send_with_timeout(&large, &mut none, Duration::from_millis(10)) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedSender::send_with_timeout`] and [`send`](Self::send).
    pub fn send_with_timeout(
        &mut self,
        value: &T,
        handles: &mut Handles,
        timeout: Duration,
    ) -> Result<(), Error> {
        let write = Self::taking_in(&mut self.receiver, self.incoming, within(timeout));
        self.sender.send_with_by(value, handles, write)
    }
}

impl<Out: ?Sized, T: Receivable, F: Framing, C: Codec> TypedConnection<Out, WithHandles<T>, F, C> {
    /// Receives the next value with the handles beside it, as [`TypedReceiver::recv_with`].
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
    ///     server.into_typed::<WithHandles<u32>, ()>()?.send_with(&7, &mut handles)
    /// });
    /// let (number, mut handles) = client.into_typed::<(), WithHandles<u32>>()?.recv_with()?;
    /// let file: File = handles.take(0)?;
    /// # assert_eq!((number, file.metadata()?.len()), (7, 0));
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv_with`].
    pub fn recv_with(&mut self) -> Result<(T, Handles), Error> {
        self.receiver.recv_with()
    }

    /// Receives the next value with the handles beside it, if it is there.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<WithHandles<u32>, ()>());
    /// let mut client = client.into_typed::<(), WithHandles<u32>>()?;
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// assert_eq!(client.try_recv_with().unwrap_err().kind(), ErrorKind::NotReady);
    /// server.send_with(&7, &mut Handles::new())?;
    /// let (number, handles) = client.try_recv_with()?;
    /// assert!(number == 7 && handles.is_empty());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::try_recv_with`].
    pub fn try_recv_with(&mut self) -> Result<(T, Handles), Error> {
        self.receiver.try_recv_with()
    }

    /// Receives the next value with the handles beside it, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<WithHandles<u32>, ()>());
    /// let mut client = client.into_typed::<(), WithHandles<u32>>()?;
    /// let server = agreeing.join().unwrap()?; // which sends nothing
    /// let error = client.recv_with_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv_with_timeout`].
    pub fn recv_with_timeout(&mut self, timeout: Duration) -> Result<(T, Handles), Error> {
        self.receiver.recv_with_timeout(timeout)
    }
}

/// Ends when the other side has left between two messages, with a goodbye or without one, when a
/// [`Stop`](crate::Stop) ends the wait, or after a fatal error.
impl<Out: ?Sized, In: Receivable, F: Framing, C: Codec> Iterator
    for TypedConnection<Out, In, F, C>
{
    type Item = Result<In, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.next()
    }
}

impl<Out: ?Sized, In, F, C> fmt::Debug for TypedConnection<Out, In, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedConnection").field("io", &self.receiver).finish_non_exhaustive()
    }
}
