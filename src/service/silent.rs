//! The clients of a service of threads that are silent: one thread waits for all of them, and each that speaks gets a thread
//! again.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, Scope};
use std::time::{Duration, Instant};

use super::panics::contain;
use super::pool::{Duty, Pool};
use crate::sys::{Event, Readiness, Watched};
use crate::wait::{CancelToken, within};

/// A client that may be silent.
pub(super) trait Rests: Send + Sync {
    /// What is readable when something comes.
    fn with_watched(&self, look: &mut dyn FnMut(&mut Watched<'_>));

    /// Reads and handles, from here on in this thread.
    fn read_again(self: Arc<Self>);

    /// A thread reads for it even while it is silent.
    fn always_reads(&self);

    /// Whether something is to be done for it while nothing comes.
    fn has_stirred(&self) -> bool;
}

/// How often silent clients are looked at that say nothing: another thread may have left something to write.
const LOOK: Duration = Duration::from_secs(10);

/// How long the system is left alone that had no thread for a client.
const NO_THREAD: Duration = Duration::from_millis(20);

/// How many threads clients share, at most, that learn of the end of their service.
const LAST_THREADS: usize = 64;

/// The keys of what is no client.
const BELL: u64 = 0;
const CLOSING: u64 = 1;

/// The silent clients of a service.
pub(super) struct Silent<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    pool: Arc<Pool<'scope, 'env>>,
    /// Set when the service is to end.
    closing: &'env CancelToken,
    arrivals: Arc<Mutex<Arrivals<'scope>>>,
}

struct Arrivals<'scope> {
    waiting: Waiting,
    /// Those that the thread does not have yet.
    clients: Vec<Arc<dyn Rests + 'scope>>,
    closed: bool,
}

/// The thread that waits.
enum Waiting {
    NotYet,
    /// It looks at what has arrived when this is set.
    Running(Arc<Event>),
    Never,
}

impl<'scope, 'env> Silent<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        pool: &Arc<Pool<'scope, 'env>>,
        closing: &'env CancelToken,
    ) -> Self {
        // Elsewhere it would take as many threads, or each wait would cost the more the more there are.
        let waiting = if Readiness::KEEPS_ALL { Waiting::NotYet } else { Waiting::Never };
        let arrivals = Arrivals { waiting, clients: Vec::new(), closed: false };
        let (pool, arrivals) = (Arc::clone(pool), Arc::new(Mutex::new(arrivals)));
        Self { scope, pool, closing, arrivals }
    }

    /// Takes the reading for a client over from this thread. `false` if that must go on.
    pub(super) fn take(&self, client: Arc<dyn Rests + 'scope>) -> bool {
        let mut arrivals = lock(&self.arrivals);
        if arrivals.closed || self.closing.is_cancelled() {
            return false;
        }
        if matches!(arrivals.waiting, Waiting::NotYet) {
            // Where there is no room for it now, another client may find some.
            arrivals.waiting = self.start().map_or(Waiting::NotYet, Waiting::Running);
        }
        let Waiting::Running(bell) = &arrivals.waiting else { return false };
        bell.set();
        arrivals.clients.push(client);
        true
    }

    fn start(&self) -> io::Result<Arc<Event>> {
        let (mut readiness, bell) = (Readiness::new()?, Arc::new(Event::new()?));
        readiness.add(&mut Watched::Event(&bell), BELL)?;
        readiness.add(&mut Watched::Event(self.closing.event()), CLOSING)?;
        let waiter = Waiter {
            pool: Arc::clone(&self.pool),
            closing: self.closing,
            arrivals: Arc::clone(&self.arrivals),
            readiness,
            bell: Arc::clone(&bell),
            clients: HashMap::new(),
            keys: CLOSING,
        };
        let thread = Builder::new().name("typed-pipe silent".into()).stack_size(128 << 10);
        thread.spawn_scoped(self.scope, move || waiter.run())?;
        Ok(bell)
    }

    /// Lets the thread go.
    pub(super) fn close(&self) {
        let mut arrivals = lock(&self.arrivals);
        arrivals.closed = true;
        if let Waiting::Running(bell) = &arrivals.waiting {
            bell.set();
        }
    }
}

