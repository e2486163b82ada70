//! Threads that sleep, where the system wakes each by a call of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use super::WaitLimit;

/// Where threads sleep: some of them, and no other, are woken.
#[derive(Debug, Default)]
pub(crate) struct Beds {
    calls: AtomicU32,
    asleep: Mutex<Vec<(u32, Thread)>>,
}

impl Beds {
    /// How many there are.
    pub(crate) const COUNT: u32 = u32::BITS;

    /// How often some were woken.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Sleeps in a bed until it is woken there, or without a reason; not at all if there were more calls.
    pub(crate) fn sleep(&self, bed: u32, calls: u32, until: WaitLimit) {
        let mut asleep = self.asleep();
        if self.calls() != calls {
            return;
        }
        asleep.push((bed, thread::current()));
        drop(asleep);
        match until {
            WaitLimit::Done => thread::park(),
            WaitLimit::Deadline(end) => {
                thread::park_timeout(end.saturating_duration_since(Instant::now()));
            }
            WaitLimit::Now => {}
        }
        self.asleep().retain(|(other, _)| *other != bed);
    }

    /// Wakes those whose bits are set.
    pub(crate) fn wake(&self, beds: u32) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let is_woken = |bed: u32| beds & 1 << bed != 0;
        let asleep = self.asleep();
        asleep.iter().filter(|(bed, _)| is_woken(*bed)).for_each(|(_, thread)| thread.unpark());
    }

    fn asleep(&self) -> MutexGuard<'_, Vec<(u32, Thread)>> {
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
