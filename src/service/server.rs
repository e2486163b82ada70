//! `Service`: answers the requests of any number of clients.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::agree::{Types, handshake, identifiers, of_both};
use super::calls::Calls;
use super::context::Context;
use super::counts::CallCounter;
use super::feed::Feed;
use super::lifecycle::{Lifecycle, Rules, Summary};
use super::link::{Job, Kind, Link, Order, Tally};
use super::meeting::{Admit, Entrance, Meeting};
use super::mux::Reason;
use super::panics::contain;
use super::serving::{Crew, Handle, Served};
use super::spans::CallSpan;
use super::waiting::Reply;
use crate::channel::{Described, Receivable, Sendable};
use crate::connection::{Connection, Listener};
#[cfg(feature = "tokio")]
use crate::error::TransitionError;
use crate::error::{Error, ErrorKind, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode, Runtime as _};
use crate::sys::{Peer, WaitLimit};
#[cfg(feature = "shared-memory")]
use crate::typed_connection::{MemoryOffered, SharedMemory};
use crate::wait::CancelToken;
use crate::wire::shape::Shape;
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// Answers the requests of any number of clients.
///
/// The calls of a client begin in their order and are handled beside each other; only a notification is handled alone. A
/// client that is silent, sends garbage, does not take its answers, or dies affects only itself. A handler that fails or
/// panics ends that request, with an error at the [caller](super::Client), and never the service; so does a message whose
/// `Serialize` or `Deserialize` panics.
///
/// ```
/// use std::thread;
/// use typed_pipe::{CancelToken, Client, Service};
///
/// let token = CancelToken::new()?;
/// let service = Service::<String, usize>::temporary()?.cancelled_by(&token);
/// let path = service.path().clone(); // or `Service::bind("/run/app/lengths")?`
/// let serving = thread::spawn(move || service.serve(|word| word.len()));
///
/// let client = Client::<String, usize>::connect(path)?;
/// assert_eq!(client.call(&"hello".into())?, 5);
///
/// token.cancel();
/// assert_eq!(serving.join().unwrap()?.answered, 1);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// In the mode that blocks, a thread reads for each client that is heard of; on Linux, one thread waits for all that are
/// silent. In the mode `Tokio` (feature `tokio`), handlers are async, and each client is served in a task.
///
/// # Shutdown
///
/// A service ends when its [token](Self::cancelled_by) is cancelled, after an [idle timeout](Self::idle_timeout), or
/// after [a number of requests](Self::shutdown_after). It then removes its name, answers the requests that its handlers
/// have begun, and sends a goodbye to each client: any other request was never handled, and its caller gets an error
/// that says so. After the [shutdown timeout](Self::shutdown_timeout), a handler waits no longer for its caller, to send an item or
/// to receive one, and the [token of its call](super::Context::cancel_token) is cancelled; its answer is still sent. A handler that
/// does not end even so holds this up: one that waits for something of its own, as for the next job of a queue, looks at its token as
/// well. To shut the service down by a request, let the handler cancel the token of the service. On Windows the name is in use until
/// the last client has left, or has noticed at its next call.
///
/// Results may go elsewhere than to the caller: a handler can send them to any channel of its own, and clients
/// [notify](super::Client::notify) such a service.
///
/// [`serve_with_context`](Self::serve_with_context) tells a handler who calls, and that its caller has left. For jobs that are
/// reassigned when a worker dies, use a [`Listener`](crate::Listener) and a [`TypedConnection`](crate::TypedConnection) for
/// each worker.
#[must_use = "a service answers no client before `serve`"]
#[doc(alias("rpc", "server", "daemon", "request"))]
pub struct Service<Req, Resp, F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    clients: Clients<M>,
    wire: Wire<F, C>,
    name: String,
    token: Option<CancelToken>,
    rules: Rules,
    admit: Option<Admit>,
    tally: Arc<Tally>,
    messages: PhantomData<fn(Req) -> Resp>,
}

/// Where the clients of a service come from.
pub(crate) enum Clients<M: Mode> {
    Listener(Listener<M>),
    /// There is this one alone. It gets its mode where it is served.
    One {
        path: PipePath,
        connection: Mutex<Option<Connection>>,
    },
    /// The program gives them.
    Fed(Feed),
}

pub(crate) type Opened<F, C, M> = (Clients<M>, Meeting<F, C, M>, Wire<F, C>, Lifecycle);

