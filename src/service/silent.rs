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
const WAKEUP: u64 = 0;
const CLOSING: u64 = 1;

/// The silent clients of a service.
pub(super) struct Silent<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    pool: Arc<Pool<'scope, 'env>>,
    /// Set when the service is to end.
    closing: &'env CancelToken,
    kept: Arc<Mutex<Kept<'scope>>>,
}

struct Kept<'scope> {
    waiting: Waiting,
    clients: HashMap<u64, Arc<dyn Rests + 'scope>>,
    /// The last key that one of them got.
    keys: u64,
    closed: bool,
}

/// The thread that waits.
enum Waiting {
    NotYet,
    Running(Arc<Post>),
    Never,
}

/// What it waits by.
struct Post {
    readiness: Readiness,
    /// Set when there are no clients any more.
    wakeup: Event,
}

impl<'scope, 'env> Silent<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        pool: &Arc<Pool<'scope, 'env>>,
        closing: &'env CancelToken,
    ) -> Self {
        // Elsewhere it would take as many threads, or each wait would cost the more the more there are.
        let waiting = if Readiness::KEEPS_ALL { Waiting::NotYet } else { Waiting::Never };
        let kept = Kept { waiting, clients: HashMap::new(), keys: CLOSING, closed: false };
        Self { scope, pool: Arc::clone(pool), closing, kept: Arc::new(Mutex::new(kept)) }
    }

    /// Takes the reading for a client over from this thread. `false` if that must go on.
    pub(super) fn take(&self, client: Arc<dyn Rests + 'scope>) -> bool {
        let mut kept = lock(&self.kept);
        if kept.closed || self.closing.is_cancelled() {
            return false;
        }
        if matches!(kept.waiting, Waiting::NotYet) {
            // Where there is no room for it now, another client may find some.
            kept.waiting = self.start().map_or(Waiting::NotYet, Waiting::Running);
        }
        kept.keep(&client)
    }

    fn start(&self) -> io::Result<Arc<Post>> {
        let post = Post { readiness: Readiness::new()?, wakeup: Event::new()? };
        post.readiness.add(&mut Watched::Event(&post.wakeup), WAKEUP)?;
        post.readiness.add(&mut Watched::Event(self.closing.event()), CLOSING)?;
        let post = Arc::new(post);
        let waiter = Waiter {
            pool: Arc::clone(&self.pool),
            closing: self.closing,
            kept: Arc::clone(&self.kept),
            post: Arc::clone(&post),
        };
        let thread = Builder::new().name("typed-pipe silent".into()).stack_size(128 << 10);
        thread.spawn_scoped(self.scope, move || waiter.run())?;
        Ok(post)
    }

    /// Lets the thread go.
    pub(super) fn close(&self) {
        let mut kept = lock(&self.kept);
        kept.closed = true;
        if let Waiting::Running(post) = &kept.waiting {
            post.wakeup.set();
        }
    }
}

impl<'scope> Kept<'scope> {
    /// Lets the thread wait for a client, without waking it. `false` where nothing would tell it when something comes.
    fn keep(&mut self, client: &Arc<dyn Rests + 'scope>) -> bool {
        let Waiting::Running(post) = &self.waiting else { return false };
        self.keys += 1;
        let mut added = Ok(());
        client.with_watched(&mut |watched| added = post.readiness.add(watched, self.keys));
        if added.is_ok() {
            self.clients.insert(self.keys, Arc::clone(client));
        }
        added.is_ok()
    }
}

fn lock<'a, 'scope>(kept: &'a Mutex<Kept<'scope>>) -> MutexGuard<'a, Kept<'scope>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread has.
struct Waiter<'scope, 'env> {
    pool: Arc<Pool<'scope, 'env>>,
    closing: &'env CancelToken,
    kept: Arc<Mutex<Kept<'scope>>>,
    post: Arc<Post>,
}

impl<'scope> Waiter<'scope, '_> {
    fn run(self) {
        // Code of the user's runs where the last of a client is dropped.
        let closing = catch_unwind(AssertUnwindSafe(|| self.attend()));
        self.end(closing.unwrap_or(false));
    }

    /// Waits until all clients have left, or the system waits no longer. Returns whether the service is to end.
    fn attend(&self) -> bool {
        let mut looked = Instant::now();
        loop {
            let soon = within(LOOK.saturating_sub(looked.elapsed()));
            let Ok(keys) = self.post.readiness.wait(soon, iter::empty()) else { return false };
            // A forked child that cancels it here sets no more than the event.
            if keys.contains(&CLOSING) || self.closing.is_cancelled() {
                return true;
            }
            keys.into_iter().for_each(|key| self.wake(key));
            let kept = lock(&self.kept);
            if kept.closed {
                return false;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let stirred = kept.clients.iter().filter(|(_, client)| client.has_stirred());
                let stirred: Vec<_> = stirred.map(|(key, _)| *key).collect();
                drop(kept);
                stirred.into_iter().for_each(|key| self.wake(key));
            }
        }
    }

    /// Gives all of them threads: each its own, unless they have no more to do than to say goodbye.
    fn end(self, closing: bool) {
        let mut kept = lock(&self.kept);
        kept.waiting = Waiting::Never;
        let clients = mem::take(&mut kept.clients);
        drop(kept);
        let left: Vec<_> =
            clients.into_iter().map(|(key, client)| self.let_go(key, client)).collect();
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

    fn wake(&self, key: u64) {
        let client = lock(&self.kept).clients.remove(&key);
        if let Some(client) = client {
            self.give_thread(self.let_go(key, client));
        }
    }

    /// Waits for this one no longer.
    fn let_go(&self, key: u64, client: Arc<dyn Rests + 'scope>) -> Arc<dyn Rests + 'scope> {
        client.with_watched(&mut |watched| self.post.readiness.remove(watched, key));
        client
    }

    fn give_thread(&self, client: Arc<dyn Rests + 'scope>) {
        let mut waking = Waking { client: Some(client), kept: Arc::clone(&self.kept) };
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
    kept: Arc<Mutex<Kept<'scope>>>,
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        lock(&self.kept).keep(&client);
    }
}
