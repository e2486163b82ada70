//! The operations that the mode `Tokio` provides to the bodies.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Sleep, sleep_until};

use super::Tokio;
use crate::adaptive_read::Pace;
use crate::error::{Error, Obstacle};
use crate::permits::{Permit, Permits, none_left};
use crate::state::{Done, Mode, Runtime, Waiting, half};
#[cfg(feature = "shared-memory")]
use crate::sys::Measure;
use crate::sys::{Pauses, Polled, PolledServer, Raw, Server, Wait, WaitLimit, Way, end_of_wait};
use crate::wait::{CancelToken, CancelWatch};

impl Mode for Tokio {
    type Ret<F: Future> = F;
}
impl half::Mode for Tokio {}

/// The handle of an open end.
#[derive(Debug)]
pub struct Driven {
    pub(super) polled: Polled,
    /// Watches the token of the end, once something waits under it.
    watch: Option<CancelWatch>,
}

/// The state of a listener that waits. Of several tasks, one has its turn at a time.
#[derive(Debug)]
pub struct Accepting(Mutex<Turn>);

#[derive(Debug)]
struct Turn {
    polled: PolledServer,
    /// The permit of the next client, which a dropped future has left behind.
    permit: Option<Permit>,
    /// Wakes the task of a stream at a cancellation.
    watch: Option<CancelWatch>,
    /// The rest after a client for which there was no room.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Accepting {
    pub(super) fn new(polled: PolledServer) -> Self {
        Self(Mutex::new(Turn { polled, permit: None, watch: None, rest: None }))
    }
}

impl Accepting {
    /// Accepts the next client for a stream, which has the listener alone.
    pub(super) fn poll_next(
        &mut self,
        server: &Server,
        permits: &Permits,
        token: Option<&CancelToken>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<((Raw, Raw), Permit)>> {
        let turn = self.0.get_mut();
        check(&mut turn.watch, token, cx)?;
        if let Some(rest) = &mut turn.rest {
            ready!(rest.as_mut().poll(cx));
            turn.rest = None;
        }
        turn.poll_accept(server, permits, WaitLimit::Done, cx)
    }

    /// Lets a stream rest before it accepts the next client.
    pub(super) fn rest(&mut self, time: Duration) {
        self.0.get_mut().rest = Tokio::timer(Tokio::within(time));
    }
}

impl Turn {
    fn poll_accept(
        &mut self,
        server: &Server,
        permits: &Permits,
        until: WaitLimit,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<((Raw, Raw), Permit)>> {
        if self.permit.is_none() {
            match (permits.poll_take(cx), Tokio::over(until)) {
                (Poll::Ready(permit), _) => self.permit = Some(permit),
                (Poll::Pending, Some(_)) => return Poll::Ready(Err(none_left(until).into())),
                (Poll::Pending, None) => return Poll::Pending,
            }
        }
        let accepted = match until {
            // The runtime may not know yet of a client that has just connected.
            WaitLimit::Now => server.accept(Wait::NOW),
            WaitLimit::Done | WaitLimit::Deadline(_) => ready!(self.polled.poll_accept(server, cx)),
        };
        Poll::Ready(accepted.and_then(|halves| match self.permit.take() {
            Some(permit) => Ok((halves, permit)),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }))
    }
}

/// Fails once the token is cancelled, and wakes the task at the cancellation.
#[inline]
fn check(
    watch: &mut Option<CancelWatch>,
    token: Option<&CancelToken>,
    cx: &Context<'_>,
) -> io::Result<()> {
    match token {
        None => Ok(()),
        Some(token) => check_token(watch, token, cx),
    }
}

#[inline(never)]
fn check_token(
    watch: &mut Option<CancelWatch>,
    token: &CancelToken,
    cx: &Context<'_>,
) -> io::Result<()> {
    match watch {
        Some(watch) if watch.is_of(token) => watch.check(cx),
        // The first wait, or the first one with another token.
        other => other.insert(CancelWatch::new(token)).check(cx),
    }
}

/// Fails a pending operation whose time is over.
#[inline]
fn unless_over<T>(polled: Poll<io::Result<T>>, until: WaitLimit) -> Poll<io::Result<T>> {
    match polled {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => match Tokio::over(until) {
            Some(late) => Poll::Ready(Err(late)),
            None => Poll::Pending,
        },
    }
}

impl Runtime for Tokio {
    const BLOCKS: bool = false;

    type Io = Driven;
    type Accepting = Accepting;
    type Timer = Pin<Box<Sleep>>;

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
        tokio::time::Instant::now().into_std()
    }

    fn timer(until: WaitLimit) -> Option<Self::Timer> {
        match until {
            WaitLimit::Deadline(end) => Some(Box::pin(sleep_until(end.into()))),
            WaitLimit::Done | WaitLimit::Now => None,
        }
    }

    fn adopt(raw: Raw, way: Way) -> Result<Driven, (Raw, io::Error)> {
        let Ok(runtime) = Handle::try_current() else {
            return Err((raw, Obstacle::NoRuntime.into()));
        };
        let polled = Polled::new(raw, way, runtime)?;
        Ok(Driven { polled, watch: None })
    }

