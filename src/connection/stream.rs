//! Connections: made, split, ended.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::half::{ConnectionHalf, ReadHalf, WriteHalf};
use crate::end::End;
use crate::error::{Error, Obstacle, Operation, TransitionError};
use crate::path::PipePath;
use crate::permits::Permit;
use crate::state::{Blocking, Mode, complete};
use crate::sys::{Peer, Raw, WaitLimit};
use crate::wait::CancelToken;

/// A two-way pipe to another process.
///
/// A client connects to the path of a [`Listener`](crate::Listener), which accepts it; `TryFrom<OwnedFd>` or
/// `TryFrom<OwnedHandle>` makes a connection from a handle. Bytes go both ways, at the same time from two threads after
/// [`split`](Self::split). [`into_typed`](Self::into_typed) turns it into a channel of messages.
///
/// A connection is an [`io::Read`] and an [`io::Write`]. Dropping it closes both directions: written bytes stay for the
/// peer to read.
///
/// ```
/// use std::io::{Read, Write};
/// use std::thread;
/// use typed_pipe::{Connection, Listener};
///
/// let listener = Listener::temporary()?;
/// let path = listener.path().clone(); // all that a client needs
/// let client = thread::spawn(move || -> std::io::Result<String> {
///     let mut connection = Connection::connect(path)?;
///     connection.write_all(b"how are you?")?;
///     let mut answer = String::new();
///     connection.finish()?.read_to_string(&mut answer)?; // half-closed; now the answer
///     Ok(answer)
/// });
///
/// let mut connection = listener.accept()?;
/// let mut question = Vec::new();
/// connection.read_to_end(&mut question)?; // until the client half-closes
/// connection.write_all(b"very well")?;
/// drop(connection);
/// assert_eq!(client.join().unwrap()?, "very well");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In the mode `Tokio` (feature `tokio`), it is an `AsyncRead` and an `AsyncWrite` instead.
///
/// A finished connection cannot be written to:
///
/// ```compile_fail,E0382
/// let mut connection = typed_pipe::Connection::connect("/run/app/door")?;
/// let answers = connection.finish()?;
/// connection.writer().write(b"one more thing")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0599
/// let mut answers = typed_pipe::Connection::connect("/run/app/door")?.finish()?;
/// answers.write(b"one more thing")?; // only the reading half is left
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// A Unix domain socket of the stream type, like the pipes of libuv.
///
/// ## Windows
///
/// An instance of a pipe of the message type, open for overlapped operations.
#[derive(Debug)]
#[doc(alias("socket", "unix socket", "UDS", "UnixStream", "duplex", "ipc"))]
pub struct Connection<M: Mode = Blocking> {
    reader: ReadHalf<M>,
    writer: WriteHalf<M>,
}

type Halves<M> = (ReadHalf<M>, WriteHalf<M>);

