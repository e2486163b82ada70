//! The sources and sinks of channels, and how they wait.

use std::io;
use std::task::{Context, Poll};

use crate::state::{Blocking, Mode};
use crate::sys::LARGE;

/// The size of a piece of large bytes: a reader takes it while the next one is prepared.
pub(crate) const PIECE: usize = 64 << 10;

/// Splits off the piece to move next. The last one stays large enough to be worth moving, too.
pub(crate) fn first_piece(bytes: &[u8]) -> (&[u8], &[u8]) {
    let last = bytes.len() < PIECE + LARGE;
    bytes.split_at(if last { bytes.len() } else { PIECE })
}

/// How far a step of writing all has come; an error, where it cannot go on.
pub(crate) fn progress(step: io::Result<usize>) -> io::Result<usize> {
    match step {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        step => step,
    }
}

/// The result of a waiting operation of a channel over the source `S`, whose future is `F`.
///
/// If `S` is [blocking](Blocking), it is the output of the future. If `S` is an end in the mode `Tokio`, it is the
/// future, to be awaited.
///
/// ```
/// use std::io;
/// use typed_pipe::{Error, TypedReceiver};
///
/// fn next<R: io::Read>(receiver: &mut TypedReceiver<u32, R>) -> Result<u32, Error> {
///     receiver.recv() // it blocks: nothing to await
/// }
/// # let _ = next::<&[u8]>;
/// ```
pub type Ret<S, F> = <<S as Source>::Mode as Mode>::Ret<F>;

/// The result of a waiting operation of a channel over the sink `S`: see [`Ret`].
pub type SinkRet<S, F> = <<S as Sink>::Mode as Mode>::Ret<F>;

/// A source of bytes for a [`TypedReceiver`](crate::TypedReceiver), in either mode.
///
/// Every [`io::Read`] is one, which blocks, and so is a reading end that is open in the mode `Tokio`. This trait is
/// sealed.
///
/// ```
/// use typed_pipe::{Pipe, Source, TypedReceiver};
///
/// /// The buffered bytes of a receiver in either mode, for the log.
/// fn held<R: Source>(receiver: &TypedReceiver<u32, R>) -> String {
///     format!("{} bytes that belong to no message yet", receiver.buffered().len())
/// }
///
/// let receiver = Pipe::temporary()?.into_reader().open()?.into_receiver::<u32>();
/// assert!(held(&receiver).starts_with("0 bytes"));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from",
    label = "not open for reading",
    note = "the end of a pipe is read from after `open()`, and if it is a `ReadEnd`"
)]
#[doc(alias("mock"))]
pub trait Source: half::Source {
    /// How its operations wait.
    type Mode: Mode;
}

/// A sink of bytes for a [`TypedSender`](crate::TypedSender), in either mode.
///
/// Every [`io::Write`] is one, which blocks, and so is a writing end that is open in the mode `Tokio`. This trait is
/// sealed.
///
/// ```
/// use typed_pipe::{Sink, TypedSender};
///
/// /// The unsent bytes of a sender in either mode, for the log.
/// fn unsent<E: Sink>(sender: &TypedSender<u32, E>) -> String {
///     format!("{} bytes to be sent", sender.pending())
/// }
///
/// let mut sender = TypedSender::<u32, _>::new(Vec::new());
/// sender.feed(&7)?;
/// assert!(unsent(&sender).starts_with("5 bytes"));
/// # sender.flush()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to",
    label = "not open for writing",
    note = "the end of a pipe is written to after `open()`, and if it is a `WriteEnd`"
)]
#[doc(alias("mock"))]
pub trait Sink: half::Sink {
    /// How its operations wait.
    type Mode: Mode;
}

/// A source that can read until a deadline, or without waiting.
///
/// The reading ends of pipes are such sources. This trait is sealed.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::state::Blocking;
/// use typed_pipe::{Error, ErrorKind, Pipe, ReadTimeout, Receivable, TypedReceiver};
///
/// /// The next message, if it comes soon, from the end of any pipe or connection.
/// fn soon<T, R>(receiver: &mut TypedReceiver<T, R>) -> Result<Option<T>, Error>
/// where
///     T: Receivable,
///     R: ReadTimeout<Mode = Blocking>,
/// {
///     match receiver.recv_timeout(Duration::from_millis(10)) {
///         Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
///         received => received.map(Some),
///     }
/// }
///
/// let mut receiver = Pipe::temporary()?.into_reader().open()?.into_receiver::<u32>();
/// assert_eq!(soon(&mut receiver)?, None);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot wait with a deadline",
    label = "has no deadlines",
    note = "use the operation without a deadline, or the end of a pipe",
    note = "a stream of tokio has deadlines and `try_...` as a connection: `Connection::over(Tokio::carrier(reader, writer))`"
)]
pub trait ReadTimeout: Source + half::ReadTimeout {}

