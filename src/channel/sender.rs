//! Sending values.

use std::borrow::Borrow;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Serialize;

use super::described::{Described, Outbound};
use super::message::{Message, Sendable};
use super::outgoing::{Delivery, Outgoing};
use crate::end::WriteEnd;
use crate::error::{Error, Operation, TransitionError};
use crate::source::{Sink, SinkRet, WriteTimeout};
use crate::state::{Mode, Runtime as _, Waited, complete, complete_by, woken_at};
use crate::sys::WaitLimit;
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// Sends values of one type.
///
/// A value for which [`send`](Self::send) has returned `Ok` is in the pipe, in the hands of the kernel: a reader that
/// has the pipe open will get it, even if this process ends. A one-way pipe cannot report that the reader has taken it.
///
/// Dropping a sender closes its end at once, and loses the messages [fed](Self::feed) and not [flushed](Self::flush);
/// the feature `tracing` reports that loss. [`finish`](Self::finish) marks the end of the stream, and waits until the
/// reader has taken everything.
///
/// `T` may differ from the receiver's type: a `TypedSender<str>` suits a `TypedReceiver<String>`, see [`Sendable`]. The
/// other parameters are like those of a [receiver](crate::TypedReceiver#its-type).
///
/// To serde, a `Vec<u8>` or `[u8]` is a list of numbers, which any codec writes one by one. Many bytes go faster by
/// [`send_bytes`](Self::send_bytes) or [`loan`](Self::loan), and in a field as `serde_bytes::ByteBuf`.
///
/// Over an end in the mode `Tokio` (feature `tokio`), its operations are awaited, and it is a sink.
///
/// ```
/// use typed_pipe::{TypedReceiver, TypedSender};
///
/// let mut bytes = Vec::new(); // or the end of a pipe, a child's standard input, a socket
/// let mut numbers = TypedSender::new(&mut bytes);
/// numbers.send_all([1_u32, 1, 2, 3, 5])?;
///
/// let received: Result<Vec<u32>, _> = TypedReceiver::new(bytes.as_slice()).collect();
/// assert_eq!(received?, [1, 1, 2, 3, 5]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[doc(alias("Sender", "channel", "mpsc", "producer", "writer"))]
pub struct TypedSender<T: ?Sized, E = WriteEnd, F = LengthPrefixed, C = Postcard> {
    pub(super) io: E,
    pub(super) outgoing: Outgoing<F, C>,
    /// The timeout of an operation without one of its own, and the write that keeps to it.
    timeout: Option<(Duration, WriteWithin<E>)>,
    message: PhantomData<fn(&T)>,
}

