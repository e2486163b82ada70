//! Ending a wait: by a deadline, or by a stop.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::{Error, Operation};
use crate::sys::{Event, Until, Wait};

#[cfg(feature = "tokio")]
pub(crate) use tasks::Sleeper;

/// A token that ends whatever waits on it, once and for good.
///
/// It is given to an end before it is opened, with [`End::stopped_by`](crate::End::stopped_by). Clones
/// are the same token, and one token may be given to many ends. After [`stop`](Self::stop), every
/// read and write of these ends, and every other operation that has to wait, a waiting `open` included, fails
/// with [`ErrorKind::Stopped`](crate::ErrorKind::Stopped); nothing is lost by that: the end is as it was
/// before. Messages that a receiver already holds are still delivered; then a loop over it ends.
///
/// Operations of an end that has a token cost one more system call. Ends without one are not slowed down.
///
/// ```
/// use std::thread;
/// use typed_pipe::{ErrorKind, Pipe, Stop};
///
/// let stop = Stop::new()?;
/// let mut end = Pipe::temporary()?.into_reader().stopped_by(&stop).open()?;
/// let waiting = thread::spawn(move || end.read(&mut [0; 8])); // no writer ever comes
/// stop.stop();
/// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Stopped);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// For Ctrl-C, give a clone to whatever tells of signals in a thread or a task, such as the crate `ctrlc`. It is not
/// for a handler of signals itself: [`stop`](Self::stop) takes a lock.
///
/// # The rest
///
/// What lies in a pipe at the stop is not read any more. A receiver that is to take it has no token, and looks for the
/// stop itself:
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{ErrorKind, Pipe, Stop, TypedSender};
///
/// let stop = Stop::new()?;
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
/// let mut sender = TypedSender::<u32>::connect(path)?;
/// sender.send_all([1, 2, 3])?;
/// stop.stop();
///
/// let mut numbers = Vec::new();
/// loop {
///     let stopped = stop.is_stopped(); // asked before the wait: what was sent before the stop is there by then
///     let time = if stopped { Duration::ZERO } else { Duration::from_millis(100) };
///     match receiver.recv_timeout(time) {
///         Ok(number) => numbers.push(number),
///         Err(error) if error.is_end() => break,
///         Err(error) if error.kind() == ErrorKind::TimedOut && stopped => break,
///         Err(error) if error.kind() == ErrorKind::TimedOut => {}
///         Err(error) => return Err(error),
///     }
/// }
/// assert_eq!(numbers, [1, 2, 3]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone)]
pub struct Stop(Arc<Shared>);

struct Shared {
    event: Event,
    stopped: AtomicBool,
    children: Mutex<Vec<Weak<Self>>>,
    #[cfg(feature = "tokio")]
    tasks: tasks::Tasks,
}

impl Shared {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.event.set();
        #[cfg(feature = "tokio")]
        self.tasks.wake();
        // Not under the lock: a task that this wakes may ask for a child.
        let children =
            mem::take(&mut *self.children.lock().unwrap_or_else(PoisonError::into_inner));
        for child in children.iter().filter_map(Weak::upgrade) {
            child.stop();
        }
    }
}

impl Stop {
    /// Makes a token that nothing has stopped yet.
    ///
    /// ```
    /// use typed_pipe::{Pipe, Stop};
    ///
    /// let stop = Stop::new()?;
    /// let jobs = Pipe::temporary()?.into_reader().stopped_by(&stop).open()?;
    /// let news = Pipe::temporary()?.into_reader().stopped_by(&stop).open()?; // one token for all
    /// assert!(!stop.is_stopped());
    /// # drop((jobs, news));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Exhausted`](crate::ErrorKind::Exhausted): the process has too many open files.
    pub fn new() -> Result<Self, Error> {
        let event = Event::new().map_err(|error| Error::new(Operation::MakeStop, error))?;
        Ok(Self(Arc::new(Shared {
            event,
            stopped: AtomicBool::new(false),
            children: Mutex::default(),
            #[cfg(feature = "tokio")]
            tasks: tasks::Tasks::default(),
        })))
    }

