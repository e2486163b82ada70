//! This machine among the others.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use iroh::endpoint::{
    ConnectError, ConnectingError, ConnectionError, Incoming, IncomingAddr, QuicTransportConfig,
    RecvStream, SendStream, StreamId, presets,
};
use iroh::{Endpoint, EndpointAddr, RelayMode};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use typed_pipe::{CancelToken, Connection, Error, Tokio};

use crate::address::{Address, check_name};
use crate::busy::Busy;
use crate::carrier::Stream;
use crate::key::{Key, PublicKey};
use crate::link::{CLOSED, HANDSHAKE_TIMEOUT, Link, NOT_LET_IN, TOO_MANY, lost, plain, why};
use crate::offer::{Offer, Offers, Queue, close_all};
use crate::strangers::{Strangers, Word};

/// What is spoken. A change that the other side would not understand gets a new one.
const PROTOCOL: &[u8] = b"typed-pipe/1";

/// How long closing tells the others that it closes.
const GOODBYE: Duration = Duration::from_secs(2);

/// The answers to a name.
const WELCOME: u8 = 0;
const NO_SUCH_NAME: u8 = 1;
const NO_ROOM: u8 = 2;

/// How a [`Net`] behaves.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe_net::{Key, NetOptions};
///
/// let net = NetOptions::new().idle(Duration::from_secs(2)).open(&Key::generate())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetOptions {
    idle: Duration,
    timeout: Duration,
    window: u32,
    connections: u32,
    pub(crate) token: Option<CancelToken>,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            window: 1 << 20,
            connections: 1000,
            token: None,
        }
    }
}

impl NetOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// After how long without a sign of the other machine its link is lost: 5 s by default, at least 0.1 s and at most
    /// 15 s. The lower one of both sides counts. Four signs are given in that time.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle.clamp(Duration::from_millis(100), Duration::from_secs(15));
        self
    }

    /// How long connecting may take: 10 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of each direction of a connection this side takes in before its program reads them: 1 MiB by
    /// default.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.max(1024);
        self
    }

    /// How many connections another machine may have here at once, over all of its links: 1000 by default. Further ones
    /// wait. It may have as many links, and 64 at least.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Lets a token cancel every [`connect`](Net::connect), every wait of an [`Offer`] and every [`close`](Net::close).
    /// A connection has its own: see [`Connection::cancelled_by`].
    ///
    /// ```
    /// use typed_pipe::CancelToken;
    /// use typed_pipe_net::{Key, NetOptions};
    ///
    /// let token = CancelToken::new()?;
    /// let net = NetOptions::new().cancelled_by(&token).open(&Key::generate())?;
    /// let net = net.listening("127.0.0.1:0".parse()?)?;
    /// let offer = net.offer("sums", &[])?;
    /// token.cancel(); // as Ctrl-C may do, in another thread
    /// let error = offer.accept().unwrap_err();
    /// assert!(typed_pipe_net::is_cancelled(&error));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// As [`Net::open`], with these options.
    ///
    /// # Errors
    ///
    /// As those of [`Net::open`].
    pub fn open(&self, key: &Key) -> io::Result<Net> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("typed-pipe-net")
            .enable_all()
            .build()?;
        let busy = Busy::new(runtime.handle().clone());
        let inner = Inner {
            options: self.clone(),
            key: key.clone(),
            busy,
            offers: Arc::default(),
            listening: Mutex::new(None),
            endpoints: Mutex::default(),
            links: Mutex::default(),
            maker: std::process::id(),
            runtime: Mutex::new(Some(runtime)),
        };
        Ok(Net { inner: Arc::new(inner) })
    }

    fn transport(&self, connections: u32) -> io::Result<QuicTransportConfig> {
        let sign = self.idle / 4;
        let config = QuicTransportConfig::builder()
            .max_idle_timeout(Some(self.idle.try_into().map_err(io::Error::other)?))
            .keep_alive_interval(sign)
            .default_path_max_idle_timeout(self.idle)
            .default_path_keep_alive_interval(sign)
            .stream_receive_window(self.window.into())
            .max_concurrent_bidi_streams(connections.into())
            .datagram_receive_buffer_size(None);
        Ok(config.build())
    }

    /// An address of this machine, where the others may open so many connections on each link.
    fn endpoint(
        &self,
        key: &Key,
        at: SocketAddr,
        connections: u32,
    ) -> io::Result<iroh::endpoint::Builder> {
        // No relay, no discovery, no mapping of ports: nothing but this address sends or receives.
        Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .secret_key(key.secret())
            .transport_config(self.transport(connections)?)
            .clear_ip_transports()
            .bind_addr(at)
            .map_err(io::Error::other)
    }
}