type WriteWithin<E> = fn(&mut E, &mut Context<'_>, &[u8], WaitLimit) -> Poll<io::Result<usize>>;

impl<T: ?Sized> TypedSender<T> {
    /// Opens the writing end of the pipe at a path, as a client; waits until the pipe exists and a process reads from it.
    ///
    /// ```no_run
    /// use typed_pipe::TypedSender;
    ///
    /// let mut log = TypedSender::<str>::connect("/run/app/log")?;
    /// log.send("started")?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// With a deadline, or a [token](crate::CancelToken), it takes the steps one by one:
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let log = folder.path().join("log");
    /// match WriteEnd::at(log)?.open_timeout(Duration::from_millis(10)) {
    ///     Ok(end) => end.into_sender::<str>().send("started")?,
    ///     Err(failed) => assert_eq!(failed.kind(), ErrorKind::TimedOut), // nobody keeps a log today
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It blocks its thread, and with it all tasks of the thread. In a task, open `WriteEnd::at(path)?.into_tokio()`,
    /// and call [`into_sender`](crate::End::into_sender). Where the receiver is in the same thread, open that first: it waits
    /// for nothing.
    ///
    /// # Errors
    ///
    /// Those of [`WriteEnd::at`](crate::End::at) and [`End::open`](crate::End::open).
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error>
    where
        T: Described,
    {
        Ok(WriteEnd::at(path)?.open()?.into_sender())
    }
}

impl<T: ?Sized, E: Sink> TypedSender<T, E> {
    /// Makes a sender over any sink of bytes, on the default wire.
    ///
    /// It writes whole batches by itself: a buffered writer beneath it gains nothing.
    ///
    /// ```
    /// use std::io::{self, Write};
    /// use typed_pipe::TypedSender;
    ///
    /// struct Calls(u32);
    ///
    /// impl Write for Calls {
    ///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
    ///         self.0 += 1;
    ///         Ok(bytes.len())
    ///     }
    ///
    ///     fn flush(&mut self) -> io::Result<()> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut sender = TypedSender::new(Calls(0));
    /// sender.send_all(0..1000_u32)?;
    /// assert_eq!(sender.into_inner().0, 1); // one write for all of them
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new(io: E) -> Self {
        Self::with_wire(io, Wire::default())
    }
}

impl<T: ?Sized, E, F, C> TypedSender<T, E, F, C> {
    /// The number of bytes fed and not sent yet.
    ///
    /// ```
    /// use typed_pipe::TypedSender;
    ///
    /// let mut sender = TypedSender::<str, _>::new(Vec::new());
    /// sender.feed("hello")?;
    /// assert_eq!(sender.pending(), 10); // the length of the message, that of the text, and five letters
    /// sender.flush()?;
    /// assert_eq!(sender.pending(), 0);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn pending(&self) -> usize {
        self.outgoing.staged()
    }

    /// Returns the sink of bytes. Messages fed and not flushed are lost.
    ///
    /// ```
    /// use typed_pipe::TypedSender;
    ///
    /// let mut sender = TypedSender::<str, _>::new(Vec::new());
    /// sender.send("hello")?;
    /// sender.feed("and this is lost")?;
    /// let bytes = sender.into_inner();
    /// assert_eq!(bytes, b"\0\0\0\x06\x05hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_inner(self) -> E {
        self.io
    }

    pub(crate) fn io_mut(&mut self) -> &mut E {
        &mut self.io
    }

    /// The sink of bytes of the sender.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?;
    /// let sender = TypedSender::<u32>::connect(&path)?;
    /// assert_eq!(sender.get_ref().path(), Some(&path)); // the path of the end
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn get_ref(&self) -> &E {
        &self.io
    }

    pub(crate) fn named(mut self, path: Option<Arc<Path>>) -> Self {
        self.outgoing.name(path);
        self
    }

    /// The deadline of an operation that begins now and has none of its own.
    #[inline]
    pub(crate) fn limit<M: Mode>(&self) -> WaitLimit {
        self.timeout.map_or(WaitLimit::Done, |(timeout, _)| M::limit(timeout))
    }

    /// The sink of bytes, and the state of its encoding, for a driver.
    pub(crate) fn parts(&mut self) -> (&mut E, &mut Outgoing<F, C>) {
        (&mut self.io, &mut self.outgoing)
    }
}

impl<T: ?Sized, E, F: Framing, C: Codec> TypedSender<T, E, F, C> {
    pub(super) fn over(io: E, wire: Wire<F, C>) -> Self {
        Self { io, outgoing: Outgoing::new(wire), timeout: None, message: PhantomData }
    }

    /// Says before the first message what the messages look like.
    pub(super) fn greeting(mut self, shape: fn(Style) -> Shape) -> Self {
        self.outgoing.greet(shape);
        self
    }

    /// Notes what the receiver has announced.
    pub(crate) fn checking(mut self, reads: Option<Shape>) -> Self {
        self.outgoing.note_reader(reads);
        self
    }

    /// Lowers the limit of a payload to what the peer accepts.
    pub(crate) fn lower_limit(&mut self, bytes: u64) {
        self.outgoing.lower_limit(bytes);
    }

    /// Passes the wire the number of bytes that one write puts into the pipe unmixed.
    pub(super) fn atomic_write(mut self, bytes: usize) -> Self {
        self.outgoing.atomic_write(bytes);
        self
    }
}

