//! Calling a service.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{timeout, timeout_at};

use super::Tokio;
use super::call::Call;
use crate::channel::{Receivable, Sendable};
use crate::error::Error;
use crate::path::PipePath;
use crate::service::{
    ANSWER, Client, ClientOptions, ConnectFuture, DONE_ALONE, Link, SharedLink, no_answer, outcome,
};
use crate::state::Runtime as _;
use crate::sys::WaitLimit;
use crate::typed_connection::{HandshakeDone, shake_hands};
use crate::wire::{Codec, Framing};

impl<F: Framing + Clone, C: Codec + Clone> ClientOptions<F, C> {
    /// Switches to the mode [`Tokio`], for tasks that call.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, ClientOptions, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|number| async move { number + 1 }));
    ///
    /// let options = ClientOptions::new().max_attempts(3).into_tokio(); // before it connects
    /// let client = options.connect::<u32, u32>(path).await?;
    /// assert_eq!(client.call(&42).await?, 43);
    /// # token.cancel();
    /// # serving.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_tokio(self) -> ClientOptions<F, C, Tokio> {
        self.in_mode()
    }
}

impl<F: Framing + Clone, C: Codec + Clone> ClientOptions<F, C, Tokio> {
    /// Switches to the mode that blocks, for threads that call.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::wire::{LengthPrefixed, Postcard};
    /// use typed_pipe::{ClientOptions, Service, Tokio};
    ///
    /// struct Config {
    ///     calling: ClientOptions<LengthPrefixed, Postcard, Tokio>,
    /// }
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let config = Config { calling: ClientOptions::new().max_attempts(3).into_tokio() };
    /// let client = config.calling.into_blocking().connect::<u32, u32>(path)?; // not awaited
    /// assert_eq!(client.call(&42)?, 43);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_blocking(self) -> ClientOptions<F, C> {
        self.in_mode()
    }

    /// Connects to the service at a path, and waits until it is there.
    ///
    /// Dropping the future abandons the attempt.
    ///
    /// ```
    /// use typed_pipe::wire::{LengthPrefixed, Postcard};
    /// use typed_pipe::{CancelToken, Client, ClientOptions, Service, Tokio};
    ///
    /// struct Lengths {
    ///     client: Client<String, usize, LengthPrefixed, Postcard, Tokio>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let service = Service::<String, usize>::temporary()?.cancelled_by(&token).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|word| async move { word.len() }));
    ///
    /// let lengths = Lengths { client: ClientOptions::new().into_tokio().connect(path).await? };
    /// assert_eq!(lengths.client.call(&"hello".into()).await?, 5);
    /// # token.cancel();
    /// # serving.await.unwrap()?;
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
    pub async fn connect<Req: Sendable, Resp: Receivable>(
        self,
        path: impl AsRef<Path>,
    ) -> Result<Client<Req, Resp, F, C, Tokio>, Error> {
        self.connect_until(PipePath::new(path)?, WaitLimit::Done).await
    }

    /// Connects to the service at a path, and waits for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ClientOptions, ErrorKind, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let service = Service::<u32, u32>::temporary()?; // not serving yet
    /// let options = ClientOptions::new().into_tokio();
    /// let late = options.connect_timeout::<u32, u32>(service.path(), Duration::from_millis(10)).await;
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
    pub async fn connect_timeout<Req: Sendable, Resp: Receivable>(
        self,
        path: impl AsRef<Path>,
        timeout: Duration,
    ) -> Result<Client<Req, Resp, F, C, Tokio>, Error> {
        self.connect_until(PipePath::new(path)?, Tokio::within(timeout)).await
    }

    async fn connect_until<Req: Sendable, Resp: Receivable>(
        self,
        path: PipePath,
        until: WaitLimit,
    ) -> Result<Client<Req, Resp, F, C, Tokio>, Error> {
        let talked = self.connect_future(path.clone(), until).await?;
        let link = self.link(talked)?;
        Ok(Client::over(path, self, link))
    }

    /// Connects, and performs the handshake.
    fn connect_future(&self, path: PipePath, until: WaitLimit) -> ConnectFuture<Tokio> {
        let (options, handshake) = (self.connect_options().clone(), self.handshake(until));
        let (terms, time_limit) = (handshake.begin(false, false), handshake.time_limit());
        Box::pin(async move {
            let connection = options.connecting(path, until).await?;
            shake_hands(connection, terms, time_limit.until::<Tokio>()).await
        })
    }

    /// Makes a new connection, after the handshake.
    fn link<Req: Sendable, Resp: Receivable>(
        &self,
        (state, reader, writer): HandshakeDone<Tokio>,
    ) -> Result<Link<Req, Resp, F, C, Tokio>, Error> {
        let handshake = self.handshake(WaitLimit::Done);
        let (sender, receiver) = handshake.conclude(&state, reader, writer)?;
        Ok(Link::new(sender, receiver))
    }
}

