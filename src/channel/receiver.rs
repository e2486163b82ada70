//! Receiving values.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Deserialize;

use super::described::Inbound;
use super::incoming::{Hangup, Incoming};
use super::message::{Message, Receivable};
use crate::end::{End, PipeRef, ReadEnd};
use crate::error::{Error, FrameError, Operation};
use crate::source::{ReadTimeout, Ret, Source};
use crate::state::{Blocking, Done, Mode, Open, Read, Runtime as _, complete_by};
use crate::sys::WaitLimit;
use crate::wire::shape::{Shape, Style};
use crate::wire::{
    BorrowingCodec, Codec, Framing, LengthPrefixed, MultiWriter, Postcard, Wire, WriterId,
};

/// Receives values of one type.
///
/// It is an iterator of results, which ends when the last writer has hung up between two messages, finished or not:
/// [`last_hangup`](Self::last_hangup) tells the one from the other. A message that does not decode is an error for that
/// message alone: the next one can be received. When the framing is broken, the place in the stream is lost: that error
/// is [fatal](Error::is_fatal).
///
/// A receive that fails, for instance by a timeout, loses nothing: the part of a message that has arrived is kept, and
/// the next receive goes on with it.
///
/// Over an end in the mode `Tokio` (feature `tokio`), its operations are awaited, and it is a stream instead of an
/// iterator.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Pipe, TypedSender};
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let sender = thread::spawn(move || TypedSender::<String>::connect(path)?.send(&"hello".into()));
///
/// let mut receiver = pipe.into_reader().open()?.into_receiver::<String>();
/// assert_eq!(receiver.recv()?, "hello");
/// assert!(receiver.recv().unwrap_err().is_disconnected());
/// # sender.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # Its type
///
/// The type names the message, the source, and the framing and codec if they are not the default ones. A client's is
/// short; an owner's includes the pipe:
///
/// ```
/// use typed_pipe::state::{Allocated, Open};
/// use typed_pipe::wire::MultiWriter;
/// use typed_pipe::{Pipe, ReadEnd, TypedReceiver};
///
/// struct Program {
///     news: TypedReceiver<String>, // of `TypedReceiver::connect`
///     jobs: TypedReceiver<u32, ReadEnd<Open, Pipe<Allocated>>>, // of `Pipe::into_reader`
///     logs: TypedReceiver<String, ReadEnd<Open, Pipe<Allocated>>, MultiWriter>,
/// }
/// # let _ = |program: Program| (program.news, program.jobs, program.logs);
/// ```
#[doc(alias("Receiver", "channel", "mpsc", "consumer", "reader", "iterator"))]
pub struct TypedReceiver<T, R = ReadEnd, F = LengthPrefixed, C = Postcard> {
    io: R,
    incoming: Incoming<F, C>,
    /// The timeout of an operation without one of its own, and the read that keeps to it.
    timeout: Option<(Duration, ReadWithin<R>)>,
    message: PhantomData<fn() -> T>,
}

type ReadWithin<R> = fn(&mut R, &mut Context<'_>, &mut [u8], WaitLimit) -> Poll<io::Result<usize>>;

impl<T> TypedReceiver<T> {
    /// Opens the reading end of the pipe at a path, as a client; waits until the pipe exists.
    ///
    /// ```no_run
    /// use typed_pipe::TypedReceiver;
    ///
    /// for line in TypedReceiver::<String>::connect("/run/app/news")? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// With a deadline, it is
    /// [`ReadEnd::at(path)?`](crate::End::at)[`.open_timeout(time)?`](crate::End::open_timeout)[`.into_receiver::<T>()`](crate::End::into_receiver).
    ///
    /// It blocks its thread, and with it all tasks of the thread. In a task, open `ReadEnd::at(path)?.into_tokio()`,
    /// and call [`into_receiver`](crate::End::into_receiver).
    ///
    /// # Errors
    ///
    /// Those of [`ReadEnd::at`](crate::End::at) and [`End::open`](crate::End::open).
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error>
    where
        T: Inbound,
    {
        Ok(ReadEnd::at(path)?.open()?.into_receiver())
    }
}

impl<T, R: Source> TypedReceiver<T, R> {
    /// Makes a receiver over any source of bytes, on the default wire.
    ///
    /// It reads large pieces by itself: a buffered reader beneath it gains nothing.
    ///
    /// ```
    /// use std::io::Seek;
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut recording = tempfile::tempfile()?;
    /// TypedSender::<str, _>::new(&mut recording).send_all(["one", "two"])?;
    /// recording.rewind()?;
    /// let words: Result<Vec<String>, _> = TypedReceiver::new(recording).collect();
    /// assert_eq!(words?, ["one", "two"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(io: R) -> Self {
        Self::with_wire(io, Wire::default())
    }
}

