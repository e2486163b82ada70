//! How many clients are connected, and how many may be.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::{Error, Obstacle, Operation};
use crate::sys::Until;
use crate::wait::Stop;

/// How long a wait goes on before it looks whether it was stopped.
const LOOK_AT_STOP: Duration = Duration::from_millis(20);

/// The places for clients.
#[derive(Debug)]
pub(crate) struct Seats {
    shared: Arc<Shared>,
    most: usize,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<Taken>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    seats: usize,
    /// The task that waits for one.
    waits: Option<Waker>,
}

impl Shared {
    /// The count, whatever a thread that panicked did: it is right between any two lines.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a client, until both halves of its connection are dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Shared>);

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.taken();
        taken.seats -= 1;
        let waits = taken.waits.take();
        drop(taken);
        self.0.left.notify_one();
        waits.into_iter().for_each(Waker::wake);
    }
}

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most }
    }

    pub(super) fn taken(&self) -> usize {
        self.shared.taken().seats
    }

    /// Takes a place, and waits until there is one.
    pub(super) fn take(&self, until: Until, stop: Option<&Stop>) -> Result<Seat, Error> {
        let failed = |obstacle: Obstacle| Err(Error::new(Operation::Accept, obstacle));
        let mut taken = self.shared.taken();
        while taken.seats >= self.most {
            if stop.is_some_and(Stop::is_stopped) {
                return failed(Obstacle::Stopped);
            }
            let left = match until {
                Until::Now => return failed(Obstacle::AllSeatsTaken),
                Until::Done => LOOK_AT_STOP,
                Until::Deadline(end) => end.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return failed(Obstacle::TimedOut("as many clients as may be are still connected"));
            }
            let waited = self.shared.left.wait_timeout(taken, left.min(LOOK_AT_STOP));
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        taken.seats += 1;
        Ok(Seat(Arc::clone(&self.shared)))
    }

    /// Takes a place, or wakes the task when there is one. One task waits at a time.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Seat> {
        let mut taken = self.shared.taken();
        if taken.seats >= self.most {
            taken.waits = Some(cx.waker().clone());
            return Poll::Pending;
        }
        taken.seats += 1;
        Poll::Ready(Seat(Arc::clone(&self.shared)))
    }
}
