//! `Client`: calls a service.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use static_assertions::assert_impl_all;

use super::agree::{Types, agreed};
use super::calls::{Calls, Source, Target};
use super::context::Context;
use super::counts::CallCounts;
use super::failure::{Failure, garbled};
use super::link::{Link, Request};
use super::mux::Reason;
use super::options::ClientOptions;
use super::pending::{InFlight, Items, Pending};
use super::server::{Clients, Plain, Response, Serves, Service, WithContext};
use crate::channel::{Described, Receivable, Sendable};
use crate::connection::Connection;
use crate::error::Error;
use crate::handles::Handles;
use crate::path::PipePath;
use crate::state::Blocking;
use crate::sys::WaitLimit;
use crate::wait::left;
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// A client that calls a [`Service`](super::Service).
///
/// Threads may share it: their calls go over one connection, and each gets its own answer. After a lost connection, the
/// next call makes a new one, and waits for a service until its deadline; without a deadline, until there is a service
/// again.
///
/// In the mode `Tokio` (feature `tokio`), calls are awaited: [`ClientOptions`] switches the mode. Runtimes may share a client, in a
/// `static` for instance: each has a connection of its own, so that one which ends, or stands still, holds up no call of another. Each
/// counts as a [client of its own](crate::ListenerOptions::max_clients) for the service.
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
pub struct Client<Req, Resp, F = LengthPrefixed, C = Postcard, M: Calls = Blocking> {
    target: Target<F, C, M>,
    messages: PhantomData<fn(&Req) -> Resp>,
}

impl<Req: Described, Resp: Receivable> Client<Req, Resp> {
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
    /// Those of [`TypedConnection::connect`](crate::TypedConnection::connect). The error is
    /// [`Mismatch`](crate::ErrorKind::Mismatch) where requests or answers differ: of enums, a variant that both sides know.
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

    /// Calls over a connection that is there: see [`ClientOptions::over`].
    ///
    /// # Errors
    ///
    /// Those of [`ClientOptions::over`].
    pub fn over(connection: Connection) -> Result<Self, Error> {
        ClientOptions::new().over(connection)
    }

    /// A client in this process, of a handler, for tests: see [`ClientOptions::local`].
    ///
    /// ```
    /// use typed_pipe::Client;
    ///
    /// let client = Client::<u32, u32>::local(|number| number + 1)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ClientOptions::local`].
    pub fn local<H, A>(handler: H) -> Result<Self, Error>
    where
        Req: Receivable + 'static,
        Resp: Described + 'static,
        H: Fn(Req) -> A + Send + Sync + 'static,
        A: Response<Resp>,
    {
        ClientOptions::new().local(handler)
    }
}