impl<T, R, F, C> TypedReceiver<T, R, F, C> {
    /// How the writers hung up, the last time that all of them had; `None` before.
    ///
    /// Use it where the receiver awaits the [next writer](crate::OnHangup::NextWriter), so that no error reports a
    /// hang-up; and after a loop, which ends alike for a writer that was killed between two messages and for one that
    /// has finished. After broken framing, it is [`Truncated`](Hangup::Truncated).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Hangup, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let sender = thread::spawn(move || {
    ///     let mut sender = TypedSender::<u32>::connect(path)?;
    ///     sender.send(&1)?;
    ///     sender.finish().map_err(typed_pipe::Error::from) // without this, `Disconnected`
    /// });
    ///
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// for number in receiver.by_ref() {
    ///     println!("{}", number?);
    /// }
    /// assert_eq!(receiver.last_hangup(), Some(Hangup::Finished));
    /// # sender.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn last_hangup(&self) -> Option<Hangup> {
        self.incoming.last_hangup()
    }

    /// The bytes of the last received message, decodable or not; `None` if the last receive found none.
    ///
    /// After a [`Decode`](crate::ErrorKind::Decode) they are that message, and after a
    /// [`Corrupt`](crate::ErrorKind::Corrupt) that is not fatal the line, with its end. They stay until the next
    /// receive.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Plain, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::new(Lines::default(), Plain);
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(&b"one\nt\xFFo\n"[..], wire);
    /// assert_eq!(receiver.last_message(), None);
    /// assert_eq!(receiver.recv()?, "one");
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Decode);
    /// assert_eq!(receiver.last_message(), Some(&b"t\xFFo"[..])); // this one
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn last_message(&self) -> Option<&[u8]>
    where
        F: Framing,
        C: Codec,
    {
        self.incoming.bytes().ok()
    }

    /// The bytes read that belong to no received message.
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new();
    /// TypedSender::new(&mut bytes).send(&7_u8)?;
    /// bytes.extend(b"something else");
    /// let mut receiver = TypedReceiver::<u8, _>::new(bytes.as_slice());
    /// assert_eq!(receiver.recv()?, 7);
    /// assert_eq!(receiver.buffered(), b"something else");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn buffered(&self) -> &[u8] {
        self.incoming.buffered()
    }

    /// Returns the source. The [buffered](Self::buffered) bytes are lost.
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new();
    /// TypedSender::new(&mut bytes).send(&7_u8)?;
    /// bytes.extend(b"the next protocol");
    /// let mut receiver = TypedReceiver::<u8, _>::new(bytes.as_slice());
    /// assert_eq!(receiver.recv()?, 7);
    /// let ahead = receiver.buffered().to_vec(); // these come before the bytes still in the source
    /// let source = receiver.into_inner();
    /// assert_eq!([&ahead, source].concat(), b"the next protocol");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_inner(self) -> R {
        self.io
    }

    pub(crate) fn io_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// The source of the receiver.
    ///
    /// ```
    /// use typed_pipe::Pipe;
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// assert_eq!(receiver.get_ref().path(), Some(&path));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn get_ref(&self) -> &R {
        &self.io
    }

    /// What the messages of the present writer look like; `None` if it does not tell.
    ///
    /// A connection tells it in its [handshake](crate::Handshake), a sender on a named pipe before its first message,
    /// unless it was made with a wire by name. Other programs do not, nor does the first edition of this crate.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u32>>();
    /// TypedSender::<[u32]>::connect(path)?.send(&[1, 2])?;
    /// assert!(receiver.peer_shape().is_none()); // nothing is received yet
    /// assert_eq!(receiver.recv()?, [1, 2]);
    /// assert_eq!(receiver.peer_shape().unwrap().to_string(), "list of u32");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn peer_shape(&self) -> Option<&Shape> {
        self.incoming.peer_shape()
    }

    /// Notes what the peer has told in a handshake.
    pub(crate) fn told_by_peer(mut self, theirs: Option<Shape>) -> Self {
        self.incoming.told_by_peer(theirs);
        self
    }

    pub(crate) fn named(mut self, path: Option<Arc<Path>>) -> Self {
        self.incoming.name(path);
        self
    }

    pub(crate) fn awaiting_next_writer(mut self, next_writer: bool) -> Self {
        self.incoming.await_next_writer(next_writer);
        self
    }

    /// Treats a message without an end of its own as truncated, on every wire.
    pub(crate) fn requiring_ends(mut self) -> Self {
        self.incoming.require_ends();
        self
    }

    /// The deadline of an operation that begins now and has none of its own.
    #[inline]
    pub(crate) fn limit<M: Mode>(&self) -> WaitLimit {
        self.timeout.map_or(WaitLimit::Done, |(timeout, _)| M::limit(timeout))
    }

    /// Whether something has arrived that was not given out.
    pub(crate) fn has_begun(&self) -> bool
    where
        F: Framing,
        C: Codec,
    {
        self.incoming.has_begun()
    }

    /// The source, and the state of its decoding, for a driver.
    pub(crate) fn parts(&mut self) -> (&mut R, &mut Incoming<F, C>) {
        (&mut self.io, &mut self.incoming)
    }
}

