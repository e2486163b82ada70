//! Modes: each operation that may wait has one body, and the mode defines how the body waits.

use std::fmt::Debug;
use std::future::{Future, Pending, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

use super::half;
use crate::adaptive_read::Pace;
use crate::error::Error;
use crate::permits::{Permit, Permits};
#[cfg(feature = "shared-memory")]
use crate::sys::Measure;
use crate::sys::{Raw, Server, Wait, WaitLimit, Way, pause};
use crate::wait::{CancelToken, left, waiting};

/// How operations wait: [`Blocking`], or `Tokio` with the feature of that name.
///
/// Each operation is defined once. One that may wait returns [`Mode::Ret`] of a future: the output of the future in the
/// mode [`Blocking`], the future itself in `Tokio`.
///
/// This trait is sealed.
///
/// ```
/// use typed_pipe::Listener;
/// use typed_pipe::state::Mode;
///
/// /// A line for the log, of a listener for threads or for tasks.
/// fn line<M: Mode>(listener: &Listener<M>) -> String {
///     format!("{} clients at {}", listener.clients(), listener.path())
/// }
///
/// assert!(line(&Listener::temporary()?).starts_with("0 clients"));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub trait Mode: half::Mode {
    /// The return type of an operation that may wait, whose body is the future `F`.
    type Ret<F: Future>;
}

/// The mode in which an operation that must wait blocks its thread.
///
/// It is the default of every type with a mode:
///
/// ```
/// use typed_pipe::state::{Blocking, Open};
/// use typed_pipe::{Connection, ReadEnd};
///
/// fn written_in_full(one: ReadEnd, other: Connection) -> (ReadEnd<Open<Blocking>>, Connection<Blocking>) {
///     (one, other)
/// }
/// # let _ = written_in_full;
/// ```
///
/// In a task of an async runtime, such an operation blocks all tasks of its thread: there, switch the end, the
/// connection or the listener to the mode `Tokio`, or use `spawn_blocking`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[doc(alias("sync", "synchronous"))]
pub enum Blocking {}

impl Mode for Blocking {
    type Ret<F: Future> = F::Output;
}
impl half::Mode for Blocking {}

/// The operations that a mode provides to the bodies.
///
/// An operation until [`WaitLimit::Now`] must be ready at once, in every mode.
pub trait Runtime: Sized {
    /// Whether an operation may block its thread: large messages can then be written in place.
    const BLOCKS: bool;

    /// The handle of an open end.
    type Io: Debug;
    /// The state of a listener that waits for clients, beside its server.
    type Accepting: Debug;
    /// A future that is ready at a deadline.
    type Timer: Future<Output = ()> + Unpin;

    /// Runs the body of an operation.
    fn run<F: Future>(body: F) -> <Self as Mode>::Ret<F>
    where
        Self: Mode;

    /// As [`run`](Self::run), with a function that is polled until it is ready, unless what `begun` it failed, and one
    /// that concludes. It is for the operations of every message: [`Blocking`] makes no future.
    fn wait<S, P, D>(
        begun: Result<(), Error>,
        until: WaitLimit,
        state: S,
        poll: P,
        done: D,
    ) -> <Self as Mode>::Ret<Waiting<Self, S, P, D>>
    where
        Self: Mode,
        P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
        D: Done<S>;

    /// The time by the clock of the timers.
    fn now() -> Instant;

    /// The timer that wakes a task at a deadline; `None` without a deadline, or where the operation itself checks it.
    fn timer(until: WaitLimit) -> Option<Self::Timer>;

    /// Registers a raw end for waiting. A failure gives it back.
    fn adopt(raw: Raw, way: Way) -> Result<Self::Io, (Raw, io::Error)>;

    /// Deregisters the end, and returns the raw one.
    fn release(io: Self::Io) -> Raw;

    fn raw(io: &Self::Io) -> &Raw;

    /// Do not read from it or write to it.
    fn raw_mut(io: &mut Self::Io) -> &mut Raw;

    fn poll_read(
        io: &mut Self::Io,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
        pace: &mut Pace,
    ) -> Poll<io::Result<usize>>;

