//! The halves of a connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::end::{self, End};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::permits::Permit;
use crate::state::{Blocking, Mode, Open, Read, Write, complete};
use crate::sys::{Peer, WaitLimit};

/// The reading half of a connection.
///
/// ```
/// use typed_pipe::{Connection, Error, ReadHalf};
///
/// fn sum(reader: ReadHalf) -> Result<u32, Error> {
///     reader.into_receiver::<u32>().sum()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let (_, writer) = server.split();
/// writer.into_sender::<u32>().send_all([1, 2, 3])?;
/// assert_eq!(sum(client.split().0)?, 6);
/// # Ok::<(), Error>(())
/// ```
pub type ReadHalf<M = Blocking> = End<Read, Open<M>, ConnectionHalf>;

/// The writing half of a connection.
///
/// ```
/// use typed_pipe::{Connection, Error, WriteHalf};
///
/// struct Log {
///     lines: u32,
///     writer: WriteHalf,
/// }
///
/// impl Log {
///     fn line(&mut self, text: &str) -> Result<usize, Error> {
///         self.lines += 1;
///         self.writer.write(format!("{} {text}\n", self.lines).as_bytes())
///     }
/// }
///
/// let (client, mut server) = Connection::pair()?;
/// let mut log = Log { lines: 0, writer: client.split().1 };
/// log.line("started")?;
/// assert_eq!(server.reader().read(&mut [0; 32])?, 10);
/// # Ok::<(), Error>(())
/// ```
pub type WriteHalf<M = Blocking> = End<Write, Open<M>, ConnectionHalf>;

/// The marker of an end that is one half of a [`Connection`](crate::Connection), in place of a pipe.
///
/// Such an end can be closed, but not reopened. Dropping or closing one half ends its direction alone: once the writing
/// half is closed, the peer reads the end of the stream, and can go on sending.
///
/// ```
/// use typed_pipe::state::Open;
/// use typed_pipe::{Connection, ConnectionHalf, ReadEnd, WriteEnd};
///
/// let (client, mut server) = Connection::pair()?;
/// let (mut reader, writer): (ReadEnd<Open, ConnectionHalf>, WriteEnd<Open, ConnectionHalf>) = client.split();
/// drop(writer);
/// assert_eq!(server.reader().read(&mut [0; 8])?, 0); // the end of this direction
/// server.writer().write(b"go on")?; // and not of the other one
/// assert_eq!(reader.read(&mut [0; 8])?, 5);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// The end of one direction is an empty message, since the system has no half-close. If the pipe is full when the
/// writing half is dropped, the peer sees the end once it has read some bytes; [`finish`](End::finish) waits for that.
/// The peer does not notice a reading half dropped alone.
#[derive(Clone, Debug)]
pub struct ConnectionHalf {
    pub(super) path: Option<PipePath>,
    pub(super) permit: Option<Arc<Permit>>,
}

impl end::half::PipeRef for ConnectionHalf {
    fn path(&self) -> Option<&PipePath> {
        self.path.as_ref()
    }

    fn is_named(&self) -> bool {
        false
    }
}

impl<M: Mode> End<Write, Open<M>, ConnectionHalf> {
    /// Half-closes the connection: the peer reads the end of the stream.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let (reader, mut writer) = client.split();
    /// writer.write(b"that is all")?;
    /// writer.finish()?; // dropping it does the same, and hides an error
    /// let mut buf = [0; 32];
    /// assert_eq!(server.reader().read(&mut buf)?, 11);
    /// assert_eq!(server.reader().read(&mut buf)?, 0);
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future drops the half, which does the same as far as that takes no waiting.
    ///
    /// # Errors
    ///
    /// Each gives back the half.
    ///
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`Connection::cancelled_by`](crate::Connection::cancelled_by).
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): the pipe is one of another program, of a type without a
    ///   half-close. Windows only.
    pub fn finish(self) -> M::Ret<impl Future<Output = Result<(), TransitionError<Self>>>> {
        M::run(self.finishing(WaitLimit::Done))
    }

    /// Half-closes the connection without waiting.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?; // the server does not read
    /// let (reader, mut writer) = client.split();
    /// while writer.try_write(&[7; 1000]).is_ok() {} // until there is no room
    /// if let Err(failed) = writer.try_finish() {
    ///     assert_eq!(failed.kind(), ErrorKind::WouldBlock); // Windows only
    ///     drop(failed.into_state()); // or wait for the peer to read, and try again
    /// }
    /// # drop((reader, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`WouldBlock`](crate::ErrorKind::WouldBlock): the pipe is full. Windows
    /// only.
    pub fn try_finish(self) -> Result<(), TransitionError<Self>> {
        complete(self.finishing(WaitLimit::Now))
    }

    /// Half-closes the connection, and waits for at most `timeout` for room to do so.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?; // the server does not read
    /// let (reader, mut writer) = client.split();
    /// while writer.try_write(&[7; 1000]).is_ok() {} // until there is no room
    /// if let Err(failed) = writer.finish_timeout(Duration::from_millis(10)) {
    ///     assert_eq!(failed.kind(), ErrorKind::TimedOut); // Windows only
    /// }
    /// # drop((reader, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`TimedOut`](crate::ErrorKind::TimedOut). Windows only.
    pub fn finish_timeout(
        self,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<(), TransitionError<Self>>>> {
        M::run(self.finishing(M::within(timeout)))
    }

    pub(super) async fn finishing(mut self, until: WaitLimit) -> Result<(), TransitionError<Self>> {
        match self.finish_in_place(until).await {
            Ok(()) => Ok(()),
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }
}

impl<M: Mode> End<Write, Open<M>, ConnectionHalf> {
    /// The number of bytes that the peer has not read yet, as the system counts them.
    ///
    /// It is 0 when the peer has read everything; otherwise the system may include its own overhead.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let (reader, mut writer) = client.split();
    /// writer.write(b"hello")?;
    /// server.reader().read(&mut [0; 8])?;
    /// if let Ok(bytes) = writer.unsent() {
    ///     assert_eq!(bytes, 0); // the peer has read everything
    /// }
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the system does not report it.
    pub fn unsent(&self) -> Result<usize, Error> {
        self.raw().unsent().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Identifies the peer, as [`Connection::peer`](crate::Connection::peer).
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let who = client.peer()?;
    /// let (reader, writer) = client.split();
    /// assert_eq!(writer.peer()?, who); // works after the split, too
    /// # drop((reader, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not identify it.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.raw().peer().map_err(|error| self.failed(Operation::AskPeer, error))
    }
}

impl<M: Mode> End<Read, Open<M>, ConnectionHalf> {
    /// The number of bytes that have arrived and were not read yet.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let (mut reader, writer) = client.split();
    /// server.writer().write(b"hello")?;
    /// assert_eq!(reader.unread()?, 5);
    /// reader.read(&mut [0; 2])?;
    /// assert_eq!(reader.unread()?, 3);
    /// # drop(writer);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the peer is gone.
    pub fn unread(&self) -> Result<usize, Error> {
        self.raw().unread().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Whether a listener accepted the connection: the other side may have spoken before this one looks.
    pub(crate) fn was_accepted(&self) -> bool {
        self.held().permit.is_some()
    }

    /// Identifies the peer, as [`Connection::peer`](crate::Connection::peer).
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let receiver = client.split().0.into_receiver::<u32>();
    /// assert!(receiver.get_ref().peer()?.is_same_user()); // works in a channel, too
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not identify it.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.raw().peer().map_err(|error| self.failed(Operation::AskPeer, error))
    }
}