impl<T, R, F: Framing, C: Codec> TypedReceiver<T, R, F, C> {
    pub(crate) fn over(io: R, wire: Wire<F, C>) -> Self {
        Self { io, incoming: Incoming::new(wire), timeout: None, message: PhantomData }
    }

    /// Compares what a writer tells of its messages with what they look like here.
    pub(super) fn expecting(mut self, ours: fn(Style) -> Shape) -> Self {
        self.incoming.expect(ours);
        self
    }

    /// Receives only from writers that tell what their messages look like, before the first of them: see
    /// [`peer_shape`](Self::peer_shape).
    ///
    /// Of any other writer, the first message is the error [`Mismatch`](crate::ErrorKind::Mismatch), and all are skipped
    /// until a writer tells. What a writer tells is compared, whichever wire it is. On a [`MultiWriter`] wire that holds
    /// for each writer, and those tell whose wire is [`typed`](MultiWriter::typed). On other wires that are given by name,
    /// none tells.
    ///
    /// ```
    /// use std::io::Write;
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u8>().require_shape();
    /// let mut other = WriteEnd::at(&path)?.open()?;
    /// other.write_all(b"\0\0\0\x01\x07")?; // a program that only knows the wire
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Mismatch);
    /// TypedSender::<u8>::connect(path)?.send(&8)?;
    /// assert_eq!(receiver.recv()?, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn require_shape(mut self) -> Self
    where
        T: Inbound,
    {
        self.incoming.expect(T::read);
        self.incoming.require_shape();
        self
    }
}

