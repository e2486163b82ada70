//! The halves of a connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::end::{self, End, PipeRef};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::permits::Permit;
use crate::state::{Blocking, Mode, Open, Read, Write, complete};
use crate::sys::{Peer, WaitLimit};

/// The half of a connection that is read from.
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

/// The half of a connection that is written to.
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

/// In place of a pipe: the end is one half of a [`Connection`](crate::Connection).
///
/// It can be closed, and not be opened again. Dropping or closing one half ends its direction alone: after the
/// writing half, the other side reads the end of the stream, and can go on sending.
///
/// ```
/// use typed_pipe::state::Open;
/// use typed_pipe::{Connection, ConnectionHalf, ReadEnd, WriteEnd};
///
/// let (client, mut server) = Connection::pair()?;
/// let (mut reader, writer): (ReadEnd<Open, ConnectionHalf>, WriteEnd<Open, ConnectionHalf>) = client.split();
/// drop(writer);
/// assert_eq!(server.reader().read(&mut [0; 8])?, 0); // the end of this direction
/// server.writer().write(b"go on")?; // and not of the other
/// assert_eq!(reader.read(&mut [0; 8])?, 5);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// The end of one direction is a message without bytes, since the system has nothing for it. Where the pipe is full
/// when the writing half is dropped, the other side learns of it when it has read some;
/// [`finish`](End::finish) waits for that. A reading half that is dropped alone is not noticed by the other side.
#[derive(Clone, Debug)]
pub struct ConnectionHalf {
    pub(super) path: Option<PipePath>,
    pub(super) _permit: Option<Arc<Permit>>,
}

impl PipeRef for ConnectionHalf {}
impl end::half::PipeRef for ConnectionHalf {
    fn path(&self) -> Option<&PipePath> {
        self.path.as_ref()
    }
}

impl<M: Mode> End<Write, Open<M>, ConnectionHalf> {
    /// Says that this was all, and closes the half: the other side reads the end of the stream.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let (reader, mut writer) = client.split();
    /// writer.write(b"that is all")?;
    /// writer.finish()?; // dropping it says the same, and tells no error
    /// let mut buf = [0; 32];
    /// assert_eq!(server.reader().read(&mut buf)?, 11);
    /// assert_eq!(server.reader().read(&mut buf)?, 0);
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, a future that is dropped drops the half, which does the same as far as that takes no waiting.
    ///
    /// # Errors
    ///
    /// In each the half is given back.
    ///
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`Connection::cancelled_by`](crate::Connection::cancelled_by).
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): the pipe is one of another program, of a type that has no
    ///   such thing. Windows alone.
    pub fn finish(self) -> M::Ret<impl Future<Output = Result<(), TransitionError<Self>>>> {
        M::run(self.finishing(WaitLimit::Done))
    }

    /// Says that this was all, if that takes no waiting.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?; // of which one does not read
    /// let (reader, mut writer) = client.split();
    /// while writer.try_write(&[7; 1000]).is_ok() {} // until there is no room
    /// if let Err(failed) = writer.try_finish() {
    ///     assert_eq!(failed.kind(), ErrorKind::WouldBlock); // Windows alone
    ///     drop(failed.into_state()); // or wait for the other side to read, and try again
    /// }
    /// # drop((reader, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`WouldBlock`](crate::ErrorKind::WouldBlock): the pipe is full. Windows alone.
    pub fn try_finish(self) -> Result<(), TransitionError<Self>> {
        complete(self.finishing(WaitLimit::Now))
    }

    /// Says that this was all, and waits for some time at most for room to say so.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?; // of which one does not read
    /// let (reader, mut writer) = client.split();
    /// while writer.try_write(&[7; 1000]).is_ok() {} // until there is no room
    /// if let Err(failed) = writer.finish_timeout(Duration::from_millis(10)) {
    ///     assert_eq!(failed.kind(), ErrorKind::TimedOut); // Windows alone
    /// }
    /// # drop((reader, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`TimedOut`](crate::ErrorKind::TimedOut). Windows alone.
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
    /// The bytes that the other side has not read yet, as the system counts them.
    ///
    /// It is 0 when all was read; else the system may add what it needs itself to keep them.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let (reader, mut writer) = client.split();
    /// writer.write(b"hello")?;
    /// server.reader().read(&mut [0; 8])?;
    /// if let Ok(bytes) = writer.unsent() {
    ///     assert_eq!(bytes, 0); // the other side has read all
    /// }
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the system does not tell.
    pub fn unsent(&self) -> Result<usize, Error> {
        self.raw().unsent().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Who is on the other side, as [`Connection::peer`](crate::Connection::peer).
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let who = client.peer()?;
    /// let (reader, writer) = client.split();
    /// assert_eq!(writer.peer()?, who); // it can be asked after the split, too
    /// # drop((reader, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not tell.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.raw().peer().map_err(|error| self.failed(Operation::AskPeer, error))
    }
}

impl<M: Mode> End<Read, Open<M>, ConnectionHalf> {
    /// The bytes that have come in and were not read yet.
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
    /// [`Io`](crate::ErrorKind::Io): the other side is gone.
    pub fn unread(&self) -> Result<usize, Error> {
        self.raw().unread().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Who is on the other side, as [`Connection::peer`](crate::Connection::peer).
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let receiver = client.split().0.into_receiver::<u32>();
    /// assert!(receiver.get_ref().peer()?.is_same_user()); // the half can be asked in a channel, too
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not tell.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.raw().peer().map_err(|error| self.failed(Operation::AskPeer, error))
    }
}