impl<Req: Receivable, Resp: Described> Service<Req, Resp> {
    /// Makes a service at a name on this machine, and owns the name.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("lengths");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let service = Service::<String, usize>::bind(&name)?.shutdown_after(1); // "/run/app/lengths"
    /// let serving = thread::spawn(move || service.serve(|word| word.len()));
    ///
    /// let client = Client::<String, usize>::connect(name)?; // the client needs only the name
    /// assert_eq!(client.call(&"hello".into())?, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Listener::bind`].
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Listener::bind(path)?))
    }

    /// Makes a service at an unguessable name.
    ///
    /// ```
    /// use typed_pipe::Service;
    ///
    /// let (one, other) = (Service::<u32, u32>::temporary()?, Service::<u32, u32>::temporary()?);
    /// assert_ne!(one.path(), other.path()); // pass it to clients: as an argument, or by another pipe
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Listener::temporary`].
    pub fn temporary() -> Result<Self, Error> {
        Ok(Self::new(Listener::temporary()?))
    }

    /// Makes a service at a listener with options, such as the largest number of clients: see
    /// [`ListenerOptions`](crate::ListenerOptions).
    ///
    /// ```
    /// use typed_pipe::{ListenerOptions, Service};
    ///
    /// let listener = ListenerOptions::new().max_clients(100).temporary()?;
    /// let service = Service::<String, usize>::new(listener).require_same_user();
    /// # drop(service);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new(listener: Listener) -> Self {
        Self::of(Clients::Listener(listener), Wire::default(), String::new())
    }

    /// Makes a service of one client, whose connection is there: one that was accepted or inherited, of a
    /// [pair](Connection::pair), or [over a carrier](Connection::over). It ends when this client has left.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Connection, Service, ShutdownReason};
    ///
    /// let (ours, theirs) = Connection::pair()?;
    /// let serving = thread::spawn(move || Service::<u32, u32>::over(theirs).serve(|n| n + 1));
    /// let client = Client::<u32, u32>::over(ours)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// drop(client);
    /// assert_eq!(serving.join().unwrap()?.reason, ShutdownReason::ClientLeft);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn over(connection: Connection) -> Self {
        Self::of(Clients::one(connection), Wire::default(), String::new())
    }

    /// Makes a service of clients whose connections the program gives, as they come: those of an iterator, such as the
    /// receiver of a channel, or of what another listener accepts. It ends when no further one comes and all clients have left.
    ///
    /// A thread of its own waits for the next connection. A service that ends does not wake it: what it waits for is dropped
    /// when the next one has come.
    ///
    /// With an [`idle_timeout`](Self::idle_timeout), the service ends by that alone. Its [`path`](Self::path) is empty.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::thread;
    /// use typed_pipe::{Client, Connection, Service};
    ///
    /// let (give, connections) = mpsc::channel();
    /// let service = Service::<u32, u32>::over_all(connections);
    /// let serving = thread::spawn(move || service.serve(|n| n + 1));
    ///
    /// for number in 0..3 {
    ///     let (ours, theirs) = Connection::pair()?; // or one that is inherited, or over a carrier
    ///     give.send(theirs).unwrap();
    ///     assert_eq!(Client::<u32, u32>::over(ours)?.call(&number)?, number + 1);
    /// }
    /// drop(give); // no further one comes
    /// assert_eq!(serving.join().unwrap()?.clients, 3);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("incoming", "accept", "inject"))]
    pub fn over_all<I>(connections: I) -> Self
    where
        I: IntoIterator<Item = Connection, IntoIter: Send + 'static>,
    {
        let feed = Feed::new(Box::new(connections.into_iter()));
        Self::of(Clients::Fed(feed), Wire::default(), String::new())
    }
}

impl<Req, Resp, F, C, M: Mode> Service<Req, Resp, F, C, M> {
    pub(super) fn of(clients: Clients<M>, wire: Wire<F, C>, name: String) -> Self {
        Self {
            clients,
            wire,
            name,
            token: None,
            rules: Rules::default(),
            admit: None,
            tally: Arc::default(),
            messages: PhantomData,
        }
    }
}