impl Connection {
    /// Connects to the listener at a path, and waits as long as it takes.
    ///
    /// It does not matter which process starts first: it waits until the name exists, until a process listens at it,
    /// and until that process has room for another client. A connected client is not accepted yet: the listener may do
    /// that later. [`ConnectOptions`] has the rest.
    ///
    /// ```no_run
    /// use typed_pipe::Connection;
    ///
    /// let mut connection = Connection::connect("/run/app/door")?;
    /// connection.writer().write(b"hello")?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// It blocks its thread, and with it all tasks of the thread. In a task, connect with
    /// `ConnectOptions::new().into_tokio()`.
    ///
    /// # Errors
    ///
    /// - [`InvalidName`](crate::ErrorKind::InvalidName): see [`PipePath`]; or the path is too long for this system.
    /// - [`NotAPipe`](crate::ErrorKind::NotAPipe): the name leads to something else.
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): another user listens there.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may not connect.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// A path may have any length on Linux, and 103 bytes elsewhere.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        ConnectOptions::new().connect(path)
    }

    /// Connects to the listener at a path, without waiting.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind, Listener};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let error = Connection::try_connect(&name).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    ///
    /// let listener = Listener::bind(&name)?; // another process
    /// let connection = Connection::try_connect(&name)?; // before it is accepted
    /// # drop((connection, listener));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), and:
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound): there is no such name.
    /// - [`WouldBlock`](crate::ErrorKind::WouldBlock): no process listens there, or it has no room for another client
    ///   now.
    pub fn try_connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        ConnectOptions::new().try_connect(path)
    }

    /// Connects to the listener at a path, and waits for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let error = Connection::connect_timeout(name, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // no process listens there yet
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn connect_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self, Error> {
        ConnectOptions::new().connect_timeout(path, timeout)
    }

    /// Makes a pair of connections, connected to each other.
    ///
    /// They have no [path](Self::path), so no other process can connect. One of them may go to a child process, or be
    /// sent beside a [message](crate::WithHandles). [`peer`](Self::peer) reports this process, the one that made the
    /// pair.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use typed_pipe::Connection;
    ///
    /// let (mut one, mut other) = Connection::pair()?;
    /// one.write_all(b"hello")?;
    /// let mut buf = [0; 5];
    /// other.read_exact(&mut buf)?;
    /// assert_eq!(&buf, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    #[doc(alias("socketpair"))]
    pub fn pair() -> Result<(Self, Self), Error> {
        let sides = Raw::pair().map_err(|error| Error::new(Operation::Connect, error))?;
        let [one, other] = sides.map(|halves| Self::of(halves, None, None));
        Ok((one, other))
    }

    /// Makes a connection from its two halves.
    pub(crate) fn of(
        (reader, writer): (Raw, Raw),
        path: Option<PipePath>,
        permit: Option<Arc<Permit>>,
    ) -> Self {
        let half = ConnectionHalf { path, permit };
        Self {
            reader: End::opened(reader, half.clone(), None),
            writer: End::opened(writer, half, None),
        }
    }

    #[cfg(feature = "service")]
    /// Lets a token cancel the reading alone.
    pub(crate) fn reading_cancelled_by(mut self, token: &CancelToken) -> Self {
        self.reader.cancel_by(token);
        self
    }
}

impl Connection {
    pub(crate) fn into_mode<M: Mode>(self) -> Result<Connection<M>, TransitionError<Self>> {
        let (reader, writer) = self.into_halves();
        let back =
            |reader, writer, error| Err(TransitionError::new(Self { reader, writer }, error));
        let reader = match reader.into_mode::<M>() {
            Ok(reader) => reader,
            Err(failed) => {
                let (reader, error) = failed.into_parts();
                return back(reader, writer, error);
            }
        };
        match writer.into_mode() {
            Ok(writer) => Ok(Connection { reader, writer }),
            Err(failed) => {
                let (writer, error) = failed.into_parts();
                back(reader.into_mode_blocking(), writer, error)
            }
        }
    }
}