    /// Makes a token that is stopped with this one, and can be stopped alone.
    ///
    /// ```
    /// use typed_pipe::Stop;
    ///
    /// let all = Stop::new()?;
    /// let (one, other) = (all.child()?, all.child()?);
    /// one.stop();
    /// assert!(!all.is_stopped() && !other.is_stopped());
    /// all.stop();
    /// assert!(other.is_stopped());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn child(&self) -> Result<Self, Error> {
        let child = Self::new()?;
        self.adopt(&child);
        Ok(child)
    }

    /// Stops another token with this one. It may have several such parents.
    pub(crate) fn adopt(&self, child: &Self) {
        {
            let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.retain(|child| child.strong_count() > 0);
            children.push(Arc::downgrade(&child.0));
        }
        // It may have been stopped before the child was known.
        if self.is_stopped() {
            child.stop();
        }
    }

    /// Ends all that waits on this token, now and from now on.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, Stop};
    ///
    /// let stop = Stop::new()?;
    /// let mut end = Pipe::temporary()?.into_reader().stopped_by(&stop).open()?;
    /// stop.clone().stop(); // a clone is the same token
    /// let error = end.read(&mut [0; 8]).unwrap_err(); // which begins after the stop
    /// assert_eq!(error.kind(), ErrorKind::Stopped);
    /// stop.stop(); // once more changes nothing
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether it was stopped.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Stop;
    ///
    /// let stop = Stop::new()?;
    /// let stopped = stop.clone();
    /// let working = thread::spawn(move || {
    ///     while !stopped.is_stopped() {
    ///         thread::yield_now(); // or some work that waits for no pipe
    ///     }
    /// });
    /// stop.stop();
    /// working.join().unwrap();
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn event(&self) -> &Event {
        &self.0.event
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_stopped", &self.is_stopped()).finish()
    }
}

/// The wait of one operation, which a token may end.
pub(crate) fn waiting(until: Until, stop: Option<&Stop>) -> Wait<'_> {
    Wait { until, stop: stop.map(Stop::event) }
}

/// The end of a time that begins now. What is too far away to be told is never.
pub(crate) fn within(time: Duration) -> Until {
    Instant::now().checked_add(time).map_or(Until::Done, Until::Deadline)
}

/// How long a wait may still take.
pub(crate) fn left(until: Until) -> Duration {
    match until {
        Until::Done => Duration::MAX,
        Until::Deadline(end) => end.saturating_duration_since(Instant::now()),
        Until::Now => Duration::ZERO,
    }
}

/// The earlier of the end of a wait and of the end of a time that begins now.
pub(crate) fn sooner(until: Until, time: Duration) -> Until {
    within(left(until).min(time))
}

/// How long a wait that a stop does not end goes on before it looks for one.
pub(crate) const LOOK_AT_STOP: Duration = Duration::from_millis(20);

/// Waits until what other threads change may have changed, and tells whether that was in time.
pub(crate) fn until_changed<'a, T>(
    changed: &Condvar,
    shared: MutexGuard<'a, T>,
    until: Until,
) -> (MutexGuard<'a, T>, bool) {
    if let Until::Done = until {
        return (changed.wait(shared).unwrap_or_else(PoisonError::into_inner), true);
    }
    let left = left(until);
    if left.is_zero() {
        return (shared, false);
    }
    let waited = changed.wait_timeout(shared, left);
    (waited.unwrap_or_else(PoisonError::into_inner).0, true)
}

/// Reading that can end at a deadline, or without waiting.
///
/// The reading ends of pipes can. This trait is sealed.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{Error, ErrorKind, Pipe, ReadWithin, Receivable, TypedReceiver};
///
/// /// The next message, if it comes soon, from the end of any pipe or connection.
/// fn soon<T, R>(receiver: &mut TypedReceiver<T, R>) -> Result<Option<T>, Error>
/// where
///     T: Receivable,
///     R: ReadWithin + std::io::Read,
/// {
///     match receiver.recv_timeout(Duration::from_millis(10)) {
///         Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
///         received => received.map(Some),
///     }
/// }
///
/// let mut receiver = Pipe::temporary()?.into_reader().open()?.into_receiver::<u32>();
/// assert_eq!(soon(&mut receiver)?, None);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot wait with a deadline",
    label = "has no deadlines",
    note = "use the operation without a deadline, or the end of a pipe"
)]
pub trait ReadWithin: half::ReadWithin {}

