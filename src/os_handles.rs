//! Ends as handles of the system, and handles as ends.

use crate::connection::Connection;
use crate::end::{End, Unnamed};
use crate::error::{Error, Operation, TransitionError};
use crate::handles::half::FromHandle;
use crate::state::{Direction, Open};
use crate::sys::{Handle, Raw, inherited};

/// Makes an open end from a foreign handle: an inherited pipe, or one of the standard streams.
///
/// Other processes may use the same open pipe, before, meanwhile and afterwards, such as the programs of a shell
/// pipeline that have it as their standard input or output: it is not changed under them. Bytes that one of several
/// readers takes are gone for the others.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::fd::AsFd;
/// use std::time::Duration;
/// use typed_pipe::state::Open;
/// use typed_pipe::{ReadEnd, Unnamed};
///
/// /// The bytes from the standard input within a second, if it is a pipe.
/// fn first_words() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
///     let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
///     let mut end = ReadEnd::<Open, Unnamed>::try_from(stdin)?;
///     let mut words = vec![0; 80];
///     let len = end.read_timeout(&mut words, Duration::from_secs(1))?; // whether or not `O_NONBLOCK` is set
///     words.truncate(len);
///     Ok(words)
/// }
/// # let _ = first_words;
/// # }
/// ```
///
/// # Errors
///
/// Each gives back the handle.
///
/// - [`NotAPipe`](crate::ErrorKind::NotAPipe): the handle is something else.
/// - [`WrongDirection`](crate::ErrorKind::WrongDirection): the handle is not open for this direction.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// A FIFO that is open both ways, as by `exec 3<>pipe` in a shell, becomes an end of either direction. It is opened once more
/// for this direction alone, where that is possible (on Linux, with `/proc`), in place of the descriptor: one that is open
/// both ways hides that the other side has left. Copies of it that are still open, here or in other processes, hide that too.
///
/// Any process may set or clear `O_NONBLOCK` at any time: timeouts hold, and waiting operations do not fail. On Linux
/// this crate neither sets nor clears it. The first operation that must not wait opens the pipe once more, through
/// `/proc/self/fd`, which takes a descriptor. Where that is impossible (another system, no `/proc`, the pipe of another
/// user), the flag is set for the one call that reads or writes, and restored right after it.
///
/// ## Windows
///
/// A handle may be open for both directions. One that was not opened with `FILE_FLAG_OVERLAPPED`, such as most standard
/// streams, reads and writes as long as it takes; operations with a timeout or a [`CancelToken`](crate::CancelToken),
/// or without waiting, are [`Unsupported`](crate::ErrorKind::Unsupported) on it.
///
/// A handle with `PIPE_NOWAIT` is switched to waiting while the end has it. All copies of the handle share that mode;
/// it is restored when the end is dropped or converted back, but not if the process is killed.
impl<D: Direction> TryFrom<Handle> for End<D, Open, Unnamed> {
    type Error = TransitionError<Handle>;

    fn try_from(handle: Handle) -> Result<Self, TransitionError<Handle>> {
        match Raw::adopt(handle, D::WAY) {
            Ok(io) => Ok(Self::unnamed(io)),
            Err((handle, error)) => {
                Err(TransitionError::new(handle, Error::new(Operation::Adopt, error)))
            }
        }
    }
}

/// The handles that the supervisor of this process opened for it, with their names: those of systemd's socket units.
///
/// Each is a copy, which belongs to the caller: a listening socket becomes a [`Listener`](crate::Listener), a FIFO a
/// [`ReadEnd`](crate::ReadEnd) or a [`WriteEnd`](crate::WriteEnd). A handle without a name has the name of an empty text. It
/// is empty where no handles were passed.
///
/// ```
/// use typed_pipe::{Listener, inherited_handles};
///
/// let mut handles = inherited_handles()?;
/// let listener = match handles.pop() {
///     # #[cfg(unix)]
///     Some((_, socket)) => Listener::try_from(socket)?, // started by its socket unit
///     _ => Listener::temporary()?,                      // started by hand
/// };
/// # drop(listener);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # Errors
///
/// [`Io`](crate::ErrorKind::Io): the variables of the environment do not describe open handles.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The descriptors from 3 on, as many as `LISTEN_FDS` says, if `LISTEN_PID` is this process. They stay open themselves, and
/// are closed on `exec` from now on.
///
/// ## Windows
///
/// There are none.
#[doc(alias("sd_listen_fds", "LISTEN_FDS", "systemd", "socket activation"))]
pub fn inherited_handles() -> Result<Vec<(String, Handle)>, Error> {
    inherited().map_err(|error| Error::new(Operation::Adopt, error))
}

