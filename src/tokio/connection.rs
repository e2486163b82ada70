//! Connecting, and connections as streams of bytes.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Tokio;
use super::wait::try_until;
use crate::duplex::{ConnectOptions, Connection, ReadHalf, WriteHalf};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::state::Mode;
use crate::sys::Until;
use crate::wait::Sleeper;

impl ConnectOptions {
    /// Lets a task of [tokio](Tokio) connect.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, Listener, Stop};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let stop = Stop::new()?;
    /// let options = ConnectOptions::new().stopped_by(&stop).into_tokio(); // it keeps the settings
    ///
    /// let listener = Listener::temporary()?;
    /// let mut connection = options.connect(listener.path()).await?;
    /// stop.stop();
    /// assert!(connection.reader().read(&mut [0]).await.is_err()); // and so does the connection
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_tokio(self) -> ConnectOptions<Tokio> {
        self.in_mode()
    }
}

impl ConnectOptions<Tokio> {
    /// Lets a thread that blocks connect.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, Connection, Error, Listener, PipePath, Tokio};
    ///
    /// fn connect_here(options: &ConnectOptions<Tokio>, path: &PipePath) -> Result<Connection, Error> {
    ///     options.clone().into_blocking().connect(path) // in no runtime
    /// }
    ///
    /// let options = ConnectOptions::new().into_tokio();
    /// let listener = Listener::temporary()?;
    /// connect_here(&options, listener.path())?.writer().write(b"hello")?;
    /// # let mut words = [0; 5];
    /// # listener.accept()?.reader().read(&mut words)?;
    /// # assert_eq!(&words, b"hello");
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn into_blocking(self) -> ConnectOptions {
        self.in_mode()
    }

    /// Connects to the listener at a path, and waits as long as it takes.
    ///
    /// Where the future is dropped, so is what was begun; the listener may see a client that leaves at once.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, Connection, Listener, Tokio};
    ///
    /// struct Client {
    ///     connection: Connection<Tokio>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let listener = Listener::temporary()?; // what it waits in does not matter
    /// let connection = ConnectOptions::new().into_tokio().connect(listener.path()).await?;
    /// let mut client = Client { connection };
    /// client.connection.writer().write(b"hello").await?;
    /// # let mut words = [0; 5];
    /// # listener.accept()?.reader().read(&mut words)?;
    /// # assert_eq!(&words, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks, and [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here.
    ///
    /// # Panics
    ///
    /// Where the runtime has no drivers for I/O and time.
    pub async fn connect(&self, path: impl AsRef<Path>) -> Result<Connection<Tokio>, Error> {
        Ok(self.connect_before(PipePath::new(path)?, None).await?.into_tokio()?)
    }

    /// Connects to the listener at a path, if that takes no waiting.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, ErrorKind, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// drop(listener);
    /// let options = ConnectOptions::new().into_tokio();
    /// let error = options.try_connect(path).unwrap_err(); // at once, and nothing is awaited
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), [`NotFound`](crate::ErrorKind::NotFound) and
    /// [`NotReady`](crate::ErrorKind::NotReady).
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    pub fn try_connect(&self, path: impl AsRef<Path>) -> Result<Connection<Tokio>, Error> {
        let path = PipePath::new(path)?;
        let halves = self.connect_raw(&path, Until::Now).map_err(|error| failed(&path, error))?;
        Ok(self.connected(halves, path).into_tokio()?)
    }

    /// Connects to the listener at a path, and waits for some time at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ConnectOptions, ErrorKind, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// drop(listener);
    /// let options = ConnectOptions::new().into_tokio();
    /// let late = options.connect_timeout(path, Duration::from_millis(10)).await; // it may come again
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), and [`TimedOut`](crate::ErrorKind::TimedOut).
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_timeout(
        &self,
        path: impl AsRef<Path>,
        timeout: Duration,
    ) -> Result<Connection<Tokio>, Error> {
        let end = Instant::now().checked_add(timeout);
        Ok(self.connect_before(PipePath::new(path)?, end).await?.into_tokio()?)
    }
}

impl<M: Mode> ConnectOptions<M> {
    /// Connects, in no mode yet.
    pub(super) async fn connect_before(
        &self,
        path: PipePath,
        end: Option<Instant>,
    ) -> Result<Connection, Error> {
        let sleeper = self.stop().map(Sleeper::new);
        let halves = try_until(end, sleeper.as_ref(), || self.connect_raw(&path, Until::Now)).await;
        match halves {
            Ok(halves) => Ok(self.connected(halves, path)),
            Err(error) => Err(failed(&path, error)),
        }
    }
}

