//! Accepting clients.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::runtime::Handle;

use super::Tokio;
use super::runtime::Accepting;
use crate::connection::{Connection, Listener, REST};
use crate::error::{Error, ErrorKind, Obstacle, Operation, TransitionError};
use crate::sys::PolledServer;

impl Listener {
    /// Switches the listener to the mode [`Tokio`], for tasks.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    /// use typed_pipe::{ErrorKind, Listener};
    ///
    /// let failed = Listener::temporary()?.into_tokio().unwrap_err(); // in no runtime
    /// assert_eq!(failed.kind(), ErrorKind::Unsupported);
    /// let listener = failed.into_state(); // it stays bound
    ///
    /// let runtime = Builder::new_current_thread().enable_all().build()?;
    /// let listener = runtime.block_on(async { listener.into_tokio() })?;
    /// # drop(listener);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Each gives back the listener.
    ///
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files.
    ///
    /// # Panics
    ///
    /// If the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Listener<Tokio>, TransitionError<Self>> {
        let runtime = Handle::try_current().map_err(|_| Obstacle::NoRuntime.into());
        match runtime.and_then(|runtime| PolledServer::new(self.server(), &runtime)) {
            Ok(polled) => Ok(self.waiting_by(Accepting::new(polled))),
            Err(error) => {
                let error = Error::new(Operation::Register, error).at(Some(self.path().shared()));
                Err(TransitionError::new(self, error))
            }
        }
    }
}

impl Listener<Tokio> {
    /// Switches the listener to the mode that blocks.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let listener = Listener::temporary()?.into_tokio()?;
    /// let path = listener.path().clone();
    /// let first = Connection::connect(&path)?;
    /// listener.accept().await?;
    ///
    /// let second = Connection::connect(&path)?;
    /// let listener = listener.into_blocking(); // clients in the backlog stay there
    /// listener.accept()?;
    /// # drop((first, second));
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_blocking(self) -> Listener {
        self.waiting_by(())
    }
}

/// Yields clients, as a loop over a listener that blocks: it ends only when the listener is
/// [cancelled](crate::ListenerOptions::cancelled_by).
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
/// use futures_core::Stream;
/// use typed_pipe::{CancelToken, ConnectOptions, ListenerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), typed_pipe::Error> {
/// let token = CancelToken::new()?;
/// let mut listener = ListenerOptions::new().cancelled_by(&token).temporary()?.into_tokio()?;
/// let path = listener.path().clone();
/// let client = tokio::spawn(async move { ConnectOptions::new().into_tokio().connect(path).await });
///
/// // `next` of the crate `futures` or `tokio-stream` does this:
/// while let Some(client) = poll_fn(|cx| Pin::new(&mut listener).poll_next(cx)).await {
///     drop(client?); // or serve it in a task
///     token.cancel(); // as Ctrl-C may do
/// }
/// # client.await.unwrap()?;
/// # Ok(())
/// # }
/// ```
impl Stream for Listener<Tokio> {
    type Item = Result<Connection<Tokio>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listener = self.get_mut();
        let kept = listener.kept().take();
        let accepted = match kept {
            Some(client) => Ok(client),
            None => loop {
                let (accepting, server, permits, token) = listener.parts();
                match ready!(accepting.poll_next(server, permits, token, cx)) {
                    Ok((halves, permit)) => {
                        if let Some(client) = listener.admitted(halves, permit) {
                            break Ok(client);
                        }
                    }
                    Err(error) => break Err(listener.failed(error)),
                }
            },
        };
        let client = accepted.and_then(|client| listener.registered(client));
        match &client {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Poll::Ready(None),
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                listener.parts().0.rest(REST)
            }
            _ => {}
        }
        Poll::Ready(Some(client))
    }
}
