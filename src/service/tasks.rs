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
pub(crate) struct Tasks(Mutex<BTreeMap<u64, Waker>>);

impl Tasks {
    fn wakers(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whom to wake next time.
    pub(crate) fn enter(&self, number: u64, cx: &Context<'_>) {
        // Not dropped under the lock: a waker may be the last that keeps a task, and its futures.
        let _before = self.wakers().insert(number, cx.waker().clone());
    }

    pub(crate) fn leave(&self, number: u64) {
        let _left = self.wakers().remove(&number);
    }

    pub(crate) fn wake_one(&self, number: u64) {
        let waker = self.wakers().remove(&number);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn wake_all(&self) {
        let wakers = mem::take(&mut *self.wakers());
        wakers.into_values().for_each(Waker::wake);
    }

    /// What wakes them all.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
