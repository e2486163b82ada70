//! Threads that sleep on one word of the kernel, each with a bit of its own.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};
use rustix::time::{ClockId, clock_gettime};

use crate::sys::WaitLimit;

/// Where threads sleep: some of them, and no other, are woken by one system call.
#[derive(Debug, Default)]
pub(crate) struct ParkingLot(AtomicU32);

impl ParkingLot {
    /// How many spots there are.
    pub(crate) const COUNT: u32 = u32::BITS;

    /// How often some were woken.
    pub(crate) fn wakes(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Sleeps at a spot until it is woken there, or without a reason; not at all if others were woken since.
    pub(crate) fn park(&self, spot: u32, wakes: u32, until: WaitLimit) {
        let end = match until {
            WaitLimit::Done => None,
            // What is beyond the clock never comes.
            WaitLimit::Deadline(end) => after(end),
            WaitLimit::Now => return,
        };
        if let Some(bit) = NonZeroU32::new(1 << spot) {
            let slept = futex::wait_bitset(&self.0, Flags::PRIVATE, wakes, end.as_ref(), bit);
            if !matches!(slept, Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)) {
                // A system that stands in for Linux and lets no thread sleep so.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Wakes those whose bits are set.
    pub(crate) fn unpark(&self, spots: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
        if let Some(bits) = NonZeroU32::new(spots) {
            let woken = futex::wake_bitset(&self.0, Flags::PRIVATE, Self::COUNT, bits);
            if woken.is_err() {
                // A system that stands in for Linux and cannot choose. The others go on sleeping.
                let _ = futex::wake(&self.0, Flags::PRIVATE, Self::COUNT);
            }
        }
    }
}

/// The time on the clock of the kernel.
fn after(end: Instant) -> Option<Timespec> {
    let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok()?;
    clock_gettime(ClockId::Monotonic).checked_add(left)
}
