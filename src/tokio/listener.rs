//! Accepting clients.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;

use super::Tokio;
use super::wait::{check, pause};
use crate::duplex::{Connection, Listener, Seat};
use crate::error::{Error, ErrorKind, Obstacle, Operation, TransitionError};
use crate::sys::{PolledServer, REST};
use crate::wait::Sleeper;

/// What a listener waits with, under tokio.
#[derive(Debug)]
pub struct Accepting {
    polled: PolledServer,
    sleeper: Option<Sleeper>,
    /// The place of the next client.
    seat: Option<Seat>,
}

impl Listener {
    /// Lets a task of [tokio](Tokio) wait for clients.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    /// use typed_pipe::{ErrorKind, Listener};
    ///
    /// let failed = Listener::temporary()?.into_tokio().unwrap_err(); // in no runtime
    /// assert_eq!(failed.kind(), ErrorKind::Unsupported);
    /// let listener = failed.into_state(); // it has listened all the time
    ///
    /// let runtime = Builder::new_current_thread().enable_all().build()?;
    /// let listener = runtime.block_on(async { listener.into_tokio() })?;
    /// # drop(listener);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// In each the listener is given back.
    ///
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here.
    /// - [`Exhausted`](crate::ErrorKind::Exhausted): the process has too many open files.
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Listener<Tokio>, TransitionError<Self>> {
        let runtime = Handle::try_current().map_err(|_| Obstacle::NoRuntime.into());
        match runtime.and_then(|runtime| PolledServer::new(self.server(), &runtime)) {
            Ok(polled) => {
                let sleeper = self.stop().map(Sleeper::new);
                Ok(self.waiting_by(Accepting { polled, sleeper, seat: None }))
            }
            Err(error) => {
                let error = Error::new(Operation::Register, error).at(Some(self.path().shared()));
                Err(TransitionError::new(self, error))
            }
        }
    }
}

impl Listener<Tokio> {
    /// Lets threads that block wait for clients.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let mut listener = Listener::temporary()?.into_tokio()?;
    /// let path = listener.path().clone();
    /// let first = Connection::connect(&path)?;
    /// listener.accept().await?;
    ///
    /// let second = Connection::connect(&path)?;
    /// let listener = listener.into_blocking(); // who waits in line goes on waiting
    /// listener.accept()?;
    /// # drop((first, second));
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_blocking(self) -> Listener {
        self.waiting_by(())
    }

    /// Hands out the next client, and waits until there is one.
    ///
    /// One task does so. Where the future is dropped, no client is lost.
    ///
    /// ```
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use typed_pipe::{ConnectOptions, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut listener = Listener::temporary()?.into_tokio()?;
    /// let path = listener.path().clone();
    /// tokio::spawn(async move {
    ///     loop {
    ///         let mut client = listener.accept().await?;
    ///         tokio::spawn(async move { client.write_all(b"welcome").await });
    ///     }
    ///     #[expect(unreachable_code, reason = "it tells the type of errors")]
    ///     Ok::<(), typed_pipe::Error>(())
    /// });
    ///
    /// let mut server = ConnectOptions::new().into_tokio().connect(path).await?;
    /// let mut words = String::new();
    /// server.read_to_string(&mut words).await?;
    /// assert_eq!(words, "welcome");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a listener that blocks.
    pub async fn accept(&mut self) -> Result<Connection<Tokio>, Error> {
        let client = self.accept_any().await?;
        self.register(client).await
    }

    /// Registers a client with the runtime. One for which there is no room is the next one again.
    pub(super) async fn register(&self, client: Connection) -> Result<Connection<Tokio>, Error> {
        let (client, error) = match client.into_tokio() {
            Ok(client) => return Ok(client),
            Err(failed) => failed.into_parts(),
        };
        *self.kept() = Some(client);
        self.rest_after(error).await
    }

    /// Fails, after a rest where there is no room.
    async fn rest_after<T>(&self, error: Error) -> Result<T, Error> {
        if error.kind() == ErrorKind::Exhausted {
            let sleeper = self.stop().map(Sleeper::new);
            pause(REST, sleeper.as_ref()).await.map_err(|stopped| self.failed(stopped))?;
        }
        Err(error)
    }

    /// Waits under the token that it has by now.
    pub(super) fn heeding_stop(mut self) -> Self {
        let sleeper = self.stop().map(Sleeper::new);
        self.parts().0.sleeper = sleeper;
        self
    }

    /// The next client, in no mode yet.
    pub(super) async fn accept_any(&mut self) -> Result<Connection, Error> {
        if let Some(kept) = self.kept().take() {
            return Ok(kept);
        }
        match poll_fn(|cx| self.poll_accept(cx)).await {
            Ok(connection) => Ok(connection),
            Err(error) => self.rest_after(self.failed(error)).await,
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        let (Accepting { polled, sleeper, seat }, server, seats) = self.parts();
        check(sleeper.as_ref(), cx)?;
        let place = match seat.take() {
            Some(place) => place,
            None => ready!(seats.poll_take(cx)),
        };
        match polled.poll_accept(server, cx) {
            Poll::Ready(Ok(halves)) => Poll::Ready(Ok(self.accepted(halves, place))),
            Poll::Ready(Err(error)) => {
                *seat = Some(place);
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                *seat = Some(place);
                Poll::Pending
            }
        }
    }
}