    fn release(io: Driven) -> Raw {
        io.polled.into_raw()
    }

    fn raw(io: &Driven) -> &Raw {
        io.polled.raw()
    }

    fn raw_mut(io: &mut Driven) -> &mut Raw {
        io.polled.raw_mut()
    }

    fn poll_read(
        io: &mut Driven,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
        _: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Driven { polled, watch } = io;
        check(watch, token, cx)?;
        match until {
            WaitLimit::Now => Poll::Ready(polled.read_now(buf)),
            WaitLimit::Done | WaitLimit::Deadline(_) => {
                unless_over(polled.poll_read(cx, buf), until)
            }
        }
    }

    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        io: &mut Driven,
        cx: &mut Context<'_>,
        measure: &Measure<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
        _: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        let Driven { polled, watch } = io;
        check(watch, token, cx)?;
        match until {
            WaitLimit::Now => Poll::Ready(polled.raw_mut().frame(measure, Wait::NOW)),
            WaitLimit::Done | WaitLimit::Deadline(_) => {
                unless_over(polled.poll_frame(cx, measure), until)
            }
        }
    }

    fn poll_write(
        io: &mut Driven,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>> {
        let Driven { polled, watch } = io;
        let ended = match (check(watch, token, cx), until) {
            (Err(cancelled), _) => cancelled,
            (Ok(()), WaitLimit::Now) => return Poll::Ready(polled.write_now(bytes)),
            (Ok(()), _) => match polled.poll_write(cx, bytes) {
                Poll::Ready(done) => return Poll::Ready(done),
                Poll::Pending => match Self::over(until) {
                    Some(late) => late,
                    None => return Poll::Pending,
                },
            },
        };
        // A write that is no longer awaited must not happen later.
        Poll::Ready(match polled.give_up_write()? {
            0 => Err(ended),
            written => Ok(written),
        })
    }

    #[cfg(feature = "session")]
    fn write_now(io: &mut Driven, bytes: &[u8]) -> io::Result<usize> {
        io.polled.write_now(bytes)
    }

    fn poll_write_or_take_in(
        io: &mut Driven,
        incoming: &mut Driven,
        limit: usize,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Self::poll_write(io, cx, bytes, until, token) {
            return Poll::Ready(written);
        }
        let error = ready!(incoming.polled.poll_take_in(limit, cx));
        Poll::Ready(match io.polled.give_up_write()? {
            0 => Err(error),
            written => Ok(written),
        })
    }

    fn poll_finish(
        io: &mut Driven,
        cx: &mut Context<'_>,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> Poll<io::Result<()>> {
        let Driven { polled, watch } = io;
        check(watch, token, cx)?;
        unless_over(polled.poll_finish(cx), until)
    }

    fn forget_token(io: &mut Driven) {
        io.watch = None;
    }

    fn renew(io: &mut Driven) -> io::Result<()> {
        io.polled.renew()
    }

    #[cfg(feature = "shared-memory")]
    fn prepare(io: &mut Driven, line: Option<&crate::sys::Handle>) -> io::Result<()> {
        io.polled.prepare(line)
    }

    async fn attempt<T>(
        until: WaitLimit,
        token: Option<&CancelToken>,
        mut attempt: impl FnMut(Wait<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut pauses = Pauses::new();
        loop {
            let missing = match attempt(Wait::NOW) {
                Err(error) => error,
                done => return done,
            };
            let Some(time) = pauses.after(&missing) else { return Err(missing) };
            if let Some(ended) = Self::over(until) {
                return Err(end_of_wait(ended, missing));
            }
            if Handle::try_current().is_err() {
                return Err(Obstacle::NoRuntime.into());
            }
            Self::sleep(Self::sooner(until, time), token).await?;
        }
    }

    async fn accept(
        accepting: &Accepting,
        server: &Server,
        permits: &Permits,
        until: WaitLimit,
        token: Option<&CancelToken>,
    ) -> io::Result<((Raw, Raw), Permit)> {
        let (mut coming, mut turn, mut watch) = (pin!(accepting.0.lock()), None, None);
        poll_fn(|cx| {
            check(&mut watch, token, cx)?;
            if turn.is_none() {
                if let Poll::Ready(come) = coming.as_mut().poll(cx) {
                    turn = Some(come);
                }
            }
            let accepted = match &mut turn {
                Some(turn) => turn.poll_accept(server, permits, until, cx),
                None => Poll::Pending,
            };
            unless_over(accepted, until)
        })
        .await
    }

    async fn sleep(until: WaitLimit, token: Option<&CancelToken>) -> io::Result<()> {
        let (mut watch, mut timer) = (None, Self::timer(until));
        poll_fn(|cx| {
            check(&mut watch, token, cx)?;
            match &mut timer {
                Some(timer) => timer.as_mut().poll(cx).map(Ok),
                None => Poll::Ready(Ok(())),
            }
        })
        .await
    }
}
