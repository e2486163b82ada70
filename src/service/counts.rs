//! What becomes of calls, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::failure::{Failure, Lost};
use super::mux::Reason;

/// What became of the calls and the notifications of a [`Client`](super::Client), or of those that a
/// [`Service`](super::Service) got: each is in exactly one of these numbers.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Client, Service};
///
/// let service = Service::<u32, u32>::temporary()?.shutdown_after(2);
/// let (path, counter) = (service.path().clone(), service.counter());
/// let serving = thread::spawn(move || {
///     service.serve(|number| number.checked_sub(1).ok_or("there is nothing before 0"))
/// });
///
/// let client = Client::<u32, u32>::connect(path)?;
/// client.call(&7)?;
/// client.call(&0).unwrap_err();
/// for counts in [client.counts(), counter.counts()] {
///     assert_eq!((counts.answered, counts.failed, counts.in_flight), (1, 1, 0));
/// }
/// # serving.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCounts {
    /// Those that were answered, and notifications that were handled; at a client, notifications that were sent.
    pub answered: u64,
    /// Those whose handler failed or panicked; at a client, also those whose connection was lost before the answer.
    pub failed: u64,
    /// Those that were given up: by their caller, at their deadline, or because the caller left.
    pub cancelled: u64,
    /// Those that were never handled: they could not be decoded or sent, or the service was ending.
    pub refused: u64,
    /// Those of which none of this is known yet.
    pub in_flight: u64,
}

/// Tells what became of the requests of a [`Service`](super::Service), while it serves and afterwards: see
/// [`Service::counter`](super::Service::counter).
#[derive(Clone, Debug)]
pub struct CallCounter(pub(super) Arc<Counters>);

impl CallCounter {
    /// The numbers of this moment.
    #[must_use]
    pub fn counts(&self) -> CallCounts {
        self.0.counts()
    }
}

/// The numbers, as they grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    begun: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(super) fn counts(&self) -> CallCounts {
        // What is over was begun before: read in this order, no number is below nothing.
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        let (answered, failed) = (read(&self.answered), read(&self.failed));
        let (cancelled, refused) = (read(&self.cancelled), read(&self.refused));
        let over = answered + failed + cancelled + refused;
        let in_flight = read(&self.begun).saturating_sub(over);
        CallCounts { answered, failed, cancelled, refused, in_flight }
    }

    fn count(&self, end: End) {
        let count = match end {
            End::Answered => &self.answered,
            End::Failed => &self.failed,
            End::Cancelled => &self.cancelled,
            End::Refused => &self.refused,
        };
        count.fetch_add(1, Ordering::Release);
    }
}

/// What a call comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Failed,
    Cancelled,
    Refused,
}

impl End {
    /// What a call of this side comes to.
    pub(super) fn of_outcome<T>(outcome: &Result<T, Failure>) -> Self {
        match outcome {
            Ok(_) => Self::Answered,
            Err(failure) => Self::of_failure(failure),
        }
    }

    pub(super) fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Answered(reason, _) => Self::of_reason(*reason),
            Failure::TimedOut(_) | Failure::Lost(Lost::Cancelled, _) => Self::Cancelled,
            Failure::Lost(Lost::Finished, _) | Failure::Lost(_, false) => Self::Refused,
            Failure::Unsent(_) => Self::Refused,
            Failure::Lost(_, true) => Self::Failed,
        }
    }

    /// What a call of the other side comes to.
    pub(super) fn of_reply<T, U>(reply: &Result<T, (Reason, U)>) -> Self {
        match reply {
            Ok(_) => Self::Answered,
            Err((reason, _)) => Self::of_reason(*reason),
        }
    }

    fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::Failed | Reason::Panicked => Self::Failed,
            Reason::Cancelled => Self::Cancelled,
            Reason::NoSuchMethod | Reason::Undecodable | Reason::NotTaken => Self::Refused,
        }
    }
}

/// A call that is counted. One that is dropped before it has come to anything was given up.
#[derive(Debug)]
pub(crate) struct Counted {
    counters: Arc<Counters>,
    progress: AtomicU8,
}

/// It is one of those that were refused if it comes to nothing.
const WAITS: u8 = 0;
/// It is one of those that were given up if it comes to nothing.
const BEGUN: u8 = 1;
/// It has been counted.
const OVER: u8 = 2;

impl Counted {
    fn new(counters: &Arc<Counters>, progress: u8) -> Self {
        counters.begun.fetch_add(1, Ordering::Release);
        Self { counters: Arc::clone(counters), progress: AtomicU8::new(progress) }
    }

    /// A call of this side.
    pub(super) fn made(counters: &Arc<Counters>) -> Self {
        Self::new(counters, BEGUN)
    }

    /// A request of the other side, which waits to be handled.
    pub(super) fn came(counters: &Arc<Counters>) -> Self {
        Self::new(counters, WAITS)
    }

    /// It is being handled.
    pub(super) fn begin(&self) {
        self.progress.store(BEGUN, Ordering::Relaxed);
    }

    /// It has come to this. Returns whether it had come to nothing before.
    pub(super) fn end(&self, end: End) -> bool {
        // Looked at first: most calls are told of their end more than once, and a look is cheap.
        let over = self.progress.load(Ordering::Acquire) == OVER;
        let first = !over && self.progress.swap(OVER, Ordering::AcqRel) != OVER;
        if first {
            self.counters.count(end);
        }
        first
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let waits = self.progress.load(Ordering::Relaxed) == WAITS;
        self.end(if waits { End::Refused } else { End::Cancelled });
    }
}
