//! Connections over other transports.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::stream::Connection;
use crate::error::{Error, Operation};
use crate::sys::{Carrier, Raw, Threads};

/// What a connection can be made over: see [`Connection::over`].
///
/// This trait is sealed, and hidden in the docs.
#[diagnostic::on_unimplemented(
    message = "a connection cannot be made over `{Self}`",
    label = "no transport",
    note = "it is made over a `TcpStream`, a pair of a `Read` and a `Write`, or a `Carrier`; a handle of this machine becomes one by `Connection::try_from`"
)]
pub trait Transport: half::Transport {}

#[diagnostic::do_not_recommend]
impl<C: Carrier> Transport for C {}
#[diagnostic::do_not_recommend]
impl<C: Carrier> half::Transport for C {
    fn halves(self) -> std::io::Result<(Raw, Raw)> {
        Raw::over(self)
    }
}

impl Transport for TcpStream {}
impl half::Transport for TcpStream {
    fn halves(self) -> std::io::Result<(Raw, Raw)> {
        Raw::over_tcp(self)
    }
}

impl<R: Read + Send + 'static, W: Write + Send + 'static> Transport for (R, W) {}
impl<R: Read + Send + 'static, W: Write + Send + 'static> half::Transport for (R, W) {
    fn halves(self) -> std::io::Result<(Raw, Raw)> {
        Raw::over_started(|| Threads::new(self.0, self.1))
    }
}

impl Connection {
    /// Makes a connection over a transport of another kind, which carries the bytes of both directions.
    ///
    /// Everything that a connection can do works over it, in both modes: typed connections and their handshake,
    /// deadlines, cancel tokens. The transport is one of these:
    ///
    /// - a [`TcpStream`];
    /// - a pair of a [`Read`] and a [`Write`] that block, such as the pipes of a child process, with a thread for each;
    /// - a [`Carrier`] of your own; under tokio, `Tokio::carrier` makes one of an `AsyncRead` and an `AsyncWrite`.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use std::thread;
    /// use typed_pipe::{Connection, Error};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let serving = thread::spawn(move || -> Result<String, Error> {
    ///     let (stream, _) = listener.accept().expect("a client comes");
    ///     Connection::over(stream)?.into_typed::<(), String>()?.recv()
    /// });
    /// let connection = Connection::over(TcpStream::connect(address)?)?;
    /// connection.into_typed::<str, ()>()?.send("hello")?;
    /// assert_eq!(serving.join().unwrap()?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # What differs
    ///
    /// - `Ok` from `send` says that the transport has the message. [`finish`](crate::TypedSender::finish) says
    ///   [`Delivery::Drained`](crate::Delivery::Drained) only where the transport knows it, which TCP never does.
    /// - [`peer`](Self::peer) is what the transport knows: of a `TcpStream` the address, which proves nothing. It is
    ///   never the same user.
    /// - [Handles](crate::WithHandles) are refused, in the handshake if there is one.
    /// - A lost link is [`Disconnected`](crate::ErrorKind::Disconnected). TCP notices one without writes only if
    ///   the stream has keep-alive.
    /// - A reading half that is dropped alone is not noticed by the other side of TCP: it goes on writing until there is
    ///   no room.
    /// - Its handle carries no bytes, except that of a `TcpStream` on Unix: it is an event of this process.
    /// - A pair reads ahead, and writes behind, up to 128 KiB each. Dropping the connection ends the thread that reads
    ///   after its next read, and the one that writes after its last byte.
    ///
    /// # Errors
    ///
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files or threads.
    /// - [`Io`](crate::ErrorKind::Io): the stream cannot be set up.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// A `TcpStream` is read and written by a thread each, as a pair is.
    #[doc(alias("tcp", "transport", "stdio"))]
    pub fn over(transport: impl Transport) -> Result<Self, Error> {
        match transport.halves() {
            Ok(halves) => Ok(Self::of(halves, None, None)),
            Err(error) => Err(Error::new(Operation::Connect, error)),
        }
    }
}

/// The private half of the trait.
pub(crate) mod half {
    use crate::sys::Raw;

    pub trait Transport {
        fn halves(self) -> std::io::Result<(Raw, Raw)>;
    }
}
