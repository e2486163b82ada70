//! Another runtime: one thread that polls its only future every millisecond, whatever wakes it.
//!
//! It is a mode as `Blocking` and `Tokio` are, and shows what one takes: what it does where an operation has to wait, and
//! over what its channels are. A mode is sealed, since it is told of what is open as the system has it; hence it is a part
//! of the unit tests, and this folder is where it stands beside the other tests.

mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

use crate::adaptive_read::Pace;
use crate::end::{End, PipeRef};
use crate::error::Error;
use crate::permits::{Permit, Permits};
use crate::source::{self, Sink, Source};
use crate::state::{Done, Mode, Open, Read, Runtime, Waiting, Write, half};
use crate::sys::{Pauses, Raw, Server, Wait, WaitLimit, Way};
use crate::wait::{CancelToken, waiting};

#[derive(Clone, Debug)]
pub(crate) enum Toy {}

/// Runs a future to its end.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = look_at(future.as_mut()) {
            return done;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Polls a future once.
pub(crate) fn look_at<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What an operation comes to that was tried without waiting, or that it is to be tried again.
fn tried<T>(done: io::Result<T>, until: WaitLimit) -> Poll<io::Result<T>> {
    match (done, Toy::over(until)) {
        (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        (Err(error), Some(late)) if error.kind() == io::ErrorKind::WouldBlock => {
            Poll::Ready(Err(late))
        }
        (done, _) => Poll::Ready(done),
    }
}

/// It is ready at a deadline.
pub(crate) struct At(Instant);

impl Future for At {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() < self.0 { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Mode for Toy {
    type Ret<F: Future> = F;
}
impl half::Mode for Toy {}

impl Runtime for Toy {
    const BLOCKS: bool = false;

    type Io = Raw;
    type Accepting = ();
    type Timer = At;

    fn run<F: Future>(body: F) -> F {
        body
    }

    fn wait<S, P, D>(
        begun: Result<(), Error>,
        until: WaitLimit,
        state: S,
        poll: P,
        done: D,
    ) -> Waiting<Self, S, P, D>
    where
        P: FnMut(&mut S, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
        D: Done<S>,
    {
        Waiting::new(begun, until, state, poll, done)
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn timer(until: WaitLimit) -> Option<At> {
        match until {
            WaitLimit::Deadline(end) => Some(At(end)),
            WaitLimit::Done | WaitLimit::Now => None,
        }
    }

    fn adopt(raw: Raw, _: Way) -> Result<Raw, (Raw, io::Error)> {
        Ok(raw)
    }

    fn release(io: Raw) -> Raw {
        io
    }

    fn raw(io: &Raw) -> &Raw {
        io
    }

    fn raw_mut(io: &mut Raw) -> &mut Raw {
        io
    }

    fn poll_read(
        io: &mut Raw,
        _: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
        _: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        tried(io.read(buf, waiting(WaitLimit::Now, token)), until)
    }

    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        io: &mut Raw,
        _: &mut Context<'_>,
        measure: &crate::sys::Measure<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
        _: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        tried(io.frame(measure, waiting(WaitLimit::Now, token)), until)
    }

    fn poll_write(
        io: &mut Raw,
        _: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>> {
        tried(io.write(bytes, waiting(WaitLimit::Now, token)), until)
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
        tried(io.write_or_take_in(incoming, limit, bytes, waiting(WaitLimit::Now, token)), until)
    }

    fn poll_finish(
        io: &mut Raw,
        _: &mut Context<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<()>> {
        tried(io.finish(waiting(WaitLimit::Now, token)), until)
    }

    fn renew(io: &mut Raw) -> io::Result<()> {
        io.renew()
    }

    async fn attempt<T>(
        until: WaitLimit,
        token: Option<&CancelToken>,
        mut attempt: impl FnMut(Wait<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut pauses = Pauses::new();
        loop {
            let missing = match attempt(waiting(WaitLimit::Now, token)) {
                Err(error) => error,
                done => return done,
            };
            let Some(time) = pauses.after(&missing) else { return Err(missing) };
            match Self::over(until) {
                Some(late) if late.kind() == io::ErrorKind::TimedOut => return Err(late),
                Some(_) => return Err(missing),
                None => Self::sleep(Self::sooner(until, time), token).await?,
            }
        }
    }

    async fn accept(
        (): &(),
        server: &Server,
        permits: &Permits,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> io::Result<((Raw, Raw), Permit)> {
        let mut taken = None;
        poll_fn(|cx| {
            if taken.is_none() {
                taken = Some(ready!(permits.poll_take(cx)));
            }
            let accepted = ready!(tried(server.accept(waiting(WaitLimit::Now, token)), until));
            Poll::Ready(accepted.map(|halves| (halves, taken.take().unwrap())))
        })
        .await
    }

    async fn sleep(until: WaitLimit, token: Option<&CancelToken>) -> io::Result<()> {
        let mut timer = Self::timer(until);
        poll_fn(|cx| {
            if token.is_some_and(CancelToken::is_cancelled) {
                return Poll::Ready(Err(crate::error::Obstacle::Cancelled.into()));
            }
            timer.as_mut().map_or(Poll::Ready(()), |timer| Pin::new(timer).poll(cx)).map(Ok)
        })
        .await
    }
}

impl<P: PipeRef> Source for End<Read, Open<Toy>, P> {
    type Mode = Toy;
}

impl<P: PipeRef> source::half::Source for End<Read, Open<Toy>, P> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_until(cx, buf, WaitLimit::Done)
    }
}

impl<P: PipeRef> source::half::ReadTimeout for End<Read, Open<Toy>, P> {
    fn poll_read_within(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_read_until(cx, buf, until)
    }

    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        measure: &crate::sys::Measure<'_>,
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_frame_until(cx, measure, until)
    }

    #[cfg(feature = "shared-memory")]
    fn raw_end(&mut self) -> &mut Raw {
        self.raw_mut()
    }
}

impl<P: PipeRef> Sink for End<Write, Open<Toy>, P> {
    type Mode = Toy;
}

impl<P: PipeRef> source::half::Sink for End<Write, Open<Toy>, P> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_until(cx, bytes, WaitLimit::Done)
    }
}

impl<P: PipeRef> source::half::WriteTimeout for End<Write, Open<Toy>, P> {
    fn poll_write_within(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_write_until(cx, bytes, until)
    }

    fn poll_half_close(&mut self, cx: &mut Context<'_>, until: WaitLimit) -> Poll<io::Result<()>> {
        self.poll_finish_until(cx, until)
    }

    async fn taken(&mut self, until: WaitLimit) -> io::Result<bool> {
        self.wait_until_taken(until).await
    }
}