/// Writing that can end at a deadline, or without waiting.
///
/// The writing ends of pipes can. This trait is sealed.
///
/// ```
/// use typed_pipe::{Error, ErrorKind, Pipe, TypedSender, WriteWithin};
///
/// /// Sends a line, or drops it where nobody keeps up with them, to the end of any pipe or connection.
/// fn offer<E>(sender: &mut TypedSender<str, E>, line: &str) -> Result<bool, Error>
/// where
///     E: WriteWithin + std::io::Write,
/// {
///     match sender.try_send(line) {
///         Err(error) if error.kind() == ErrorKind::NotReady => Ok(error.is_half_sent()),
///         sent => sent.map(|()| true),
///     }
/// }
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let reader = pipe.into_reader().open()?; // which does not read
/// let mut sender = TypedSender::<str>::connect(path)?;
/// while offer(&mut sender, "it goes on")? {}
/// # drop(reader);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot wait with a deadline",
    label = "has no deadlines",
    note = "use the operation without a deadline, or the end of a pipe"
)]
pub trait WriteWithin: half::WriteWithin {}

/// The tasks that a stop wakes.
#[cfg(feature = "tokio")]
mod tasks {
    use std::fmt;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError, Weak};
    use std::task::{Context, Waker};

    use super::Stop;
    use crate::error::Obstacle;

    /// Where one end keeps the waker of the task that waits for it.
    type Bed = Mutex<Option<Waker>>;

    #[derive(Default)]
    pub(super) struct Tasks(Mutex<Vec<Weak<Bed>>>);

    impl Tasks {
        pub(super) fn wake(&self) {
            let beds = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for bed in beds.iter().filter_map(Weak::upgrade) {
                let waker = bed.lock().unwrap_or_else(PoisonError::into_inner).take();
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// What waits under a token, in a task.
    pub(crate) struct Sleeper {
        stop: Stop,
        bed: Arc<Bed>,
    }

    impl Sleeper {
        pub(crate) fn new(stop: &Stop) -> Self {
            let bed = Arc::default();
            let mut beds = stop.0.tasks.0.lock().unwrap_or_else(PoisonError::into_inner);
            beds.retain(|bed| bed.strong_count() > 0);
            beds.push(Arc::downgrade(&bed));
            Self { stop: stop.clone(), bed }
        }

        /// Fails once the token is stopped, and wakes the task when that comes.
        pub(crate) fn check(&self, cx: &Context<'_>) -> io::Result<()> {
            let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *bed {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            drop(bed);
            // After the waker is in its place: who stops now wakes it.
            if self.stop.is_stopped() { Err(Obstacle::Stopped.into()) } else { Ok(()) }
        }
    }

    impl fmt::Debug for Sleeper {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Sleeper").field("stop", &self.stop).finish_non_exhaustive()
        }
    }
}

/// The private halves of the traits: they seal them, and name what stays inside of the crate.
pub(crate) mod half {
    use std::io;

    use crate::sys::Until;

    pub trait ReadWithin {
        fn read_until(&mut self, buf: &mut [u8], until: Until) -> io::Result<usize>;
    }

    pub trait WriteWithin {
        fn write_until(&mut self, bytes: &[u8], until: Until) -> io::Result<usize>;

        /// Waits until the readers have taken all; `Ok(false)` where nothing tells.
        fn wait_until_taken(&mut self, until: Until) -> io::Result<bool>;

        /// Ends the direction of a connection; nothing, where only closing the end does that.
        fn half_close(&mut self, until: Until) -> io::Result<()>;

        /// Lends room for `before + len` bytes, if it will be given to the system without copying.
        fn lend(&mut self, before: usize, len: usize) -> bool;

        /// What is lent, and was not given yet.
        fn lent(&self) -> &[u8];

        /// What is lent, to be filled. Empty, once a part of it was given.
        fn lent_mut(&mut self) -> &mut [u8];

        /// Puts bytes of what is lent into the pipe, as [`write_until`](Self::write_until) would.
        fn give(&mut self, until: Until) -> io::Result<usize>;
    }
}
