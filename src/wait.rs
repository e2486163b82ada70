//! Ending a wait: by a deadline, or by a cancel token.

use std::fmt;
#[cfg(feature = "tokio")]
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::error::{Error, Operation};
use crate::sys::{Event, Wait, WaitLimit};

#[cfg(feature = "tokio")]
pub(crate) use tasks::CancelWatch;

/// Cancels the waits of ends from another thread or task, once and for good.
///
/// Give it to an end with [`End::cancelled_by`](crate::End::cancelled_by), before opening if that is to be cancelled too.
/// Clones are the same token, and one token may be given to many ends. After [`cancel`](Self::cancel), every
/// read and write of these ends, and every other operation that has to wait, a waiting `open` included, fails
/// with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled); that loses nothing: the end is as it was before.
/// Messages that a receiver already holds are still delivered; then a loop over it ends.
///
/// Give it to the [reading half](crate::End::cancelled_by) of a connection alone where a goodbye is to be said after the
/// cancellation: the writing half still sends and finishes.
///
/// Operations of an end that has a token cost one more system call. Ends without one are not slowed down. On Unix, a forked
/// child has the token of its parent: to cancel it there ends the waits of both.
///
/// ```
/// use std::thread;
/// use typed_pipe::{CancelToken, ErrorKind, Pipe};
///
/// let token = CancelToken::new()?;
/// let mut end = Pipe::temporary()?.into_reader().cancelled_by(&token).open()?;
/// let waiting = thread::spawn(move || end.read(&mut [0; 8])); // no writer ever comes
/// token.cancel();
/// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// For Ctrl-C, give a clone to the thread or task that handles signals, such as that of the crate `ctrlc`. Do not call
/// [`cancel`](Self::cancel) in a signal handler itself: it takes a lock.
///
/// # Bytes left in the pipe
///
/// Bytes that lie in a pipe at the cancellation are not read any more. To read them, leave the receiver without a
/// token, and check for the cancellation yourself:
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{CancelToken, ErrorKind, Pipe, TypedSender};
///
/// let token = CancelToken::new()?;
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
/// let mut sender = TypedSender::<u32>::connect(path)?;
/// sender.send_all([1, 2, 3])?;
/// token.cancel();
///
/// let mut numbers = Vec::new();
/// loop {
///     let cancelled = token.is_cancelled(); // asked before the wait: what was sent before the cancellation is there by then
///     let time = if cancelled { Duration::ZERO } else { Duration::from_millis(100) };
///     match receiver.recv_timeout(time) {
///         Ok(number) => numbers.push(number),
///         Err(error) if error.is_end() => break,
///         Err(error) if error.kind() == ErrorKind::TimedOut && cancelled => break,
///         Err(error) if error.kind() == ErrorKind::TimedOut => {}
///         Err(error) => return Err(error),
///     }
/// }
/// assert_eq!(numbers, [1, 2, 3]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("CancellationToken", "abort", "interrupt", "shutdown", "ctrlc", "SIGINT", "signal"))]
pub struct CancelToken(Arc<TokenState>);

struct TokenState {
    event: Event,
    cancelled: AtomicBool,
    children: Mutex<Vec<Weak<Self>>>,
    #[cfg(feature = "tokio")]
    tasks: tasks::Tasks,
}

impl TokenState {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.event.set();
        #[cfg(feature = "tokio")]
        self.tasks.wake();
        // Not under the lock: a task that this wakes may ask for a child.
        let children =
            mem::take(&mut *self.children.lock().unwrap_or_else(PoisonError::into_inner));
        for child in children.iter().filter_map(Weak::upgrade) {
            child.cancel();
        }
    }
}

impl CancelToken {
    /// Makes a token, not cancelled yet.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, Pipe};
    ///
    /// let token = CancelToken::new()?;
    /// let jobs = Pipe::temporary()?.into_reader().cancelled_by(&token).open()?;
    /// let news = Pipe::temporary()?.into_reader().cancelled_by(&token).open()?; // one token for all
    /// assert!(!token.is_cancelled());
    /// # drop((jobs, news));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files.
    pub fn new() -> Result<Self, Error> {
        let event =
            Event::new().map_err(|error| Error::new(Operation::CreateCancelToken, error))?;
        Ok(Self(Arc::new(TokenState {
            event,
            cancelled: AtomicBool::new(false),
            children: Mutex::default(),
            #[cfg(feature = "tokio")]
            tasks: tasks::Tasks::default(),
        })))
    }