impl<M: Mode> Connection<M> {
    /// Lets a token cancel every wait on this connection, from now on: sending and finishing too.
    ///
    /// Where a goodbye is to be said after the cancellation, give the token to the [reading half](End::cancelled_by) alone.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Connection, ErrorKind};
    ///
    /// let token = CancelToken::new()?;
    /// let (client, server) = Connection::pair()?;
    /// let mut client = client.cancelled_by(&token);
    /// let waiting = thread::spawn(move || client.reader().read(&mut [0; 8])); // no byte ever comes
    /// token.cancel();
    /// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.reader.cancel_by(token);
        self.writer.cancel_by(token);
        self
    }

    /// Half-closes the connection, and returns the reading half.
    ///
    /// The peer reads the end of the stream once it has read everything written, and can still answer.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use typed_pipe::Connection;
    ///
    /// let (mut client, mut server) = Connection::pair()?;
    /// client.write_all(b"that is all")?;
    /// let mut answers = client.finish()?;
    ///
    /// let mut words = String::new();
    /// server.read_to_string(&mut words)?; // up to the end
    /// server.write_all(&words.to_uppercase().into_bytes())?;
    /// let mut buf = [0; 11];
    /// answers.read_exact(&mut buf)?;
    /// assert_eq!(&buf, b"THAT IS ALL");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future drops the connection; `shutdown` of tokio's `AsyncWriteExt` borrows the
    /// connection, and half-closes it as well.
    ///
    /// # Errors
    ///
    /// Those of [`End::finish`]. Each gives back the connection.
    #[doc(alias("shutdown", "half-close"))]
    pub fn finish(
        self,
    ) -> M::Ret<impl Future<Output = Result<ReadHalf<M>, TransitionError<Self>>>> {
        M::run(self.finishing(WaitLimit::Done))
    }

    /// Half-closes the connection without waiting, and returns the reading half.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, server) = Connection::pair()?;
    /// while client.writer().try_write(&[7; 1000]).is_ok() {} // until there is no room
    /// match client.try_finish() {
    ///     Ok(answers) => drop(answers), // Unix needs no room for this
    ///     Err(failed) => {
    ///         assert_eq!(failed.kind(), ErrorKind::WouldBlock);
    ///         drop(failed.into_state()); // or wait for the peer to read, and try again
    ///     }
    /// }
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::try_finish`]. Each gives back the connection.
    pub fn try_finish(self) -> Result<ReadHalf<M>, TransitionError<Self>> {
        complete(self.finishing(WaitLimit::Now))
    }

    /// Half-closes the connection, waiting for at most `timeout`, and returns the reading half.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let mut answers = client.finish_timeout(Duration::from_secs(10))?; // there is room: no wait
    /// assert_eq!(server.reader().read(&mut [0; 8])?, 0); // the end
    /// server.writer().write(b"bye")?;
    /// assert_eq!(answers.read(&mut [0; 8])?, 3);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::finish_timeout`]. Each gives back the connection.
    pub fn finish_timeout(
        self,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<ReadHalf<M>, TransitionError<Self>>>> {
        M::run(self.finishing(M::within(timeout)))
    }

    async fn finishing(self, until: WaitLimit) -> Result<ReadHalf<M>, TransitionError<Self>> {
        let Self { reader, writer } = self;
        match writer.finishing(until).await {
            Ok(()) => Ok(reader),
            Err(failed) => {
                let (writer, error) = failed.into_parts();
                Err(TransitionError::new(Self { reader, writer }, error))
            }
        }
    }

    /// The open handle.
    pub(crate) fn raw(&self) -> &Raw {
        self.reader.raw()
    }

    /// The path of the listener; `None` for a connection made from a handle, or of a pair.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let client = Connection::connect(listener.path())?;
    /// let server = listener.accept()?;
    /// assert_eq!(client.path(), Some(listener.path()));
    /// assert_eq!(server.path(), client.path());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> Option<&PipePath> {
        self.reader.path()
    }

    /// The reading half.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, mut server) = Connection::pair()?;
    /// let mut buf = [0; 8];
    /// let error = client.reader().read_timeout(&mut buf, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // `io::Read` has no timeout
    /// server.writer().write(b"hello")?;
    /// assert_eq!(client.reader().read(&mut buf)?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn reader(&mut self) -> &mut ReadHalf<M> {
        &mut self.reader
    }

    /// The writing half.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, server) = Connection::pair()?; // the server does not read
    /// let error = loop {
    ///     if let Err(error) = client.writer().try_write(&[7; 1000]) {
    ///         break error; // `io::Write` would wait
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn writer(&mut self) -> &mut WriteHalf<M> {
        &mut self.writer
    }

    /// Splits the connection into its two halves, for instance for two threads.
    ///
    /// They are ends like those of a FIFO: [`into_receiver`](End::into_receiver) and [`into_sender`](End::into_sender)
    /// turn them into channels, without a handshake. [`reunite`](Self::reunite) joins them again.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let echo = thread::spawn(move || {
    ///     let (reader, writer) = server.split();
    ///     let mut sender = writer.into_sender::<u32>();
    ///     for number in reader.into_receiver::<u32>() {
    ///         sender.send(&(number? + 1))?;
    ///     }
    ///     Ok::<(), typed_pipe::Error>(())
    /// });
    ///
    /// let (reader, writer) = client.split();
    /// writer.into_sender().send(&41_u32)?; // then dropped, so that the echo ends
    /// let answers: Result<Vec<u32>, _> = reader.into_receiver().collect();
    /// assert_eq!(answers?, [42]);
    /// # echo.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn split(self) -> (ReadHalf<M>, WriteHalf<M>) {
        self.writer.raw().set_apart(true);
        self.into_halves()
    }

    /// The halves, which are to be dropped together.
    pub(crate) fn into_halves(self) -> (ReadHalf<M>, WriteHalf<M>) {
        (self.reader, self.writer)
    }

    /// Joins what [`into_halves`](Self::into_halves) gave.
    pub(crate) fn from_halves((reader, writer): Halves<M>) -> Self {
        Self { reader, writer }
    }

    /// Joins the two halves of a connection again.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let ((one, _), (two, _)) = (Connection::pair()?, Connection::pair()?);
    /// let ((reader, writer), (_, other)) = (one.split(), two.split());
    /// let failed = Connection::reunite(reader, other).unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::Mismatch);
    /// let (reader, _) = failed.into_state();
    /// let whole = Connection::reunite(reader, writer)?;
    /// # drop(whole);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Mismatch`](crate::ErrorKind::Mismatch): they are halves of different connections. The error gives back both.
    pub fn reunite(
        reader: ReadHalf<M>,
        writer: WriteHalf<M>,
    ) -> Result<Self, TransitionError<Halves<M>>> {
        if reader.raw().is_half_of(writer.raw()) {
            writer.raw().set_apart(false);
            return Ok(Self { reader, writer });
        }
        let error = Error::new(Operation::Adopt, Obstacle::OtherHalf);
        Err(TransitionError::new((reader, writer), error))
    }

    /// Identifies the peer.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (one, other) = Connection::pair()?;
    /// let peer = one.peer()?;
    /// println!("user {}, process {:?}", peer.user(), peer.pid());
    /// assert!(peer.is_same_user());
    /// one.require_same_user()?; // the same, as an error
    /// # drop(other);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not identify it.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// The user is that of the process when it connected, or when it began to listen. Only Linux reports the process.
    #[doc(alias("SO_PEERCRED", "credentials", "getpeereid"))]
    pub fn peer(&self) -> Result<Peer, Error> {
        self.reader.peer()
    }

    /// Fails if the peer runs as another user than this process.
    ///
    /// A client checks by itself that it is connected to this user or to the system's administrator, unless it [trusts
    /// any owner](ConnectOptions::trust_any_owner).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// let serving = thread::spawn(move || -> Result<u32, Error> {
    ///     let client = listener.accept()?;
    ///     client.require_same_user()?; // a client of another user goes no further
    ///     client.into_typed::<(), u32>()?.recv()
    /// });
    /// Connection::connect(path)?.into_typed::<u32, ()>()?.send(&7)?;
    /// assert_eq!(serving.join().unwrap()?, 7);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): the peer runs as another user.
    /// - [`Io`](crate::ErrorKind::Io): the system does not identify the peer.
    pub fn require_same_user(&self) -> Result<(), Error> {
        let peer = self.peer()?;
        if peer.is_same_user() {
            return Ok(());
        }
        let other = Obstacle::OtherUser { user: peer.user().to_string() };
        Err(Error::new(Operation::AskPeer, other).at(self.reader.shared_path()))
    }
}