    /// Waits until a whole message lies in shared memory, and tells its length; 0 where it must be read.
    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        io: &mut Self::Io,
        cx: &mut Context<'_>,
        measure: &Measure<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
        pace: &mut Pace,
    ) -> Poll<io::Result<usize>>;

    fn poll_write(
        io: &mut Self::Io,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>>;

    /// Writes what there is room for now, even after a cancellation.
    #[cfg(feature = "session")]
    fn write_now(io: &mut Self::Io, bytes: &[u8]) -> io::Result<usize>;

    /// Writes to a connection; with no room, drains up to `limit` incoming bytes for later reads.
    fn poll_write_or_take_in(
        io: &mut Self::Io,
        incoming: &mut Self::Io,
        limit: usize,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>>;

    /// Half-closes a connection. Does nothing for another end.
    fn poll_finish(
        io: &mut Self::Io,
        cx: &mut Context<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<()>>;

    /// Lets a reader whose writers have hung up wait for the next one.
    fn renew(io: &mut Self::Io) -> io::Result<()>;

    /// Gets ready to be woken by something else from the next [renewal](Self::renew) on, so that this cannot fail then.
    #[cfg(feature = "shared-memory")]
    fn prepare(_: &mut Self::Io, _: Option<&crate::sys::Handle>) -> io::Result<()> {
        Ok(())
    }

    /// Forgets the cancel token that it was [adopted](Self::adopt) with.
    fn forget_token(_: &mut Self::Io) {}

    /// Retries an operation for which no event wakes a task, until it succeeds or fails for good.
    fn attempt<T>(
        until: WaitLimit,
        token: Option<&CancelToken>,
        attempt: impl FnMut(Wait<'_>) -> io::Result<T>,
    ) -> impl Future<Output = io::Result<T>>;

    /// Accepts the next client of a listener, with its permit.
    fn accept(
        accepting: &Self::Accepting,
        server: &Server,
        permits: &Permits,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> impl Future<Output = io::Result<((Raw, Raw), Permit)>>;

    /// Sleeps until a deadline; a cancellation ends it early.
    fn sleep(until: WaitLimit, token: Option<&CancelToken>)
    -> impl Future<Output = io::Result<()>>;

    /// The deadline of a time that begins now; never, where the clock does not reach so far.
    fn within(time: Duration) -> WaitLimit {
        Self::now().checked_add(time).map_or(WaitLimit::Done, WaitLimit::Deadline)
    }

    /// The deadline of a timeout that begins now: without time, the operation does not wait.
    #[inline(never)]
    fn limit(timeout: Duration) -> WaitLimit {
        if timeout.is_zero() { WaitLimit::Now } else { Self::within(timeout) }
    }

    /// The earlier of two deadlines: that of a wait, and that of a time that begins now.
    fn sooner(until: WaitLimit, time: Duration) -> WaitLimit {
        match (until, Self::within(time)) {
            (WaitLimit::Done, end) => end,
            (WaitLimit::Deadline(end), WaitLimit::Deadline(other)) => {
                WaitLimit::Deadline(end.min(other))
            }
            (until, _) => until,
        }
    }

    /// The error of a wait that is over; `None` while it is not.
    fn over(until: WaitLimit) -> Option<io::Error> {
        match until {
            WaitLimit::Done => None,
            WaitLimit::Deadline(end) if Self::now() < end => None,
            WaitLimit::Deadline(_) => Some(io::ErrorKind::TimedOut.into()),
            WaitLimit::Now => Some(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Runs a body that never waits to its end: one in [`Blocking`], or one until [`WaitLimit::Now`].
pub(crate) fn complete<F: Future>(body: F) -> F::Output {
    let mut body = pin!(body);
    complete_by(|cx| body.as_mut().poll(cx))
}

/// As [`complete`], for a poll function.
#[inline(always)]
pub(crate) fn complete_by<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    loop {
        if let Poll::Ready(done) = poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        look_later();
    }
}

/// Yields before the next poll of a body that should not be pending.
#[cold]
fn look_later() {
    thread::sleep(Duration::from_millis(1));
}

/// Polls a body again at a deadline, so that its leaves notice the deadline.
pub(crate) async fn woken_at<M: Runtime, F: Future>(until: WaitLimit, body: F) -> F::Output {
    let (mut timer, mut body) = (None, pin!(body));
    poll_fn(|cx| poll_again_at::<M, _>(until, &mut timer, cx, |cx| body.as_mut().poll(cx))).await
}

/// The same for a poll function, whose timer is kept from poll to poll.
#[inline]
pub(crate) fn poll_again_at<M: Runtime, T>(
    until: WaitLimit,
    timer: &mut Option<M::Timer>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    match poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => poll_after_timer::<M, T>(until, timer, cx, poll),
    }
}

/// Polls again when the timer has run out, and each further one.
#[inline(never)]
fn poll_after_timer<M: Runtime, T>(
    until: WaitLimit,
    timer: &mut Option<M::Timer>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    loop {
        if timer.is_none() {
            *timer = M::timer(until);
        }
        let Some(running) = timer else { return Poll::Pending };
        ready!(Pin::new(running).poll(cx));
        *timer = None;
        if let Poll::Ready(done) = poll(cx) {
            return Poll::Ready(done);
        }
    }
}

/// What an operation comes to when it has waited.
pub trait Done<S> {
    type Output;

    /// It is inlined, as closures are not always: a value that was just written is moved once less.
    fn done(self, state: S, waited: Result<(), Error>) -> Self::Output;
}

impl<S, T, F: FnOnce(S, Result<(), Error>) -> T> Done<S> for F {
    type Output = T;

    #[inline(always)]
    fn done(self, state: S, waited: Result<(), Error>) -> T {
        self(state, waited)
    }
}

/// It comes to nothing but the result of the wait.
#[derive(Debug)]
pub(crate) struct Waited;

impl<S> Done<S> for Waited {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn done(self, _: S, waited: Result<(), Error>) -> Result<(), Error> {
        waited
    }
}

/// The future of [`Runtime::wait`].
#[expect(missing_debug_implementations, reason = "it has closures")]
pub struct Waiting<M: Runtime, S, P, D> {
    until: WaitLimit,
    timer: Option<M::Timer>,
    poll: P,
    /// `None` once it is concluded.
    rest: Option<(Result<(), Error>, S, D)>,
}

impl<M: Runtime, S, P, D> Waiting<M, S, P, D> {
    #[cfg_attr(not(any(test, feature = "tokio")), expect(dead_code, reason = "threads have none"))]
    pub(crate) fn new(
        begun: Result<(), Error>,
        until: WaitLimit,
        state: S,
        poll: P,
        done: D,
    ) -> Self {
        Self { until, timer: None, poll, rest: Some((begun, state, done)) }
    }
}

// Nothing in it is pinned.
impl<M: Runtime, S, P, D> Unpin for Waiting<M, S, P, D> {}

impl<M, S, P, D> Future for Waiting<M, S, P, D>
where
    M: Runtime,
    P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
    D: Done<S>,
{
    type Output = D::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        let Self { until, timer, poll, rest } = self.get_mut();
        let waited = match rest {
            Some((Ok(()), state, _)) => {
                ready!(poll_again_at::<M, _>(*until, timer, cx, |cx| poll(state, cx, *until)))
            }
            Some((begun, ..)) => mem::replace(begun, Ok(())),
            None => return Poll::Pending,
        };
        match rest.take() {
            Some((_, state, done)) => Poll::Ready(done.done(state, waited)),
            None => Poll::Pending,
        }
    }
}

/// Every operation blocks, and so is ready when it returns.
impl Runtime for Blocking {
    const BLOCKS: bool = true;

    type Io = Raw;
    type Accepting = ();
    type Timer = Pending<()>;

    #[inline(always)]
    fn run<F: Future>(body: F) -> F::Output {
        complete(body)
    }

    #[inline(always)]
    fn wait<S, P, D>(
        begun: Result<(), Error>,
        until: WaitLimit,
        mut state: S,
        mut poll: P,
        done: D,
    ) -> D::Output
    where
        P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
        D: Done<S>,
    {
        let waited = match begun {
            Ok(()) => complete_by(|cx| poll(&mut state, cx, until)),
            failed => failed,
        };
        done.done(state, waited)
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn timer(_: WaitLimit) -> Option<Pending<()>> {
        None
    }

    fn adopt(raw: Raw, _: Way) -> Result<Raw, (Raw, io::Error)> {
        Ok(raw)
    }

    fn release(io: Raw) -> Raw {
        io
    }

    #[inline]
    fn raw(io: &Raw) -> &Raw {
        io
    }

    #[inline]
    fn raw_mut(io: &mut Raw) -> &mut Raw {
        io
    }

    #[inline]
    fn poll_read(
        io: &mut Raw,
        _: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
        pace: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(pace.read(until, |until| io.read(buf, waiting(until, token))))
    }

    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        io: &mut Raw,
        _: &mut Context<'_>,
        measure: &Measure<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
        pace: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(pace.read(until, |until| io.frame(measure, waiting(until, token))))
    }

    #[inline]
    fn poll_write(
        io: &mut Raw,
        _: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io.write(bytes, waiting(until, token)))
    }

    #[cfg(feature = "session")]
    fn write_now(io: &mut Raw, bytes: &[u8]) -> io::Result<usize> {
        io.write(bytes, Wait::NOW)
    }

    fn poll_write_or_take_in(
        io: &mut Raw,
        incoming: &mut Raw,
        limit: usize,
        _: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io.write_or_take_in(incoming, limit, bytes, waiting(until, token)))
    }

    fn poll_finish(
        io: &mut Raw,
        _: &mut Context<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(io.finish(waiting(until, token)))
    }

    fn renew(io: &mut Raw) -> io::Result<()> {
        io.renew()
    }

    async fn attempt<T>(
        until: WaitLimit,
        token: Option<&CancelToken>,
        mut attempt: impl FnMut(Wait<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        attempt(waiting(until, token))
    }

    async fn accept(
        (): &(),
        server: &Server,
        permits: &Permits,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> io::Result<((Raw, Raw), Permit)> {
        let permit = permits.take(until, token)?;
        Ok((server.accept(waiting(until, token))?, permit))
    }

    async fn sleep(until: WaitLimit, token: Option<&CancelToken>) -> io::Result<()> {
        pause(left(until), waiting(WaitLimit::Done, token))
    }
}