impl<Req, Resp, F, C, M> Client<Req, Resp, F, C, M>
where
    Req: Described,
    Resp: Receivable,
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    M: Calls,
{
    /// The path of the service; `None` where the connection was [given](ClientOptions::over) without one.
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
    /// assert_eq!(client.path(), Some(&path));
    /// let another = Client::<u32, u32>::connect(&path)?; // over a connection of its own
    /// assert_eq!(another.call(&1)?, 2);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> Option<&PipePath> {
        self.target.path.as_ref()
    }

    /// What became of the calls and the notifications of this client. A further [attempt](ClientOptions::max_attempts) is
    /// a call of its own.
    ///
    /// An example is at [`CallCounts`].
    #[doc(alias("metrics", "statistics"))]
    pub fn counts(&self) -> CallCounts {
        self.target.counters.counts()
    }

    /// A client over a connection that something else keeps.
    pub(super) fn served(link: &Arc<Link<M>>, path: Option<PipePath>, wire: Wire<F, C>) -> Self {
        let options = ClientOptions::of(wire);
        let source = Source::Served(Arc::downgrade(link));
        let counters = Arc::clone(&link.calls);
        let target = Target::new(path, options, source, Types::of_client::<Req, Resp>(), counters);
        Self { target, messages: PhantomData }
    }

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
    ///   the handler did. The error text includes its message. `HandlerFailed` is also an answer that does not fit what this
    ///   client reads.
    /// - [`Mismatch`](crate::ErrorKind::Mismatch): the service does not know this request, as one of a
    ///   [later edition](crate::when_types_change). No handler got it.
    /// - [`Decode`](crate::ErrorKind::Decode): the service cannot read the request, and no handler got it.
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): the service is gone. The call fails at once, not at its
    ///   deadline.
    /// - [`Finished`](crate::ErrorKind::Finished): the service has shut down, and has not taken this request.
    /// - [`TimedOut`](crate::ErrorKind::TimedOut): see [`call_timeout`](Self::call_timeout).
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`ClientOptions::cancelled_by`](crate::ClientOptions::cancelled_by).
    /// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): nothing was sent.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt): the answer of the service cannot be decoded.
    /// - Those of [`connect`](Self::connect), if the connection was lost before.
    #[doc(alias("rpc", "request"))]
    pub fn call(&self, request: &Req) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        M::run(self.answer(request, self.target.options.until(), false))
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
    pub fn call_timeout(
        &self,
        request: &Req,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        M::run(self.answer(request, M::within(timeout), false))
    }

    /// Sends a request in another form, such as one that borrows, and waits for its answer. Its bytes must be those of the
    /// request: in postcard, a `&str` is written as a `String` is, and a struct as one with the same fields.
    ///
    /// The compiler does not see that the two forms are alike. What the service reads is known from the handshake, if its codec
    /// has a [style](crate::wire::Codec::style): each value is compared with it, and one that does not fit is not sent. [`same_encoding`](crate::same_encoding)
    /// compares the two forms of a [`Message`](crate::Message) in a test.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use std::thread;
    /// use typed_pipe::{Client, ErrorKind, Service};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Search {
    ///     words: Vec<String>,
    ///     text: String,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct SearchRef<'a> {
    ///     words: &'a [&'a str],
    ///     text: &'a str,
    /// }
    ///
    /// let service = Service::<Search, usize>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve(|Search { words, text }| words.iter().filter(|&w| text.contains(w)).count())
    /// });
    ///
    /// let client = Client::<Search, usize>::connect(path)?;
    /// assert_eq!(client.call_ref(&7).unwrap_err().kind(), ErrorKind::Mismatch); // not sent
    /// let text = "a long text that stays where it is";
    /// assert_eq!(client.call_ref(&SearchRef { words: &["long", "short"], text })?, 1);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call).
    #[doc(alias("borrowed", "zero-copy"))]
    pub fn call_ref<R: Sendable + ?Sized>(
        &self,
        request: &R,
    ) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        let until = self.target.options.until();
        M::run(async move {
            let body = self.attempt(Wanted::AnswerToOther, request, until, false).await?;
            self.target.decode(&body)
        })
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
    pub fn call_idempotent(
        &self,
        request: &Req,
    ) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        M::run(self.answer(request, self.target.options.until(), true))
    }

    /// Sends a request, and waits for no answer: a notification.
    ///
    /// Notifications and calls of a connection are handled in the order in which they were sent, and nothing begins before a
    /// notification is handled to its end. What becomes of one is not told: for that, call a service that answers `()`.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<String, ()>::temporary()?.shutdown_after(2);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|line| println!("{line}")));
    ///
    /// let client = Client::<String, ()>::connect(path)?;
    /// client.notify(&"first".into())?;
    /// client.call(&"second; both are printed now".into())?;
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) before there is an answer.
    #[doc(alias("fire and forget", "one-way", "event"))]
    pub fn notify(&self, request: &Req) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        M::run(self.notifying(request, self.target.options.until()))
    }

    /// Sends a notification, and waits for at most `timeout` until it is sent.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<String, ()>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|line| println!("{line}")));
    ///
    /// let client = Client::<String, ()>::connect(path)?;
    /// client.notify_timeout(&"a line".into(), Duration::from_secs(10))?;
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`notify`](Self::notify), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn notify_timeout(
        &self,
        request: &Req,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        M::run(self.notifying(request, M::within(timeout)))
    }

    /// Sends a request, and returns at once: the answer is [waited](Pending::wait) for later. So one thread has many calls in
    /// flight.
    ///
    /// An example is at [`Pending`]. Such a call is made once, whatever the [attempts](ClientOptions::max_attempts). What
    /// several of them send may leave together, at the latest with the next wait.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) before there is an answer.
    #[doc(alias("future", "in flight", "pipelining"))]
    pub fn start(
        &self,
        request: &Req,
    ) -> M::Ret<impl Future<Output = Result<Pending<Resp, C, M>, Error>>> {
        M::run(async {
            self.begin(request, &mut Handles::new(), true, None).await.map(Pending::new)
        })
    }

    /// Sends a request whose handler [sends items](super::Context::send) before its answer, or receives them.
    ///
    /// The handler sends no item that is not of a type which fits `Item`: what it tries to send is an error
    /// [there](super::Context::send). Nor does it read items [sent to it](Items::send) as what they are not.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Context, Service};
    ///
    /// let service = Service::<String, usize>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve_with_context(|text, context: Context<char>| {
    ///         text.chars().try_for_each(|letter| context.send(&letter))?;
    ///         Ok::<_, typed_pipe::Error>(text.len())
    ///     })
    /// });
    ///
    /// let client = Client::<String, usize>::connect(path)?;
    /// let mut letters = client.stream::<char>(&"pipe".into())?;
    /// for letter in &mut letters {
    ///     print!("{}", letter?);
    /// }
    /// assert_eq!(letters.finish()?, 4);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) before there is an answer.
    #[doc(alias("progress", "streaming"))]
    pub fn stream<Item: Receivable>(
        &self,
        request: &Req,
    ) -> M::Ret<impl Future<Output = Result<Items<Item, Resp, C, M>, Error>>> {
        M::run(async {
            let tell = Link::tell_items::<Item, C>;
            let call = self.begin(request, &mut Handles::new(), false, Some(tell)).await?;
            Ok(Items::<Item, Resp, C, M>::new(call))
        })
    }

    /// Sends a request with handles beside it, and waits for its answer, with the handles beside that one.
    ///
    /// Such a call is made once, whatever the [attempts](ClientOptions::max_attempts). Fields of the request and of the answer
    /// that stand for handles are [`Carried`](crate::Carried).
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Read;
    /// use std::thread;
    /// use typed_pipe::{Carried, Client, ClientOptions, Context, Handles, Service};
    ///
    /// let service = Service::<String, Carried<File>>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("notes");
    /// # std::fs::write(&name, "a note")?;
    /// let serving = thread::spawn(move || {
    ///     service.serve_with_context(|name, context: Context| {
    ///         let mut handles = Handles::new();
    ///         let file = handles.carry(File::open(name)?)?;
    ///         context.give_handles(handles)?;
    ///         Ok::<_, std::io::Error>(file)
    ///     })
    /// });
    ///
    /// let options = ClientOptions::new().with_handles(); // those of answers
    /// let client: Client<String, Carried<File>> = options.connect(path)?;
    /// # let name = name.to_str().unwrap().to_owned();
    /// let (file, mut handles) = client.call_with_handles(&name, &mut Handles::new())?;
    /// let mut words = String::new();
    /// handles.claim(file)?.read_to_string(&mut words)?;
    /// assert_eq!(words, "a note");
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call), and [`Unsupported`](crate::ErrorKind::Unsupported): the service
    /// [lets no handles in](super::Service::with_handles), or the connection is over a carrier.
    /// [`TooLarge`](crate::ErrorKind::TooLarge): there are too many.
    #[doc(alias("SCM_RIGHTS", "file descriptor"))]
    pub fn call_with_handles(
        &self,
        request: &Req,
        handles: &mut Handles,
    ) -> M::Ret<impl Future<Output = Result<(Resp, Handles), Error>>> {
        M::run(async {
            let call = self.begin(request, handles, false, None).await?;
            call.answer_with_handles().await
        })
    }

    /// Sends a request, and waits for an answer of this kind: for the methods of `service!`.
    #[doc(hidden)]
    pub fn call_for<T>(
        &self,
        request: Req,
        found: impl Fn(Resp) -> Option<T>,
    ) -> M::Ret<impl Future<Output = Result<T, Error>>>
    where
        Req: Sized,
    {
        M::run(async move {
            let answer = self.answer(&request, self.target.options.until(), false).await?;
            found(answer).ok_or_else(|| garbled(self.target.at()))
        })
    }

    /// Sends a notification, and waits for no answer: for the methods of `service!`.
    #[doc(hidden)]
    pub fn notify_for(&self, request: Req) -> M::Ret<impl Future<Output = Result<(), Error>>>
    where
        Req: Sized,
    {
        M::run(async move { self.notifying(&request, self.target.options.until()).await })
    }

    /// As [`call_with_handles`](Self::call_with_handles), for the methods of `service!`.
    #[doc(hidden)]
    pub fn call_with_handles_for<T>(
        &self,
        request: Req,
        handles: &mut Handles,
        found: impl Fn(Resp) -> Option<T>,
    ) -> M::Ret<impl Future<Output = Result<(T, Handles), Error>>>
    where
        Req: Sized,
    {
        M::run(async move {
            let call = self.begin(&request, handles, false, None).await?;
            let (answer, handles) = call.answer_with_handles().await?;
            let answer = found(answer).ok_or_else(|| garbled(self.target.at()))?;
            Ok((answer, handles))
        })
    }

    /// As [`stream`](Self::stream), for the methods of `service!`.
    #[doc(hidden)]
    pub fn stream_for<Item: Receivable, Up, T: Receivable + 'static>(
        &self,
        request: Req,
        found: impl Fn(Resp) -> Option<T> + Send + Sync + 'static,
    ) -> M::Ret<impl Future<Output = Result<Items<Item, T, C, M, Up>, Error>>>
    where
        Req: Sized,
    {
        M::run(async move {
            let tell = Link::tell_items::<Item, C>;
            let call = self.begin(&request, &mut Handles::new(), false, Some(tell)).await?;
            Ok(Items::of(call, found))
        })
    }

    async fn begin(
        &self,
        request: &Req,
        handles: &mut Handles,
        later: bool,
        tell_items: Option<TellItems<C, M>>,
    ) -> Result<InFlight<C, M>, Error> {
        let Target { path, options, .. } = &self.target;
        let until = options.until();
        let handle = M::find(&self.target, until).await?;
        let link = handle.as_ref();
        let mut body = self.target.encode(request, link)?;
        let handles = link.passed(handles).map_err(|error| error.at(self.target.at()))?;
        let name = link.method(options.codec(), &body);
        let method = tell_items.map_or(0, |tell| tell(link, options.codec(), &mut body));
        let deadline = millis(until);
        let mut request = Request { method, name, deadline, body, handles };
        let entered = M::enter(link, &mut request, until, later).await;
        let entered = entered.map_err(|failure| failure.into_error().at(self.target.at()))?;
        Ok(InFlight::new(handle, entered, options.codec().clone(), path.clone(), until))
    }

    async fn answer(
        &self,
        request: &Req,
        until: WaitLimit,
        repeatable: bool,
    ) -> Result<Resp, Error> {
        let body = self.attempt(Wanted::Answer, request, until, repeatable).await?;
        self.target.decode(&body)
    }

    async fn notifying(&self, request: &Req, until: WaitLimit) -> Result<(), Error> {
        self.attempt(Wanted::Nothing, request, until, false).await.map(drop)
    }

    /// Makes a call, as often as the options say.
    async fn attempt<R: Sendable + ?Sized>(
        &self,
        wanted: Wanted,
        request: &R,
        until: WaitLimit,
        repeatable: bool,
    ) -> Result<Vec<u8>, Error> {
        let options = &self.target.options;
        let mut attempts = options.attempts_of_a_call(until, repeatable);
        loop {
            let error = match M::find(&self.target, until).await {
                Ok(handle) => {
                    let link = handle.as_ref();
                    let check = || {
                        let checked = link.check_other(request);
                        checked.map_err(|error| error.at(self.target.at()))
                    };
                    if let Wanted::AnswerToOther = wanted {
                        check()?;
                    }
                    let body = self.target.encode(request, link)?;
                    let (name, handles) = (link.method(options.codec(), &body), Vec::new());
                    let deadline = millis(until);
                    let mut request = Request { method: 0, name, deadline, body, handles };
                    let outcome = match wanted {
                        Wanted::Answer | Wanted::AnswerToOther => {
                            M::call(link, &mut request, until).await
                        }
                        Wanted::Nothing => M::notify(link, request, until).await,
                    };
                    match outcome {
                        Ok(body) => return Ok(body),
                        Err(failure) => {
                            if let Failure::Answered(Reason::Undecodable, _) = failure {
                                // A method of a later edition, and where the other side found that.
                                check()?;
                            }
                            failure.into_error().at(self.target.at())
                        }
                    }
                }
                Err(error) => error,
            };
            let Some(pause) = attempts.pause_after(&error) else { return Err(error) };
            // A cancelled token ends it early: the next attempt reports that.
            let _ = M::sleep(M::within(pause), options.connect.token()).await;
        }
    }
}

