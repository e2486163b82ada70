//! The reading of a connection, while the thread that reads runs a handler: it may be taken away, so that another thread
//! reads on. It knows no time and no thread, so that `loom/` runs this very file in all orders.

use super::atomic::{AtomicBool, AtomicU64, Ordering};

/// The handler that runs in the thread that reads.
#[derive(Debug, Default)]
pub(super) struct Busy {
    /// Since when, in a time that begins with 1; 0 for none.
    since: AtomicU64,
    watched: AtomicBool,
}

impl Busy {
    /// A handler begins. Returns whether it is to be watched from here on, as it was not.
    pub(super) fn begin(&self, now: u64) -> bool {
        // One total order with `let_go`: either that sees this handler, or this thread that nothing watches it.
        self.since.store(now, Ordering::SeqCst);
        !self.watched.swap(true, Ordering::SeqCst)
    }

    /// It has ended. `false` if another thread reads by now: then what runs is a handler of that one.
    pub(super) fn end(&self, begun: u64) -> bool {
        self.since.compare_exchange(begun, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Since when it runs, if one does.
    pub(super) fn since(&self) -> Option<u64> {
        Some(self.since.load(Ordering::SeqCst)).filter(|since| *since != 0)
    }

    /// Takes the reading away from the thread whose handler has begun then, for another one. `false` if it has ended.
    pub(super) fn take(&self, begun: u64) -> bool {
        self.end(begun)
    }

    /// It is watched no longer. `false` if a handler has begun meanwhile that nothing else watches.
    pub(super) fn let_go(&self) -> bool {
        self.watched.swap(false, Ordering::SeqCst);
        self.since().is_none() || self.watched.swap(true, Ordering::SeqCst)
    }
}
