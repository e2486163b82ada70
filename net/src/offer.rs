//! What a machine offers by a name: a listener.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::iter::{self, FusedIterator};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, Stream as Incoming};
use iroh::endpoint::{Connection as Quic, StreamId};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use typed_pipe::{Connection, Receivable, Tokio};

use crate::busy::Busy;
use crate::carrier::Stream;
use crate::collector::Collector;
use crate::key::PublicKey;
use crate::link::{Link, NOT_LET_IN, Notice, Shared};
use crate::net::{Inner, for_tasks, is_cancelled, unless_cancelled};

/// The connections that wait to be accepted, at most.
const WAITING: usize = 128;

/// The links that a machine may have, at least: those of programs that were killed last for the idle time.
const LINKS: usize = 64;

/// A name that certain machines may connect to, from [`Net::offer`](crate::Net::offer).
///
/// Dropping it takes the name back: who waits to be accepted is disconnected, and what was accepted goes on.
///
/// Threads, or tasks, may share it.
#[derive(Debug)]
pub struct Offer {
    queue: Arc<Queue>,
    address: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Queue {
    name: String,
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    to: Vec<PublicKey>,
    waiting: VecDeque<Stream>,
    /// The places of those that are about to wait.
    coming: usize,
    connections: Vec<Admitted>,
    closed: bool,
}

/// A connection that was let in, and how to end it.
#[derive(Debug)]
struct Admitted {
    link: Weak<Link>,
    stream: StreamId,
    shared: Weak<Shared>,
    key: PublicKey,
}

impl Admitted {
    fn end(&self) {
        let (Some(link), Some(shared)) = (self.link.upgrade(), self.shared.upgrade()) else {
            return;
        };
        shared.revoke("the key of the other machine is not let in any more");
        // It reads nothing more, whatever this program does with its side.
        link.say(self.stream, Notice::CutAt(0));
    }
}

/// The offers of a machine, by their names.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    by_name: Mutex<HashMap<String, Arc<Queue>>>,
    links: Mutex<Vec<Weak<Link>>>,
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Queue>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Weak<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a machine is let in by any of them.
    pub(crate) fn let_in(&self, key: PublicKey) -> bool {
        let queues: Vec<_> = self.lock().values().cloned().collect();
        queues.iter().any(|queue| queue.lets_in(key))
    }

    /// What is offered to this machine by a name.
    pub(crate) fn find(&self, name: &str, key: PublicKey) -> Option<Arc<Queue>> {
        self.lock().get(name).filter(|queue| queue.lets_in(key)).cloned()
    }

    /// A link that another machine has made. `None`, if it has too many.
    pub(crate) fn link(&self, quic: &Quic, connections: u32, busy: Arc<Busy>) -> Option<Arc<Link>> {
        let peer = PublicKey(quic.remote_id());
        let most = connections as usize;
        let mut links = self.links();
        links.retain(|link| link.upgrade().is_some_and(|link| !link.is_lost()));
        let of_it: Vec<_> =
            links.iter().filter_map(Weak::upgrade).filter(|link| link.peer == peer).collect();
        if of_it.len() >= most.max(LINKS) {
            return None;
        }
        let room = match of_it.first() {
            Some(other) => Arc::clone(&other.room),
            None => Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
        };
        let link = Link::new(quic.clone(), busy, room);
        links.push(Arc::downgrade(&link));
        Some(link)
    }

    /// Closes the links of who is not let in any more.
    fn close_links(&self) {
        let links: Vec<_> = self.links().iter().filter_map(Weak::upgrade).collect();
        for link in links.iter().filter(|link| !self.let_in(link.peer)) {
            link.quic.close(NOT_LET_IN.into(), b"this key is not let in");
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lets_in(&self, key: PublicKey) -> bool {
        let state = self.lock();
        !state.closed && state.to.contains(&key)
    }

    /// A place to wait, if there is one more.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        let has_room = !state.closed && state.waiting.len() + state.coming < WAITING;
        has_room.then(|| {
            state.coming += 1;
            Place(Some(Arc::clone(self)))
        })
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.came.notify_waiters();
        waiting.into_iter().for_each(Stream::cut_off);
    }

    /// Waits for the next one. Dropping the future loses none.
    pub(crate) async fn next(&self) -> io::Result<Stream> {
        loop {
            let mut came = pin!(self.came.notified());
            came.as_mut().enable();
            if let Some(next) = self.take() {
                return next;
            }
            came.await;
        }
    }

    fn take(&self) -> Option<io::Result<Stream>> {
        let mut state = self.lock();
        let Some(stream) = state.waiting.pop_front() else {
            return state.closed.then(|| Err(closed()));
        };
        // One word may have stood for several.
        if !state.waiting.is_empty() {
            self.came.notify_one();
        }
        Some(Ok(stream))
    }
}

/// The place of one that may wait to be accepted, until the drop of this.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Queue>>);

impl Place {
    /// Lets a connection wait. If that cannot be any more, it is cut off: its end would look like that of a program.
    pub(crate) fn take(
        mut self,
        link: &Arc<Link>,
        stream: StreamId,
        shared: &Arc<Shared>,
        connection: Stream,
    ) {
        let Some(queue) = self.0.take() else { return };
        let (key, mut state) = (link.peer, queue.lock());
        // Not by the drop of this: until then, one would count as two.
        state.coming -= 1;
        if state.closed || !state.to.contains(&key) {
            drop(state);
            return connection.cut_off();
        }
        state.connections.retain(|admitted| admitted.shared.strong_count() > 0);
        let (link, shared) = (Arc::downgrade(link), Arc::downgrade(shared));
        state.connections.push(Admitted { link, stream, shared, key });
        state.waiting.push_back(connection);
        drop(state);
        queue.came.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.lock().coming -= 1;
        }
    }
}