impl<T: ?Sized, E: Sink, F: Framing, C: Codec> TypedSender<T, E, F, C> {
    /// Makes a sender over any sink of bytes, on a wire of choice.
    ///
    /// For the end of a pipe, [`into_sender_with`](crate::End::into_sender_with) does the same, and lets errors
    /// name the path.
    ///
    /// ```
    /// use typed_pipe::wire::{LengthPrefixed, Wire};
    /// use typed_pipe::{ErrorKind, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(LengthPrefixed::default().limit(10));
    /// let mut sender = TypedSender::<str, _, _, _>::with_wire(Vec::new(), wire);
    /// sender.send("short")?;
    /// let error = sender.send("longer than the limit of the wire").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire(io: E, wire: Wire<F, C>) -> Self {
        Self::over(io, wire)
    }

    /// Sends a value: encodes it, and writes it with everything fed before.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?;
    /// let mut sender = TypedSender::<str>::connect(path)?;
    /// sender.send("it lies in the pipe")?;
    /// drop(reader);
    /// assert_eq!(sender.send("no reader is left").unwrap_err().kind(), ErrorKind::Disconnected);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// `Ok` means that the system has the value, and keeps it while this sender or a receiver has the pipe open. A
    /// receiver that is killed before it has read the value loses it: [`finish`](Self::finish) waits until everything
    /// is taken. A receiver that is `Poisoned` takes nothing any more: drop it, so that its senders notice.
    ///
    /// In the mode `Tokio`, the call itself takes the value. If the future is dropped, the value stays in the sender,
    /// as if it had been fed: it goes first with the next `send` or `flush`, and must not be sent again. A program that
    /// drops many futures should watch [`pending`](Self::pending): all of it is memory.
    ///
    /// # Errors
    ///
    /// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): the codec cannot write
    ///   the value, or it is larger than the limit of the wire. None of it was sent; other values can be.
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): no reader is left.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`End::cancelled_by`](crate::End::cancelled_by).
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// After each, [`is_half_sent`](Error::is_half_sent) returns whether a part of the message was sent; if not, it may
    /// be sent again.
    pub fn send(
        &mut self,
        value: &T,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'_, T, E, F, C>>
    where
        T: Sendable,
    {
        let staged = self.outgoing.stage(value);
        self.sending(staged)
    }

    /// Sends a value if there is room for all of it.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // which does not read
    /// let mut sender = TypedSender::<[u8]>::connect(path)?;
    /// let mut left_out = 0;
    /// for _ in 0..1000 {
    ///     match sender.try_send(&[7; 1000]) {
    ///         Err(error) if error.kind() == ErrorKind::WouldBlock => left_out += 1, // rather than wait
    ///         sent => sent?,
    ///     }
    /// }
    /// assert!(left_out > 0);
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`WouldBlock`](crate::ErrorKind::WouldBlock): there is no room, or only for a
    /// part of it ([`is_half_sent`](Error::is_half_sent)).
    #[doc(alias("nonblocking", "non-blocking", "backpressure"))]
    pub fn try_send(&mut self, value: &T) -> Result<(), Error>
    where
        T: Sendable,
        E: WriteTimeout,
    {
        self.outgoing.stage(value)?;
        self.write_here(WaitLimit::Now)
    }

    /// Sends a value, waiting for at most `timeout`.
    ///
    /// The timeout covers everything: the messages fed before, and the rest of a half-sent message.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // which does not read
    /// let mut sender = TypedSender::<[u8]>::connect(path)?;
    /// let error = loop {
    ///     if let Err(error) = sender.send_timeout(&[7; 10_000], Duration::from_millis(10)) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// if error.is_half_sent() {
    ///     println!("it goes on with the next send or flush");
    /// } else {
    ///     println!("it may be sent again");
    /// }
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`TimedOut`](crate::ErrorKind::TimedOut). If none of the message was written,
    /// it is withdrawn, and sending it again sends it once. If a part was written
    /// ([`is_half_sent`](Error::is_half_sent)), the rest stays in the sender and goes first next time, so that the
    /// stream is never torn.
    #[doc(alias("deadline"))]
    pub fn send_timeout<'a>(
        &'a mut self,
        value: &T,
        timeout: Duration,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, E, F, C>>
    where
        T: Sendable,
        E: WriteTimeout,
    {
        self.send_until(value, E::Mode::within(timeout))
    }

    pub(crate) fn send_until<'a>(
        &'a mut self,
        value: &T,
        until: WaitLimit,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, E, F, C>>
    where
        T: Sendable,
        E: WriteTimeout,
    {
        let staged = self.outgoing.stage(value);
        self.sending_until(staged, until)
    }

    /// Sets the timeout of every operation that has none of its own: of [`send`](Self::send),
    /// [`send_ref`](Self::send_ref), [`send_bytes`](Self::send_bytes), [`send_all`](Self::send_all),
    /// [`send_with_handles`](Self::send_with_handles), [`feed`](Self::feed), [`flush`](Self::flush),
    /// [`send_as`](Self::send_as), [`finish`](Self::finish), [`finish_into_inner`](Self::finish_into_inner), and of a [`Loan`](crate::Loan).
    ///
    /// With a timeout of zero they do not wait, and fail with [`WouldBlock`](crate::ErrorKind::WouldBlock); with
    /// another one, with [`TimedOut`](crate::ErrorKind::TimedOut). What was begun is kept, as by
    /// [`send_timeout`](Self::send_timeout). `None`, as at first, waits as long as it takes. A `Sink` of tasks has no
    /// timeout.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // which does not read
    /// let mut sender = TypedSender::<[u8]>::connect(path)?;
    /// let error = sender.set_timeout(Duration::from_millis(10)).send_bytes(&[7; 1 << 20]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(error.is_half_sent());
    /// let error = sender.set_timeout(Duration::ZERO).flush().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("set_write_timeout", "set_nonblocking", "SO_SNDTIMEO", "deadline"))]
    pub fn set_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> &mut Self
    where
        E: WriteTimeout,
    {
        let write: WriteWithin<E> = E::poll_write_within;
        self.timeout = timeout.into().map(|timeout| (timeout, write));
        self
    }

    /// Sends a value in its borrowed form.
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new();
    /// let mut sender = TypedSender::<String, _>::new(&mut bytes);
    /// sender.send(&"as a `String`".into())?;
    /// sender.send_ref(&"as a `&str`")?; // the receiver sees no difference
    /// # assert_eq!(TypedReceiver::<String, _>::new(bytes.as_slice()).count(), 2);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_ref<'a, 'b>(
        &'a mut self,
        value: &T::Ref<'b>,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, 'b, T, E, F, C>>
    where
        T: Message,
        T::Ref<'b>: Serialize,
    {
        let staged = self.outgoing.stage(value);
        self.sending(staged)
    }

    /// Sends a value of another type, waiting until there is room for it: one that borrows what the type of the messages
    /// owns, or that serde can only write.
    ///
    /// It must write what the receiver reads: what that has announced in the handshake of a connection, or else what the
    /// type of the messages looks like. That is looked at in the first values, until each list, option and variant was
    /// seen with contents; from there on, values of this one type cost nothing. A value of another type is looked at from
    /// the beginning. Of a type that writes other things for other values, such as an untagged enum, a form that comes
    /// later may not be looked at.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Job {
    ///     id: u64,
    ///     command: String,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct JobRef<'a> {
    ///     id: u64,
    ///     command: &'a str,
    /// }
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Job>();
    /// let mut sender = TypedSender::<Job>::connect(path)?;
    /// sender.send_as(&JobRef { id: 1, command: "make" })?;
    /// assert_eq!(receiver.recv()?.command, "make");
    ///
    /// let error = sender.send_as(&("make", 1)).unwrap_err(); // nothing of it is sent
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// It takes what serde can write, and nothing else:
    ///
    /// ```compile_fail,E0277
    /// struct Job(u64);
    /// typed_pipe::TypedSender::<(u64,)>::connect("/run/app/jobs")?.send_as(&Job(1))?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`Mismatch`](crate::ErrorKind::Mismatch): the receiver would read something
    /// else. The text says where.
    pub fn send_as<'a, V: Sendable + ?Sized>(
        &'a mut self,
        value: &V,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, V, E, F, C>>
    where
        T: Outbound,
    {
        let staged = self.outgoing.stage_as(value, T::known);
        self.sending(staged)
    }

    /// Stages a value, to be sent with others in batches of about 64 KiB.
    ///
    /// It is sent when a batch is full, or by the next [`flush`](Self::flush) or [`send`](Self::send).
    ///
    /// ```
    /// use typed_pipe::TypedSender;
    ///
    /// let mut sender = TypedSender::<u32, _>::new(Vec::new());
    /// sender.feed(&1)?;
    /// sender.feed(&2)?;
    /// assert!(sender.pending() > 0 && sender.get_ref().is_empty());
    /// sender.flush()?;
    /// assert!(sender.pending() == 0 && !sender.get_ref().is_empty());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, the call itself takes the value, which stays in the sender if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send). All except `Encode` and `TooLarge` may concern values fed before, which stay.
    /// This value does not stay, unless it is [half sent](Error::is_half_sent): it may be fed again.
    #[doc(alias("batch", "buffered"))]
    pub fn feed<'a>(
        &'a mut self,
        value: &T,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, E, F, C>>
    where
        T: Sendable,
    {
        let staged = self.outgoing.stage(value);
        let until = self.limit::<E::Mode>();
        let write = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            if this.outgoing.batch().is_none() {
                return Poll::Ready(Ok(()));
            }
            let write = this.write(until);
            this.poll_write_batch_or_withdraw_by(cx, write)
        };
        E::Mode::wait(staged, until, self, write, Waited)
    }

    /// Sends the messages that were fed.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// let mut sender = TypedSender::<u32>::connect(path)?;
    /// sender.feed(&7)?;
    /// assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock); // still in the sender
    /// sender.flush()?;
    /// assert_eq!(receiver.recv()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, bytes not sent yet stay in the sender if the future is dropped.
    ///
    /// # Errors
    ///
    /// `Disconnected`, `Cancelled` and `Io` of [`send`](Self::send). Bytes that could not be sent stay, for the next
    /// time.
    pub fn flush(&mut self) -> SinkRet<E, impl Future<Output = Result<(), Error>>> {
        let until = self.limit::<E::Mode>();
        let write = |this: &mut &mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            let write = this.write(until);
            this.poll_write_out_by(cx, write)
        };
        E::Mode::wait(Ok(()), until, self, write, Waited)
    }

    /// Feeds all values, and flushes.
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new();
    /// let mut sender = TypedSender::<str, _>::new(&mut bytes);
    /// sender.send_all(["one", "two"])?;
    /// sender.send_all(vec![String::from("three")])?; // owned or borrowed
    /// let words: Result<Vec<String>, _> = TypedReceiver::new(bytes.as_slice()).collect();
    /// assert_eq!(words?, ["one", "two", "three"]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future leaves the values after the current one untaken.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send); values after the failed one are not taken.
    pub fn send_all<V: Borrow<T>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>>>
    where
        T: Sendable,
    {
        let until = self.limit::<E::Mode>();
        let mut write = self.write(until);
        E::Mode::run(woken_at::<E::Mode, _>(until, async move {
            for value in values {
                self.outgoing.stage(value.borrow())?;
                poll_fn(|cx| self.poll_write_batch_or_withdraw_by(cx, &mut write)).await?;
            }
            poll_fn(|cx| self.poll_write_out_by(cx, &mut write)).await
        }))
    }

    /// Finishes the stream, and waits until the reader has taken everything.
    ///
    /// Messages that were fed are sent first, then a goodbye, by which the receiver distinguishes a sender that has
    /// finished from one that has vanished: its stream ends with [`Finished`](crate::ErrorKind::Finished). Then the end
    /// is closed. On a connection only this direction ends, which a peer without this crate reads as the end of the
    /// stream.
    ///
    /// The goodbye is to be taken too: a receiver that wants only some messages is dropped after them, which ends the wait.
    /// One that is kept and reads no further, for example while its process waits for this one to exit, lets it last.
    ///
    /// A one-way pipe has no way back, so the receiver cannot confirm that it has handled the messages. [`Delivery`]
    /// reports what the system knows. Where other writers fill the pipe faster than it is read, the wait may take long:
    /// use [`finish_timeout`](Self::finish_timeout) there.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let sender = thread::spawn(move || -> Result<_, typed_pipe::Error> {
    ///     let mut sender = TypedSender::<u32>::connect(path)?;
    ///     sender.feed(&7)?;
    ///     Ok(sender.finish()?)
    /// });
    ///
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// assert_eq!(receiver.recv()?, 7);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
    /// println!("delivery: {:?}", sender.join().unwrap()?);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future drops the sender, and with it all that is not sent: flush before, or
    /// use [`finish_timeout`](Self::finish_timeout).
    ///
    /// # Errors
    ///
    /// Each gives back the sender, to try again: nothing is sent twice.
    ///
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): no reader is left, and not everything was taken.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`End::cancelled_by`](crate::End::cancelled_by).
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): the peer cannot see the end, since the wire has no goodbye,
    ///   and the pipe is one of another program, of a type whose directions cannot end. Windows only.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    #[doc(alias("close", "goodbye"))]
    pub fn finish(self) -> SinkRet<E, impl Future<Output = Result<Delivery, TransitionError<Self>>>>
    where
        E: WriteTimeout,
    {
        let until = self.limit::<E::Mode>();
        self.finish_until(until)
    }

    /// Finishes the stream if there is room for the goodbye, without waiting until everything is taken.
    ///
    /// ```
    /// use typed_pipe::{Delivery, ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// let mut sender = TypedSender::<u32>::connect(path)?;
    /// sender.send(&7)?;
    /// match sender.try_finish() {
    ///     Ok(words) => assert_eq!(words, Delivery::Sent), // a system that reports no more
    ///     Err(failed) => {
    ///         assert_eq!(failed.kind(), ErrorKind::WouldBlock); // not received yet
    ///         assert_eq!(receiver.recv()?, 7);
    ///         assert_eq!(failed.into_state().try_finish()?, Delivery::Drained);
    ///     }
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`WouldBlock`](crate::ErrorKind::WouldBlock): there is no room, or not
    /// everything is taken yet.
    pub fn try_finish(self) -> Result<Delivery, TransitionError<Self>>
    where
        E: WriteTimeout,
    {
        complete(self.finishing(WaitLimit::Now))
    }

    /// Finishes the stream, and waits for at most `timeout` until the reader has taken everything.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Delivery, ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // which does not read
    /// let mut sender = TypedSender::<u32>::connect(path)?;
    /// sender.send(&7)?;
    /// match sender.finish_timeout(Duration::from_millis(10)) {
    ///     Ok(words) => assert_eq!(words, Delivery::Sent), // a system that reports no more
    ///     Err(failed) => assert_eq!(failed.kind(), ErrorKind::TimedOut), // it contains the sender, to try again
    /// }
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn finish_timeout(
        self,
        timeout: Duration,
    ) -> SinkRet<E, impl Future<Output = Result<Delivery, TransitionError<Self>>>>
    where
        E: WriteTimeout,
    {
        self.finish_until(E::Mode::within(timeout))
    }

    pub(crate) fn finish_until(
        self,
        until: WaitLimit,
    ) -> SinkRet<E, impl Future<Output = Result<Delivery, TransitionError<Self>>>>
    where
        E: WriteTimeout,
    {
        E::Mode::run(woken_at::<E::Mode, _>(until, self.finishing(until)))
    }

    async fn finishing(mut self, until: WaitLimit) -> Result<Delivery, TransitionError<Self>>
    where
        E: WriteTimeout,
    {
        self.outgoing.stage_goodbye();
        match self.said_all(until).await {
            Ok(words) => Ok(words),
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }

    async fn said_all(&mut self, until: WaitLimit) -> Result<Delivery, Error>
    where
        E: WriteTimeout,
    {
        let sent = poll_fn(|cx| {
            self.poll_write_out_by(cx, |io, cx, bytes| io.poll_write_within(cx, bytes, until))
        });
        sent.await?;
        let taken = self.io.taken(until).await;
        let taken = taken.map_err(|error| self.outgoing.failed(Operation::Finish, error))?;
        let half_closed = poll_fn(|cx| self.io.poll_half_close(cx, until)).await;
        self.outgoing.delivery(taken, half_closed)
    }

    /// Finishes the stream, and returns the sink of bytes.
    ///
    /// This is [`finish`](Self::finish) for a sink without deadlines, such as the standard input of a child: it does
    /// not wait until anything is taken.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
    ///
    /// let mut sender = TypedSender::new(Vec::new());
    /// sender.send(&7_u8)?;
    /// let bytes = sender.finish_into_inner()?;
    ///
    /// let mut receiver = TypedReceiver::<u8, _>::new(bytes.as_slice());
    /// assert_eq!(receiver.recv()?, 7);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Self::flush). Each gives back the sender, to try again: nothing is sent twice.
    pub fn finish_into_inner(
        mut self,
    ) -> SinkRet<E, impl Future<Output = Result<E, TransitionError<Self>>>>
    where
        E: Sized,
    {
        let until = self.limit::<E::Mode>();
        let mut write = self.write(until);
        E::Mode::run(woken_at::<E::Mode, _>(until, async move {
            self.outgoing.stage_goodbye();
            match poll_fn(|cx| self.poll_write_out_by(cx, &mut write)).await {
                Ok(()) => Ok(self.io),
                Err(error) => Err(TransitionError::new(self, error)),
            }
        }))
    }

    /// The write of an operation without a deadline of its own.
    #[inline]
    fn write(
        &self,
        until: WaitLimit,
    ) -> impl FnMut(&mut E, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>> + use<T, E, F, C>
    {
        let limited = self.timeout.map(|(_, write)| write);
        move |io, cx, bytes| match limited {
            None => io.poll_write(cx, bytes),
            Some(write) => write(io, cx, bytes, until),
        }
    }

    /// Writes the staged bytes; withdraws the last message if that fails before any of it is written.
    #[inline]
    fn sending<'a>(
        &'a mut self,
        staged: Result<(), Error>,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, E, F, C>> {
        let until = self.limit::<E::Mode>();
        let write = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            let write = this.write(until);
            this.poll_write_or_withdraw_by(cx, write)
        };
        E::Mode::wait(staged, until, self, write, Waited)
    }

    pub(super) fn sending_until<'a>(
        &'a mut self,
        staged: Result<(), Error>,
        until: WaitLimit,
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, E, F, C>>
    where
        E: WriteTimeout,
    {
        let write = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            this.poll_write_or_withdraw_by(cx, |io, cx, bytes| {
                io.poll_write_within(cx, bytes, until)
            })
        };
        E::Mode::wait(staged, until, self, write, Waited)
    }

    /// Writes the staged bytes without a future, as [`sending_until`](Self::sending_until).
    pub(super) fn write_here(&mut self, until: WaitLimit) -> Result<(), Error>
    where
        E: WriteTimeout,
    {
        complete_by(|cx| {
            self.poll_write_or_withdraw_by(cx, |io, cx, bytes| {
                io.poll_write_within(cx, bytes, until)
            })
        })
    }

    /// Writes the staged bytes without a future, and withdraws nothing.
    pub(super) fn write_out_here(&mut self, until: WaitLimit) -> Result<(), Error>
    where
        E: WriteTimeout,
    {
        complete_by(|cx| {
            self.poll_write_out_by(cx, |io, cx, bytes| io.poll_write_within(cx, bytes, until))
        })
    }
}