impl<Req, Resp, F, C, M> Service<Req, Resp, F, C, M>
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
    M: Mode,
{
    /// Sets the wire. Clients must use the same.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::wire::{Checked, Wire};
    /// use typed_pipe::{CancelToken, Client, ClientOptions, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let wire = Wire::default().with_framing(Checked::default());
    /// let service = Service::<u32, u32>::temporary()?.with_wire(wire.clone()).cancelled_by(&token);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let other = Client::<u32, u32>::connect(&path); // on the default wire
    /// assert_eq!(other.unwrap_err().kind(), ErrorKind::Mismatch);
    /// let client = ClientOptions::new().with_wire(wire).connect::<u32, u32>(&path)?;
    /// assert_eq!(client.call(&1)?, 2);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire<G, D>(self, wire: Wire<G, D>) -> Service<Req, Resp, G, D, M> {
        Service {
            clients: self.clients,
            wire,
            name: self.name,
            token: self.token,
            rules: self.rules,
            admit: self.admit,
            tally: self.tally,
            messages: PhantomData,
        }
    }

    /// Sets the name of the protocol, with a version, such as `"tasks/1"`. A client with another name is refused.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Client, ClientOptions, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.protocol("tasks/2").cancelled_by(&token);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let old = ClientOptions::new().protocol("tasks/1").connect::<u32, u32>(&path);
    /// assert_eq!(old.unwrap_err().kind(), ErrorKind::Mismatch);
    /// let nameless = Client::<u32, u32>::connect(&path)?; // without a name, any service fits
    /// assert_eq!(nameless.call(&1)?, 2);
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("version"))]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Lets a token shut down the service, beside the one that its listener may have.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Client, Service, ShutdownReason};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<String, ()>::temporary()?.cancelled_by(&token);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve(|word| {
    ///         if word == "quit" {
    ///             token.cancel(); // or at a Ctrl-C
    ///         }
    ///     })
    /// });
    ///
    /// let client = Client::<String, ()>::connect(path)?;
    /// client.call(&"go on".into())?;
    /// client.call(&"quit".into())?; // requests taken before are answered
    /// assert_eq!(serving.join().unwrap()?.reason, ShutdownReason::Cancelled);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Shuts down the service after `time` without a request, and with none being handled.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Service, ShutdownReason};
    ///
    /// let service = Service::<u32, u32>::temporary()?.idle_timeout(Duration::from_millis(10));
    /// let summary = service.serve(|number| number + 1)?; // no client calls
    /// assert_eq!((summary.reason, summary.answered), (ShutdownReason::Idle, 0));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.rules.idle_timeout = Some(time);
        self
    }

    /// Disconnects a client that has sent no request for `time`, to make room for another one. For an incoming request, see
    /// [`request_timeout`](Self::request_timeout).
    ///
    /// Its later requests are not taken, and its call connects anew if it has a further
    /// [attempt](crate::ClientOptions::max_attempts). The time begins anew once a request of it has been handled.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{ClientOptions, ListenerOptions, Service};
    ///
    /// let listener = ListenerOptions::new().max_clients(1).temporary()?;
    /// let service = Service::new(listener).client_idle_timeout(Duration::from_millis(50));
    /// let path = service.path().clone();
    /// thread::spawn(move || service.serve(|number: u32| number + 1));
    ///
    /// let connect = || ClientOptions::new().max_attempts(10).connect::<u32, u32>(&path);
    /// let first = connect()?;
    /// assert_eq!(first.call(&1)?, 2);
    /// let second = connect()?; // once the first one has timed out
    /// assert_eq!(second.call(&2)?, 3);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn client_idle_timeout(mut self, time: Duration) -> Self {
        self.rules.client_idle_timeout = Some(time);
        self
    }

    /// Shuts down the service after a number of requests.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service, ShutdownReason};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(2);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let client = Client::<u32, u32>::connect(path)?;
    /// assert_eq!((client.call(&1)?, client.call(&2)?), (2, 3));
    /// let summary = serving.join().unwrap()?; // it has shut down
    /// assert_eq!((summary.answered, summary.reason), (2, ShutdownReason::RequestLimit));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("limit"))]
    pub fn shutdown_after(mut self, requests: u64) -> Self {
        self.rules.shutdown_after = requests;
        self
    }

    /// Handles what a client sends one by one: a call or a notification begins when the one before has ended. The clients go
    /// on beside each other.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<u32, ()>::temporary()?.in_order().shutdown_after(3);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     let seen = Mutex::new(Vec::new());
    ///     let summary = service.serve(|number| seen.lock().unwrap().push(number))?;
    ///     Ok::<_, typed_pipe::Error>((seen.into_inner().unwrap(), summary))
    /// });
    /// let client = Client::<u32, ()>::connect(path)?;
    /// let calls = [1, 2, 3].map(|number| client.start(&number));
    /// calls.into_iter().try_for_each(|call| call?.wait())?;
    /// assert_eq!(serving.join().unwrap()?.0, [1, 2, 3]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn in_order(mut self) -> Self {
        self.rules.order = Order::All;
        self
    }

    /// Handles notifications beside what else a client sends, too. Unless it is set, a notification is handled alone.
    pub fn unordered(mut self) -> Self {
        self.rules.order = Order::Nothing;
        self
    }

    /// Serves only clients of the user that this process runs as.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.require_same_user().shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let client = Client::<u32, u32>::connect(path)?; // one of another user would be disconnected
    /// assert_eq!(client.call(&1)?, 2);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn require_same_user(mut self) -> Self {
        self.rules.same_user = true;
        self
    }

    /// Lets in only clients that a rule admits, and refuses all others, in words that they read as their error:
    /// [`Refused`](crate::ErrorKind::Refused).
    ///
    /// For clients of other users, the listener must [allow them](crate::ListenerOptions::access). A client of which the
    /// system does not tell who it is, is not let in.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Client, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token);
    /// let service = service.admit(|peer| match peer.pid() {
    ///     Some(1) => Ok(()),
    ///     _ => Err("only the first process may ask".into()),
    /// });
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let refused = Client::<u32, u32>::connect(path).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Refused);
    /// assert!(refused.to_string().contains("only the first process may ask"));
    /// # token.cancel();
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("refuse", "authorize"))]
    pub fn admit(
        mut self,
        rule: impl Fn(&Peer) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.admit = Some(Arc::new(rule));
        self
    }

    /// Lets calls bring handles, which the handler [takes](super::Context::take_handles). Unless it is set, none come into
    /// this process.
    ///
    /// An example is at [`Context::take_handles`](super::Context::take_handles).
    pub fn with_handles(mut self) -> Self {
        self.rules.layer.handles = true;
        self
    }

    /// Sets the timeout of a client's handshake, and of its taking an answer; 10 seconds unless set.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{CancelToken, Connection, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token);
    /// let service = service.handshake_timeout(Duration::from_millis(10));
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let mut silent = Connection::connect(path)?; // without a handshake
    /// while silent.read(&mut [0; 64]).is_ok_and(|read| read > 0) {} // the service ends the connection
    /// token.cancel();
    /// assert_eq!(serving.join().unwrap()?.lost, 1);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn handshake_timeout(mut self, time: Duration) -> Self {
        self.rules.handshake_timeout = time;
        self
    }

    /// Sets the timeout of a request, from its first byte to its last one; 30 seconds unless set. So no client holds its place
    /// by sending slowly.
    ///
    /// It is disconnected, and counts as [lost](Summary::lost). A request larger than what arrives in this time, over a slow
    /// network, needs a longer one. While the service does not read, as it is busy with earlier requests, the time stands still.
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use std::io::{Read, Write};
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Json, Wire};
    /// use typed_pipe::{Connection, Service};
    ///
    /// let (mut slow, theirs) = Connection::pair()?;
    /// let service = Service::<(), ()>::over(theirs).with_wire(Wire::new(Lines::default(), Json));
    /// let service = service.json_rpc().request_timeout(Duration::from_millis(10));
    /// let serving = thread::spawn(move || service.serve(|()| ()));
    /// slow.write_all(b"{")?; // and no more
    /// assert_eq!(slow.read(&mut [0; 64]).unwrap_or(0), 0); // the service ends the connection
    /// assert_eq!(serving.join().unwrap()?.lost, 1);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("slowloris"))]
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.rules.request_timeout = time;
        self
    }

    /// Sets how long handlers may wait for their callers once the service [shuts down](Self#shutdown); 30 seconds unless set. So
    /// no caller that does nothing holds up the shutdown, nor a handler that goes on until its call is cancelled.
    ///
    /// Then [`Context::send`](super::Context::send) and [`Context::recv`](super::Context::recv) fail with
    /// [`Cancelled`](crate::ErrorKind::Cancelled), the [token](super::Context::cancel_token) of each call is cancelled, and the
    /// caller gets what the handler returns. A client that takes nothing at all is disconnected after the
    /// [handshake timeout](Self::handshake_timeout) as well.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{CancelToken, Client, Context, ErrorKind, Service};
    ///
    /// let token = CancelToken::new()?;
    /// let service = Service::<(), u64>::temporary()?.cancelled_by(&token);
    /// let service = service.shutdown_timeout(Duration::from_millis(50));
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve_with_context(|(), context: Context<&str>| {
    ///         context.send(&"begun")?;
    ///         context.items::<u64>().sum::<Result<u64, _>>()
    ///     })
    /// });
    ///
    /// let client = Client::<(), u64>::connect(path)?;
    /// let mut call = client.stream::<String>(&())?;
    /// assert_eq!(call.recv().unwrap()?, "begun");
    /// token.cancel(); // and the caller sends neither an item nor their end
    /// serving.join().unwrap()?;
    /// let error = call.finish().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::HandlerFailed);
    /// assert!(error.to_string().contains("the service shuts down"));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("grace period", "graceful shutdown"))]
    pub fn shutdown_timeout(mut self, time: Duration) -> Self {
        self.rules.shutdown_timeout = time;
        self
    }

    /// Sets how many requests of one client are in the service at once; 1,024 unless set. The client keeps further ones back
    /// until one of these is answered, and so its calls wait, but none of another client.
    ///
    /// Notifications are not counted. At least one request is taken. A client that speaks [JSON-RPC](Self::json_rpc) is not
    /// told of the limit: what it sends beyond is answered with an error.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<(), u32>::temporary()?.max_requests(1).shutdown_after(100);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     let at_work = AtomicU32::new(0);
    ///     service.serve(|()| {
    ///         let beside = at_work.fetch_add(1, Ordering::SeqCst);
    ///         at_work.fetch_sub(1, Ordering::SeqCst);
    ///         beside
    ///     })
    /// });
    ///
    /// let client = Client::<(), u32>::connect(path)?;
    /// let calls = (0..100).map(|_| client.start(&())).collect::<Result<Vec<_>, _>>()?;
    /// for call in calls {
    ///     assert_eq!(call.wait()?, 0);
    /// }
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("concurrency", "calls at once", "limit"))]
    pub fn max_requests(mut self, requests: usize) -> Self {
        let most = u16::try_from(requests).unwrap_or(u16::MAX).max(1);
        self.rules.layer.max_requests = Some(most);
        self
    }

    /// Offers [shared memory](SharedMemory) to each client, for its calls. They go through it if the client
    /// [offers](crate::ClientOptions::shared_memory) it too.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Service, SharedMemory};
    ///
    /// let service = Service::<String, usize>::temporary()?.shared_memory(SharedMemory::offered());
    /// let service = service.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|word| word.len()));
    ///
    /// let client = Client::<String, usize>::connect(path)?; // it offers none, and is served all the same
    /// assert_eq!(client.call(&"hello".into())?, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[cfg(feature = "shared-memory")]
    #[doc(alias("shm", "memfd", "mmap"))]
    pub fn shared_memory(mut self, memory: SharedMemory) -> Self {
        self.rules.layer.memory = MemoryOffered(Some(memory));
        self
    }

    /// What tells what becomes of the requests, while the service serves and afterwards.
    ///
    /// An example is at [`CallCounts`](super::CallCounts).
    #[doc(alias("metrics", "statistics"))]
    pub fn counter(&self) -> CallCounter {
        CallCounter(Arc::clone(&self.tally.counters))
    }

    /// The path at which clients connect.
    ///
    /// [Over](Self::over) a connection, that of the connection, or an empty one.
    ///
    /// ```
    /// use std::process::Command;
    /// use typed_pipe::Service;
    ///
    /// let service = Service::<u32, u32>::temporary()?;
    /// let mut worker = Command::new("worker");
    /// worker.arg(service.path()); // where it is to connect
    /// assert_eq!(worker.get_args().count(), 1);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> &PipePath {
        self.clients.path()
    }

    /// The same service at a listener that waits in another way.
    #[cfg(feature = "tokio")]
    pub(crate) fn with_listener<N: Mode>(
        self,
        change: impl FnOnce(Listener<M>) -> Result<Listener<N>, TransitionError<Listener<M>>>,
    ) -> Result<Service<Req, Resp, F, C, N>, TransitionError<Self>> {
        let Self { clients, wire, name, token, rules, admit, tally, messages } = self;
        let clients = match clients {
            Clients::Listener(listener) => change(listener).map(Clients::Listener),
            Clients::One { path, connection } => Ok(Clients::One { path, connection }),
            Clients::Fed(feed) => Ok(Clients::Fed(feed)),
        };
        match clients {
            Ok(clients) => {
                Ok(Service { clients, wire, name, token, rules, admit, tally, messages })
            }
            Err(failed) => {
                let (listener, error) = failed.into_parts();
                let clients = Clients::Listener(listener);
                let back = Self { clients, wire, name, token, rules, admit, tally, messages };
                Err(TransitionError::new(back, error))
            }
        }
    }

    /// Splits the service into its clients, how they are met, and the state that they share.
    pub(crate) fn open(self, reads: Kind) -> Result<Opened<F, C, M>, Error> {
        let Self { clients, wire, name, token, mut rules, admit, tally, .. } = self;
        let mut tokens: Vec<_> = token.into_iter().collect();
        match &clients {
            Clients::Listener(listener) => tokens.extend(listener.token().cloned()),
            Clients::One { .. } => rules.one_client(),
            Clients::Fed(feed) => {
                feed.start()?;
                rules.ends_with_clients = true;
            }
        }
        if reads == Kind::Both {
            rules.one_client();
        }
        let lifecycle = Lifecycle::open(rules, tokens, tally)?;
        let (receives, sends) = match reads {
            Kind::Both => (of_both(&name), of_both(&name)),
            _ => identifiers(&name),
        };
        let handshake = handshake(wire.clone(), reads, rules.layer)
            .sending(sends)
            .receiving(receives)
            .timeout(rules.handshake_timeout)
            .in_mode();
        let clients = match clients {
            Clients::Listener(listener) => {
                Clients::Listener(listener.with_token(lifecycle.closing()))
            }
            one => one,
        };
        Ok((clients, Meeting { handshake, admit, layer: rules.layer }, wire, lifecycle))
    }
}