/// Tasks may share it, in an [`Arc`](std::sync::Arc) or by reference: their calls go over one connection, and each gets
/// its own answer.
///
/// If the future of a call is dropped, the service may still handle the request, unless none of it was sent; its answer
/// is dropped on arrival, and no other call is affected. A future that is kept and not polled blocks no other call
/// either.
///
/// A connection belongs to the runtime of the task that made it. Tasks of another runtime can call over it as long as that
/// one runs: share no client between runtimes that end before it does, such as those of several tests.
impl<Req, Resp, F, C> Client<Req, Resp, F, C, Tokio>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing + Clone,
    C: Codec + Clone,
{
    /// Sends a request, and waits for its answer as long as the client's [options](ClientOptions::reply_timeout) allow.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use typed_pipe::{CancelToken, ClientOptions, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|number| async move { number + 1 }));
    ///
    /// let client = Arc::new(ClientOptions::new().into_tokio().connect::<u32, u32>(path).await?);
    /// let shared = Arc::clone(&client);
    /// let task = tokio::spawn(async move { shared.call(&1).await }); // over the same connection
    /// assert_eq!(client.call(&10).await?, 11);
    /// assert_eq!(task.await.unwrap()?, 2);
    /// # token.cancel();
    /// # serving.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a client that blocks. After each, [`Error::is_delivered`] returns whether the service may have handled
    /// the request.
    pub async fn call(&self, request: &Req) -> Result<Resp, Error> {
        self.answer(request, self.options().until(), false).await
    }

    /// Sends a request, and waits for its answer for at most `timeout`.
    ///
    /// ```
    /// use std::future::pending;
    /// use std::time::Duration;
    /// use typed_pipe::{ClientOptions, ErrorKind, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let service = Service::<u32, u32>::temporary()?.into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|_| pending::<u32>())); // it never answers
    ///
    /// let client = ClientOptions::new().into_tokio().connect::<u32, u32>(path).await?;
    /// let late = client.call_timeout(&1, Duration::from_millis(10)).await;
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # serving.abort();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub async fn call_timeout(&self, request: &Req, timeout: Duration) -> Result<Resp, Error> {
        self.answer(request, Tokio::within(timeout), false).await
    }

    /// Sends a request that may be handled twice, and waits for its answer.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, ClientOptions, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let service = Service::<String, usize>::temporary()?.cancelled_by(&token).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|word| async move { word.len() }));
    ///
    /// let options = ClientOptions::new().max_attempts(3).into_tokio();
    /// let client = options.connect::<String, usize>(path).await?;
    /// // Counting twice is harmless. `call` would not retry once the service may have begun.
    /// assert_eq!(client.call_idempotent(&"hello".into()).await?, 5);
    /// # token.cancel();
    /// # serving.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call).
    pub async fn call_idempotent(&self, request: &Req) -> Result<Resp, Error> {
        self.answer(request, self.options().until(), true).await
    }

    /// Sends a request, and waits until the service has handled it, without an answer.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use typed_pipe::{CancelToken, ClientOptions, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let token = CancelToken::new()?;
    /// let (sender, lines) = mpsc::channel();
    /// let service = Service::<String, ()>::temporary()?.cancelled_by(&token).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(move |line| {
    ///     let _ = sender.send(line);
    ///     async {}
    /// }));
    ///
    /// let client = ClientOptions::new().into_tokio().connect::<String, ()>(path).await?;
    /// client.notify(&"a line".into()).await?;
    /// assert_eq!(lines.try_recv()?, "a line"); // handled by now
    /// # token.cancel();
    /// # serving.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call).
    pub async fn notify(&self, request: &Req) -> Result<(), Error> {
        self.attempt(DONE_ALONE, request, self.options().until(), false).await.map(drop)
    }

    /// Sends a request, and waits for at most `timeout` until the service has handled it, without an answer.
    ///
    /// ```
    /// use std::future::pending;
    /// use std::time::Duration;
    /// use typed_pipe::{ClientOptions, ErrorKind, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let service = Service::<String, ()>::temporary()?.into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|_| pending::<()>())); // it never finishes
    ///
    /// let client = ClientOptions::new().into_tokio().connect::<String, ()>(path).await?;
    /// let late = client.notify_timeout(&"a line".into(), Duration::from_millis(10)).await;
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # serving.abort();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call_timeout`](Self::call_timeout).
    pub async fn notify_timeout(&self, request: &Req, timeout: Duration) -> Result<(), Error> {
        self.attempt(DONE_ALONE, request, Tokio::within(timeout), false).await.map(drop)
    }

    async fn answer(
        &self,
        request: &Req,
        until: WaitLimit,
        repeatable: bool,
    ) -> Result<Resp, Error> {
        let answer = self.attempt(ANSWER, request, until, repeatable).await?;
        answer.ok_or_else(|| no_answer(self.path()))
    }

    async fn attempt(
        &self,
        wanted: u8,
        request: &Req,
        until: WaitLimit,
        repeatable: bool,
    ) -> Result<Option<Resp>, Error> {
        let mut attempts = self.options().attempts_of_a_call(until, repeatable);
        loop {
            let error = match self.try_once(wanted, request, until).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = attempts.pause_after(&error) else { return Err(error) };
            // A cancelled token ends it early: the next attempt reports that.
            let token = self.options().connect_options().token();
            let _ = Tokio::sleep(Tokio::within(pause), token).await;
        }
    }

    async fn try_once(
        &self,
        wanted: u8,
        request: &Req,
        until: WaitLimit,
    ) -> Result<Option<Resp>, Error> {
        let link = self.find(until).await?;
        let mut call = Call::new(&link);
        let called = before(until, poll_fn(|cx| call.poll(wanted, request, cx))).await;
        let answer = called.unwrap_or_else(|| call.give_up());
        answer.and_then(outcome).map_err(|error| error.at(Some(self.path().shared())))
    }

    /// The current connection, or a new one.
    async fn find(&self, until: WaitLimit) -> Result<SharedLink<Req, Resp, F, C, Tokio>, Error> {
        if let Some(link) = self.present().link() {
            return Ok(link);
        }
        let finding = Finding::new(self, until);
        let found = before(until, poll_fn(|cx| finding.poll(cx))).await;
        match found {
            Some(found) => found,
            // The attempt ends by itself now, and reports the cause.
            None if finding.connects() => poll_fn(|cx| finding.poll(cx)).await,
            None => Err(self.still_connecting()),
        }
    }
}

