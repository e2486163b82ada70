//! Looks after handlers that run in the thread which reads: one that lasts must not keep others from being read.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::panics::contain;

/// Something that may take too long.
pub(super) trait Watched: Send + Sync {
    /// Lets another thread go on if it takes too long. Returns whether something is going on.
    fn look(self: Arc<Self>) -> bool;

    /// It is watched no longer, until it is added again. `false` if something goes on there by now.
    fn let_go(&self) -> bool;
}

/// Looks at what is watched, in a thread of its own, every now and then.
#[derive(Default)]
pub(super) struct Watch<'scope> {
    state: Mutex<State<'scope>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'scope> {
    /// What is watched, and how often nothing was going on there.
    watched: Vec<(Arc<dyn Watched + 'scope>, u32)>,
    closed: bool,
}

/// How long a handler may take.
pub(super) const LONG: Duration = Duration::from_millis(1);

/// After so many looks at nothing, it is no longer watched.
const STILL: u32 = 20;

impl<'scope> Watch<'scope> {
    fn lock(&self) -> MutexGuard<'_, State<'scope>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, watched: Arc<dyn Watched + 'scope>) {
        self.lock().watched.push((watched, 0));
        self.changed.notify_one();
    }

    /// Looks until it is closed.
    pub(super) fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            if state.watched.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let watched = std::mem::take(&mut state.watched);
            drop(state);
            thread::sleep(LONG);
            let looked_at = watched.into_iter().filter_map(|(watched, still)| {
                let still = if Arc::clone(&watched).look() { 0 } else { still + 1 };
                if still < STILL || !watched.let_go() {
                    return Some((watched, still));
                }
                // Code of the user's runs where the last of a client is dropped.
                contain(move || drop(watched));
                None
            });
            let mut watched = looked_at.collect();
            state = self.lock();
            state.watched.append(&mut watched);
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.watched.clear();
        self.changed.notify_one();
    }
}