impl io::Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.reader, buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.reader.read_vectored(bufs)
    }
}

impl io::Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.writer, bytes)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer.write_vectored(bufs)
    }

    /// Does nothing: written bytes are in the pipe.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Options of connecting.
///
/// ```no_run
/// use std::time::Duration;
/// use typed_pipe::{CancelToken, ConnectOptions};
///
/// let token = CancelToken::new()?;
/// let mut connection = ConnectOptions::new()
///     .cancelled_by(&token)
///     .buffer_size(1 << 20)
///     .connect_timeout("/run/app/door", Duration::from_secs(5))?;
/// connection.writer().write(b"hello")?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions<M: Mode = Blocking> {
    token: Option<CancelToken>,
    any_owner: bool,
    buffer_size: Option<usize>,
    mode: PhantomData<M>,
}

impl ConnectOptions {
    /// The default options: only listeners of this user and of the system's administrator.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let connection = ConnectOptions::new().connect(listener.path())?; // as `Connection::connect`
    /// # drop(connection);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { token: None, any_owner: false, buffer_size: None, mode: PhantomData }
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Mode> ConnectOptions<M> {
    /// Connects to a listener of any user.
    ///
    /// By default, only a listener of this user or of the system's administrator is trusted: in a folder that others
    /// can write to, a listener of another user may be a trap.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let options = ConnectOptions::new().trust_any_owner(); // else it is `NotTrusted` if another user listens
    /// let connection = options.connect(listener.path())?;
    /// println!("user {} listens", connection.peer()?.user());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn trust_any_owner(mut self) -> Self {
        self.any_owner = true;
        self
    }