fn failed(path: &PipePath, error: io::Error) -> Error {
    Error::new(Operation::Connect, error).at(Some(path.shared()))
}

impl Connection {
    /// Lets tasks of [tokio](Tokio) use the connection.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let (client, server) = Connection::pair()?;
    /// let (mut client, mut server) = (client.into_tokio()?, server.into_tokio()?);
    /// client.writer().write(b"hello").await?;
    /// let mut words = [0; 5];
    /// server.reader().read(&mut words).await?;
    /// assert_eq!(&words, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::into_tokio`](crate::End::into_tokio). In each the connection is given back.
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Connection<Tokio>, TransitionError<Self>> {
        let (reader, writer) = self.split();
        let back = |reader, writer, error| {
            Err(TransitionError::new(Self::of_halves(reader, writer), error))
        };
        let reader = match reader.into_tokio() {
            Ok(reader) => reader,
            Err(failed) => {
                let (reader, error) = failed.into_parts();
                return back(reader, writer, error);
            }
        };
        match writer.into_tokio() {
            Ok(writer) => Ok(Connection::of_halves(reader, writer)),
            Err(failed) => {
                let (writer, error) = failed.into_parts();
                back(reader.into_blocking(), writer, error)
            }
        }
    }
}

impl Connection<Tokio> {
    /// Lets a thread that blocks use the connection.
    ///
    /// ```
    /// use std::io::Read;
    /// use typed_pipe::Connection;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (client, server) = Connection::pair()?;
    /// let mut client = client.into_tokio()?;
    /// client.writer().write(b"hello").await?;
    /// drop(client);
    ///
    /// let mut server = server.into_tokio()?.into_blocking(); // for a thread of its own
    /// let reading = std::thread::spawn(move || {
    ///     let mut words = String::new();
    ///     server.read_to_string(&mut words).map(|_| words)
    /// });
    /// assert_eq!(reading.join().unwrap()?, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_blocking(self) -> Connection {
        let (reader, writer) = self.split();
        Connection::of_halves(reader.into_blocking(), writer.into_blocking())
    }

    /// Says that this was all, and keeps the half that is read from.
    ///
    /// The other side reads the end of the stream once it has read what was written, and can still answer.
    ///
    /// Where the future is dropped, the connection is: `shutdown` of tokio's `AsyncWriteExt` borrows it, and does the same.
    ///
    /// ```
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use typed_pipe::Connection;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (client, server) = Connection::pair()?;
    /// let (mut client, mut server) = (client.into_tokio()?, server.into_tokio()?);
    /// client.write_all(b"how are you?").await?;
    /// let mut answers = client.finish().await?;
    ///
    /// let mut words = String::new();
    /// server.read_to_string(&mut words).await?; // to the end of what the client says
    /// server.write_all(b"very well").await?;
    /// drop(server);
    /// words.clear();
    /// answers.read_to_string(&mut words).await?;
    /// assert_eq!(words, "very well");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks. In each the connection is given back.
    pub async fn finish(self) -> Result<ReadHalf<Tokio>, TransitionError<Self>> {
        let (reader, writer) = self.split();
        match writer.finish().await {
            Ok(()) => Ok(reader),
            Err(failed) => {
                let (writer, error) = failed.into_parts();
                Err(TransitionError::new(Self::of_halves(reader, writer), error))
            }
        }
    }
}

impl WriteHalf<Tokio> {
    /// Says that this was all, and closes the half: the other side reads the end of the stream.
    ///
    /// Where the future is dropped, the half is, which does the same as far as that takes no waiting.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let (client, server) = Connection::pair()?;
    /// let (mut answers, questions) = client.into_tokio()?.split();
    /// questions.finish().await?; // there is none
    ///
    /// let mut server = server.into_tokio()?;
    /// assert_eq!(server.reader().read(&mut [0; 8]).await?, 0); // the end
    /// server.writer().write(b"good bye").await?; // the other direction goes on
    /// assert_eq!(answers.read(&mut [0; 8]).await?, 8);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the mode that blocks. In each the half is given back.
    pub async fn finish(mut self) -> Result<(), TransitionError<Self>> {
        match self.finish_in_place().await {
            Ok(()) => Ok(()),
            Err(error) => Err(TransitionError::new(self, error)),
        }
    }
}

impl AsyncRead for Connection<Tokio> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().reader()).poll_read(cx, buf)
    }
}

/// What is written is in the pipe: there is nothing to flush. Shutting down ends the direction: the other side reads the
/// end of the stream, and can still answer.
impl AsyncWrite for Connection<Tokio> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().writer()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().writer()).poll_shutdown(cx)
    }
}