/// Says with a call what the items look like that this side reads. Returns the number of the method.
type TellItems<C, M> = fn(&Link<M>, &C, &mut Vec<u8>) -> u64;

/// What a request is sent for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Answer,
    /// The request is of another type than those of the client.
    AnswerToOther,
    Nothing,
}

/// How many milliseconds are left, the last one begun; 0 for as long as it takes. The other side waits no shorter than this
/// one.
pub(super) fn millis(until: WaitLimit) -> u64 {
    match until {
        WaitLimit::Done => 0,
        until => {
            u64::try_from(left(until).as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
        }
    }
}

impl<Req, Resp, F, C, M: Calls> fmt::Debug for Client<Req, Resp, F, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("path", &self.target.path).finish_non_exhaustive()
    }
}

assert_impl_all!(Client<u8, u8>: Send, Sync);

impl<F, C, M> ClientOptions<F, C, M>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    M: Calls,
{
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
    pub fn connect<Req: Described, Resp: Receivable>(
        &self,
        path: impl AsRef<Path>,
    ) -> M::Ret<impl Future<Output = Result<Client<Req, Resp, F, C, M>, Error>>> {
        M::run(self.clone().connect_until(PipePath::new(path), WaitLimit::Done))
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
    pub fn connect_timeout<Req: Described, Resp: Receivable>(
        &self,
        path: impl AsRef<Path>,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<Client<Req, Resp, F, C, M>, Error>>> {
        M::run(self.clone().connect_until(PipePath::new(path), M::within(timeout)))
    }

    async fn connect_until<Req: Described, Resp: Receivable>(
        self,
        path: Result<PipePath, Error>,
        until: WaitLimit,
    ) -> Result<Client<Req, Resp, F, C, M>, Error> {
        let path = path?;
        let types = Types::of_client::<Req, Resp>();
        let link = self.link(path.clone(), until, types).await?;
        let counters = Arc::clone(&link.calls);
        let source = Source::Path(Mutex::new(vec![M::handle(link)]));
        let target = Target::new(Some(path), self, source, types, counters);
        Ok(Client { target, messages: PhantomData })
    }

    /// Calls over a connection that is there: one that was accepted or inherited, of a [pair](Connection::pair), or [over a
    /// carrier](Connection::over). There is no other one when it is lost.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, ClientOptions, Connection, Service};
    ///
    /// let (ours, theirs) = Connection::pair()?;
    /// let serving = thread::spawn(move || Service::<u32, u32>::over(theirs).serve(|n| n + 1));
    ///
    /// let client: Client<u32, u32> = ClientOptions::new().over(ours)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// drop(client); // the connection ends, and so does the service
    /// assert_eq!(serving.join().unwrap()?.answered, 1);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`] once it is connected.
    pub fn over<Req: Described, Resp: Receivable>(
        &self,
        connection: Connection,
    ) -> M::Ret<impl Future<Output = Result<Client<Req, Resp, F, C, M>, Error>>> {
        M::run(self.clone().connected(connection))
    }

    async fn connected<Req: Described, Resp: Receivable>(
        self,
        connection: Connection,
    ) -> Result<Client<Req, Resp, F, C, M>, Error> {
        let path = connection.path().cloned();
        let connection = connection.into_mode()?;
        let handshake = self.handshake(WaitLimit::Done);
        let types = Types::of_client::<Req, Resp>();
        let parts = agreed(handshake, connection, types, self.layer).await?;
        let link = Link::calling(parts);
        let counters = Arc::clone(&link.calls);
        let source = Source::Given(M::handle(link));
        let target = Target::new(path, self, source, types, counters);
        Ok(Client { target, messages: PhantomData })
    }

    /// A client in this process, of a handler: for tests, and for a program that is one process for now.
    ///
    /// The handler runs in threads or tasks of its own, until the client is dropped.
    ///
    /// ```
    /// use typed_pipe::{Client, ClientOptions};
    ///
    /// let client: Client<String, usize> = ClientOptions::new().local(|word: String| word.len())?;
    /// assert_eq!(client.call(&"hello".into())?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted), [`Io`](crate::ErrorKind::Io): there are no descriptors or
    /// threads left for it.
    #[doc(alias("in process", "mock"))]
    pub fn local<Req, Resp, H, A>(
        &self,
        handler: H,
    ) -> M::Ret<impl Future<Output = Result<Client<Req, Resp, F, C, M>, Error>>>
    where
        Req: Described + Receivable + 'static,
        Resp: Described + Receivable + 'static,
        H: Fn(Req) -> A + Send + Sync + 'static,
        M: Serves<Req, Resp, F, C, Plain<H>>,
    {
        M::run(self.clone().locally(Plain(handler)))
    }

    /// A client in this process, as [`local`](Self::local), of a handler that is told of its call.
    ///
    /// ```
    /// use typed_pipe::{Client, ClientOptions, Context};
    ///
    /// let steps = |steps, context: Context<u32>| (0..steps).try_for_each(|step| context.send(&step));
    /// let client: Client<u32, ()> = ClientOptions::new().local_with_context(steps)?;
    /// let progress = client.stream::<u32>(&3)?;
    /// assert_eq!(progress.collect::<Result<Vec<_>, _>>()?, [0, 1, 2]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`local`](Self::local).
    pub fn local_with_context<Req, Resp, Item, H, A>(
        &self,
        handler: H,
    ) -> M::Ret<impl Future<Output = Result<Client<Req, Resp, F, C, M>, Error>>>
    where
        Req: Described + Receivable + 'static,
        Resp: Described + Receivable + 'static,
        Item: 'static,
        H: Fn(Req, Context<Item, C, M>) -> A + Send + Sync + 'static,
        M: Serves<Req, Resp, F, C, WithContext<H, Item>>,
    {
        M::run(self.clone().locally(WithContext(handler, PhantomData)))
    }

    async fn locally<Req, Resp, H>(self, handler: H) -> Result<Client<Req, Resp, F, C, M>, Error>
    where
        Req: Described + Receivable + 'static,
        Resp: Described + Receivable + 'static,
        H: Send + Sync + 'static,
        M: Serves<Req, Resp, F, C, H>,
    {
        let (ours, theirs) = Connection::pair()?;
        let (wire, name) = (self.wire().clone(), self.name().to_owned());
        let mut service = Service::of(Clients::one(theirs), wire, name);
        if self.layer.handles {
            service = service.with_handles();
        }
        M::detach(service, handler)?;
        self.connected(ours).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handles::Handles;

    #[test]
    fn a_call_moves_little_before_it_begins() {
        let client: Client<u32, u32> = ClientOptions::new().local(|number: u32| number).unwrap();
        let call = client.answer(&1, WaitLimit::Done, false);
        assert!(size_of_val(&call) <= 1 << 10, "{} bytes", size_of_val(&call));
        let mut handles = Handles::new();
        let started = client.begin(&1, &mut handles, false, None);
        assert!(size_of_val(&started) <= 1 << 10, "{} bytes", size_of_val(&started));
    }
}
