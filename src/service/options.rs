//! Options of a client.

use std::future::Future;
use std::time::Duration;

use super::agree::{Layer, Types, agreed, handshake, identifiers};
use super::attempts::Attempts;
use super::link::{Kind, Link};
use crate::connection::ConnectOptions;
use crate::error::Error;
use crate::path::PipePath;
use crate::state::{Blocking, Mode};
use crate::sys::WaitLimit;
use crate::typed_connection::Handshake;
#[cfg(feature = "shared-memory")]
use crate::typed_connection::{MemoryOffered, SharedMemory};
use crate::wait::CancelToken;
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// Options of a client: its wire, its attempts, and its timeouts.
///
/// ```no_run
/// use std::time::Duration;
/// use typed_pipe::{Client, ClientOptions};
///
/// let client: Client<String, u64> = ClientOptions::new()
///     .protocol("lengths/1")
///     .max_attempts(5)
///     .reply_timeout(Duration::from_secs(2))
///     .connect("/run/app/lengths")?;
/// println!("{}", client.call(&"hello".into())?);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a client is made with `connect`"]
pub struct ClientOptions<F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    wire: Wire<F, C>,
    name: String,
    pub(super) connect: ConnectOptions<M>,
    max_attempts: u32,
    pauses: (Duration, Duration),
    reply_timeout: Option<Duration>,
    pub(super) layer: Layer,
}

impl ClientOptions {
    /// The default options: the default wire, one attempt, and no timeout.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{ClientOptions, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(2);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let options = ClientOptions::new(); // those of `Client::connect`
    /// let one = options.clone().connect::<u32, u32>(&path)?;
    /// let other = options.connect::<u32, u32>(&path)?;
    /// assert_eq!((one.call(&1)?, other.call(&2)?), (2, 3));
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::of(Wire::default())
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl<F, C, M: Mode> ClientOptions<F, C, M> {
    pub(super) fn of(wire: Wire<F, C>) -> Self {
        Self {
            wire,
            name: String::new(),
            connect: ConnectOptions::new().in_mode(),
            max_attempts: 1,
            pauses: (Duration::from_millis(10), Duration::from_secs(1)),
            reply_timeout: None,
            layer: Layer::default(),
        }
    }
}

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> ClientOptions<F, C, M> {
    /// Sets the wire. The service must use the same.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::wire::{LengthPrefixed, Wire};
    /// use typed_pipe::{ClientOptions, ErrorKind, Service};
    ///
    /// let service = Service::<String, usize>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|word| word.len()));
    ///
    /// let small = Wire::default().with_framing(LengthPrefixed::default().limit(64));
    /// let client = ClientOptions::new().with_wire(small).connect::<String, usize>(path)?;
    /// assert_eq!(client.call(&"hello".into())?, 5);
    /// let error = client.call(&"hello".repeat(100)).unwrap_err(); // nothing was sent
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire<G, D>(self, wire: Wire<G, D>) -> ClientOptions<G, D, M> {
        ClientOptions {
            wire,
            name: self.name,
            connect: self.connect,
            max_attempts: self.max_attempts,
            pauses: self.pauses,
            reply_timeout: self.reply_timeout,
            layer: self.layer,
        }
    }

    /// Sets the name of the protocol, with a version, such as `"tasks/1"`. A service with another name refuses the
    /// client.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, ClientOptions, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.protocol("tasks/2").cancelled_by(&token);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let old = ClientOptions::new().protocol("tasks/1").connect::<u32, u32>(&path);
    /// assert_eq!(old.unwrap_err().kind(), ErrorKind::Mismatch);
    /// let client = ClientOptions::new().protocol("tasks/2").connect::<u32, u32>(&path)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("version"))]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the options of connecting.
    ///
    /// A token there cancels all calls of the client as well: [`cancelled_by`](Self::cancelled_by) sets it alone.
    ///
    /// ```
    /// use typed_pipe::{ClientOptions, ConnectOptions, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1); // perhaps of another user
    /// # let path = service.path().clone();
    /// # let serving = std::thread::spawn(move || service.serve(|number| number + 1));
    /// let options = ClientOptions::new().connecting(ConnectOptions::new().trust_any_owner());
    /// let client = options.connect::<u32, u32>(path)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn connecting(mut self, options: ConnectOptions<M>) -> Self {
        self.connect = options;
        self
    }

