//! The tasks that wait for the same thing.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// Tasks that wait for what any of them brings about, each by a number of its own.
///
/// As a waker it wakes them all: whichever is polled goes on for the others, and one whose future is kept without being
/// polled is in nobody's way.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Wakers>);

#[derive(Debug, Default)]
struct Wakers {
    waiting: BTreeMap<u64, Waker>,
    /// Those that are to be woken when no lock is held.
    due: Vec<Waker>,
}

impl Tasks {
    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whom to wake next time.
    pub(crate) fn enter(&self, number: u64, cx: &Context<'_>) {
        // Not dropped under the lock: a waker may be the last that keeps a task, and its futures.
        let _before = self.wakers().waiting.insert(number, cx.waker().clone());
    }

    pub(crate) fn leave(&self, number: u64) {
        let _left = self.wakers().waiting.remove(&number);
    }

    /// Notes that a task is to be woken.
    pub(crate) fn note_one(&self, number: u64) {
        let mut wakers = self.wakers();
        let waker = wakers.waiting.remove(&number);
        wakers.due.extend(waker);
    }

    /// Notes that all tasks are to be woken.
    pub(crate) fn note_all(&self) {
        let mut wakers = self.wakers();
        let waiting = mem::take(&mut wakers.waiting);
        wakers.due.extend(waiting.into_values());
    }

    /// Wakes those that were noted. Under no lock: that may drop the last that keeps a task, with a call of its own.
    pub(crate) fn wake_noted(&self) {
        loop {
            let waker = self.wakers().due.pop();
            match waker {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
    }

    /// What wakes them all.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.note_all();
        self.wake_noted();
    }
}
