//! What a machine offers by a name: a listener.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use iroh::endpoint::StreamId;
use tokio::sync::Notify;
use typed_pipe::{Connection, Tokio};

use crate::key::PublicKey;
use crate::link::{Link, NOT_LET_IN, Notice, Shared};
use crate::net::Inner;

/// The connections that wait to be accepted, at most.
const WAITING: usize = 128;

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
    came: Condvar,
    came_for_tasks: Notify,
}

#[derive(Debug, Default)]
struct State {
    to: Vec<PublicKey>,
    waiting: VecDeque<Connection>,
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

    /// A link that another machine has made.
    pub(crate) fn linked(&self, link: &Arc<Link>) {
        let mut links = self.links();
        links.retain(|link| link.upgrade().is_some_and(|link| !link.is_lost()));
        links.push(Arc::downgrade(link));
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

    /// Whether there is room for one more to wait.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        !state.closed && state.waiting.len() < WAITING
    }

    /// Lets a connection wait to be accepted. If that cannot be, it ends.
    pub(crate) fn push(
        &self,
        link: &Arc<Link>,
        stream: StreamId,
        shared: &Arc<Shared>,
        connection: Connection,
    ) {
        let (key, mut state) = (link.peer, self.lock());
        if state.closed || state.waiting.len() >= WAITING || !state.to.contains(&key) {
            drop(state);
            return drop(connection);
        }
        state.connections.retain(|admitted| admitted.shared.strong_count() > 0);
        let (link, shared) = (Arc::downgrade(link), Arc::downgrade(shared));
        state.connections.push(Admitted { link, stream, shared, key });
        state.waiting.push_back(connection);
        drop(state);
        self.came.notify_one();
        self.came_for_tasks.notify_one();
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.came.notify_all();
        self.came_for_tasks.notify_waiters();
        drop(waiting);
    }

    /// The next one that waits.
    fn next(state: &mut State) -> Option<io::Result<Connection>> {
        match state.waiting.pop_front() {
            Some(connection) => Some(Ok(connection)),
            None => state.closed.then(|| Err(closed())),
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
        let queue = Arc::new(Queue {
            name: name.into(),
            state,
            came: Condvar::new(),
            came_for_tasks: Notify::new(),
        });
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
    /// [`NotConnected`](io::ErrorKind::NotConnected): the `Net` was closed.
    pub fn accept(&self) -> io::Result<Connection> {
        self.wait(None)
    }

    /// As [`accept`](Self::accept), for so long at most.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), too.
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<Connection> {
        self.wait(Instant::now().checked_add(timeout))
    }

    /// As [`accept`](Self::accept), for tasks. It may be dropped at any time: no connection is lost.
    ///
    /// # Errors
    ///
    /// As those of `accept`.
    pub async fn accept_async(&self) -> io::Result<Connection<Tokio>> {
        loop {
            let came = self.queue.came_for_tasks.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            let next = Queue::next(&mut self.queue.lock());
            if let Some(next) = next {
                return crate::net::for_tasks(next?);
            }
            came.await;
        }
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

    fn wait(&self, until: Option<Instant>) -> io::Result<Connection> {
        let mut state = self.queue.lock();
        loop {
            if let Some(next) = Queue::next(&mut state) {
                return next;
            }
            let Some(until) = until else {
                state = self.queue.came.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = format!("nobody has connected to `{}` in time", self.queue.name);
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            let waited = self.queue.came.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
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

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the net was closed: nobody connects any more")
}