impl Offer {
    pub(crate) fn new(
        inner: Arc<Inner>,
        name: &str,
        to: &[PublicKey],
        at: SocketAddr,
    ) -> io::Result<Self> {
        let state = Mutex::new(State { to: to.to_vec(), ..State::default() });
        let queue = Arc::new(Queue { name: name.into(), state, came: Notify::new() });
        let mut offers = inner.offers.lock();
        if offers.contains_key(name) {
            let why = format!("`{name}` is offered already");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        offers.insert(name.into(), Arc::clone(&queue));
        drop(offers);
        let address = format!("{name}@{}/{at}", inner.key.public());
        Ok(Self { queue, address, inner })
    }

    /// What the others [connect](crate::Net::connect) to: `name@KEY/host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the next connection. [`peer`](Connection::peer) is the key of the other machine, which it has proved.
    ///
    /// # Errors
    ///
    /// - [`NotConnected`](io::ErrorKind::NotConnected): the `Net` was closed.
    /// - [`Other`](io::ErrorKind::Other): the token of [`NetOptions::cancelled_by`](crate::NetOptions::cancelled_by) was
    ///   cancelled, or the system's own.
    pub fn accept(&self) -> io::Result<Connection> {
        Ok(Connection::over(self.inner.run(self.next_within(None))?)?)
    }

    /// As [`accept`](Self::accept), for so long at most.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), too.
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<Connection> {
        Ok(Connection::over(self.inner.run(self.next_within(Some(timeout)))?)?)
    }

    /// As [`accept`](Self::accept), for tasks. It may be dropped at any time: no connection is lost.
    ///
    /// # Errors
    ///
    /// As those of `accept`.
    pub async fn accept_async(&self) -> io::Result<Connection<Tokio>> {
        Ok(for_tasks(self.next_within(None).await?)?)
    }

    /// The connections, one after the other, each accepted as [`accept`](Self::accept) does.
    ///
    /// The iterator ends when the [`Net`](crate::Net) is closed, or its token is cancelled.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::CancelToken;
    /// use typed_pipe_net::{Key, Net, NetOptions};
    ///
    /// let (key, token) = (Key::generate(), CancelToken::new()?);
    /// let net = NetOptions::new().cancelled_by(&token).open(&Key::generate())?;
    /// let net = net.listening("127.0.0.1:0".parse()?)?;
    /// let offer = net.offer("sums", &[key.public()])?;
    /// let (there, address) = (Net::open(&key)?, offer.address().to_owned());
    /// let connecting = thread::spawn(move || there.connect(&address));
    ///
    /// let mut clients = 0;
    /// for client in offer.incoming() {
    ///     drop(client?); // or serve it in a thread
    ///     clients += 1;
    ///     token.cancel(); // as Ctrl-C may do
    /// }
    /// assert_eq!(clients, 1);
    /// # let _ = connecting.join();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn incoming(&self) -> impl FusedIterator<Item = io::Result<Connection>> {
        iter::from_fn(|| unless_over(self.accept())).fuse()
    }

    /// As [`incoming`](Self::incoming), for tasks.
    pub fn incoming_async(
        &self,
    ) -> impl Incoming<Item = io::Result<Connection<Tokio>>> + Send + Unpin {
        Box::pin(stream::unfold(self, |offer| async move {
            Some((unless_over(offer.accept_async().await)?, offer))
        }))
    }

    /// Receives what many machines send, as one receiver: each connection is a typed one of `T`.
    pub fn collect<T: Receivable + Send + 'static>(self) -> Collector<T> {
        Collector::new(self)
    }

    /// The next connection, as it is.
    pub(crate) fn next_within(
        &self,
        limit: Option<Duration>,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<> {
        let (queue, token) = (Arc::clone(&self.queue), self.inner.options.token.clone());
        async move {
            let next = unless_cancelled(token.as_ref(), queue.next());
            let Some(limit) = limit else { return next.await? };
            match timeout(limit, next).await {
                Ok(next) => next?,
                Err(_) => {
                    let why = format!("nobody has connected to `{}` in time", queue.name);
                    Err(io::Error::new(io::ErrorKind::TimedOut, why))
                }
            }
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Names the machines anew that may connect: an empty list is nobody.
    ///
    /// The connections of those that are not in it any more end: each side gets `Disconnected`. If nothing else is
    /// offered to such a machine, its link is closed.
    pub fn set_allowed(&self, to: &[PublicKey]) {
        let mut state = self.queue.lock();
        state.to = to.to_vec();
        let all = std::mem::take(&mut state.connections).into_iter();
        let (stay, end): (Vec<_>, Vec<_>) = all.partition(|admitted| to.contains(&admitted.key));
        state.connections = stay;
        drop(state);
        end.iter().for_each(Admitted::end);
        self.inner.offers.close_links();
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.inner.offers.lock().remove(&self.queue.name);
        self.queue.close();
    }
}

/// Ends all of them, for the closing of a `Net`.
pub(crate) fn close_all(offers: &Offers) {
    let queues: Vec<_> = offers.lock().drain().map(|(_, queue)| queue).collect();
    for queue in queues {
        queue.close();
    }
}

/// `None` where nobody will connect any more.
pub(crate) fn unless_over<T>(accepted: io::Result<T>) -> Option<io::Result<T>> {
    match accepted {
        Err(error) if error.kind() == io::ErrorKind::NotConnected || is_cancelled(&error) => None,
        accepted => Some(accepted),
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the net was closed: nobody connects any more")
}
