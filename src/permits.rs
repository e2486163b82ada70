//! The number of connected clients, and its limit.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(any(test, feature = "fanout", feature = "tokio"))]
use std::task::{Context, Poll};

use crate::error::Obstacle;
use crate::sys::WaitLimit;
use crate::wait::{CANCEL_CHECK, CancelToken, left, sooner, until_changed};

/// The permits of a listener's clients.
#[derive(Debug)]
pub struct Permits {
    shared: Arc<PermitState>,
    most: usize,
}

#[derive(Debug, Default)]
struct PermitState {
    places: Mutex<Places>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Places {
    /// The permits in use or reserved.
    taken: usize,
    /// Of these, the permits of connected clients: a thread that waits for a client has reserved one.
    occupied: usize,
    /// The task that waits for a permit.
    waits: Option<Waker>,
}

impl PermitState {
    /// The count, even after a panic of another thread: it is right between any two lines.
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of a client, held until both halves of its connection are dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<PermitState>,
    occupied: bool,
}

impl Permit {
    fn new(shared: &Arc<PermitState>) -> Self {
        Self { shared: Arc::clone(shared), occupied: false }
    }

    /// Marks the permit as that of a connected client.
    pub(crate) fn occupy(mut self) -> Self {
        self.occupied = true;
        self.shared.places().occupied += 1;
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut places = self.shared.places();
        places.taken -= 1;
        places.occupied -= usize::from(self.occupied);
        let waits = places.waits.take();
        drop(places);
        self.shared.left.notify_one();
        waits.into_iter().for_each(Waker::wake);
    }
}

impl Permits {
    pub(crate) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most }
    }

    pub(crate) fn occupied(&self) -> usize {
        self.shared.places().occupied
    }

    /// Takes a permit, and waits until there is one.
    pub(crate) fn take(&self, until: WaitLimit, token: Option<&CancelToken>) -> io::Result<Permit> {
        let mut places = self.shared.places();
        while places.taken >= self.most {
            if token.is_some_and(CancelToken::is_cancelled) {
                return Err(Obstacle::Cancelled.into());
            }
            if left(until).is_zero() {
                return Err(none_left(until).into());
            }
            // A cancelled token does not notify.
            let until = if token.is_some() { sooner(until, CANCEL_CHECK) } else { until };
            places = until_changed(&self.shared.left, places, until).0;
        }
        places.taken += 1;
        Ok(Permit::new(&self.shared))
    }

    /// Whether there is none to take now.
    #[cfg(feature = "fanout")]
    pub(crate) fn are_all_taken(&self) -> bool {
        self.shared.places().taken >= self.most
    }

    /// Takes a permit, or wakes the task when there is one. One task waits at a time.
    #[cfg(any(test, feature = "fanout", feature = "tokio"))]
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Permit> {
        let mut places = self.shared.places();
        if places.taken >= self.most {
            places.waits = Some(cx.waker().clone());
            return Poll::Pending;
        }
        places.taken += 1;
        Poll::Ready(Permit::new(&self.shared))
    }
}

/// The error of a wait for a permit that is over.
pub(crate) fn none_left(until: WaitLimit) -> Obstacle {
    match until {
        WaitLimit::Now => Obstacle::AllSeatsTaken,
        WaitLimit::Done | WaitLimit::Deadline(_) => {
            Obstacle::TimedOut("as many clients as may be are still connected")
        }
    }
}
