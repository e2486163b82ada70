//! `Client`: calls a service.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use static_assertions::assert_impl_all;

#[cfg(feature = "tokio")]
use super::connecting::Connecting;
use super::link::Link;
use super::options::ClientOptions;
#[cfg(feature = "tokio")]
use super::tasks::Tasks;
use super::{ANSWER, DONE_ALONE};
use crate::channel::{Receivable, Sendable};
use crate::error::{Error, Obstacle, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode};
use crate::sys::{WaitLimit, pause as rest};
use crate::wait::{until_changed, waiting, within};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard};

/// A client that calls a [`Service`](super::Service).
///
/// Threads may share it: their calls go over one connection, and each gets its own answer. After a lost connection, the
/// next call makes a new one, and waits for a service until its deadline; without a deadline, until there is a service
/// again.
///
/// In the mode `Tokio` (feature `tokio`), calls are awaited: [`ClientOptions`] switches the mode.
///
/// An error says whether a retry is safe: [`Error::is_delivered`] is `false` if the service never got the request, and
/// `true` if it may have handled it. With [attempts](ClientOptions::max_attempts), a client itself retries undelivered
/// requests.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Client, ErrorKind, Service};
///
/// let service = Service::<u32, u32>::temporary()?.shutdown_after(2);
/// let path = service.path().clone();
/// let serving = thread::spawn(move || {
///     service.serve(|number| number.checked_sub(1).ok_or("there is nothing before 0"))
/// });
///
/// let client = Client::<u32, u32>::connect(path)?;
/// assert_eq!(client.call(&42)?, 41);
/// let error = client.call(&0).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::HandlerFailed);
/// assert!(error.to_string().contains("there is nothing before 0"));
/// assert_eq!(serving.join().unwrap()?.failed, 1);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[doc(alias("rpc", "request"))]
pub struct Client<Req, Resp, F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    path: PipePath,
    options: ClientOptions<F, C, M>,
    present: Mutex<Present<Req, Resp, F, C, M>>,
    /// Notified when a call has done with connecting.
    changed: Condvar,
    /// The tasks of calls that wait for a connection.
    #[cfg(feature = "tokio")]
    tasks: Arc<Tasks>,
}

/// The present connection, if there is one.
pub(crate) struct Present<Req, Resp, F, C, M: Mode> {
    link: Option<SharedLink<Req, Resp, F, C, M>>,
    /// Whether a thread is about to make another one.
    connecting: bool,
    /// What tasks are about to make it with.
    #[cfg(feature = "tokio")]
    pub(crate) attempt: Connecting<M>,
}

impl<Req, Resp, F, C, M> Present<Req, Resp, F, C, M>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
    M: Mode,
{
    /// The present connection, unless it is lost.
    pub(crate) fn link(&self) -> Option<SharedLink<Req, Resp, F, C, M>> {
        self.link.as_ref().filter(|link| !link.is_shut()).map(Arc::clone)
    }

    /// Goes on with another connection.
    pub(crate) fn go_on_with(
        &mut self,
        link: Link<Req, Resp, F, C, M>,
    ) -> SharedLink<Req, Resp, F, C, M> {
        let link = Arc::new(link);
        self.link = Some(Arc::clone(&link));
        link
    }
}

pub(crate) type SharedLink<Req, Resp, F, C, M = Blocking> = Arc<Link<Req, Resp, F, C, M>>;