fn lock<'a, 'scope>(arrivals: &'a Mutex<Arrivals<'scope>>) -> MutexGuard<'a, Arrivals<'scope>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread has.
struct Waiter<'scope, 'env> {
    pool: Arc<Pool<'scope, 'env>>,
    closing: &'env CancelToken,
    arrivals: Arc<Mutex<Arrivals<'scope>>>,
    readiness: Readiness,
    bell: Arc<Event>,
    clients: HashMap<u64, Arc<dyn Rests + 'scope>>,
    keys: u64,
}

impl<'scope> Waiter<'scope, '_> {
    fn run(mut self) {
        // Code of the user's runs where the last of a client is dropped.
        let closing = catch_unwind(AssertUnwindSafe(|| self.attend()));
        self.end(closing.unwrap_or(false));
    }

    /// Waits until all clients have left, or the system waits no longer. Returns whether the service is to end.
    fn attend(&mut self) -> bool {
        let mut looked = Instant::now();
        loop {
            let soon = within(LOOK.saturating_sub(looked.elapsed()));
            let Ok(keys) = self.readiness.wait(soon, iter::empty()) else { return false };
            // Before what has arrived is taken: what arrives later sets it again.
            self.bell.unset();
            let mut arrivals = lock(&self.arrivals);
            let (arrived, closed) = (mem::take(&mut arrivals.clients), arrivals.closed);
            drop(arrivals);
            arrived.into_iter().for_each(|client| self.keep(client));
            // A forked child that cancels it here sets no more than the event.
            if keys.contains(&CLOSING) || self.closing.is_cancelled() {
                return true;
            }
            keys.into_iter().for_each(|key| self.wake(key));
            if closed {
                return false;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let stirred = self.clients.iter().filter(|(_, client)| client.has_stirred());
                let stirred: Vec<_> = stirred.map(|(key, _)| *key).collect();
                stirred.into_iter().for_each(|key| self.wake(key));
            }
        }
    }

    /// Gives all of them threads: each its own, unless they have no more to do than to say goodbye.
    fn end(mut self, closing: bool) {
        let mut arrivals = lock(&self.arrivals);
        arrivals.waiting = Waiting::Never;
        let mut left = mem::take(&mut arrivals.clients);
        drop(arrivals);
        let keys: Vec<_> = self.clients.keys().copied().collect();
        left.extend(keys.into_iter().filter_map(|key| self.release(key)));
        let share = if closing { left.len().div_ceil(LAST_THREADS).max(1) } else { 1 };
        let read_all = |clients: Vec<Arc<dyn Rests + 'scope>>| {
            clients.into_iter().for_each(|client| contain(move || client.read_again()));
        };
        for clients in left.chunks(share) {
            loop {
                let theirs = clients.to_vec();
                if self.pool.submit(Duty::Read, move || read_all(theirs)) {
                    break;
                }
                if closing {
                    // It takes no longer than a goodbye.
                    read_all(clients.to_vec());
                    break;
                }
                thread::sleep(NO_THREAD);
            }
        }
        contain(move || drop((self, left)));
    }

    fn keep(&mut self, client: Arc<dyn Rests + 'scope>) {
        self.keys += 1;
        let mut added = Ok(());
        client.with_watched(&mut |watched| added = self.readiness.add(watched, self.keys));
        if added.is_ok() {
            self.clients.insert(self.keys, client);
        } else {
            // Nothing tells when something comes.
            client.always_reads();
            self.give_thread(client);
        }
    }

    fn wake(&mut self, key: u64) {
        if let Some(client) = self.release(key) {
            self.give_thread(client);
        }
    }

    fn release(&mut self, key: u64) -> Option<Arc<dyn Rests + 'scope>> {
        let client = self.clients.remove(&key)?;
        client.with_watched(&mut |watched| self.readiness.remove(watched, key));
        Some(client)
    }

    fn give_thread(&self, client: Arc<dyn Rests + 'scope>) {
        let mut waking = Waking { client: Some(client), arrivals: Arc::clone(&self.arrivals) };
        let submitted = self.pool.submit(Duty::Read, move || {
            if let Some(client) = waking.client.take() {
                client.read_again();
            }
        });
        if !submitted {
            thread::sleep(NO_THREAD);
        }
    }
}

/// A client that is to get a thread. If the system has none, it is silent again, and heard again at once.
struct Waking<'scope> {
    client: Option<Arc<dyn Rests + 'scope>>,
    arrivals: Arc<Mutex<Arrivals<'scope>>>,
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut arrivals = lock(&self.arrivals);
        if let Waiting::Running(bell) = &arrivals.waiting {
            bell.set();
            arrivals.clients.push(client);
        }
    }
}