#[diagnostic::do_not_recommend]
impl<R: Source + half::ReadTimeout> ReadTimeout for R {}

/// A sink that can write until a deadline, or without waiting.
///
/// The writing ends of pipes are such sinks. This trait is sealed.
///
/// ```
/// use typed_pipe::{Error, ErrorKind, Pipe, TypedSender, WriteTimeout};
///
/// /// Sends a line to the end of any pipe or connection, or drops it if the reader is too slow.
/// fn offer<E>(sender: &mut TypedSender<str, E>, line: &str) -> Result<bool, Error>
/// where
///     E: WriteTimeout,
/// {
///     match sender.try_send(line) {
///         Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(error.is_half_sent()),
///         sent => sent.map(|()| true),
///     }
/// }
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let reader = pipe.into_reader().open()?; // which does not read
/// let mut sender = TypedSender::<str>::connect(path)?;
/// while offer(&mut sender, "it goes on")? {}
/// # drop(reader);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot wait with a deadline",
    label = "has no deadlines",
    note = "use the operation without a deadline, or the end of a pipe",
    note = "a stream of tokio has deadlines and `try_...` as a connection: `Connection::over(Tokio::carrier(reader, writer))`"
)]
pub trait WriteTimeout: Sink + half::WriteTimeout {}

#[diagnostic::do_not_recommend]
impl<W: Sink + half::WriteTimeout> WriteTimeout for W {}

#[diagnostic::do_not_recommend]
impl<R: io::Read + ?Sized> Source for R {
    type Mode = Blocking;
}

#[diagnostic::do_not_recommend]
impl<R: io::Read + ?Sized> half::Source for R {
    #[inline]
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.read(buf))
    }
}

#[diagnostic::do_not_recommend]
impl<W: io::Write + ?Sized> Sink for W {
    type Mode = Blocking;
}

#[diagnostic::do_not_recommend]
impl<W: io::Write + ?Sized> half::Sink for W {
    #[inline]
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }
}

/// The private halves of the traits: they seal them, and keep the internal methods inside the crate.
pub(crate) mod half {
    use std::future::Future;
    use std::io;
    use std::task::{Context, Poll};

    use crate::sys::WaitLimit;
    #[cfg(feature = "shared-memory")]
    use crate::sys::{Measure, Raw};

    pub trait Source {
        fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
    }

    pub trait Sink {
        fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    }

    pub trait ReadTimeout {
        fn poll_read_within(
            &mut self,
            cx: &mut Context<'_>,
            buf: &mut [u8],
            until: WaitLimit,
        ) -> Poll<io::Result<usize>>;

        /// Waits until a whole message lies in shared memory, and tells its length; 0 where it must be read.
        #[cfg(feature = "shared-memory")]
        fn poll_frame(
            &mut self,
            cx: &mut Context<'_>,
            measure: &Measure<'_>,
            until: WaitLimit,
        ) -> Poll<io::Result<usize>>;

        #[cfg(feature = "shared-memory")]
        fn raw_end(&mut self) -> &mut Raw;
    }

    pub trait WriteTimeout {
        fn poll_write_within(
            &mut self,
            cx: &mut Context<'_>,
            bytes: &[u8],
            until: WaitLimit,
        ) -> Poll<io::Result<usize>>;

        /// Waits until the readers have drained the pipe; `Ok(false)` where the system cannot report that.
        fn taken(&mut self, until: WaitLimit) -> impl Future<Output = io::Result<bool>>;

        /// Half-closes a connection; does nothing for an end whose stream only closing ends.
        fn poll_half_close(
            &mut self,
            cx: &mut Context<'_>,
            until: WaitLimit,
        ) -> Poll<io::Result<()>>;

        /// Lends room for `before + len` bytes, if it can move into the pipe without a copy. Only a pipe of a limited
        /// number of such bytes waits for some.
        fn lend(&mut self, _before: usize, _len: usize, _until: WaitLimit) -> bool {
            false
        }

        /// The lent bytes not moved into the pipe yet.
        fn lent(&self) -> &[u8] {
            &[]
        }

        /// The lent room, to be filled. Empty once a part of it has moved into the pipe.
        fn lent_mut(&mut self) -> &mut [u8] {
            &mut []
        }

        /// Moves lent bytes into the pipe, as [`poll_write_within`](Self::poll_write_within) would.
        fn give(&mut self, _until: WaitLimit) -> io::Result<usize> {
            Ok(0)
        }
    }
}