/// Makes a connection from a foreign handle: an inherited one, or one of another library.
///
/// The handle must be connected; its path is unknown. Other processes may have it as well: no flag of the socket is
/// changed, and no flag that they change blocks this process. Closing or dropping one half ends its direction for all
/// processes; dropping both halves together does not.
///
/// # Errors
///
/// Each gives back the handle. [`NotAPipe`](crate::ErrorKind::NotAPipe): the handle is neither a connected Unix
/// domain socket, nor an instance of a Windows pipe.
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// On a pipe of the message type, reads end with a message, and with `PIPE_NOWAIT` they wait, while the connection has
/// the handle. All copies of the handle share that mode; it is restored when the connection is dropped or converted
/// back, but not if the process is killed.
///
/// A handle that was not opened with `FILE_FLAG_OVERLAPPED` is accepted, but its operations cannot have a timeout. On a
/// pipe of another program that is of the byte type, [`Connection::finish`] is
/// [`Unsupported`](crate::ErrorKind::Unsupported).
impl TryFrom<Handle> for Connection {
    type Error = TransitionError<Handle>;

    fn try_from(handle: Handle) -> Result<Self, TransitionError<Handle>> {
        match Raw::adopt_both(handle) {
            Ok(halves) => Ok(Self::of(halves, None, None)),
            Err((handle, error)) => {
                Err(TransitionError::new(handle, Error::new(Operation::Adopt, error)))
            }
        }
    }
}

const HOLDS_BYTES: &str = "it holds bytes that it has read ahead";

impl<D: Direction> FromHandle for End<D, Open, Unnamed> {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        Self::try_from(handle).map_err(TransitionError::into_parts)
    }

    fn stays(&self) -> Option<&'static str> {
        self.raw().holds_bytes().then_some(HOLDS_BYTES)
    }
}

impl FromHandle for Connection {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        Self::try_from(handle).map_err(TransitionError::into_parts)
    }

    fn stays(&self) -> Option<&'static str> {
        if !self.raw().carries_handles() {
            return Some("only this process has what carries it");
        }
        self.raw().holds_bytes().then_some(HOLDS_BYTES)
    }
}

/// The handle of an end that is no half of a connection.
fn whole(io: Raw) -> Handle {
    io.into_handle().unwrap_or_else(|| unreachable!("its type excludes halves"))
}

