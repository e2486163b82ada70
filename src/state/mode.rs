//! Modes: each operation that may wait has one body, and a mode says what that does where it has to wait.

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
use crate::sys::{Raw, Server, Wait, WaitLimit, Way, pause};
use crate::wait::{CancelToken, left, waiting};

/// How operations wait: [`Blocking`], or `Tokio` with the feature of that name.
///
/// Each operation is defined once. What one that may wait returns is [`Mode::Ret`] of a future: its output where the mode
/// is [`Blocking`], the future itself where it is `Tokio`.
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
    /// What an operation returns that may wait, whose body is the future `F`.
    type Ret<F: Future>;
}

/// The mode in which an operation that must wait blocks its thread.
///
/// It is that of every type which does not name another:
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
/// In a task of an async runtime, whatever it runs on, such an operation keeps all tasks of its thread from going on:
/// make the end, the connection or the listener one of the mode `Tokio` there, or use `spawn_blocking`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Blocking {}

impl Mode for Blocking {
    type Ret<F: Future> = F::Output;
}
impl half::Mode for Blocking {}

/// What the bodies of operations ask of a mode.
///
/// What is asked with [`WaitLimit::Now`] must be ready at once, in every mode.
pub trait Runtime: Sized {
    /// Whether an operation may block its thread: what is large can then go from where it lies.
    const BLOCKS: bool;

    /// What an open end reads and writes through.
    type Io: Debug;
    /// What a listener has beside its server, to wait for clients.
    type Accepting: Debug;
    /// What is ready at a deadline.
    type Timer: Future<Output = ()> + Unpin;

    /// Makes of a body what an operation returns.
    fn run<F: Future>(body: F) -> <Self as Mode>::Ret<F>
    where
        Self: Mode;

    /// As [`run`](Self::run), of what is polled until it is ready and then concluded. It is for what is done for every
    /// message: in [`Blocking`], no future is made.
    fn wait<S, P, D, T>(
        begun: Result<(), Error>,
        until: WaitLimit,
        state: S,
        poll: P,
        done: D,
    ) -> <Self as Mode>::Ret<Waiting<Self, S, P, D>>
    where
        Self: Mode,
        P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
        D: FnOnce(S) -> Result<T, Error>;

    /// The time by the clock of the timers.
    fn now() -> Instant;

    /// What wakes a task at a deadline; `None` where there is none, or where the operation itself looks at it.
    fn timer(until: WaitLimit) -> Option<Self::Timer>;

    /// Lets a raw end be waited for. Where that fails, it is given back.
    fn adopt(raw: Raw, way: Way, token: Option<&CancelToken>)
    -> Result<Self::Io, (Raw, io::Error)>;

    /// The raw end once more.
    fn release(io: Self::Io) -> Raw;

    fn raw(io: &Self::Io) -> &Raw;

    /// It is not to be read from or written to.
    fn raw_mut(io: &mut Self::Io) -> &mut Raw;

