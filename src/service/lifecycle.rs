//! What a service does with a request, however it waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::agree::Layer;
use super::link::{Order, Tally};
use crate::connection::Connection;
use crate::error::Error;
use crate::wait::CancelToken;

/// Limits and timeouts of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) idle_timeout: Option<Duration>,
    pub(super) shutdown_after: u64,
    pub(super) same_user: bool,
    pub(super) client_idle_timeout: Option<Duration>,
    pub(super) handshake_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) layer: Layer,
    pub(super) order: Order,
    /// Whether there is one client alone, with which the service ends.
    one_client: bool,
    /// Whether it ends when no further client comes, and the last one has left.
    pub(super) ends_with_clients: bool,
}

impl Rules {
    /// There is one client alone: the service ends with it.
    pub(super) fn one_client(&mut self) {
        self.one_client = true;
        // Nothing waits for a further client, so what is idle is this one.
        let idle = [self.idle_timeout, self.client_idle_timeout];
        self.client_idle_timeout = idle.into_iter().flatten().min();
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            idle_timeout: None,
            shutdown_after: u64::MAX,
            same_user: false,
            client_idle_timeout: None,
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            layer: Layer::default(),
            order: Order::default(),
            one_client: false,
            ends_with_clients: false,
        }
    }
}

/// The counts of a service, returned by [`Service::serve`](super::Service::serve) at its end.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Client, Service};
///
/// let service = Service::<u32, u32>::temporary()?.shutdown_after(3);
/// let path = service.path().clone();
/// let serving = thread::spawn(move || {
///     service.serve(|number| number.checked_sub(1).ok_or("there is nothing before 0"))
/// });
///
/// let client = Client::<u32, u32>::connect(path)?;
/// let calls = [2, 0, 1].map(|number| client.call(&number).is_ok());
/// assert_eq!(calls, [true, false, true]);
/// let summary = serving.join().unwrap()?;
/// assert_eq!((summary.clients, summary.answered, summary.failed), (1, 2, 1));
/// assert_eq!(summary.lost, 0);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Clients that were accepted.
    pub clients: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests whose handler failed or panicked, or whose answer could not be written.
    pub failed: u64,
    /// Clients that were disconnected: they were refused, their handshake failed, they sent garbage, or did not take an
    /// answer. Their requests without an answer are counted nowhere else.
    pub lost: u64,
    /// The reason of the shutdown.
    pub reason: ShutdownReason,
}

/// The reason of the shutdown of a [`Service`](super::Service), in its [`Summary`].
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{CancelToken, Service, ShutdownReason};
///
/// let token = CancelToken::new()?;
/// token.cancel(); // at a Ctrl-C
/// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token);
/// let reason = service.idle_timeout(Duration::from_secs(60)).serve(|number| number + 1)?.reason;
/// match reason {
///     ShutdownReason::Idle => println!("a minute without a request"),
///     reason => assert_eq!(reason, ShutdownReason::Cancelled),
/// }
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShutdownReason {
    /// Its [token](super::Service::cancelled_by) was cancelled.
    Cancelled,
    /// The [idle timeout](super::Service::idle_timeout) passed.
    Idle,
    /// [The limit of requests](super::Service::shutdown_after) was reached.
    RequestLimit,
    /// The only client has left, of a service [over its connection](super::Service::over); or no further one came and all have,
    /// of one [over all of them](super::Service::over_all).
    ClientLeft,
}

/// What all that serves clients shares.
#[allow(missing_debug_implementations, reason = "it is never shown")]
pub struct Lifecycle {
    rules: Rules,
    /// What the program ends the service with: a token of its own, and one of its listener.
    tokens: Vec<CancelToken>,
    /// Set when the service is to end, whatever for.
    closing: CancelToken,
    counts: Counts,
    tally: Arc<Tally>,
    activity: Mutex<Activity>,
    /// Whether a client asked for nothing for too long.
    idle: AtomicBool,
}

#[derive(Default)]
struct Counts {
    clients: AtomicU64,
    taken: AtomicU64,
    lost: AtomicU64,
}