/// The handle of both halves.
fn both(connection: Connection) -> Handle {
    let (reader, writer) = connection.into_halves();
    let handle = reader.into_io().into_both(writer.into_io());
    handle.unwrap_or_else(|| unreachable!("the halves of a connection belong together"))
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::{both, whole};
    use crate::connection::{Connection, Listener, ListenerOptions};
    use crate::end::{End, PipeRef, Reopen, Unnamed};
    use crate::error::{Error, Operation, TransitionError};
    use crate::handles::half::FromHandle;
    use crate::path::PipePath;
    use crate::state::{Direction, Mode, Open};
    use crate::sys::{Server, Socket, ensure_socket_of};

    /// A listening TCP socket.
    impl FromHandle for TcpListener {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: true, stream: true, listens: true })
        }
    }

    /// A TCP stream.
    impl FromHandle for TcpStream {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: true, stream: true, listens: false })
        }
    }

    /// A UDP socket.
    impl FromHandle for UdpSocket {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: true, stream: false, listens: false })
        }
    }

    /// A listening Unix domain socket.
    impl FromHandle for UnixListener {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: false, stream: true, listens: true })
        }
    }

    /// A Unix domain socket of the stream type.
    impl FromHandle for UnixStream {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: false, stream: true, listens: false })
        }
    }

    /// A Unix domain socket for datagrams.
    impl FromHandle for UnixDatagram {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: false, stream: false, listens: false })
        }
    }

    fn socket<T: From<OwnedFd>>(fd: OwnedFd, wanted: Socket) -> Result<T, (OwnedFd, Error)> {
        match ensure_socket_of(&fd, wanted) {
            Ok(()) => Ok(fd.into()),
            Err(error) => Err((fd, Error::new(Operation::TakeHandle, error))),
        }
    }

    /// Makes a listener from a listening socket, with the default options; see [`ListenerOptions::adopt`].
    impl TryFrom<OwnedFd> for Listener {
        type Error = TransitionError<OwnedFd>;

        fn try_from(socket: OwnedFd) -> Result<Self, TransitionError<OwnedFd>> {
            ListenerOptions::new().adopt(socket)
        }
    }

    impl ListenerOptions {
        /// Makes a listener from a listening socket: an inherited one, or one of another library.
        ///
        /// The name belongs to the process that made it: the listener neither checks nor removes it. Other processes may accept
        /// clients from the same socket, and no flag of it is changed but for the moment of a call. The mode, the access and the
        /// backlog are those with which it was made.
        ///
        /// ```
        /// use std::os::unix::net::UnixListener;
        /// use typed_pipe::{Connection, ListenerOptions};
        ///
        /// # let folder = tempfile::tempdir()?;
        /// # let name = folder.path().join("door");
        /// let socket = UnixListener::bind(&name)?; // or one of `inherited_handles`
        /// let listener = ListenerOptions::new().max_clients(10).adopt(socket.into())?;
        /// let client = Connection::connect(listener.path())?;
        /// let server = listener.accept()?;
        /// drop(listener);
        /// assert!(name.exists());
        /// # drop((client, server));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        ///
        /// Each gives back the descriptor.
        ///
        /// - [`Mismatch`](crate::ErrorKind::Mismatch): it is no Unix domain socket of the stream type that listens at a path.
        /// - [`Io`](crate::ErrorKind::Io): any other.
        ///
        /// # Platform-specific behavior
        ///
        /// This is of Unix alone.
        #[doc(alias("from_raw_fd", "socket activation"))]
        pub fn adopt(&self, socket: OwnedFd) -> Result<Listener, TransitionError<OwnedFd>> {
            match Server::adopt(socket, self.settings()) {
                Ok((path, server)) => Ok(self.listener(server, PipePath::given(&path))),
                Err((socket, error)) => {
                    Err(TransitionError::new(socket, Error::new(Operation::Adopt, error)))
                }
            }
        }
    }

    /// Borrows the listening socket, also to pass it on. It does not wait, unless it came from elsewhere and does.
    impl<M: Mode> AsFd for Listener<M> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.server().as_fd()
        }
    }

    /// Borrows the descriptor, also to copy it and pass it on: from the first call on, its flags stay unchanged. It is
    /// in blocking mode, unless it is a foreign one that was not.
    impl<D: Direction, M: Mode, P: PipeRef> AsFd for End<D, Open<M>, P> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.raw().show()
        }
    }

    /// Converts into the descriptor, in blocking mode, as programs expect.
    ///
    /// The pipe in an owner's end is dropped, which removes its name.
    impl<D: Direction, P: Reopen> From<End<D, Open, P>> for OwnedFd {
        fn from(end: End<D, Open, P>) -> Self {
            whole(end.into_io())
        }
    }

    /// Converts into the descriptor, in its original mode.
    impl<D: Direction> From<End<D, Open, Unnamed>> for OwnedFd {
        fn from(end: End<D, Open, Unnamed>) -> Self {
            whole(end.into_io())
        }
    }

    impl<M: Mode> AsFd for Connection<M> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.raw().show()
        }
    }

    /// Converts into the socket: a foreign one in its original mode, one connected or accepted here in blocking mode.
    ///
    /// Incoming bytes that a blocked send has kept are lost.
    impl From<Connection> for OwnedFd {
        fn from(connection: Connection) -> Self {
            both(connection)
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

    use super::{both, whole};
    use crate::connection::{Connection, ConnectionHalf};
    use crate::end::{End, Unnamed};
    use crate::path::PipePath;
    use crate::state::{Direction, Mode, Open};

    /// Borrows the handle of a client's end. An owner's reading end consists of many handles, so it has none to lend.
    impl<D: Direction, M: Mode> AsHandle for End<D, Open<M>, PipePath> {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.raw().as_handle()
        }
    }

    impl<D: Direction, M: Mode> AsHandle for End<D, Open<M>, Unnamed> {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.raw().as_handle()
        }
    }

    impl<D: Direction, M: Mode> AsHandle for End<D, Open<M>, ConnectionHalf> {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.raw().as_handle()
        }
    }

    impl<M: Mode> AsHandle for Connection<M> {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.raw().as_handle()
        }
    }

    /// Converts into the handle: a foreign one in its original mode, one connected or accepted here in byte mode. The
    /// latter is overlapped: not every program can read from it or write to it.
    impl From<Connection> for OwnedHandle {
        fn from(connection: Connection) -> Self {
            both(connection)
        }
    }

    /// Converts into the handle. It is overlapped: not every program can read from it or write to it.
    impl<D: Direction> From<End<D, Open, PipePath>> for OwnedHandle {
        fn from(end: End<D, Open, PipePath>) -> Self {
            whole(end.into_io())
        }
    }

    /// Converts into the handle, in its original mode.
    impl<D: Direction> From<End<D, Open, Unnamed>> for OwnedHandle {
        fn from(end: End<D, Open, Unnamed>) -> Self {
            whole(end.into_io())
        }
    }
}
