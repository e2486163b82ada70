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
/// It is made from the path of a [`Listener`](crate::Listener), accepted by one, or made of a handle with
/// `TryFrom<OwnedFd>` or `TryFrom<OwnedHandle>`. Bytes go both ways, at the same time from two threads after
/// [`split`](Self::split). [`into_typed`](Self::into_typed) makes it a channel of messages.
///
/// A connection is an [`io::Read`] and an [`io::Write`]. Dropping it closes both directions: what was written stays for
/// the other side to read.
///
/// ```
/// use std::io::{Read, Write};
/// use std::thread;
/// use typed_pipe::{Connection, Listener};
///
/// let listener = Listener::temporary()?;
/// let path = listener.path().clone(); // all that a client must know
/// let client = thread::spawn(move || -> std::io::Result<String> {
///     let mut connection = Connection::connect(path)?;
///     connection.write_all(b"how are you?")?;
///     let mut answer = String::new();
///     connection.finish()?.read_to_string(&mut answer)?; // that was all; now the answer
///     Ok(answer)
/// });
///
/// let mut connection = listener.accept()?;
/// let mut question = Vec::new();
/// connection.read_to_end(&mut question)?; // up to the end of what the client sends
/// connection.write_all(b"very well")?;
/// drop(connection);
/// assert_eq!(client.join().unwrap()?, "very well");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In the mode `Tokio`, of the feature `tokio`, it is an `AsyncRead` and an `AsyncWrite` instead.
///
/// What is finished cannot be sent to:
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
/// A Unix domain socket that carries a stream, as libuv's pipes are there.
///
/// ## Windows
///
/// An instance of a pipe of the message type, open for overlapped operations.
#[derive(Debug)]
pub struct Connection<M: Mode = Blocking> {
    reader: ReadHalf<M>,
    writer: WriteHalf<M>,
}

type Halves<M> = (ReadHalf<M>, WriteHalf<M>);

impl Connection {
    /// Connects to the listener at a path, and waits as long as it takes.
    ///
    /// It does not matter which process starts first: it waits until there is such a name, until a process listens at
    /// it, and until that process has room for another client. Being connected is not being accepted: the listener
    /// may look later. [`ConnectOptions`] has the rest.
    ///
    /// ```no_run
    /// use typed_pipe::Connection;
    ///
    /// let mut connection = Connection::connect("/run/app/door")?;
    /// connection.writer().write(b"hello")?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// It blocks its thread, and with that all tasks of it. What a task connects with is `ConnectOptions::new().into_tokio()`.
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
    /// A path of any length will do on Linux; elsewhere it may have 103 bytes.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        ConnectOptions::new().connect(path)
    }

    /// Connects to the listener at a path, if that takes no waiting.
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
    /// let connection = Connection::try_connect(&name)?; // before anybody accepts it
    /// # drop((connection, listener));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), and:
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound): there is no such name.
    /// - [`WouldBlock`](crate::ErrorKind::WouldBlock): nobody listens there, or has no room for another client now.
    pub fn try_connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        ConnectOptions::new().try_connect(path)
    }

    /// Connects to the listener at a path, and waits for some time at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let error = Connection::connect_timeout(name, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // nobody listens there yet
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn connect_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self, Error> {
        ConnectOptions::new().connect_timeout(path, timeout)
    }

    /// Two connections that are the two sides of one.
    ///
    /// They have no [path](Self::path), so that nobody else comes by them. One of them may go to a child process, or be
    /// sent beside a [message](crate::WithHandles). Whoever asks who is on the other side is told of this process.
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
    pub fn pair() -> Result<(Self, Self), Error> {
        let sides = Raw::pair().map_err(|error| Error::new(Operation::Connect, error))?;
        let [one, other] = sides.map(|halves| Self::of(halves, None, None));
        Ok((one, other))
    }

    /// A connection of both halves of one.
    pub(crate) fn of(
        (reader, writer): (Raw, Raw),
        path: Option<PipePath>,
        permit: Option<Arc<Permit>>,
    ) -> Self {
        let half = ConnectionHalf { path, _permit: permit };
        Self {
            reader: End::opened(reader, half.clone(), None),
            writer: End::opened(writer, half, None),
        }
    }

    /// Lets a token end whatever waits on this connection, from now on.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Connection, ErrorKind};
    ///
    /// let token = CancelToken::new()?;
    /// let (client, server) = Connection::pair()?;
    /// let mut client = client.cancelled_by(&token);
    /// let waiting = thread::spawn(move || client.reader().read(&mut [0; 8])); // nothing ever comes
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

    #[cfg(feature = "service")]
    /// Lets a token end the reading alone.
    pub(crate) fn reading_cancelled_by(mut self, token: &CancelToken) -> Self {
        self.reader.cancel_by(token);
        self
    }
}