/// This machine, or this program, among the others: it has a key, and reaches theirs.
///
/// A `Net` lets nobody in: [`listening`](Self::listening) is the only way to be reached, and then each name is
/// [offered](Self::offer) to the keys in a list.
///
/// What it has made lives on when it is dropped. [`close`](Self::close) waits for what is still on its way; a program that
/// just ends leaves that behind.
#[derive(Debug)]
pub struct Net {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: NetOptions,
    pub(crate) key: Key,
    pub(crate) busy: Arc<Busy>,
    pub(crate) offers: Arc<Offers>,
    listening: Mutex<Option<(Endpoint, SocketAddr)>>,
    /// For connecting, by their own addresses. Each link has its own: the engine remembers the addresses of a key, and
    /// would try all of them.
    endpoints: Mutex<HashMap<SocketAddr, Endpoint>>,
    /// One link to each machine.
    links: Mutex<HashMap<(PublicKey, SocketAddr), Slot>>,
    /// The process in which a drop acts: not a forked child.
    maker: u32,
    /// Taken by the drop.
    runtime: Mutex<Option<Runtime>>,
}

/// Locked by who connects.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Link>>>>;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("key", &self.key.public()).finish_non_exhaustive()
    }
}

impl Net {
    /// Opens with a key, and the defaults of [`NetOptions`]. It accepts nobody, and contacts nobody by itself.
    ///
    /// Two threads serve all of its connections.
    ///
    /// # Errors
    ///
    /// That of the system, where it starts no more threads.
    pub fn open(key: &Key) -> io::Result<Self> {
        NetOptions::new().open(key)
    }