impl<T: ?Sized, E, F: Framing, C: Codec> TypedSender<T, E, F, C> {
    pub(crate) fn poll_write_or_withdraw_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnMut(&mut E, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), Error>> {
        let written = ready!(self.poll_write_out_by(cx, write));
        Poll::Ready(written.map_err(|error| self.outgoing.withdraw(error)))
    }

    #[inline]
    pub(crate) fn poll_write_out_by(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut E, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), Error>> {
        let (io, outgoing) = self.parts();
        while let Some(bytes) = outgoing.pending() {
            let written = ready!(write(io, cx, bytes));
            outgoing.note(written)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes while there is enough for a batch.
    pub(crate) fn poll_write_batch_by(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut E, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), Error>> {
        while let Some(bytes) = self.outgoing.batch() {
            let written = ready!(write(&mut self.io, cx, bytes));
            self.outgoing.note(written)?;
        }
        Poll::Ready(Ok(()))
    }

    /// The same for the message that was staged last, which is withdrawn if that fails.
    fn poll_write_batch_or_withdraw_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnMut(&mut E, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), Error>> {
        let written = ready!(self.poll_write_batch_by(cx, write));
        Poll::Ready(written.map_err(|error| self.outgoing.withdraw(error)))
    }
}

// A sender pins none of its fields, whatever it writes to.
impl<T: ?Sized, E, F, C> Unpin for TypedSender<T, E, F, C> {}

impl<T: ?Sized, E: fmt::Debug, F, C> fmt::Debug for TypedSender<T, E, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedSender").field("io", &self.io).finish_non_exhaustive()
    }
}