#[cfg(feature = "json")]
impl<Req, Resp, F, M> Service<Req, Resp, F, crate::wire::Json, M>
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send,
    M: Mode,
{
    /// Speaks JSON-RPC 2.0 with clients, which may be any program: over [lines](crate::wire::foreign::Lines), or over
    /// [`ContentLength`](crate::wire::foreign::ContentLength), as language servers do.
    ///
    /// A request is an enum, whose variant is the method, and whose contents are the params; of a variant with one field that
    /// is called `params`, this field. An answer is an enum with variants of the same names, whose contents are the result.
    /// [`service!`](crate::service) makes both: there a method has its own name or that of `#[name = "…"]`, and a struct that
    /// is its only argument is called `params`. A list gives the params by their places, and an empty one is as none.
    ///
    /// | here | there |
    /// |---|---|
    /// | a call, a notification | a request, a notification |
    /// | a call that is given up, [`Context::is_cancelled`](super::Context::is_cancelled) | `$/cancelRequest` |
    /// | [items](super::Context::send) of a handler | `$/progress`, whose token is the id of the request |
    /// | `Ok(value)`, of a method that returns a `Result` | the result `value` |
    /// | `Err(error)`, where `error` is a struct of a `code` that is an integer, a `message` and perhaps `data` | an error with these |
    /// | `Err(error)` where it is a text, and where it is anything else | the error -32000 with this message, and with `error` as its data |
    /// | a handler that failed, and one that panicked | the errors -32000 and -32603 |
    /// | no such method, other params, a cancelled call | the errors -32601, -32602 and -32800 |
    ///
    /// A client reads them the same way. These five codes but -32000, and -32802 for what was not taken, are always errors of the
    /// call; where the error of a `Result` is a text, so is that of a handler that failed. An error that its `Result` has no place
    /// for is `HandlerFailed`, whose text has the code, or `Corrupt` where its code or its data is of another type.
    ///
    /// There is no handshake, so nothing is compared at connect, and no goodbye. Batches are refused (-32600), and so is the
    /// 1,025th call that waits for its answer. A message whose id is `null` is a notification, and an error whose id is `null`
    /// ends no call: nothing says which.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader, Write};
    /// use std::thread;
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Json, Wire};
    /// use typed_pipe::{Connection, Service, service};
    ///
    /// service! {
    ///     pub trait Sums in sums {
    ///         /// Adds two numbers.
    ///         #[name = "sum/of"]
    ///         fn sum(a: i64, b: i64) -> i64;
    ///     }
    /// }
    ///
    /// struct Adding;
    /// impl Sums for Adding {
    ///     fn sum(&self, a: i64, b: i64) -> i64 { a + b }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let service = Service::temporary()?.with_wire(Wire::new(Lines::default(), Json));
    /// let service = service.json_rpc().shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || sums::serve(service, &Adding));
    ///
    /// let mut program = Connection::connect(path)?; // any program
    /// writeln!(program, r#"{{"jsonrpc":"2.0","id":1,"method":"sum/of","params":[2,3]}}"#)?;
    /// let mut answer = String::new();
    /// BufReader::new(program).read_line(&mut answer)?;
    /// assert_eq!(answer.trim(), r#"{"jsonrpc":"2.0","id":1,"result":5}"#);
    /// # serving.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("JSON-RPC", "lsp", "language server"))]
    pub fn json_rpc(mut self) -> Self {
        self.rules.layer.json_rpc = true;
        self
    }
}

