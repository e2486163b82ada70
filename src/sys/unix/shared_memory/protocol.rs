//! How one side sleeps until the other one has done something, without a lock and without a wakeup that is missed.
//!
//! Each side first writes and then reads: the waiting side writes that it sleeps and reads the other side's count; the other
//! side writes its count and reads whether the first one sleeps. With a fence between the two on both sides, at least one
//! of them sees what the other wrote. `loom/` tries all orders of this very file, and fails without either fence.

use super::atomic::{AtomicU32, Ordering, fence};

/// Reads a count of the other side, and sees all that it wrote before.
///
/// A plain load and a fence: that is allowed in memory which this process cannot write to.
#[inline(always)]
pub(super) fn acquire(count: &AtomicU32) -> u32 {
    let seen = count.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    seen
}

/// Tells the other side of a new count.
#[inline(always)]
pub(super) fn publish(count: &AtomicU32, new: u32) {
    count.store(new, Ordering::Release);
}

/// Tells the other side that the bytes from a position on lie in the large part, before a count that is beyond it.
pub(super) fn publish_switch(grown: &AtomicU32, switch: &AtomicU32, position: u32) {
    switch.store(position, Ordering::Relaxed);
    publish(grown, 1);
}

/// That position, if the other side has told it. A count that is beyond it must have been read before.
#[inline(always)]
pub(super) fn switched(grown: &AtomicU32, switch: &AtomicU32) -> Option<u32> {
    if grown.load(Ordering::Relaxed) == 0 {
        return None;
    }
    fence(Ordering::Acquire);
    Some(switch.load(Ordering::Relaxed))
}

/// After something was published: whether the other side sleeps, and has not been woken from this sleep yet.
#[inline(always)]
pub(super) fn must_wake(sleeps: &AtomicU32, woken: &mut u32) -> bool {
    fence(Ordering::SeqCst);
    let sleep = sleeps.load(Ordering::Relaxed);
    if sleep & 1 == 0 || sleep == *woken {
        return false;
    }
    *woken = sleep;
    true
}

/// Says that this side sleeps. It must look once more before it does.
pub(super) fn lie_down(sleeps: &AtomicU32) {
    let sleep = sleeps.load(Ordering::Relaxed).wrapping_add(1) | 1;
    sleeps.store(sleep, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// Says that this side is awake.
pub(super) fn get_up(sleeps: &AtomicU32) {
    let sleep = sleeps.load(Ordering::Relaxed);
    if sleep & 1 != 0 {
        sleeps.store(sleep.wrapping_add(1), Ordering::Release);
    }
}