/// When something was done last, and how many handlers are at work.
#[derive(Default)]
struct Activity {
    last: Option<Instant>,
    busy: usize,
}

impl Lifecycle {
    pub(super) fn open(
        rules: Rules,
        tokens: Vec<CancelToken>,
        tally: Arc<Tally>,
    ) -> Result<Self, Error> {
        let closing = CancelToken::new()?;
        tokens.iter().for_each(|token| token.adopt(&closing));
        let lifecycle = Self {
            rules,
            tokens,
            closing,
            counts: Counts::default(),
            tally,
            activity: Mutex::default(),
            idle: AtomicBool::new(false),
        };
        lifecycle.note(0);
        Ok(lifecycle)
    }

    /// What is set when the service is to end.
    pub(crate) fn closing(&self) -> &CancelToken {
        &self.closing
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.rules.handshake_timeout
    }

    /// How long a request may take to arrive.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.rules.request_timeout
    }

    /// How long handlers may wait for their callers once the service is to end.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.rules.shutdown_timeout
    }

    /// What of a client begins beside what.
    pub(crate) fn order(&self) -> Order {
        self.rules.order
    }

    /// How long a client may ask for nothing.
    pub(crate) fn client_idle_timeout(&self) -> Option<Duration> {
        self.rules.client_idle_timeout
    }

    /// A client asked for nothing for too long.
    pub(crate) fn note_idle(&self) {
        self.idle.store(true, Ordering::Relaxed);
    }

    /// How long nothing may come before the service ends for that; none when it ends now.
    pub(crate) fn left(&self) -> Option<Duration> {
        let limit = self.rules.idle_timeout?;
        let activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match activity.last {
            Some(last) if activity.busy == 0 => limit.saturating_sub(last.elapsed()),
            _ => limit,
        };
        if left.is_zero() {
            self.closing.cancel();
        }
        Some(left)
    }

    /// Where connections count what they answer.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Counts a client that came.
    pub(crate) fn count_client(&self) {
        self.counts.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a client that was given up.
    pub(crate) fn count_lost(&self) {
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses a client that must not be served. The end of the service ends the reading from it alone: what was taken
    /// is answered even after that.
    pub(crate) fn expect(&self, client: Connection) -> Result<Connection, Error> {
        if self.rules.same_user {
            client.require_same_user()?;
        }
        Ok(client.reading_cancelled_by(&self.closing))
    }

    /// Whether nothing more is taken, not even what has come in.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Takes a request; `false` when nothing more is taken.
    pub(crate) fn take(&self) -> bool {
        if self.is_closing() {
            return false;
        }
        let taken = self.counts.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if taken >= self.rules.shutdown_after {
            self.closing.cancel();
        }
        if taken > self.rules.shutdown_after {
            return false;
        }
        self.note(1);
        true
    }

    /// A request was handled.
    pub(crate) fn done(&self) {
        self.note(-1);
    }

    pub(crate) fn summary(&self) -> Summary {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let reason = if self.tokens.iter().any(CancelToken::is_cancelled) {
            ShutdownReason::Cancelled
        } else if count(&self.counts.taken) >= self.rules.shutdown_after {
            ShutdownReason::RequestLimit
        } else if self.have_clients_left() {
            ShutdownReason::ClientLeft
        } else {
            ShutdownReason::Idle
        };
        Summary {
            clients: count(&self.counts.clients),
            answered: count(&self.tally.answered),
            failed: count(&self.tally.failed),
            lost: count(&self.counts.lost),
            reason,
        }
    }

    /// Whether this is why it has ended, and nothing else is.
    fn have_clients_left(&self) -> bool {
        if self.rules.one_client {
            return !self.idle.load(Ordering::Relaxed);
        }
        self.rules.ends_with_clients && self.rules.idle_timeout.is_none()
    }

    fn note(&self, begun: isize) {
        // Only the idle timeout asks for it.
        if self.rules.idle_timeout.is_none() {
            return;
        }
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        activity.last = Some(Instant::now());
        activity.busy = activity.busy.saturating_add_signed(begun);
    }
}