    /// Accepts other machines at an address of this one: those that something is [offered](Self::offer) to, and no
    /// others. With the port 0 the system chooses one: see [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): the address is unspecified, such as `0.0.0.0`; every address of
    ///   this machine would be told to who connects. Or it is listening already.
    /// - [`AddrInUse`](io::ErrorKind::AddrInUse) and
    ///   [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable): the system refuses the address.
    pub fn listening(self, at: SocketAddr) -> io::Result<Self> {
        let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if at.ip().is_unspecified() {
            return invalid(
                "name the address to listen at: an unspecified one would tell every address of this machine to who connects",
            );
        }
        if self.inner.listening().is_some() {
            return invalid("it is listening already");
        }
        // Asked of the system first, which names what is wrong with it.
        drop(UdpSocket::bind(at).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {at}: {error}"))
        })?);
        let options = &self.inner.options;
        let builder = options.endpoint(&self.inner.key, at, options.connections)?;
        let endpoint = self.inner.run(async move {
            builder.alpns(vec![PROTOCOL.to_vec()]).bind().await.map_err(io::Error::other)
        })?;
        let at = endpoint.bound_sockets().first().copied().unwrap_or(at);
        let inner = Arc::downgrade(&self.inner);
        let offers = Arc::clone(&self.inner.offers);
        let busy = Arc::clone(&self.inner.busy);
        let connections = options.connections;
        self.inner.busy.spawn(accept(endpoint.clone(), connections, offers, busy, inner));
        *self.inner.listening() = Some((endpoint, at));
        Ok(self)
    }

    /// The key by which the others know this machine.
    pub fn key(&self) -> PublicKey {
        self.inner.key.public()
    }

    /// Where it is listening, if it is.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.listening().as_ref().map(|(_, at)| *at)
    }

    /// Offers a name to the machines with these keys: an empty list is nobody.
    ///
    /// # Errors
    ///
    /// - [`NotConnected`](io::ErrorKind::NotConnected): it is not [`listening`](Self::listening).
    /// - [`AlreadyExists`](io::ErrorKind::AlreadyExists): the name is offered already.
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): it has spaces, control characters, `@` or `/`, or more than 200
    ///   bytes.
    pub fn offer(&self, name: &str, to: &[PublicKey]) -> io::Result<Offer> {
        check_name(name)?;
        let Some(at) = self.local_addr() else {
            let why =
                "it is not listening, so nobody can reach what it offers: see `Net::listening`";
            return Err(io::Error::new(io::ErrorKind::NotConnected, why));
        };
        Offer::new(Arc::clone(&self.inner), name, to, at)
    }

    /// Connects to what another machine offers, at `name@KEY/host:port`.
    ///
    /// The other side has proved that it has this key, and knows the key of this one. Nothing but the addresses of the
    /// host is contacted, unless a hostile machine with this key names others; a host that is a name is looked up by the
    /// system.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): this is no such address.
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied): the other machine offers nothing to the key of this one.
    /// - [`NotFound`](io::ErrorKind::NotFound): it offers no such name, or not to the key of this one.
    /// - [`ConnectionRefused`](io::ErrorKind::ConnectionRefused): who answers there has another key, or speaks something
    ///   else, or has too many connections that wait to be accepted.
    /// - [`TimedOut`](io::ErrorKind::TimedOut): nobody answers there, for the time of [`NetOptions::timeout`].
    /// - [`NotConnected`](io::ErrorKind::NotConnected): the link was lost meanwhile.
    /// - [`Other`](io::ErrorKind::Other): the token of [`NetOptions::cancelled_by`] was cancelled; any other is the
    ///   system's own.
    pub fn connect(&self, at: &str) -> io::Result<Connection> {
        let address = Address::parse(at)?;
        Ok(Connection::over(self.inner.run(dial(Arc::clone(&self.inner), address))?)?)
    }

    /// As [`connect`](Self::connect), for tasks.
    ///
    /// # Errors
    ///
    /// As those of `connect`.
    pub fn connect_async(
        &self,
        at: &str,
    ) -> impl Future<Output = io::Result<Connection<Tokio>>> + Send + use<> {
        let dialed = self.dial_async(at);
        async move { Ok(for_tasks(dialed.await?)?) }
    }

    pub(crate) fn dial_async(
        &self,
        at: &str,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<> {
        let (address, inner) = (Address::parse(at), Arc::clone(&self.inner));
        async move {
            let (tell, told) = tokio::sync::oneshot::channel();
            let (address, busy) = (address?, Arc::clone(&inner.busy));
            busy.spawn(async move { _ = tell.send(dial(inner, address).await) });
            told.await.unwrap_or_else(|_| Err(io::ErrorKind::NotConnected.into()))
        }
    }

    /// Waits, for so long at most, until everything that was written on connections that are dropped has arrived, and
    /// the others know what was taken here; then ends every link. Nothing is offered from now on.
    ///
    /// What has arrived is in the memory of the other process: only [`finish`](typed_pipe::TypedSender::finish) tells
    /// that its reader took it.
    ///
    /// # Errors
    ///
    /// With how many connections, in its text:
    ///
    /// - [`ConnectionAborted`](io::ErrorKind::ConnectionAborted): some are still open, and have ended now.
    /// - [`TimedOut`](io::ErrorKind::TimedOut): what was written on some has not arrived in time, and may be lost.
    /// - [`ConnectionReset`](io::ErrorKind::ConnectionReset): the links of some were lost earlier, with what was written
    ///   last on them.
    pub fn close(self, wait: Duration) -> io::Result<()> {
        close_all(&self.inner.offers);
        let busy = Arc::clone(&self.inner.busy);
        let inner = Arc::clone(&self.inner);
        self.inner
            .run(async move {
                let token = inner.options.token.clone();
                let _ = timeout(wait, unless_cancelled(token.as_ref(), inner.busy.drained())).await;
                let late = inner.busy.going_on();
                inner.close_links().await;
                Ok::<_, io::Error>(late)
            })
            .and_then(|late| {
                let kinds = [
                    (busy.open(), io::ErrorKind::ConnectionAborted, "were still open"),
                    (
                        late,
                        io::ErrorKind::TimedOut,
                        "had bytes on their way that may not have arrived",
                    ),
                    (
                        busy.lost().saturating_sub(late),
                        io::ErrorKind::ConnectionReset,
                        "had lost their link: what was written on them last may not have arrived",
                    ),
                ];
                let Some((_, kind, _)) = kinds.iter().find(|(count, ..)| *count > 0) else {
                    return Ok(());
                };
                let told: Vec<_> = kinds
                    .iter()
                    .filter(|(count, ..)| *count > 0)
                    .map(|(count, _, what)| format!("{count} connections {what}"))
                    .collect();
                Err(io::Error::new(*kind, told.join("; ")))
            })
    }
}