impl<T, R: Source, F: Framing, C: Codec> TypedReceiver<T, R, F, C> {
    /// Makes a receiver over any source of bytes, on a wire of choice.
    ///
    /// For the end of a pipe use [`into_receiver_with`](crate::End::into_receiver_with): it lets errors name the
    /// path, and keeps to the end's [policy](crate::OnHangup).
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(Checked::default());
    /// let mut bytes = Vec::new(); // from a device, for instance
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone()).send("hello")?;
    /// let last = bytes.len() - 1;
    /// bytes[last] ^= 1; // on the way
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Corrupt);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire(io: R, wire: Wire<F, C>) -> Self {
        Self::over(io, wire)
    }

    /// Receives the next value, waiting until it is there.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new(); // or the end of a pipe
    /// TypedSender::<str, _>::new(&mut bytes).send_all(["one", "two"])?;
    ///
    /// let mut receiver = TypedReceiver::<String, _>::new(bytes.as_slice());
    /// let mut words = Vec::new();
    /// loop {
    ///     match receiver.recv() {
    ///         Ok(word) => words.push(word),
    ///         Err(error) if error.is_end() => break,
    ///         Err(error) if error.kind() == ErrorKind::Decode => eprintln!("{error}"), // that message alone
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// assert_eq!(words, ["one", "two"]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future loses no message: the part that has arrived stays in the receiver. That
    /// holds for every receiving method.
    ///
    /// # Errors
    ///
    /// - [`Decode`](crate::ErrorKind::Decode): the bytes of the message are no value of the type. The next message can
    ///   be received.
    /// - [`Finished`](crate::ErrorKind::Finished), [`Disconnected`](crate::ErrorKind::Disconnected): the last writer
    ///   has hung up, with a goodbye or without one, and all messages are received.
    /// - [`Truncated`](crate::ErrorKind::Truncated): the last writer has hung up in the middle of a message.
    /// - [`TooLarge`](crate::ErrorKind::TooLarge), [`Corrupt`](crate::ErrorKind::Corrupt): the framing is broken.
    ///   Fatal; every later receive is [`Poisoned`](crate::ErrorKind::Poisoned).
    /// - [`MessageLost`](crate::ErrorKind::MessageLost), [`Mismatch`](crate::ErrorKind::Mismatch), `TooLarge` that is not
    ///   [fatal](Error::is_fatal), on a [wire of many writers](MultiWriter): a message or a writer is lost; the others
    ///   are unaffected.
    /// - [`NotFound`](crate::ErrorKind::NotFound), [`NotAPipe`](crate::ErrorKind::NotAPipe): there is no writer, and
    ///   none can come: see [`End::read`](crate::End::read). Fatal.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`End::cancelled_by`](crate::End::cancelled_by).
    /// - [`Io`](crate::ErrorKind::Io): any other. Fatal.
    #[inline(always)]
    pub fn recv(&mut self) -> Ret<R, impl Future<Output = Result<T, Error>>>
    where
        T: Receivable,
    {
        self.receive(Found::new())
    }

    /// Receives the next value without waiting.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock); // no writer yet
    ///
    /// let mut sender = TypedSender::<u32>::connect(path)?;
    /// sender.send(&7)?;
    /// assert_eq!(receiver.try_recv()?, 7);
    /// drop(sender);
    /// assert!(receiver.try_recv().unwrap_err().is_end());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`WouldBlock`](crate::ErrorKind::WouldBlock).
    #[doc(alias("nonblocking", "non-blocking", "poll"))]
    pub fn try_recv(&mut self) -> Result<T, Error>
    where
        T: Receivable,
        R: ReadTimeout,
    {
        self.fill_now()?;
        self.incoming.message()
    }

    /// Receives the next value, waiting for at most `timeout`.
    ///
    /// The timeout covers the whole message: one that arrives in small pieces does not extend it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let mut receiver = Pipe::temporary()?.into_reader().open()?.into_receiver::<String>();
    /// let error = receiver.recv_timeout(Duration::from_millis(10)).unwrap_err(); // no writer
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`TimedOut`](crate::ErrorKind::TimedOut).
    #[doc(alias("deadline"))]
    pub fn recv_timeout(
        &mut self,
        timeout: Duration,
    ) -> Ret<R, impl Future<Output = Result<T, Error>>>
    where
        T: Receivable,
        R: ReadTimeout,
    {
        self.recv_until(R::Mode::within(timeout))
    }

    pub(crate) fn recv_until(
        &mut self,
        until: WaitLimit,
    ) -> Ret<R, impl Future<Output = Result<T, Error>>>
    where
        T: Receivable,
        R: ReadTimeout,
    {
        self.receive_until(until, Found::new())
    }

    /// Sets the timeout of every receive that has none of its own: of [`recv`](Self::recv),
    /// [`recv_ref`](Self::recv_ref), [`recv_bytes`](Self::recv_bytes), [`recv_from`](Self::recv_from),
    /// [`recv_with_handles`](Self::recv_with_handles), `recv_view`, and of the iterator.
    ///
    /// With a timeout of zero they do not wait, and fail with [`WouldBlock`](crate::ErrorKind::WouldBlock); with
    /// another one, with [`TimedOut`](crate::ErrorKind::TimedOut). Nothing is lost then: the next receive goes on. `None`,
    /// as at first, waits as long as it takes. A `Stream` has no timeout.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<String>();
    /// let error = receiver.set_timeout(Duration::from_millis(10)).recv_ref().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// let error = receiver.set_timeout(Duration::ZERO).recv_bytes().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
    ///
    /// TypedSender::<str>::connect(path)?.send("hello")?;
    /// assert_eq!(receiver.set_timeout(None).recv_ref()?, "hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("set_read_timeout", "set_nonblocking", "SO_RCVTIMEO", "deadline"))]
    pub fn set_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> &mut Self
    where
        R: ReadTimeout,
    {
        let read: ReadWithin<R> = R::poll_read_within;
        self.timeout = timeout.into().map(|timeout| (timeout, read));
        self
    }

    /// Receives the next value in its borrowed form, straight from the buffer.
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new();
    /// TypedSender::<str, _>::new(&mut bytes).send("no `String` is made for this")?;
    /// let mut receiver = TypedReceiver::<String, _>::new(bytes.as_slice());
    /// let text: &str = receiver.recv_ref()?;
    /// assert_eq!(text, "no `String` is made for this");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// The codec must be a [`BorrowingCodec`]: over `Json`, where a text may have escapes, it does not compile.
    ///
    /// Drop it before the next receive:
    ///
    /// ```compile_fail,E0499
    /// # fn two(receiver: &mut typed_pipe::TypedReceiver<String>) -> Result<(), typed_pipe::Error> {
    /// let first = receiver.recv_ref()?;
    /// let second = receiver.recv_ref()?;
    /// println!("{first} {second}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    #[doc(alias("zero-copy", "borrow"))]
    pub fn recv_ref(&mut self) -> Ret<R, impl Future<Output = Result<T::Ref<'_>, Error>>>
    where
        T: Message,
        C: BorrowingCodec,
    {
        self.receive(Found::new())
    }

    /// Receives the next message as raw bytes, straight from the buffer.
    ///
    /// It is the counterpart of [`send_bytes`](crate::TypedSender::send_bytes) and [`loan`](crate::TypedSender::loan).
    /// Drop the bytes before the next receive.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<String>();
    /// let mut sender = TypedSender::<str>::connect(path)?;
    /// sender.send_bytes(b"\xff\xff")?;
    /// assert_eq!(receiver.recv_bytes()?, b"\xff\xff"); // no `String`, and not decoded
    /// sender.send("hi")?;
    /// assert_eq!(receiver.recv_bytes()?, b"\x02hi"); // a value in the encoding of the codec
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv) except `Decode`.
    pub fn recv_bytes(&mut self) -> Ret<R, impl Future<Output = Result<&[u8], Error>>> {
        self.receive(Self::bytes_found)
    }

    #[inline]
    fn bytes_found(&mut self, filled: Result<(), Error>) -> Result<&[u8], Error> {
        filled?;
        self.incoming.bytes()
    }

    #[inline(always)]
    fn receive<'a, V>(
        &'a mut self,
        take: impl Done<&'a mut Self, Output = Result<V, Error>>,
    ) -> Ret<R, impl Future<Output = Result<V, Error>>> {
        let until = self.limit::<R::Mode>();
        let fill = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            if this.incoming.step()? {
                return Poll::Ready(Ok(()));
            }
            let limited = this.timeout.map(|(_, read)| read);
            let read = move |io: &mut R, cx: &mut Context<'_>, buf: &mut [u8]| match limited {
                None => io.poll_read(cx, buf),
                Some(read) => read(io, cx, buf, until),
            };
            this.poll_read_by(cx, read, || R::Mode::over(until))
        };
        R::Mode::wait(Ok(()), until, self, fill, take)
    }

    #[inline]
    fn receive_until<'a, V>(
        &'a mut self,
        until: WaitLimit,
        take: impl Done<&'a mut Self, Output = Result<V, Error>>,
    ) -> Ret<R, impl Future<Output = Result<V, Error>>>
    where
        R: ReadTimeout,
    {
        let fill = |this: &mut &'a mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            let over = || R::Mode::over(until);
            this.poll_fill_by(cx, |io, cx, buf| io.poll_read_within(cx, buf, until), over)
        };
        R::Mode::wait(Ok(()), until, self, fill, take)
    }

    fn fill_now(&mut self) -> Result<(), Error>
    where
        R: ReadTimeout,
    {
        let until = WaitLimit::Now;
        complete_by(|cx| {
            let over = || R::Mode::over(until);
            self.poll_fill_by(cx, |io, cx, buf| io.poll_read_within(cx, buf, until), over)
        })
    }
}