    /// Lets a token cancel the waits of the client: connecting and every call, as at a Ctrl-C.
    ///
    /// After it, the client is of no more use. The handler of a call that was cancelled [learns of
    /// it](crate::Context::is_cancelled) at once; that of a call which was only [started](crate::Client::start), at its next
    /// wait, or when the client is dropped.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, ClientOptions, Context, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let ctrl_c = token.clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve_with_context(move |number, context: Context| {
    ///         ctrl_c.cancel(); // in the process of the client
    ///         while !context.is_cancelled() {
    ///             thread::yield_now(); // works on it
    ///         }
    ///         number
    ///     })
    /// });
    ///
    /// let client = ClientOptions::new().cancelled_by(&token).connect::<u32, u32>(path)?;
    /// assert_eq!(client.call(&1).unwrap_err().kind(), ErrorKind::Cancelled);
    /// serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("ctrl-c", "interrupt", "abort"))]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.connect = self.connect.cancelled_by(token);
        self
    }

    /// Sets the number of attempts of a call in all; 1 unless set.
    ///
    /// A client retries a request that the service has not got, and an [idempotent](crate::Client::call_idempotent) one
    /// if the service was lost before it answered. It never retries a request whose handler has failed.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{ClientOptions, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(2);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve(|number| number.checked_sub(1).ok_or("there is nothing before 0"))
    /// });
    ///
    /// // If the service ends, up to four more attempts find its successor.
    /// let client = ClientOptions::new().max_attempts(5).connect::<u32, u32>(path)?;
    /// assert_eq!(client.call(&42)?, 41);
    /// assert!(client.call(&0).is_err());
    /// assert_eq!(serving.join().unwrap()?.failed, 1); // no retry: it would fail again
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("retry"))]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts.max(1);
        self
    }

    /// Sets the pause before the second attempt, which doubles with each, and the longest one; 10 milliseconds and a
    /// second unless set.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{ClientOptions, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let (first, longest) = (Duration::from_millis(50), Duration::from_millis(150));
    /// let options = ClientOptions::new().max_attempts(4).backoff(first, longest); // 50, 100 and 150 ms
    /// let client = options.connect::<u32, u32>(path)?;
    /// assert_eq!(client.call(&1)?, 2); // at the first attempt, without a pause
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("retry"))]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.pauses = (first, longest);
        self
    }

    /// Sets the timeout of a call without one of its own, all attempts included; none unless set.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{CancelToken, ClientOptions, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token);
    /// let path = service.path().clone();
    /// let busy = token.clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve(|number| {
    ///         while !busy.is_cancelled() {
    ///             thread::yield_now(); // a slow handler
    ///         }
    ///         number + 1
    ///     })
    /// });
    ///
    /// let options = ClientOptions::new().reply_timeout(Duration::from_millis(10));
    /// let client = options.connect::<u32, u32>(path)?;
    /// assert_eq!(client.call(&1).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("deadline"))]
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.reply_timeout = Some(timeout);
        self
    }

    /// Lets answers bring handles: see [`Client::call_with_handles`](crate::Client::call_with_handles). Unless it is set, none
    /// come into this process.
    pub fn with_handles(mut self) -> Self {
        self.layer.handles = true;
        self
    }

    /// Offers [shared memory](SharedMemory) for the calls. They go through it if the service offers it too.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use std::thread;
    /// use typed_pipe::{ClientOptions, Service, SharedMemory};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shared_memory(SharedMemory::offered());
    /// let service = service.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let options = ClientOptions::new().shared_memory(SharedMemory::required());
    /// let client = options.connect::<u32, u32>(path)?; // which fails without
    /// assert_eq!(client.call(&1)?, 2);
    /// # serving.join().unwrap()?;
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[cfg(feature = "shared-memory")]
    #[doc(alias("shm", "memfd", "mmap"))]
    pub fn shared_memory(mut self, memory: SharedMemory) -> Self {
        self.layer.memory = MemoryOffered(Some(memory));
        self
    }

    /// The same options in another mode.
    #[cfg(feature = "tokio")]
    pub(crate) fn in_mode<N: Mode>(self) -> ClientOptions<F, C, N> {
        ClientOptions {
            wire: self.wire,
            name: self.name,
            connect: self.connect.in_mode(),
            max_attempts: self.max_attempts,
            pauses: self.pauses,
            reply_timeout: self.reply_timeout,
            layer: self.layer,
        }
    }

    /// What is to be agreed with the service.
    pub(crate) fn handshake(&self, until: WaitLimit) -> Handshake<F, C, M> {
        let (calls, answers) = identifiers(&self.name);
        let handshake = handshake(self.wire.clone(), Kind::Answers, self.layer);
        handshake.sending(calls).receiving(answers).by(until).in_mode()
    }

    /// The deadline of a call that says nothing else.
    pub(crate) fn until(&self) -> WaitLimit {
        self.reply_timeout.map_or(WaitLimit::Done, M::within)
    }

    pub(crate) fn attempts_of_a_call(&self, until: WaitLimit, repeatable: bool) -> Attempts {
        let (pause, longest) = self.pauses;
        Attempts { left: self.max_attempts, pause, longest, repeatable, until }
    }
}