impl<M: Mode> Clients<M> {
    pub(super) fn one(connection: Connection) -> Self {
        let path = connection.path().cloned();
        let path = path.unwrap_or_else(|| PipePath::given(Path::new("")));
        Self::One { path, connection: Mutex::new(Some(connection)) }
    }

    fn path(&self) -> &PipePath {
        match self {
            Self::Listener(listener) => listener.path(),
            Self::One { path, .. } => path,
            Self::Fed(feed) => feed.path(),
        }
    }

    fn listener(&self) -> Option<&Listener<M>> {
        match self {
            Self::Listener(listener) => Some(listener),
            Self::One { .. } | Self::Fed(_) => None,
        }
    }

    /// The next client that the service lets in, or `None` when it is to end.
    pub(crate) async fn next(
        &self,
        lifecycle: &Lifecycle,
    ) -> Result<Option<Result<Connection<M>, Error>>, Error> {
        let given = match self {
            Self::Listener(listener) => return accept(lifecycle, listener).await,
            Self::One { connection, .. } => {
                connection.lock().unwrap_or_else(PoisonError::into_inner).take()
            }
            Self::Fed(feed) => feed.next::<M>(lifecycle).await,
        };
        let Some(connection) = given else { return Ok(None) };
        lifecycle.count_client();
        let client = lifecycle.expect(connection);
        Ok(Some(client.and_then(|client| Ok(client.into_mode()?))))
    }
}