/// The reads of one receive that have not brought a whole message.
///
/// A writer may go on and on with what is skipped, such as messages of another type. Then no read waits, and none notices
/// that the time is over.
#[derive(Debug, Default)]
pub(super) struct Reads(u32);

/// The reads for which a receive needs no time: they take in what any pipe holds.
const FREE_READS: u32 = 256;

impl Reads {
    /// Notes one more; the error of the wait that is over, where it was one too many.
    pub(super) fn one_more(&mut self, over: impl Fn() -> Option<io::Error>) -> Option<io::Error> {
        self.0 = self.0.saturating_add(1);
        if self.0 < FREE_READS { None } else { over() }
    }
}

/// Decodes the message that was found.
pub(crate) struct Found<V>(PhantomData<fn() -> V>);

impl<V> Found<V> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, V, T, R, F, C> Done<&'de mut TypedReceiver<T, R, F, C>> for Found<V>
where
    V: Deserialize<'de>,
    F: Framing,
    C: Codec,
{
    type Output = Result<V, Error>;

    #[inline(always)]
    fn done(
        self,
        receiver: &'de mut TypedReceiver<T, R, F, C>,
        filled: Result<(), Error>,
    ) -> Result<V, Error> {
        filled?;
        receiver.incoming.message()
    }
}