#[cfg(feature = "json")]
impl<F, M: Mode> ClientOptions<F, crate::wire::Json, M> {
    /// Speaks JSON-RPC 2.0 with the service, which may be any program: over [lines](crate::wire::foreign::Lines), or over
    /// [`ContentLength`](crate::wire::foreign::ContentLength), as language servers do.
    ///
    /// See [`Service::json_rpc`](crate::Service::json_rpc).
    ///
    /// ```no_run
    /// use serde::{Deserialize, Serialize};
    /// use typed_pipe::wire::foreign::ContentLength;
    /// use typed_pipe::wire::{Json, Wire};
    /// use typed_pipe::{Client, ClientOptions};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Ask {
    ///     #[serde(rename = "textDocument/hover")]
    ///     Hover { params: Position },
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Position {
    ///     line: u32,
    ///     character: u32,
    /// }
    ///
    /// #[derive(Deserialize)]
    /// enum Answer {
    ///     #[serde(rename = "textDocument/hover")]
    ///     Hover(Option<String>),
    /// }
    ///
    /// let options = ClientOptions::new().with_wire(Wire::new(ContentLength::default(), Json));
    /// let client: Client<Ask, Answer, _, _> = options.json_rpc().connect("/run/server")?;
    /// let params = Position { line: 1, character: 2 };
    /// let Answer::Hover(text) = client.call(&Ask::Hover { params })?;
    /// # drop(text);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("JSON-RPC", "lsp", "language server"))]
    pub fn json_rpc(mut self) -> Self {
        self.layer.json_rpc = true;
        self
    }
}

impl<F, C, M> ClientOptions<F, C, M>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    /// A new connection, when the service agrees.
    pub(crate) fn link(
        &self,
        path: PipePath,
        until: WaitLimit,
        types: Types,
    ) -> impl Future<Output = Result<Link<M>, Error>> + use<F, C, M> {
        let (options, handshake) = (self.connect.clone(), self.handshake(until));
        let layer = self.layer;
        async move {
            let connection = options.connecting(path, until).await?;
            Ok(Link::calling(agreed(handshake, connection, types, layer).await?))
        }
    }
}

impl<F, C, M: Mode> ClientOptions<F, C, M> {
    pub(super) fn codec(&self) -> &C {
        self.wire.codec()
    }

    pub(super) fn wire(&self) -> &Wire<F, C> {
        &self.wire
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