impl<Req, Resp, F, C, M> Service<Req, Resp, F, C, M>
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
    M: Calls,
{
    /// Answers requests, until the service ends.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use std::thread;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<String, usize>::temporary()?.shutdown_after(2);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     let seen = Mutex::new(Vec::new()); // what the clients share: their handlers run beside each other
    ///     service.serve(|word| {
    ///         let Ok(mut seen) = seen.lock() else { return 0 };
    ///         seen.push(word);
    ///         seen.len()
    ///     })
    /// });
    ///
    /// let one = Client::<String, usize>::connect(&path)?;
    /// let other = Client::<String, usize>::connect(&path)?;
    /// assert_eq!((one.call(&"a".into())?, other.call(&"b".into())?), (1, 2));
    /// assert_eq!(serving.join().unwrap()?.clients, 2);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// After each, all requests taken are answered.
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound), [`NotAPipe`](crate::ErrorKind::NotAPipe): the service has lost its
    ///   name: see [`Listener::accept`](crate::Listener::accept).
    /// - [`Io`](crate::ErrorKind::Io): the system accepts no further client.
    #[doc(alias("listen", "handler"))]
    pub fn serve<H, A>(self, handler: H) -> M::Ret<impl Future<Output = Result<Summary, Error>>>
    where
        H: Fn(Req) -> A,
        M: Serves<Req, Resp, F, C, Plain<H>>,
    {
        M::run(M::serve(self, Plain(handler)))
    }

    /// Answers requests, as [`serve`](Self::serve), by a handler that is told of its call: who calls, how long it waits,
    /// whether it still does; and that can send items before its answer.
    ///
    /// An example is at [`Context`].
    ///
    /// # Errors
    ///
    /// Those of [`serve`](Self::serve).
    #[doc(alias("progress", "streaming"))]
    pub fn serve_with_context<Item, H, A>(
        self,
        handler: H,
    ) -> M::Ret<impl Future<Output = Result<Summary, Error>>>
    where
        H: Fn(Req, Context<Item, C, M>) -> A,
        M: Serves<Req, Resp, F, C, WithContext<H, Item>>,
    {
        M::run(M::serve(self, WithContext(handler, PhantomData)))
    }
}

/// A handler of requests alone.
#[derive(Debug)]
pub struct Plain<H>(pub(super) H);