    /// Lets a token cancel every wait on the connection, connecting included.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, ConnectOptions, ErrorKind};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let token = CancelToken::new()?;
    /// let options = ConnectOptions::new().cancelled_by(&token);
    /// let waiting = thread::spawn(move || options.connect(name)); // no process ever listens there
    /// token.cancel();
    /// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Requests a size of the buffers in bytes.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let options = ConnectOptions::new().buffer_size(1 << 17);
    /// let mut connection = options.connect(listener.path())?;
    /// if cfg!(target_os = "linux") {
    ///     assert!(connection.writer().buffer_size()? >= 1 << 17);
    /// }
    /// # connection.writer().write(b"x")?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// Ignored: the listener sets them.
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = Some(bytes);
        self
    }

    /// Switches the options to another mode.
    #[cfg(any(feature = "service", feature = "tokio"))]
    pub(crate) fn in_mode<N: Mode>(self) -> ConnectOptions<N> {
        let Self { token, any_owner, buffer_size, .. } = self;
        ConnectOptions { token, any_owner, buffer_size, mode: PhantomData }
    }

    #[cfg(any(feature = "fanout", feature = "process", feature = "service"))]
    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.token.as_ref()
    }

    /// Makes the connection from its two halves.
    pub(crate) fn connected(&self, halves: (Raw, Raw), path: Option<PipePath>) -> Connection {
        if let Some(bytes) = self.buffer_size {
            halves.1.ask_for_buffer(bytes);
        }
        let connection = Connection::of(halves, path, None);
        match &self.token {
            Some(token) => connection.cancelled_by(token),
            None => connection,
        }
    }
}

impl<M: Mode> ConnectOptions<M> {
    /// Connects to the listener at a path, as [`Connection::connect`].
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{ConnectOptions, Listener};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let options = ConnectOptions::new().buffer_size(1 << 17);
    /// let path = name.clone();
    /// let client = thread::spawn(move || options.connect(path)); // waits until a process listens there
    /// let listener = Listener::bind(name)?;
    /// let server = listener.accept()?;
    /// let client = client.join().unwrap()?;
    /// # drop((client, server));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future abandons the attempt; the listener may see a client that leaves at
    /// once. Outside a runtime of tokio, the error is [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect`], and [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn connect(
        &self,
        path: impl AsRef<Path>,
    ) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>>> {
        let path = PipePath::new(path);
        M::run(async move { self.connecting(path?, WaitLimit::Done).await })
    }

    /// Connects to the listener at a path, as [`Connection::try_connect`].
    ///
    /// ```
    /// use typed_pipe::{CancelToken, ConnectOptions, ErrorKind, Listener};
    ///
    /// let token = CancelToken::new()?;
    /// let options = ConnectOptions::new().cancelled_by(&token);
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// let connection = options.try_connect(&path)?; // the token cancels it, too
    /// # drop(connection);
    /// drop(listener);
    /// assert_eq!(options.try_connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Connection::try_connect`], and [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn try_connect(&self, path: impl AsRef<Path>) -> Result<Connection<M>, Error> {
        let path = PipePath::new(path)?;
        complete(self.connecting(path, WaitLimit::Now))
    }

    /// Connects to the listener at a path, as [`Connection::connect_timeout`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ConnectOptions, ErrorKind};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let options = ConnectOptions::new().buffer_size(1 << 17);
    /// let error = options.connect_timeout(name, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // no process listens there yet
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect_timeout`], and [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn connect_timeout(
        &self,
        path: impl AsRef<Path>,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>>> {
        let (path, until) = (PipePath::new(path), M::within(timeout));
        M::run(async move { self.connecting(path?, until).await })
    }

    pub(crate) fn connect_until(
        &self,
        path: PipePath,
        until: WaitLimit,
    ) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>>> {
        M::run(self.connecting(path, until))
    }

    pub(crate) async fn connecting(
        &self,
        path: PipePath,
        until: WaitLimit,
    ) -> Result<Connection<M>, Error> {
        let (at, any_owner) = (path.as_path(), self.any_owner);
        let connected =
            M::attempt(until, self.token.as_ref(), |wait| Raw::connect(at, any_owner, wait));
        match connected.await {
            Ok(halves) => Ok(self.connected(halves, Some(path)).into_mode()?),
            Err(error) => Err(Error::new(Operation::Connect, error).at(Some(path.shared()))),
        }
    }
}

assert_impl_all!(Connection: Send, Sync);
assert_not_impl_any!(Connection: Clone);