impl Connection {
    pub(crate) fn into_mode<M: Mode>(self) -> Result<Connection<M>, TransitionError<Self>> {
        let (reader, writer) = self.split();
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
    /// Says that this was all, and keeps the half that is read from.
    ///
    /// The other side reads the end of the stream once it has read what was written, and can still answer.
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
    /// In the mode `Tokio`, a future that is dropped drops the connection; `shutdown` of tokio's `AsyncWriteExt` borrows it, and
    /// does the same.
    ///
    /// # Errors
    ///
    /// Those of [`End::finish`]. In each the connection is given back.
    pub fn finish(
        self,
    ) -> M::Ret<impl Future<Output = Result<ReadHalf<M>, TransitionError<Self>>>> {
        M::run(self.finishing(WaitLimit::Done))
    }

    /// Says that this was all, if that takes no waiting, and keeps the half that is read from.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, server) = Connection::pair()?;
    /// while client.writer().try_write(&[7; 1000]).is_ok() {} // until there is no room
    /// match client.try_finish() {
    ///     Ok(answers) => drop(answers), // Unix needs none for this
    ///     Err(failed) => {
    ///         assert_eq!(failed.kind(), ErrorKind::WouldBlock);
    ///         drop(failed.into_state()); // or wait for the other side to read, and try again
    ///     }
    /// }
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::try_finish`]. In each the connection is given back.
    pub fn try_finish(self) -> Result<ReadHalf<M>, TransitionError<Self>> {
        complete(self.finishing(WaitLimit::Now))
    }

    /// Says that this was all, waiting for some time at most, and keeps the half that is read from.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::Connection;
    ///
    /// let (client, mut server) = Connection::pair()?;
    /// let mut answers = client.finish_timeout(Duration::from_secs(10))?; // there is room: it takes none of the time
    /// assert_eq!(server.reader().read(&mut [0; 8])?, 0); // the end
    /// server.writer().write(b"bye")?;
    /// assert_eq!(answers.read(&mut [0; 8])?, 3);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::finish_timeout`]. In each the connection is given back.
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

    /// What is open.
    pub(crate) fn raw(&self) -> &Raw {
        self.reader.raw()
    }

    /// A connection of its halves.
    #[cfg(feature = "tokio")]
    pub(crate) fn of_halves(reader: ReadHalf<M>, writer: WriteHalf<M>) -> Self {
        Self { reader, writer }
    }

    /// The path of the listener; `None` for a connection that was made of a handle, or as one of a pair.
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

