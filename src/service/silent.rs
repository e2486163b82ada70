//! The clients of a service of threads that are silent: one thread waits for all of them, and each that speaks gets a thread
//! again.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, Scope};
use std::time::{Duration, Instant};

use super::pool::Duty;
use super::serving::{Crew, Served};
use crate::sys::{Event, Readiness, Watched};
use crate::wait::within;

/// How often silent clients are looked at that say nothing: another thread may have left something to write.
const LOOK: Duration = Duration::from_secs(10);

/// How long the system is left alone that had no thread for a client.
const NO_THREAD: Duration = Duration::from_millis(20);

/// The keys of what is no client.
const BELL: u64 = 0;
const CLOSING: u64 = 1;

/// The silent clients of a service.
pub(super) struct Silent<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    state: Mutex<State<'scope, 'env>>,
}

struct State<'scope, 'env> {
    waiting: Waiting,
    /// Those that the thread does not have yet.
    arrived: Vec<Arc<Served<'scope, 'env>>>,
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
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        // Elsewhere a thread would cost as much for each as it does now, or each wait the more the more there are.
        let waiting = if Readiness::KEEPS_ALL { Waiting::NotYet } else { Waiting::Never };
        Self { scope, state: Mutex::new(State { waiting, arrived: Vec::new(), closed: false }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<'scope, 'env>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the reading of a client over from this thread. `false` if it must go on reading.
    pub(super) fn take(
        &self,
        crew: &Arc<Crew<'scope, 'env>>,
        served: Arc<Served<'scope, 'env>>,
    ) -> bool {
        let mut state = self.lock();
        if state.closed || crew.lifecycle.is_closing() {
            return false;
        }
        if matches!(state.waiting, Waiting::NotYet) {
            state.waiting = self.start(crew).map_or(Waiting::Never, Waiting::Running);
        }
        let Waiting::Running(bell) = &state.waiting else { return false };
        bell.set();
        state.arrived.push(served);
        true
    }

    fn start(&self, crew: &Arc<Crew<'scope, 'env>>) -> io::Result<Arc<Event>> {
        let (mut readiness, bell) = (Readiness::new()?, Arc::new(Event::new()?));
        readiness.add(&mut Watched::Event(&bell), BELL)?;
        readiness.add(&mut Watched::Event(crew.lifecycle.closing().event()), CLOSING)?;
        let (crew, rung) = (Arc::clone(crew), Arc::clone(&bell));
        let thread = Builder::new().name("typed-pipe silent".into()).stack_size(128 << 10);
        let waiter = Waiter { crew, readiness, bell: rung, clients: HashMap::new(), keys: CLOSING };
        thread.spawn_scoped(self.scope, move || waiter.run())?;
        Ok(bell)
    }

    /// Lets the thread go.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Waiting::Running(bell) = &state.waiting {
            bell.set();
        }
    }
}

/// What the thread has.
struct Waiter<'scope, 'env> {
    crew: Arc<Crew<'scope, 'env>>,
    readiness: Readiness,
    bell: Arc<Event>,
    clients: HashMap<u64, Arc<Served<'scope, 'env>>>,
    keys: u64,
}

impl<'scope, 'env> Waiter<'scope, 'env> {
    fn run(mut self) {
        let mut looked = Instant::now();
        loop {
            let soon = within(LOOK.saturating_sub(looked.elapsed()));
            let Ok(keys) = self.readiness.wait(soon, iter::empty()) else { break };
            // Before what has arrived is taken: what arrives later sets it again.
            self.bell.unset();
            let mut state = self.crew.silent.lock();
            let (arrived, closed) = (mem::take(&mut state.arrived), state.closed);
            drop(state);
            arrived.into_iter().for_each(|served| self.keep(served));
            keys.into_iter().for_each(|key| self.wake(key, Duty::Read));
            if self.crew.lifecycle.is_closing() {
                break;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let stirred = self.clients.iter().filter(|(_, served)| served.has_stirred());
                let stirred: Vec<_> = stirred.map(|(key, _)| *key).collect();
                stirred.into_iter().for_each(|key| self.wake(key, Duty::Read));
            }
            if closed {
                break;
            }
        }
        self.end();
    }

    /// Gives all a thread, as the service is to end, or the system waits for them no longer.
    fn end(mut self) {
        let mut state = self.crew.silent.lock();
        state.waiting = Waiting::Never;
        let arrived = mem::take(&mut state.arrived);
        drop(state);
        arrived.into_iter().for_each(|served| self.keep(served));
        let keys: Vec<_> = self.clients.keys().copied().collect();
        // In as many threads as there may be, one after the other: they have little to say.
        keys.into_iter().for_each(|key| self.wake(key, Duty::Work));
    }

    fn keep(&mut self, served: Arc<Served<'scope, 'env>>) {
        self.keys += 1;
        let mut reader = served.link.lock_reader();
        let added = self.readiness.add(&mut Watched::End(reader.half.raw_mut()), self.keys);
        drop(reader);
        if added.is_ok() {
            self.clients.insert(self.keys, served);
        } else {
            // Nothing tells when something comes.
            served.always_reads();
            self.give_thread(&served, Duty::Read);
        }
    }

    fn wake(&mut self, key: u64, duty: Duty) {
        let Some(served) = self.clients.remove(&key) else { return };
        let mut reader = served.link.lock_reader();
        self.readiness.remove(&Watched::End(reader.half.raw_mut()), key);
        drop(reader);
        self.give_thread(&served, duty);
    }

    fn give_thread(&self, served: &Arc<Served<'scope, 'env>>, duty: Duty) {
        loop {
            let this = Arc::clone(served);
            if self.crew.pool.submit(duty, move || this.read_again()) || duty == Duty::Work {
                return;
            }
            thread::sleep(NO_THREAD);
        }
    }
}