impl<T, R, F: Framing, C: Codec> TypedReceiver<T, R, F, C> {
    /// Reads until there is a whole message.
    #[inline]
    pub(crate) fn poll_fill_by(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnMut(&mut R, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
        over: impl Fn() -> Option<io::Error>,
    ) -> Poll<Result<(), Error>> {
        if self.incoming.step()? {
            return Poll::Ready(Ok(()));
        }
        self.poll_read_by(cx, read, over)
    }

    /// Reads until a whole message has arrived.
    #[inline(never)]
    fn poll_read_by(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut R, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
        over: impl Fn() -> Option<io::Error>,
    ) -> Poll<Result<(), Error>> {
        let (io, incoming) = self.parts();
        let got = ready!(read(io, cx, incoming.room()));
        incoming.note(got)?;
        if incoming.step()? {
            return Poll::Ready(Ok(()));
        }
        self.poll_read_on_by(cx, read, over)
    }

    /// Goes on reading, where that was not enough.
    #[cold]
    #[inline(never)]
    fn poll_read_on_by(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut R, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
        over: impl Fn() -> Option<io::Error>,
    ) -> Poll<Result<(), Error>> {
        let (io, incoming) = self.parts();
        let mut reads = Reads::default();
        loop {
            let got = ready!(read(io, cx, incoming.room()));
            incoming.note(got)?;
            if incoming.step()? {
                return Poll::Ready(Ok(()));
            }
            if let Some(over) = reads.one_more(&over) {
                incoming.note(Err(over))?;
            }
        }
    }
}

impl<T, M: Mode, P: PipeRef, F: Framing, C: Codec> TypedReceiver<T, End<Read, Open<M>, P>, F, C> {
    /// Reads until there is a whole message, in the mode of the source.
    #[inline]
    pub(crate) fn poll_fill_in_mode(
        &mut self,
        cx: &mut Context<'_>,
        until: WaitLimit,
    ) -> Poll<Result<(), Error>> {
        self.poll_fill_by(cx, |end, cx, buf| end.poll_read_until(cx, buf, until), || M::over(until))
    }
}

impl<T, R: Source, C: Codec> TypedReceiver<T, R, MultiWriter, C> {
    /// Receives the next value and the identifier of its writer, waiting until it is there.
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default());
    /// let mut bytes = Vec::new(); // a FIFO, to which two processes write
    /// for name in ["one", "two"] {
    ///     TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone()).send(name)?;
    /// }
    ///
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
    /// let (one, name) = receiver.recv_from()?;
    /// assert_eq!(name, "one");
    /// let (two, name) = receiver.recv_from()?;
    /// assert_eq!(name, "two");
    /// assert_ne!(one, two);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub fn recv_from(&mut self) -> Ret<R, impl Future<Output = Result<(WriterId, T), Error>>>
    where
        T: Receivable,
    {
        let take = |this: &mut Self, filled: Result<(), Error>| {
            filled?;
            let value = this.incoming.message()?;
            this.with_last_writer(value)
        };
        self.receive(take)
    }
}