    fn poll_read(
        io: &mut Self::Io,
        cx: &mut Context<'_>,
        buf: &mut [u8],
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

    /// Writes to a connection, and while there is no room keeps up to `limit` bytes of what comes in, for later reads.
    fn poll_write_or_take_in(
        io: &mut Self::Io,
        incoming: &mut Self::Io,
        limit: usize,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>>;

    /// Lets the other side of a connection read the end. Of what is no half of a connection, nothing.
    fn poll_finish(
        io: &mut Self::Io,
        cx: &mut Context<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<()>>;

    /// Lets a reader whose writers have left wait for the next one.
    fn renew(io: &mut Self::Io) -> io::Result<()>;

    /// Tries again and again what nothing wakes a task for, until it does not fail for want of something.
    fn attempt<T>(
        until: WaitLimit,
        token: Option<&CancelToken>,
        attempt: impl FnMut(Wait<'_>) -> io::Result<T>,
    ) -> impl Future<Output = io::Result<T>>;

    /// The next client of a listener, with its permit.
    fn accept(
        accepting: &Self::Accepting,
        server: &Server,
        permits: &Permits,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> impl Future<Output = io::Result<((Raw, Raw), Permit)>>;

    /// Lets time pass up to a deadline; ends early where it is stopped.
    fn sleep(until: WaitLimit, token: Option<&CancelToken>)
    -> impl Future<Output = io::Result<()>>;

    /// The end of a time that begins now. What is too far away to be told is never.
    fn within(time: Duration) -> WaitLimit {
        Self::now().checked_add(time).map_or(WaitLimit::Done, WaitLimit::Deadline)
    }

    /// The earlier of the end of a wait and of the end of a time that begins now.
    fn sooner(until: WaitLimit, time: Duration) -> WaitLimit {
        match (until, Self::within(time)) {
            (WaitLimit::Done, end) => end,
            (WaitLimit::Deadline(end), WaitLimit::Deadline(other)) => {
                WaitLimit::Deadline(end.min(other))
            }
            (until, _) => until,
        }
    }

    /// Why something that is not ready is not waited for any longer; `None` where it is.
    fn over(until: WaitLimit) -> Option<io::Error> {
        match until {
            WaitLimit::Done => None,
            WaitLimit::Deadline(end) if Self::now() < end => None,
            WaitLimit::Deadline(_) => Some(io::ErrorKind::TimedOut.into()),
            WaitLimit::Now => Some(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Runs to its end a body that does not have to wait: one in [`Blocking`], or one until [`WaitLimit::Now`].
pub(crate) fn complete<F: Future>(body: F) -> F::Output {
    let mut body = pin!(body);
    complete_by(|cx| body.as_mut().poll(cx))
}

/// As [`complete`], of what is polled.
#[inline(always)]
pub(crate) fn complete_by<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    loop {
        if let Poll::Ready(done) = poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        look_later();
    }
}

/// Of what must not have to wait, and does, nothing is woken: it is looked at again.
#[cold]
fn look_later() {
    thread::sleep(Duration::from_millis(1));
}

/// Polls a body again at a deadline, by which its leaves learn that it has come.
pub(crate) async fn woken_at<M: Runtime, F: Future>(until: WaitLimit, body: F) -> F::Output {
    let (mut timer, mut body) = (None, pin!(body));
    poll_fn(|cx| poll_again_at::<M, _>(until, &mut timer, cx, |cx| body.as_mut().poll(cx))).await
}

fn poll_again_at<M: Runtime, T>(
    until: WaitLimit,
    timer: &mut Option<M::Timer>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    loop {
        if let Poll::Ready(done) = poll(cx) {
            return Poll::Ready(done);
        }
        if timer.is_none() {
            *timer = M::timer(until);
        }
        let Some(running) = timer else { return Poll::Pending };
        ready!(Pin::new(running).poll(cx));
        *timer = None;
    }
}

/// The future of [`Runtime::wait`].
#[expect(missing_debug_implementations, reason = "it has closures")]
pub struct Waiting<M: Runtime, S, P, D> {
    begun: Result<(), Error>,
    until: WaitLimit,
    timer: Option<M::Timer>,
    poll: P,
    /// `None` once it is concluded.
    rest: Option<(S, D)>,
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
        Self { begun, until, timer: None, poll, rest: Some((state, done)) }
    }
}

// Nothing in it is pinned.
impl<M: Runtime, S, P, D> Unpin for Waiting<M, S, P, D> {}

impl<M, S, P, D, T> Future for Waiting<M, S, P, D>
where
    M: Runtime,
    P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
    D: FnOnce(S) -> Result<T, Error>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { begun, until, timer, poll, rest } = self.get_mut();
        mem::replace(begun, Ok(()))?;
        let Some((state, _)) = rest else { return Poll::Pending };
        ready!(poll_again_at::<M, _>(*until, timer, cx, |cx| poll(state, cx, *until)))?;
        match rest.take() {
            Some((state, done)) => Poll::Ready(done(state)),
            None => Poll::Pending,
        }
    }
}

/// All of it is ready when it returns.
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
    fn wait<S, P, D, T>(
        begun: Result<(), Error>,
        until: WaitLimit,
        mut state: S,
        mut poll: P,
        done: D,
    ) -> Result<T, Error>
    where
        P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
        D: FnOnce(S) -> Result<T, Error>,
    {
        begun?;
        complete_by(|cx| poll(&mut state, cx, until))?;
        done(state)
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn timer(_: WaitLimit) -> Option<Pending<()>> {
        None
    }

    fn adopt(raw: Raw, _: Way, _: Option<&CancelToken>) -> Result<Raw, (Raw, io::Error)> {
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
