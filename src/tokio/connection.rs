//! Connecting, and connections as streams of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Tokio;
use crate::connection::{ConnectOptions, Connection};
use crate::error::TransitionError;

impl ConnectOptions {
    /// Switches to the mode [`Tokio`], for a task that connects.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, ConnectOptions, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let options = ConnectOptions::new().cancelled_by(&token).into_tokio(); // it keeps the settings
    ///
    /// let listener = Listener::temporary()?;
    /// let mut connection = options.connect(listener.path()).await?;
    /// token.cancel();
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
    /// Switches to the mode that blocks, for a thread that connects.
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
}

impl Connection {
    /// Switches the connection to the mode [`Tokio`], for tasks.
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
    /// Those of [`End::into_tokio`](crate::End::into_tokio). Each gives back the connection.
    ///
    /// # Panics
    ///
    /// If the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Connection<Tokio>, TransitionError<Self>> {
        self.into_mode()
    }
}

impl Connection<Tokio> {
    /// Switches the connection to the mode that blocks.
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
        let (reader, writer) = self.into_halves();
        Connection::from_halves((reader.into_blocking(), writer.into_blocking()))
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

/// Flushing does nothing: written bytes are in the pipe. Shutting down half-closes the connection: the peer reads the
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