impl Inner {
    /// Runs in the runtime, and waits for that in any thread.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = mpsc::sync_channel(1);
        self.busy.spawn(async move { _ = tell.send(work.await) });
        told.recv().unwrap_or_else(|_| Err(io::ErrorKind::NotConnected.into()))
    }

    fn listening(&self) -> MutexGuard<'_, Option<(Endpoint, SocketAddr)>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<SocketAddr, Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<(PublicKey, SocketAddr), Slot>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket from which an address is reached. It receives from there, and accepts nothing.
    async fn way_to(self: &Arc<Self>, to: SocketAddr) -> io::Result<Way> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Asks the system for the route; no packet is sent. Bound to that address alone, the socket has no other one to
        // tell to the other side.
        let route = UdpSocket::bind((any, 0))?;
        route.connect(to)?;
        let mut from = route.local_addr()?;
        from.set_port(0);
        // Who is connected to opens no connections itself.
        let endpoint = self.options.endpoint(&self.key, from, 0)?;
        let endpoint = endpoint.bind().await.map_err(io::Error::other)?;
        let from = endpoint.bound_sockets().first().copied().unwrap_or(from);
        self.endpoints().insert(from, endpoint.clone());
        Ok(Way { endpoint, from, inner: Arc::downgrade(self), busy: Arc::clone(&self.busy) })
    }

    fn dialing(&self, key: PublicKey, at: SocketAddr) -> Dialing<'_> {
        let slot = Slot::clone(self.links().entry((key, at)).or_default());
        Dialing { inner: self, to: (key, at), slot }
    }

    /// The link to a machine, and whether it was there already.
    async fn link(
        self: &Arc<Self>,
        key: PublicKey,
        at: SocketAddr,
    ) -> io::Result<(Arc<Link>, bool)> {
        let dialing = self.dialing(key, at);
        let mut slot = dialing.slot.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| !link.is_lost()) {
            return Ok((Arc::clone(link), true));
        }
        let way = self.way_to(at).await?;
        let to = EndpointAddr::new(key.0).with_ip_addr(at);
        let quic = way.endpoint.connect(to, PROTOCOL).await.map_err(|error| refused(&error))?;
        let room = Arc::new(Semaphore::new(0));
        let link = Link::new(quic, Arc::clone(&self.busy), room);
        *slot = Some(Arc::clone(&link));
        let (inner, lasting) = (Arc::downgrade(self), Arc::clone(&link));
        tokio::spawn(async move {
            lasting.ended().await;
            drop((way, lasting));
            let Some(inner) = inner.upgrade() else { return };
            drop(inner.dialing(key, at));
        });
        Ok((link, false))
    }

    async fn close_links(&self) {
        let listening = self.listening().take().map(|(endpoint, _)| endpoint);
        let endpoints: Vec<_> = self.endpoints().drain().map(|(_, it)| it).collect();
        say_goodbye(listening.into_iter().chain(endpoints)).await;
    }
}

/// Closes all of them at once: one that hears nothing holds up no other.
async fn say_goodbye(endpoints: impl IntoIterator<Item = Endpoint>) {
    let goodbye = |endpoint: Endpoint| async move { timeout(GOODBYE, endpoint.close()).await };
    join_all(endpoints.into_iter().map(goodbye)).await;
}

/// The socket of one link. It is closed with that, or with the dial that has not come to one.
struct Way {
    endpoint: Endpoint,
    from: SocketAddr,
    inner: Weak<Inner>,
    busy: Arc<Busy>,
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.endpoints().remove(&self.from);
        }
        let endpoint = self.endpoint.clone();
        self.busy.spawn(async move { endpoint.close().await });
    }
}

/// A slot, for who dials. The last one forgets it, if there is no link.
struct Dialing<'a> {
    inner: &'a Inner,
    to: (PublicKey, SocketAddr),
    slot: Slot,
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        let mut links = self.inner.links();
        // The map has one, and this.
        let is_last = Arc::strong_count(&self.slot) == 2;
        let is_lost = |link: &Option<Arc<Link>>| link.as_ref().is_none_or(|link| link.is_lost());
        if is_last && self.slot.try_lock().is_ok_and(|link| is_lost(&link)) {
            links.remove(&self.to);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(runtime) = runtime else { return };
        // The threads and the links are those of the parent.
        if self.maker != std::process::id() {
            std::mem::forget(runtime);
            return;
        }
        let endpoints = std::mem::take(&mut *self.endpoints());
        let listening = self.listening().take().map(|(endpoint, _)| endpoint);
        let all: Vec<_> = endpoints.into_values().chain(listening).collect();
        // A drop does not wait, may be in a task, and where no thread starts: the runtime ends by itself.
        self.busy.spawn(async move {
            say_goodbye(all).await;
            runtime.shutdown_background();
        });
    }
}