    /// The half that is read from.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, mut server) = Connection::pair()?;
    /// let mut buf = [0; 8];
    /// let error = client.reader().read_timeout(&mut buf, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // which `io::Read` has not
    /// server.writer().write(b"hello")?;
    /// assert_eq!(client.reader().read(&mut buf)?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn reader(&mut self) -> &mut ReadHalf<M> {
        &mut self.reader
    }

    /// The half that is written to.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, server) = Connection::pair()?; // of which one does not read
    /// let error = loop {
    ///     if let Err(error) = client.writer().try_write(&[7; 1000]) {
    ///         break error; // which `io::Write` has not: it waits
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn writer(&mut self) -> &mut WriteHalf<M> {
        &mut self.writer
    }

    /// Takes the two halves apart, for two threads for instance.
    ///
    /// They are ends like those of a FIFO: [`into_receiver`](End::into_receiver) and [`into_sender`](End::into_sender) make
    /// channels of them, without a handshake. [`reunite`](Self::reunite) puts them together again.
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
    /// writer.into_sender().send(&41_u32)?; // and is dropped, so that the echo ends
    /// let answers: Result<Vec<u32>, _> = reader.into_receiver().collect();
    /// assert_eq!(answers?, [42]);
    /// # echo.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn split(self) -> (ReadHalf<M>, WriteHalf<M>) {
        (self.reader, self.writer)
    }

    /// Puts two halves together again.
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
    /// [`Mismatch`](crate::ErrorKind::Mismatch): they are halves of two connections. Both are given back.
    pub fn reunite(
        reader: ReadHalf<M>,
        writer: WriteHalf<M>,
    ) -> Result<Self, TransitionError<Halves<M>>> {
        if reader.raw().is_half_of(writer.raw()) {
            return Ok(Self { reader, writer });
        }
        let error = Error::new(Operation::Adopt, Obstacle::OtherHalf);
        Err(TransitionError::new((reader, writer), error))
    }

    /// Who is on the other side.
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
    /// [`Io`](crate::ErrorKind::Io): the system does not tell.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// The user is that of the process when it connected, or when it began to listen. Linux alone tells the process.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.reader.peer()
    }

    /// Refuses any other user on the other side than the one that this process runs as.
    ///
    /// A client checks by itself that it is connected to this user or to the system's administrator, unless it
    /// was told to [trust any](ConnectOptions::trust_any_owner).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// let serving = thread::spawn(move || -> Result<u32, Error> {
    ///     let client = listener.accept()?;
    ///     client.require_same_user()?; // one of another user goes no further
    ///     client.into_typed::<(), u32>()?.recv()
    /// });
    /// Connection::connect(path)?.into_typed::<u32, ()>()?.send(&7)?;
    /// assert_eq!(serving.join().unwrap()?, 7);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): it is another user.
    /// - [`Io`](crate::ErrorKind::Io): the system does not tell.
    pub fn require_same_user(&self) -> Result<(), Error> {
        let peer = self.peer()?;
        if peer.is_same_user() {
            return Ok(());
        }
        let other = Obstacle::OtherUser { user: peer.user().to_string() };
        Err(Error::new(Operation::AskPeer, other).at(self.reader.shared_path()))
    }

    /// The bytes that have come in and were not read yet.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (mut client, mut server) = Connection::pair()?;
    /// assert_eq!(server.unread()?, 0);
    /// client.writer().write(b"hello")?;
    /// let mut buf = vec![0; server.unread()?]; // as many as there are
    /// server.reader().read(&mut buf)?;
    /// assert_eq!((buf.as_slice(), server.unread()?), (&b"hello"[..], 0));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the other side is gone.
    pub fn unread(&self) -> Result<usize, Error> {
        self.reader.unread()
    }

    /// The bytes that the other side has not read yet, as [`End::unsent`].
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut client, server) = Connection::pair()?;
    /// client.writer().write(b"hello")?;
    /// match client.unsent() {
    ///     Ok(bytes) => assert!(bytes >= 5), // the other side has not read them
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    /// }
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the system does not tell.
    pub fn unsent(&self) -> Result<usize, Error> {
        self.writer.unsent()
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

    /// Does nothing: what is written is in the pipe.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How to connect.
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
    /// The usual options: this user's listeners and the system's alone.
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
    /// Connects to whoever listens.
    ///
    /// Unless this is said, it must be this user or the system's administrator: in a folder that others can write to, a
    /// listener of another user may be a trap.
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

    /// Lets a token end whatever waits on the connection, connecting included.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, ConnectOptions, ErrorKind};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let token = CancelToken::new()?;
    /// let options = ConnectOptions::new().cancelled_by(&token);
    /// let waiting = thread::spawn(move || options.connect(name)); // nobody ever listens there
    /// token.cancel();
    /// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Asks for buffers of so many bytes.
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
    /// Without a meaning: the listener sets them.
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = Some(bytes);
        self
    }

    /// The same options in another mode.
    #[cfg(feature = "tokio")]
    pub(crate) fn in_mode<N: Mode>(self) -> ConnectOptions<N> {
        let Self { token, any_owner, buffer_size, .. } = self;
        ConnectOptions { token, any_owner, buffer_size, mode: PhantomData }
    }

    #[cfg(feature = "service")]
    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.token.as_ref()
    }

    /// The connection of both halves of one.
    pub(crate) fn connected(&self, halves: (Raw, Raw), path: PipePath) -> Connection {
        if let Some(bytes) = self.buffer_size {
            halves.1.ask_for_buffer(bytes);
        }
        let connection = Connection::of(halves, Some(path), None);
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
    /// let client = thread::spawn(move || options.connect(path)); // waits until somebody listens there
    /// let listener = Listener::bind(name)?;
    /// let server = listener.accept()?;
    /// let client = client.join().unwrap()?;
    /// # drop((client, server));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In the mode `Tokio`, a future that is dropped drops what was begun; the listener may see a client that leaves at
    /// once. Where no runtime of tokio runs, the error is [`Unsupported`](crate::ErrorKind::Unsupported).
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
    /// let connection = options.try_connect(&path)?; // which the token ends, too
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
    /// assert_eq!(error.kind(), ErrorKind::TimedOut); // nobody listens there yet
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
            Ok(halves) => Ok(self.connected(halves, path).into_mode()?),
            Err(error) => Err(Error::new(Operation::Connect, error).at(Some(path.shared()))),
        }
    }
}

assert_impl_all!(Connection: Send, Sync);
assert_not_impl_any!(Connection: Clone);
