//! Threads that sleep, where the system wakes each by a call of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use super::WaitLimit;

/// Where threads sleep: some of them, and no other, are woken.
#[derive(Debug, Default)]
pub(crate) struct ParkingLot {
    wakes: AtomicU32,
    asleep: Mutex<Vec<(u32, Thread)>>,
}

impl ParkingLot {
    /// How many spots there are.
    pub(crate) const COUNT: u32 = u32::BITS;

    /// How often some were woken.
    pub(crate) fn wakes(&self) -> u32 {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Sleeps at a spot until it is woken there, or without a reason; not at all if others were woken since.
    pub(crate) fn park(&self, spot: u32, wakes: u32, until: WaitLimit) {
        let mut asleep = self.asleep();
        if self.wakes() != wakes {
            return;
        }
        asleep.push((spot, thread::current()));
        drop(asleep);
        match until {
            WaitLimit::Done => thread::park(),
            WaitLimit::Deadline(end) => {
                thread::park_timeout(end.saturating_duration_since(Instant::now()));
            }
            WaitLimit::Now => {}
        }
        self.asleep().retain(|(other, _)| *other != spot);
    }

    /// Wakes those whose bits are set.
    pub(crate) fn unpark(&self, spots: u32) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        let is_woken = |spot: u32| spots & 1 << spot != 0;
        let asleep = self.asleep();
        asleep.iter().filter(|(spot, _)| is_woken(*spot)).for_each(|(_, thread)| thread.unpark());
    }

    fn asleep(&self) -> MutexGuard<'_, Vec<(u32, Thread)>> {
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