/// A handler with a context.
#[derive(Debug)]
pub struct WithContext<H, Item>(pub(super) H, pub(super) PhantomData<fn(Item)>);

/// What handles a request.
pub trait Handles<Req, C, M: Calls> {
    /// What it returns.
    type Answer;

    /// Handles a request.
    #[doc(hidden)]
    fn run(&self, request: Req, link: &Arc<Link<M>>, job: &Job, codec: &C) -> Self::Answer;
}

impl<Req, C, M: Calls, H: Fn(Req) -> A, A> Handles<Req, C, M> for Plain<H> {
    type Answer = A;

    fn run(&self, request: Req, _: &Arc<Link<M>>, _: &Job, _: &C) -> A {
        (self.0)(request)
    }
}

impl<Req, C, M, H, Item, A> Handles<Req, C, M> for WithContext<H, Item>
where
    C: Codec + Clone,
    M: Calls,
    H: Fn(Req, Context<Item, C, M>) -> A,
{
    type Answer = A;

    fn run(&self, request: Req, link: &Arc<Link<M>>, job: &Job, codec: &C) -> A {
        (self.0)(request, Context::new(link, job, codec.clone()))
    }
}

/// The return type of a handler: the response, or a result of it.
#[diagnostic::on_unimplemented(
    message = "a handler of this service returns `{Resp}` or a `Result` of it, and not `{Self}`",
    label = "returns `{Self}`",
    note = "an `async` handler is for a service of tasks: `service.into_tokio()?`"
)]
pub trait Response<Resp> {
    /// The response, or the message of the failure.
    ///
    /// # Errors
    ///
    /// The message of the handler's error.
    fn into_result(self) -> Result<Resp, String>;
}

impl<Resp> Response<Resp> for Resp {
    fn into_result(self) -> Result<Resp, String> {
        Ok(self)
    }
}

impl<Resp, E: fmt::Display> Response<Resp> for Result<Resp, E> {
    fn into_result(self) -> Result<Resp, String> {
        self.map_err(|error| error.to_string())
    }
}

/// The modes in which a handler can serve: it returns a [`Response`], in `Tokio` a future of one.
#[diagnostic::on_unimplemented(
    message = "a service in the mode `{Self}` cannot be served by this handler"
)]
pub trait Serves<Req, Resp, F, C, H>: Calls {
    /// Serves.
    #[doc(hidden)]
    fn serve(
        service: Service<Req, Resp, F, C, Self>,
        handler: H,
    ) -> impl Future<Output = Result<Summary, Error>>;

    /// Serves over one connection, beside what its caller does.
    #[doc(hidden)]
    fn serve_beside(
        link: Arc<Link<Self>>,
        codec: C,
        lifecycle: Lifecycle,
        handler: H,
    ) -> Result<Self::Serving, Error>
    where
        Req: 'static,
        Resp: 'static,
        H: Send + Sync + 'static;

    /// Serves beside what its caller does.
    #[doc(hidden)]
    fn detach(service: Service<Req, Resp, F, C, Self>, handler: H) -> Result<(), Error>
    where
        Req: 'static,
        Resp: 'static,
        H: Send + Sync + 'static;
}

impl<Req, Resp, F, C, H> Serves<Req, Resp, F, C, H> for Blocking
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    H: Handles<Req, C, Self, Answer: Response<Resp>> + Sync,
{
    async fn serve(service: Service<Req, Resp, F, C>, handler: H) -> Result<Summary, Error> {
        serve_opened::<Req, Resp, _, _, _>(service.open(Kind::Requests)?, handler)
    }

    fn serve_beside(
        link: Arc<Link<Self>>,
        codec: C,
        lifecycle: Lifecycle,
        handler: H,
    ) -> Result<Self::Serving, Error>
    where
        Req: 'static,
        Resp: 'static,
        H: Send + Sync + 'static,
    {
        let handler = Handler { handler, codec, messages: PhantomData::<fn(Req) -> Resp> };
        spawn(move || {
            thread::scope(|scope| {
                let crew = Crew::new(scope, &lifecycle, &handler);
                let served = Served::new(link, crew.join());
                // There is no other one to share a thread with.
                served.always_reads();
                served.read_on(None);
            });
            lifecycle.summary()
        })
    }

    fn detach(service: Service<Req, Resp, F, C>, handler: H) -> Result<(), Error>
    where
        Req: 'static,
        Resp: 'static,
        H: Send + Sync + 'static,
    {
        // What it lacks is said here, and not by a side that has left.
        let opened = service.open(Kind::Requests)?;
        spawn(move || serve_opened::<Req, Resp, _, _, _>(opened, handler)).map(drop)
    }
}