/// Connects to one address of the host after the other.
async fn dial(inner: Arc<Inner>, address: Address) -> io::Result<Stream> {
    let (limit, token) = (inner.options.timeout, inner.options.token.clone());
    let place = address.host.clone();
    let connecting = async move {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for at in tokio::net::lookup_host(&address.host).await? {
            match dial_at(&inner, &address, at).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    };
    let connected = timeout(limit, unless_cancelled(token.as_ref(), connecting)).await;
    let why = "nobody with this key answers there in time";
    connected
        .unwrap_or_else(|_| Ok(Err(io::Error::new(io::ErrorKind::TimedOut, why))))?
        .map_err(|error| io::Error::new(error.kind(), format!("connecting to {place}: {error}")))
}

async fn dial_at(inner: &Arc<Inner>, address: &Address, at: SocketAddr) -> io::Result<Stream> {
    loop {
        let (link, is_old) = inner.link(address.key, at).await?;
        match ask(inner, &link, address).await {
            // It has been lost since it was used last: a new one may work.
            Err(_) if is_old && link.is_lost() => {}
            asked => return asked,
        }
    }
}

/// Asks for a name over a link.
async fn ask(inner: &Arc<Inner>, link: &Arc<Link>, address: &Address) -> io::Result<Stream> {
    let ended = |error: &dyn fmt::Display| match link.end() {
        Some(reason) => closed_by(&reason),
        None => lost(&plain(error)),
    };
    let (mut send, mut recv) = link.quic.open_bi().await.map_err(|error| ended(&error))?;
    let asking = Asking { link, stream: send.id() };
    let shared = link.register(asking.stream);
    let mut asked = vec![u8::try_from(address.name.len()).unwrap_or(u8::MAX)];
    asked.extend(address.name.bytes());
    let mut answer = [0];
    let answered = async {
        send.write_all(&asked).await.map_err(|error| ended(&error))?;
        recv.read_exact(&mut answer).await.map_err(|error| ended(&error))?;
        let name = &address.name;
        match answer {
            [WELCOME] => Ok(()),
            [NO_SUCH_NAME] => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{name}` is not offered there, or not to the key of this machine"),
            )),
            [NO_ROOM] => Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("too many connections to `{name}` wait to be accepted"),
            )),
            _ => Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "who answers speaks something else",
            )),
        }
    };
    answered.await?;
    // From now on, the stream itself is forgotten with its last half.
    mem::forget(asking);
    Ok(Stream::new(Arc::clone(link), shared, (send, recv), None, Arc::clone(inner)))
}

/// A stream that has no answer yet. Where none comes, or nobody waits for it any more, it is forgotten.
struct Asking<'a> {
    link: &'a Link,
    stream: StreamId,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.link.forget(self.stream);
    }
}

/// Accepts links until the endpoint is closed.
async fn accept(
    endpoint: Endpoint,
    connections: u32,
    offers: Arc<Offers>,
    busy: Arc<Busy>,
    inner: Weak<Inner>,
) {
    let strangers = Arc::<Strangers>::default();
    while let Some(incoming) = endpoint.accept().await {
        // Nothing else is listened at.
        let IncomingAddr::Ip(from) = incoming.remote_addr() else { continue };
        let place = match strangers.word(from.ip(), incoming.remote_addr_validated()) {
            Word::Try(place) => place,
            Word::ProveAddress => {
                let _ = incoming.retry();
                continue;
            }
            Word::Refuse => {
                incoming.refuse();
                continue;
            }
        };
        let (offers, busy, inner) = (Arc::clone(&offers), Arc::clone(&busy), Weak::clone(&inner));
        tokio::spawn(async move {
            let link = let_in(incoming, connections, &offers, busy).await;
            drop(place);
            let Some(link) = link else { return };
            while let Some((stream, turn)) = next_of(&link).await {
                let (link, offers) = (Arc::clone(&link), Arc::clone(&offers));
                tokio::spawn(answer(link, stream, turn, offers, inner.clone()));
            }
        });
    }
}

/// Lets a machine in that something is offered to.
async fn let_in(
    incoming: Incoming,
    connections: u32,
    offers: &Offers,
    busy: Arc<Busy>,
) -> Option<Arc<Link>> {
    let quic = timeout(HANDSHAKE_TIMEOUT, incoming.accept().ok()?).await.ok()?.ok()?;
    let (code, why) = match offers.link(&quic, connections, busy) {
        // Asked when the link is known: a list that changes meanwhile sees it.
        Some(link) if offers.let_in(link.peer) => return Some(link),
        Some(_) => (NOT_LET_IN, "this key is not let in"),
        None => (TOO_MANY, "too many links"),
    };
    quic.close(code.into(), why.as_bytes());
    // Until that has been said.
    let _ = timeout(HANDSHAKE_TIMEOUT, quic.closed()).await;
    None
}

/// The next connection over a link, once its machine may have one more.
async fn next_of(link: &Link) -> Option<((SendStream, RecvStream), OwnedSemaphorePermit)> {
    let stream = link.quic.accept_bi().await.ok()?;
    let turn = tokio::select! {
        turn = Arc::clone(&link.room).acquire_owned() => turn.ok()?,
        _ = link.quic.closed() => return None,
    };
    Some((stream, turn))
}

/// Answers who asks for a name.
async fn answer(
    link: Arc<Link>,
    (mut send, mut recv): (SendStream, RecvStream),
    turn: OwnedSemaphorePermit,
    offers: Arc<Offers>,
    inner: Weak<Inner>,
) {
    let asked = timeout(HANDSHAKE_TIMEOUT, async {
        let mut len = [0];
        recv.read_exact(&mut len).await.ok()?;
        let mut name = vec![0; len[0].into()];
        recv.read_exact(&mut name).await.ok()?;
        String::from_utf8(name).ok()
    });
    let Ok(Some(name)) = asked.await else { return };
    let found = offers.find(&name, link.peer);
    let place = found.as_ref().map(Queue::place);
    let said = match &place {
        None => NO_SUCH_NAME,
        Some(None) => NO_ROOM,
        Some(Some(_)) => WELCOME,
    };
    let (id, shared) = (send.id(), link.register(send.id()));
    let told = timeout(HANDSHAKE_TIMEOUT, send.write_all(&[said])).await;
    let (Ok(Ok(())), Some(Some(place)), Some(inner)) = (told, place, inner.upgrade()) else {
        return link.forget(id);
    };
    let both = (send, recv);
    let stream = Stream::new(Arc::clone(&link), Arc::clone(&shared), both, Some(turn), inner);
    place.take(&link, id, &shared, stream);
}

/// A connection for tasks.
pub(crate) fn for_tasks(stream: Stream) -> Result<Connection<Tokio>, Error> {
    Connection::over(stream)?.into_tokio().map_err(|failed| failed.into_parts().1)
}

/// Waits for something, unless a token is cancelled.
pub(crate) async fn unless_cancelled<T>(
    token: Option<&CancelToken>,
    work: impl Future<Output = T>,
) -> io::Result<T> {
    match token {
        None => Ok(work.await),
        Some(token) => tokio::select! {
            biased;
            () = token.cancelled() => Err(io::Error::other(Cancelled)),
            done = work => Ok(done),
        },
    }
}

/// A token has ended the wait.
#[derive(Debug)]
struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wait was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Whether an error says that the token of [`NetOptions::cancelled_by`] has ended the wait.
///
/// Such an error is of the kind [`Other`](io::ErrorKind::Other), as where an end of `typed-pipe` is an [`io::Read`].
pub fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

/// Why a link was not made.
fn refused(error: &ConnectError) -> io::Error {
    match error {
        ConnectError::Connecting {
            source: ConnectingError::ConnectionError { source, .. },
            ..
        }
        | ConnectError::Connection { source, .. } => closed_by(source),
        other => io::Error::new(io::ErrorKind::ConnectionRefused, plain(&format!("{other:#}"))),
    }
}

fn closed_by(reason: &ConnectionError) -> io::Error {
    match reason {
        ConnectionError::ApplicationClosed(close) if close.error_code == NOT_LET_IN.into() => {
            let why = "the machine there offers nothing to the key of this one";
            io::Error::new(io::ErrorKind::PermissionDenied, why)
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == CLOSED.into() => {
            lost(&why(reason))
        }
        ConnectionError::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "nobody with this key answers there")
        }
        ConnectionError::TransportError(error) => {
            let error = plain(error);
            let why =
                format!("who answers there has another key, or speaks something else: {error}");
            io::Error::new(io::ErrorKind::ConnectionRefused, why)
        }
        other => io::Error::new(io::ErrorKind::ConnectionRefused, why(other)),
    }
}
