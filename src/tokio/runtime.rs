//! What the bodies of operations ask of tokio.

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
use crate::seats::{Seat, Seats, none_left};
use crate::state::{Mode, Runtime, Waiting, half};
use crate::sys::{Pauses, Polled, PolledServer, Raw, Server, Until, Wait, Way, end_of_wait};
use crate::wait::{CancelToken, Sleeper};

impl Mode for Tokio {
    type Ret<F: Future> = F;
}
impl half::Mode for Tokio {}

/// What an open end reads and writes through.
#[derive(Debug)]
pub struct Driven {
    pub(super) polled: Polled,
    sleeper: Option<Sleeper>,
}

/// What a listener waits with. Of several tasks, one has its turn at a time.
#[derive(Debug)]
pub struct Accepting(Mutex<Turn>);

#[derive(Debug)]
struct Turn {
    polled: PolledServer,
    /// That of the next client, which a future that was dropped has left behind.
    seat: Option<Seat>,
    /// What wakes the task of a stream when it is stopped.
    sleeper: Option<Sleeper>,
    /// After a client for which there was no room.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Accepting {
    pub(super) fn new(polled: PolledServer) -> Self {
        Self(Mutex::new(Turn { polled, seat: None, sleeper: None, rest: None }))
    }
}

impl Accepting {
    /// The next client, for a stream, which has the listener alone.
    pub(super) fn poll_next(
        &mut self,
        server: &Server,
        seats: &Seats,
        token: Option<&CancelToken>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<((Raw, Raw), Seat)>> {
        let turn = self.0.get_mut();
        if let Some(token) = token {
            turn.sleeper.get_or_insert_with(|| Sleeper::new(token)).check(cx)?;
        }
        if let Some(rest) = &mut turn.rest {
            ready!(rest.as_mut().poll(cx));
            turn.rest = None;
        }
        turn.poll_accept(server, seats, Until::Done, cx)
    }

    /// Lets a stream wait for so long before it looks for the next client.
    pub(super) fn rest(&mut self, time: Duration) {
        self.0.get_mut().rest = Tokio::timer(Tokio::within(time));
    }
}

impl Turn {
    fn poll_accept(
        &mut self,
        server: &Server,
        seats: &Seats,
        until: Until,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<((Raw, Raw), Seat)>> {
        if self.seat.is_none() {
            match (seats.poll_take(cx), Tokio::over(until)) {
                (Poll::Ready(seat), _) => self.seat = Some(seat),
                (Poll::Pending, Some(_)) => return Poll::Ready(Err(none_left(until).into())),
                (Poll::Pending, None) => return Poll::Pending,
            }
        }
        let accepted = match until {
            // A client that has come this very moment may not be known to the runtime yet.
            Until::Now => server.accept(Wait::NOW),
            Until::Done | Until::Deadline(_) => ready!(self.polled.poll_accept(server, cx)),
        };
        Poll::Ready(accepted.and_then(|halves| match self.seat.take() {
            Some(seat) => Ok((halves, seat)),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }))
    }
}

/// Fails once it is stopped, and wakes the task when that comes.
fn check(sleeper: Option<&Sleeper>, cx: &Context<'_>) -> io::Result<()> {
    sleeper.map_or(Ok(()), |sleeper| sleeper.check(cx))
}

/// What an operation is over with that is pending, if it may not wait any longer.
fn unless_over<T>(polled: Poll<io::Result<T>>, until: Until) -> Poll<io::Result<T>> {
    match (polled, Tokio::over(until)) {
        (Poll::Pending, Some(late)) => Poll::Ready(Err(late)),
        (polled, _) => polled,
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

    fn wait<S, P, D, T>(
        begun: Result<(), Error>,
        until: Until,
        state: S,
        poll: P,
        done: D,
    ) -> Waiting<Self, S, P, D>
    where
        P: FnMut(&mut S, &mut Context<'_>, Until) -> Poll<Result<(), Error>>,
        D: FnOnce(S) -> Result<T, Error>,
    {
        Waiting::new(begun, until, state, poll, done)
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timer(until: Until) -> Option<Self::Timer> {
        match until {
            Until::Deadline(end) => Some(Box::pin(sleep_until(end.into()))),
            Until::Done | Until::Now => None,
        }
    }

    fn adopt(raw: Raw, way: Way, token: Option<&CancelToken>) -> Result<Driven, (Raw, io::Error)> {
        let Ok(runtime) = Handle::try_current() else {
            return Err((raw, Obstacle::NoRuntime.into()));
        };
        let polled = Polled::new(raw, way, runtime)?;
        Ok(Driven { polled, sleeper: token.map(Sleeper::new) })
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
        until: Until,
        _: Option<&CancelToken>,
        _: &mut Pace,
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Driven { polled, sleeper } = io;
        check(sleeper.as_ref(), cx)?;
        match until {
            Until::Now => Poll::Ready(polled.read_now(buf)),
            Until::Done | Until::Deadline(_) => unless_over(polled.poll_read(cx, buf), until),
        }
    }

    fn poll_write(
        io: &mut Driven,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: Until,
        _: Option<&CancelToken>,
    ) -> Poll<io::Result<usize>> {
        let Driven { polled, sleeper } = io;
        let ended = match (check(sleeper.as_ref(), cx), until) {
            (Err(cancelled), _) => cancelled,
            (Ok(()), Until::Now) => return Poll::Ready(polled.write_now(bytes)),
            (Ok(()), _) => match (polled.poll_write(cx, bytes), Self::over(until)) {
                (Poll::Pending, Some(late)) => late,
                (written, _) => return written,
            },
        };
        // What is not going to be awaited must not be written later.
        Poll::Ready(match polled.give_up_write()? {
            0 => Err(ended),
            written => Ok(written),
        })
    }

    fn poll_write_or_take_in(
        io: &mut Driven,
        incoming: &mut Driven,
        limit: usize,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: Until,
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
        until: Until,
        _: Option<&CancelToken>,
    ) -> Poll<io::Result<()>> {
        let Driven { polled, sleeper } = io;
        check(sleeper.as_ref(), cx)?;
        unless_over(polled.poll_finish(cx), until)
    }

    fn renew(io: &mut Driven) -> io::Result<()> {
        io.polled.renew()
    }

    async fn attempt<T>(
        until: Until,
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
        seats: &Seats,
        until: Until,
        token: Option<&CancelToken>,
    ) -> io::Result<((Raw, Raw), Seat)> {
        let sleeper = token.map(Sleeper::new);
        let (mut coming, mut turn) = (pin!(accepting.0.lock()), None);
        poll_fn(|cx| {
            check(sleeper.as_ref(), cx)?;
            if turn.is_none() {
                if let Poll::Ready(come) = coming.as_mut().poll(cx) {
                    turn = Some(come);
                }
            }
            let accepted = match &mut turn {
                Some(turn) => turn.poll_accept(server, seats, until, cx),
                None => Poll::Pending,
            };
            unless_over(accepted, until)
        })
        .await
    }

    async fn sleep(until: Until, token: Option<&CancelToken>) -> io::Result<()> {
        let (sleeper, mut timer) = (token.map(Sleeper::new), Self::timer(until));
        poll_fn(|cx| {
            check(sleeper.as_ref(), cx)?;
            match &mut timer {
                Some(timer) => timer.as_mut().poll(cx).map(Ok),
                None => Poll::Ready(Ok(())),
            }
        })
        .await
    }
}