impl<Req: Sendable, Resp: Receivable> Client<Req, Resp> {
    /// Connects to the service at a path, and waits until it is there.
    ///
    /// A running service has 10 seconds to let the client in, for instance once another client leaves. For a service
    /// that is full for longer, use [`connect_timeout`](Self::connect_timeout), whose timeout covers both.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let calling = thread::spawn(move || {
    ///     let client = Client::<u32, u32>::connect(path)?; // waits until the service serves
    ///     client.call(&42)
    /// });
    /// service.serve(|number| number + 1)?;
    /// assert_eq!(calling.join().unwrap()?, 43);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedConnection::connect`](crate::TypedConnection::connect).
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        ClientOptions::new().connect(path)
    }

    /// Connects to the service at a path, and waits for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Client, ErrorKind, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?; // not serving yet
    /// let late = Client::<u32, u32>::connect_timeout(service.path(), Duration::from_millis(10));
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedConnection::connect_timeout`](crate::TypedConnection::connect_timeout).
    pub fn connect_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self, Error> {
        ClientOptions::new().connect_timeout(path, timeout)
    }
}

impl<Req, Resp, F, C, M> Client<Req, Resp, F, C, M>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing + Clone,
    C: Codec + Clone,
    M: Mode,
{
    /// The path of the service.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Client, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let client = Client::<u32, u32>::connect(&path)?;
    /// assert_eq!(client.path(), &path);
    /// let another = Client::<u32, u32>::connect(client.path())?; // over a connection of its own
    /// assert_eq!(another.call(&1)?, 2);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> &PipePath {
        &self.path
    }

    pub(crate) fn over(
        path: PipePath,
        options: ClientOptions<F, C, M>,
        link: Link<Req, Resp, F, C, M>,
    ) -> Self {
        let present = Mutex::new(Present {
            link: Some(Arc::new(link)),
            connecting: false,
            #[cfg(feature = "tokio")]
            attempt: Connecting::default(),
        });
        Self {
            path,
            options,
            present,
            changed: Condvar::new(),
            #[cfg(feature = "tokio")]
            tasks: Arc::default(),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn options(&self) -> &ClientOptions<F, C, M> {
        &self.options
    }

    /// The error of a call that had to wait too long for its turn to connect.
    pub(crate) fn still_connecting(&self) -> Error {
        let late = Obstacle::TimedOut("another call is still connecting");
        Error::new(Operation::Call, late).at(Some(self.path.shared()))
    }
}

impl<Req, Resp, F, C> Client<Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing + Clone,
    C: Codec + Clone,
{
    /// Sends a request, and waits for its answer as long as the client's [options](ClientOptions::reply_timeout) allow.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, ErrorKind, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(2);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| 10 / number));
    ///
    /// let client = Client::<u32, u32>::connect(path)?;
    /// let error = client.call(&0).unwrap_err(); // the handler panics, the service goes on
    /// assert_eq!(error.kind(), ErrorKind::HandlerPanicked);
    /// assert!(error.is_delivered()); // another call would make it panic again
    /// assert_eq!(client.call(&5)?, 2);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// After each, [`Error::is_delivered`] returns whether the service may have handled the request.
    ///
    /// - [`HandlerFailed`](crate::ErrorKind::HandlerFailed), [`HandlerPanicked`](crate::ErrorKind::HandlerPanicked):
    ///   the handler did. The error text includes its message.
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): the service is gone. The call fails at once, not at its
    ///   deadline.
    /// - [`Finished`](crate::ErrorKind::Finished): the service has shut down, and has not taken this request.
    /// - [`TimedOut`](crate::ErrorKind::TimedOut): see [`call_timeout`](Self::call_timeout).
    /// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): nothing was sent.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt): the answer of the service cannot be decoded.
    /// - Those of [`connect`](Self::connect), if the connection was lost before.
    #[doc(alias("rpc", "request"))]
    pub fn call(&self, request: &Req) -> Result<Resp, Error> {
        self.answer(request, self.options.until(), false)
    }

    /// Sends a request, and waits for its answer for at most `timeout`.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let client = Client::<u32, u32>::connect(path)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// serving.join().unwrap()?; // the service has ended
    /// let error = client.call_timeout(&2, Duration::from_millis(10)).unwrap_err();
    /// assert!(!error.is_delivered()); // not handled: it may be sent elsewhere
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call), and [`TimedOut`](crate::ErrorKind::TimedOut): a late answer is dropped, and never
    /// mixed up with another.
    pub fn call_timeout(&self, request: &Req, timeout: Duration) -> Result<Resp, Error> {
        self.answer(request, within(timeout), false)
    }

    /// Sends a request that may be handled twice, and waits for its answer.
    ///
    /// With [attempts](ClientOptions::max_attempts), the client retries it even if the service may have handled it and
    /// was lost before it answered.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, ClientOptions, Service};
    ///
    /// let service = Service::<String, usize>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|word| word.len()));
    ///
    /// let client: Client<String, usize> = ClientOptions::new().max_attempts(3).connect(path)?;
    /// // Counting twice is harmless. `call` would not retry once the service may have begun.
    /// assert_eq!(client.call_idempotent(&"hello".into())?, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call).
    #[doc(alias("retry"))]
    pub fn call_idempotent(&self, request: &Req) -> Result<Resp, Error> {
        self.answer(request, self.options.until(), true)
    }

    /// Sends a request, and waits until the service has handled it, without an answer.
    ///
    /// The service is one like any other. The result of its handler is not sent, and its type may differ from the
    /// client's.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<String, ()>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|line| println!("{line}")));
    ///
    /// let client = Client::<String, ()>::connect(path)?;
    /// client.notify(&"it is printed by now".into())?;
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call).
    pub fn notify(&self, request: &Req) -> Result<(), Error> {
        self.attempt(DONE_ALONE, request, self.options.until(), false).map(drop)
    }

    /// Sends a request, and waits for at most `timeout` until the service has handled it, without an answer.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{CancelToken, Client, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<String, ()>::temporary()?.cancelled_by(&token);
    /// let path = service.path().clone();
    /// let busy = token.clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve(|_| {
    ///         while !busy.is_cancelled() {
    ///             thread::yield_now(); // a slow handler
    ///         }
    ///     })
    /// });
    ///
    /// let client = Client::<String, ()>::connect(path)?;
    /// let error = client.notify_timeout(&"a line".into(), Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call_timeout`](Self::call_timeout).
    pub fn notify_timeout(&self, request: &Req, timeout: Duration) -> Result<(), Error> {
        self.attempt(DONE_ALONE, request, within(timeout), false).map(drop)
    }

    fn answer(&self, request: &Req, until: WaitLimit, repeatable: bool) -> Result<Resp, Error> {
        let answer = self.attempt(ANSWER, request, until, repeatable)?;
        answer.ok_or_else(|| super::no_answer(&self.path))
    }

    fn attempt(
        &self,
        wanted: u8,
        request: &Req,
        until: WaitLimit,
        repeatable: bool,
    ) -> Result<Option<Resp>, Error> {
        let mut attempts = self.options.attempts_of_a_call(until, repeatable);
        loop {
            let called =
                self.link(until).and_then(|link| link.call(wanted, request, until, &self.path));
            let error = match called {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = attempts.pause_after(&error) else { return Err(error) };
            // A cancelled token ends it early: the next attempt reports that.
            let _ = rest(pause, waiting(WaitLimit::Done, self.options.connect.token()));
        }
    }

    /// The connection: the present one, or another if that is lost.
    fn link(&self, until: WaitLimit) -> Result<SharedLink<Req, Resp, F, C>, Error> {
        match self.turn(until)? {
            Found::Link(link) => Ok(link),
            // No thread waits for this longer than its own deadline.
            Found::Turn(_turn) => {
                let link = self.options.link(&self.path, until)?;
                Ok(self.present().go_on_with(link))
            }
        }
    }

    fn turn(&self, until: WaitLimit) -> Result<Found<'_, Req, Resp, F, C>, Error> {
        let mut present = self.present();
        loop {
            if let Some(link) = present.link() {
                return Ok(Found::Link(link));
            }
            if !present.connecting {
                present.connecting = true;
                return Ok(Found::Turn(ConnectTurn(self)));
            }
            let in_time;
            (present, in_time) = until_changed(&self.changed, present, until);
            if !in_time {
                return Err(self.still_connecting());
            }
        }
    }
}