    /// Makes a token that is cancelled with this one, and can be cancelled alone.
    ///
    /// ```
    /// use typed_pipe::CancelToken;
    ///
    /// let all = CancelToken::new()?;
    /// let (one, other) = (all.child_token()?, all.child_token()?);
    /// one.cancel();
    /// assert!(!all.is_cancelled() && !other.is_cancelled());
    /// all.cancel();
    /// assert!(other.is_cancelled());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn child_token(&self) -> Result<Self, Error> {
        let child = Self::new()?;
        self.adopt(&child);
        Ok(child)
    }

    /// Makes another token a child of this one. It may have several such parents.
    pub(crate) fn adopt(&self, child: &Self) {
        {
            let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.retain(|child| child.strong_count() > 0);
            children.push(Arc::downgrade(&child.0));
        }
        // This token may have been cancelled before it knew the child.
        if self.is_cancelled() {
            child.cancel();
        }
    }

    /// Cancels every wait on this token, current and future.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, ErrorKind, Pipe};
    ///
    /// let token = CancelToken::new()?;
    /// let mut end = Pipe::temporary()?.into_reader().cancelled_by(&token).open()?;
    /// token.clone().cancel(); // a clone is the same token
    /// let error = end.read(&mut [0; 8]).unwrap_err(); // begins after the cancellation
    /// assert_eq!(error.kind(), ErrorKind::Cancelled);
    /// token.cancel(); // once more changes nothing
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("stop"))]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether the token was cancelled.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::CancelToken;
    ///
    /// let token = CancelToken::new()?;
    /// let cancelled = token.clone();
    /// let working = thread::spawn(move || {
    ///     while !cancelled.is_cancelled() {
    ///         thread::yield_now(); // or some work that waits for no pipe
    ///     }
    /// });
    /// token.cancel();
    /// working.join().unwrap();
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Waits in a task until the token is cancelled; at once where it is.
    ///
    /// The future may be dropped at any time, as `tokio::select!` drops those that lose.
    ///
    /// ```
    /// use std::future::pending;
    /// use typed_pipe::CancelToken;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let at_ctrl_c = token.clone();
    /// tokio::spawn(async move { at_ctrl_c.cancel() });
    /// tokio::select! {
    ///     () = token.cancelled() => {}
    ///     () = pending() => unreachable!("work that never ends"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    #[doc(alias("select"))]
    pub fn cancelled(&self) -> impl Future<Output = ()> {
        let watch = CancelWatch::new(self);
        poll_fn(move |cx| if watch.check(cx).is_err() { Poll::Ready(()) } else { Poll::Pending })
    }

    pub(crate) fn event(&self) -> &Event {
        &self.0.event
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// The wait of one operation, which a token may cancel.
#[inline]
pub(crate) fn waiting(until: WaitLimit, token: Option<&CancelToken>) -> Wait<'_> {
    Wait { until, token: token.map(CancelToken::event) }
}

/// The deadline of a time that begins now; never, where the clock does not reach so far.
pub(crate) fn within(time: Duration) -> WaitLimit {
    Instant::now().checked_add(time).map_or(WaitLimit::Done, WaitLimit::Deadline)
}

/// The time left of a wait.
pub(crate) fn left(until: WaitLimit) -> Duration {
    match until {
        WaitLimit::Done => Duration::MAX,
        WaitLimit::Deadline(end) => end.saturating_duration_since(Instant::now()),
        WaitLimit::Now => Duration::ZERO,
    }
}

/// The earlier of two deadlines: that of a wait, and that of a time that begins now.
pub(crate) fn sooner(until: WaitLimit, time: Duration) -> WaitLimit {
    within(left(until).min(time))
}

/// The interval at which a wait that a token cannot interrupt checks for the cancellation.
pub(crate) const CANCEL_CHECK: Duration = Duration::from_millis(20);

/// Waits for a change by another thread; returns whether it came in time.
pub(crate) fn until_changed<'a, T>(
    changed: &Condvar,
    shared: MutexGuard<'a, T>,
    until: WaitLimit,
) -> (MutexGuard<'a, T>, bool) {
    if let WaitLimit::Done = until {
        return (changed.wait(shared).unwrap_or_else(PoisonError::into_inner), true);
    }
    let left = left(until);
    if left.is_zero() {
        return (shared, false);
    }
    let waited = changed.wait_timeout(shared, left);
    (waited.unwrap_or_else(PoisonError::into_inner).0, true)
}

/// The tasks that a cancelled token wakes.
#[cfg(feature = "tokio")]
mod tasks {
    use std::fmt;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError, Weak};
    use std::task::{Context, Waker};

    use super::CancelToken;
    use crate::error::Obstacle;

    /// Where one end keeps the waker of the task that waits for it.
    type WakerSlot = Mutex<Option<Waker>>;

    #[derive(Default)]
    pub(super) struct Tasks(Mutex<Vec<Weak<WakerSlot>>>);

    impl Tasks {
        pub(super) fn wake(&self) {
            let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for slot in slots.iter().filter_map(Weak::upgrade) {
                let waker = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// Watches a token for a task that waits.
    pub(crate) struct CancelWatch {
        token: CancelToken,
        slot: Arc<WakerSlot>,
    }

    impl CancelWatch {
        pub(crate) fn new(token: &CancelToken) -> Self {
            let slot = Arc::default();
            let mut slots = token.0.tasks.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.retain(|slot| slot.strong_count() > 0);
            slots.push(Arc::downgrade(&slot));
            Self { token: token.clone(), slot }
        }

        /// Whether this watches that token, or a clone of it.
        pub(crate) fn is_of(&self, token: &CancelToken) -> bool {
            Arc::ptr_eq(&self.token.0, &token.0)
        }

        /// Fails once the token is cancelled, and wakes the task at the cancellation.
        pub(crate) fn check(&self, cx: &Context<'_>) -> io::Result<()> {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *slot {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            drop(slot);
            // After the waker is stored: a cancellation from now on wakes it.
            if self.token.is_cancelled() { Err(Obstacle::Cancelled.into()) } else { Ok(()) }
        }
    }

    impl fmt::Debug for CancelWatch {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("CancelWatch").field("token", &self.token).finish_non_exhaustive()
        }
    }
}