impl<T, R, C: Codec> TypedReceiver<T, R, MultiWriter, C> {
    /// The writer of the last received message, by whichever method.
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default());
    /// let mut bytes = Vec::new(); // a FIFO, to which many processes write
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone()).send_all(["one", "two"])?;
    ///
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
    /// assert_eq!(receiver.last_writer(), None);
    /// assert_eq!(receiver.recv_ref()?, "one"); // which does not return the writer
    /// let first = receiver.last_writer();
    /// let (second, _) = receiver.recv_from()?;
    /// assert_eq!(first, Some(second)); // it was the same
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn last_writer(&self) -> Option<WriterId> {
        self.incoming.last_writer()
    }

    pub(crate) fn with_last_writer(&self, value: T) -> Result<(WriterId, T), Error> {
        match self.last_writer() {
            Some(writer) => Ok((writer, value)),
            None => Err(Error::new(Operation::Receive, FrameError::OutOfBounds)),
        }
    }
}

/// Ends when the last writer has hung up between two messages, with a goodbye or without one, when a
/// [`CancelToken`](crate::CancelToken) cancels the wait, or after a fatal error. A reset that the system reports is an
/// error, even between two messages.
impl<T: Receivable, R: Source<Mode = Blocking>, F: Framing, C: Codec> Iterator
    for TypedReceiver<T, R, F, C>
{
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.incoming.has_failed() {
            return None;
        }
        let received = self.recv();
        self.incoming.item(received)
    }
}

// A receiver pins none of its fields, whatever its source.
impl<T, R, F, C> Unpin for TypedReceiver<T, R, F, C> {}

impl<T, R: fmt::Debug, F, C> fmt::Debug for TypedReceiver<T, R, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedReceiver").field("io", &self.io).finish_non_exhaustive()
    }
}