impl<Req, Resp, F, C, M: Mode> Client<Req, Resp, F, C, M> {
    #[cfg(feature = "tokio")]
    pub(crate) fn tasks(&self) -> &Arc<Tasks> {
        &self.tasks
    }

    pub(crate) fn present(&self) -> MutexGuard<'_, Present<Req, Resp, F, C, M>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Req, Resp, F, C, M: Mode> fmt::Debug for Client<Req, Resp, F, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a thread goes on with.
enum Found<'a, Req, Resp, F, C> {
    Link(SharedLink<Req, Resp, F, C>),
    Turn(ConnectTurn<'a, Req, Resp, F, C>),
}

/// The turn of the thread that connects, until this is dropped: another one may try then.
struct ConnectTurn<'a, Req, Resp, F, C>(&'a Client<Req, Resp, F, C>);

impl<Req, Resp, F, C> Drop for ConnectTurn<'_, Req, Resp, F, C> {
    fn drop(&mut self) {
        self.0.present().connecting = false;
        self.0.changed.notify_all();
    }
}

assert_impl_all!(Client<u8, u8>: Send, Sync);

impl<F: Framing + Clone, C: Codec + Clone> ClientOptions<F, C> {
    /// Connects to the service at a path, as [`Client::connect`].
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, ClientOptions, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let client: Client<u32, u32> = ClientOptions::new().max_attempts(3).connect(path)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    pub fn connect<Req: Sendable, Resp: Receivable>(
        &self,
        path: impl AsRef<Path>,
    ) -> Result<Client<Req, Resp, F, C>, Error> {
        self.clone().connect_until(path.as_ref(), WaitLimit::Done)
    }

    /// Connects to the service at a path, as [`Client::connect_timeout`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ClientOptions, ErrorKind, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?; // not serving yet
    /// let options = ClientOptions::new().max_attempts(3);
    /// let late = options.connect_timeout::<u32, u32>(service.path(), Duration::from_millis(10));
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut); // `max_attempts` counts those of calls
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect_timeout`].
    pub fn connect_timeout<Req: Sendable, Resp: Receivable>(
        &self,
        path: impl AsRef<Path>,
        timeout: Duration,
    ) -> Result<Client<Req, Resp, F, C>, Error> {
        self.clone().connect_until(path.as_ref(), within(timeout))
    }

    fn connect_until<Req: Sendable, Resp: Receivable>(
        self,
        path: &Path,
        until: WaitLimit,
    ) -> Result<Client<Req, Resp, F, C>, Error> {
        let path = PipePath::new(path)?;
        let link = self.link(&path, until)?;
        Ok(Client::over(path, self, link))
    }
}