type PollFound<Req, Resp, F, C> = Poll<Result<SharedLink<Req, Resp, F, C, Tokio>, Error>>;

/// A call that waits for a connection, registered until this is dropped.
struct Finding<'a, Req, Resp, F, C> {
    client: &'a Client<Req, Resp, F, C, Tokio>,
    number: u64,
    until: WaitLimit,
}

impl<'a, Req, Resp, F, C> Finding<'a, Req, Resp, F, C> {
    fn new(client: &'a Client<Req, Resp, F, C, Tokio>, until: WaitLimit) -> Self {
        let number = client.present().attempt.enter();
        Self { client, number, until }
    }

    /// Whether this call has begun the attempt to connect.
    fn connects(&self) -> bool {
        self.client.present().attempt.is_begun_by(self.number)
    }
}

impl<Req, Resp, F, C> Finding<'_, Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing + Clone,
    C: Codec + Clone,
{
    /// Polls the attempt to connect, which another call may have begun: that call's future may not be polled.
    fn poll(&self, cx: &Context<'_>) -> PollFound<Req, Resp, F, C> {
        let polled = self.poll_in_place(cx);
        self.client.tasks().wake_noted();
        polled
    }

    fn poll_in_place(&self, cx: &Context<'_>) -> PollFound<Req, Resp, F, C> {
        let Self { client, number, until } = *self;
        client.tasks().enter(number, cx);
        let waker = client.tasks().waker();
        let cx = &mut Context::from_waker(&waker);
        let mut present = client.present();
        loop {
            if let Some(error) = present.attempt.failure(number) {
                return Poll::Ready(Err(error));
            }
            if let Some(link) = present.link() {
                return Poll::Ready(Ok(link));
            }
            let connect_future = || client.options().connect_future(client.path().clone(), until);
            let (by, talked) = ready!(present.attempt.poll(number, connect_future, cx));
            match talked.and_then(|talked| client.options().link(talked)) {
                Ok(link) => drop(present.go_on_with(link)),
                Err(error) => present.attempt.fail(by, error),
            }
            client.tasks().note_all();
        }
    }
}

impl<Req, Resp, F, C> Drop for Finding<'_, Req, Resp, F, C> {
    fn drop(&mut self) {
        let tasks = self.client.tasks();
        tasks.leave(self.number);
        let mut present = self.client.present();
        let begun = present.attempt.leave(self.number);
        let idle = present.attempt.is_idle();
        drop(present);
        drop(begun);
        // Other calls may wait for the connection that is gone now.
        if idle {
            tasks.note_all();
        }
        tasks.wake_noted();
    }
}

/// The output of a future, unless the deadline comes first.
async fn before<T>(until: WaitLimit, future: impl Future<Output = T>) -> Option<T> {
    match until {
        WaitLimit::Done => Some(future.await),
        WaitLimit::Deadline(end) => timeout_at(end.into(), future).await.ok(),
        WaitLimit::Now => timeout(Duration::ZERO, future).await.ok(),
    }
}
