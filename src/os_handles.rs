//! Ends as handles of the system, and handles as ends.

use crate::connection::Connection;
use crate::end::{End, Unnamed};
use crate::error::{Error, Operation, TransitionError};
use crate::handles::FromHandle;
use crate::state::{Direction, Open};
use crate::sys::{Handle, Raw};

/// An open end of a handle that came from elsewhere: an inherited pipe, or one of the standard streams.
///
/// Others may use the same open pipe, before, meanwhile and afterwards, such as the programs of a shell's line that
/// have it as their standard input or output: it is not changed under them. Of what one of several readers takes, the
/// others see nothing.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::fd::AsFd;
/// use std::time::Duration;
/// use typed_pipe::state::Open;
/// use typed_pipe::{ReadEnd, Unnamed};
///
/// /// What comes in by the standard input within a second, if that is a pipe.
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
/// In each the handle is given back.
///
/// - [`NotAPipe`](crate::ErrorKind::NotAPipe): it is something else.
/// - [`WrongDirection`](crate::ErrorKind::WrongDirection): it is not open for this direction alone.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// `O_NONBLOCK` may be set or not, by whomever and at any time: deadlines hold, and what waits does not fail. On Linux
/// it is neither set nor cleared here. The first operation that must not wait opens the pipe once more, by
/// `/proc/self/fd`, which takes a descriptor. Where that cannot be (another system, no `/proc`, the pipe of another
/// user), the flag is set for the one call that reads or writes, and put back right after it.
///
/// ## Windows
///
/// A handle that is open for both directions will do. One that was not opened with
/// `FILE_FLAG_OVERLAPPED`, such as most standard streams, reads and writes as long as it takes; with a
/// deadline or a [`CancelToken`](crate::CancelToken), or without waiting, it is
/// [`Unsupported`](crate::ErrorKind::Unsupported).
///
/// One with `PIPE_NOWAIT` waits as long as the end has it. That mode is the one of all copies of the handle; it is put
/// back when the end is dropped or given away, and not where the process is killed.
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

/// A connection of a handle that came from elsewhere: an inherited one, or one of another library.
///
/// That it is connected is checked, and nothing is known of its path. Others may have it as well: no flag of the socket
/// is changed, and none that others change holds anything up. A half that is closed or dropped ends its direction
/// for all, unless the other half goes with it.
///
/// # Errors
///
/// In each the handle is given back. [`NotAPipe`](crate::ErrorKind::NotAPipe): it is something else than a
/// connected Unix domain socket, or than an instance of a pipe of Windows.
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// On a pipe of the message type reads end with a message, and with `PIPE_NOWAIT` they wait, as long as the connection
/// has the handle. That mode is the one of all copies of the handle; it is put back when the connection is dropped or
/// given away, and not where the process is killed.
///
/// A handle that was not opened with `FILE_FLAG_OVERLAPPED` is taken, and cannot do what has a deadline. On a pipe of
/// another program that is of the byte type, [`Connection::finish`] is
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

impl<D: Direction> FromHandle for End<D, Open, Unnamed> {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        Self::try_from(handle).map_err(TransitionError::into_parts)
    }
}

impl FromHandle for Connection {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        Self::try_from(handle).map_err(TransitionError::into_parts)
    }
}

/// The handle of an end that is no half of a connection.
fn whole(io: Raw) -> Handle {
    io.into_handle().unwrap_or_else(|| unreachable!("its type says that it is no half"))
}

/// The handle of both halves.
fn both(connection: Connection) -> Handle {
    let (reader, writer) = connection.split();
    let handle = reader.into_io().into_both(writer.into_io());
    handle.unwrap_or_else(|| unreachable!("the halves of a connection belong together"))
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::{both, whole};
    use crate::connection::Connection;
    use crate::end::{End, PipeRef, Reopen, Unnamed};
    use crate::error::{Error, Operation};
    use crate::handles::FromHandle;
    use crate::state::{Direction, Mode, Open};
    use crate::sys::{Socket, ensure_socket_of};

    /// A socket that listens, of the internet.
    impl FromHandle for TcpListener {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: true, stream: true, listens: true })
        }
    }

    /// A socket that carries a stream, of the internet.
    impl FromHandle for TcpStream {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: true, stream: true, listens: false })
        }
    }

    /// A socket for datagrams, of the internet.
    impl FromHandle for UdpSocket {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: true, stream: false, listens: false })
        }
    }

    /// A socket that listens, of this machine.
    impl FromHandle for UnixListener {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: false, stream: true, listens: true })
        }
    }

    /// A socket that carries a stream, of this machine.
    impl FromHandle for UnixStream {
        fn from_handle(fd: OwnedFd) -> Result<Self, (OwnedFd, Error)> {
            socket(fd, Socket { internet: false, stream: true, listens: false })
        }
    }

    /// A socket for datagrams, of this machine.
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

    /// The descriptor, also to be copied and passed on: from the first call on, no flag of it is changed any more. It
    /// waits, unless it came from elsewhere and did not.
    impl<D: Direction, M: Mode, P: PipeRef> AsFd for End<D, Open<M>, P> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.raw().show()
        }
    }

    /// Gives the descriptor away, in blocking mode, as descriptors are expected to be.
    ///
    /// What the end holds of its pipe is dropped: the name of an owner's pipe goes.
    impl<D: Direction, P: Reopen> From<End<D, Open, P>> for OwnedFd {
        fn from(end: End<D, Open, P>) -> Self {
            whole(end.into_io())
        }
    }

    /// Gives the descriptor away, as it came.
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

    /// Gives the socket away: as it came, or in blocking mode where it was connected or accepted here.
    ///
    /// Bytes that have come in, and were kept while others were sent, are lost.
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

    /// The handle of a client's end. An owner's end for reading is many handles, and so has none.
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

    /// Gives the handle away: as it came, or, where it was connected or accepted here, reading byte by byte. Such a one is
    /// overlapped: not every program can read from it or write to it.
    impl From<Connection> for OwnedHandle {
        fn from(connection: Connection) -> Self {
            both(connection)
        }
    }

    /// Gives the handle away. It is overlapped: not every program can read from it or write to it.
    impl<D: Direction> From<End<D, Open, PipePath>> for OwnedHandle {
        fn from(end: End<D, Open, PipePath>) -> Self {
            whole(end.into_io())
        }
    }

    /// Gives the handle away, as it came.
    impl<D: Direction> From<End<D, Open, Unnamed>> for OwnedHandle {
        fn from(end: End<D, Open, Unnamed>) -> Self {
            whole(end.into_io())
        }
    }
}