/// Serves each client in a thread of its own.
fn serve_opened<Req, Resp, F, C, H>(
    opened: Opened<F, C, Blocking>,
    handler: H,
) -> Result<Summary, Error>
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    H: Handles<Req, C, Blocking, Answer: Response<Resp>> + Sync,
{
    let (clients, meeting, wire, lifecycle) = opened;
    let codec = wire.codec().clone();
    let handler = Handler { handler, codec, messages: PhantomData::<fn(Req) -> Resp> };
    let ended = thread::scope(|scope| {
        // The name goes when the service is to end, and not only when the last answer is sent.
        let clients = clients;
        let crew = Crew::new(scope, &lifecycle, &handler);
        let accepting = crew.join();
        let types = Types::of_service::<Req, Resp>();
        let entrance = Entrance::new(&crew, clients.listener(), types);
        let ended = loop {
            let client = match Blocking::run(clients.next(&lifecycle)) {
                Ok(Some(client)) => client,
                Ok(None) => break Ok(()),
                Err(error) if error.kind() == ErrorKind::ResourceExhausted => continue,
                Err(error) => {
                    lifecycle.closing().cancel();
                    break Err(error);
                }
            };
            let met = meeting.begin(client, types);
            let mut is_in = false;
            // Code of the user's runs where its wire is dropped.
            contain(|| is_in = met.is_some_and(|met| entrance.let_in(met)));
            if !is_in {
                lifecycle.count_lost();
            }
        };
        drop(accepting);
        ended
    });
    ended.map(|()| lifecycle.summary())
}

fn spawn<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, Error> {
    let thread = crate::sys::start_thread("typed-pipe service", run);
    thread.map_err(|error| Error::new(Operation::Accept, error))
}

/// A handler of the user's, and how its requests and answers are written.
struct Handler<H, C, T> {
    handler: H,
    codec: C,
    messages: PhantomData<T>,
}

impl<Req, Resp, C, H> Handle for Handler<H, C, fn(Req) -> Resp>
where
    Req: Receivable,
    Resp: Described,
    C: Codec + Sync,
    H: Handles<Req, C, Blocking, Answer: Response<Resp>> + Sync,
{
    fn handle(&self, link: &Arc<Link<Blocking>>, job: &Job) -> Reply {
        let mut span = span_of::<Req, _>(&self.codec, link, job);
        // A panic is told as one: it is caught outside of this.
        let reply = span.within(|| {
            let request = decoded(&self.codec, &job.body)?;
            let answer = self.handler.run(request, link, job, &self.codec);
            answered(&self.codec, answer.into_result(), link)
        });
        span.end(job.end(&reply));
        reply
    }
}

/// The span of a request. Its method is the variant that it is.
pub(crate) fn span_of<Req: Receivable, M: Mode>(
    codec: &impl Codec,
    link: &Link<M>,
    job: &Job,
) -> CallSpan {
    let listened = CallSpan::is_listened_to();
    let shape = codec.style().filter(|_| listened).map(Shape::of::<Req>);
    let method = shape.and_then(|shape| shape.variant_in(codec, &job.body, false));
    let id = job.call.as_ref().map(|(id, _)| *id);
    CallSpan::came(id, method.as_deref(), link.peer())
}

/// The request in its bytes.
pub(crate) fn decoded<Req: Receivable>(
    codec: &impl Codec,
    body: &[u8],
) -> Result<Req, (Reason, Vec<u8>)> {
    codec.decode(body).map_err(|error| (Reason::Undecodable, error.to_string().into_bytes()))
}

/// The bytes of an answer.
pub(crate) fn answered<Resp: Sendable, M: Mode>(
    codec: &impl Codec,
    handled: Result<Resp, String>,
    link: &Link<M>,
) -> Reply {
    let answer = handled.map_err(|text| (Reason::Failed, text.into_bytes()))?;
    let body = link.check(&answer, Kind::Answers).and_then(|()| link.room().body(codec, &answer));
    body.map_err(|error| {
        let text = format!("its answer cannot be sent: {error}");
        (Reason::Failed, text.into_bytes())
    })
}

impl<Req, Resp, F, C, M: Mode> fmt::Debug for Service<Req, Resp, F, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("path", self.clients.path()).finish_non_exhaustive()
    }
}

/// The next client that the service lets in, or `None` when it is to end.
pub(crate) async fn accept<M: Mode>(
    lifecycle: &Lifecycle,
    listener: &Listener<M>,
) -> Result<Option<Result<Connection<M>, Error>>, Error> {
    loop {
        let until = match lifecycle.left() {
            None => WaitLimit::Done,
            Some(Duration::ZERO) => return Ok(None),
            Some(left) => M::within(left),
        };
        let accepted = listener.accept_any(until).await;
        // Checks the user before the connection is registered with a runtime.
        let registered = match accepted.map(|client| lifecycle.expect(client)) {
            Ok(Ok(client)) => match listener.register(client, until).await {
                Err(error) if costs_itself(&error) => {
                    // It is kept for another try, which it does not get.
                    *listener.kept() = None;
                    Ok(Err(error))
                }
                registered => registered.map(Ok),
            },
            Ok(Err(refused)) => Ok(Err(refused)),
            Err(error) => Err(error),
        };
        return match registered {
            Ok(client) => {
                lifecycle.count_client();
                Ok(Some(client))
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            Err(error) if error.kind() == ErrorKind::Cancelled => Ok(None),
            Err(error) => Err(error),
        };
    }
}

/// Whether the failed registration of a client is no reason for any other one to fail.
fn costs_itself(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::ResourceExhausted | ErrorKind::Cancelled | ErrorKind::Unsupported
    )
}
