//! The waits of tasks: until something is there, a time ends, or a token is stopped.

use std::future::{Future, poll_fn};
use std::io;
use std::task::Context;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::Obstacle;
use crate::sys::{Pauses, Until, end_of_wait};
use crate::wait::Sleeper;

/// Tries something until there is what must be there, or the wait ends.
pub(super) async fn try_until<T>(
    end: Option<Instant>,
    sleeper: Option<&Sleeper>,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut pauses = Pauses::new();
    loop {
        let missing = match attempt() {
            Err(error) => error,
            done => return done,
        };
        let Some(mut time) = pauses.after(&missing) else { return Err(missing) };
        if let Some(end) = end {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(end_of_wait(io::ErrorKind::TimedOut.into(), missing));
            }
            time = time.min(left);
        }
        if Handle::try_current().is_err() {
            return Err(Obstacle::NoRuntime.into());
        }
        pause(time, sleeper).await?;
    }
}

pub(super) fn check(sleeper: Option<&Sleeper>, cx: &Context<'_>) -> io::Result<()> {
    sleeper.map_or(Ok(()), |sleeper| sleeper.check(cx))
}

/// Lets some time pass; ends early where it is stopped.
pub(super) async fn pause(time: Duration, sleeper: Option<&Sleeper>) -> io::Result<()> {
    let mut time = std::pin::pin!(sleep(time));
    poll_fn(|cx| {
        check(sleeper, cx)?;
        time.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// What a future comes to, unless the time ends before.
pub(super) async fn before<T>(until: Until, future: impl Future<Output = T>) -> Option<T> {
    match until {
        Until::Done => Some(future.await),
        Until::Deadline(end) => timeout_at(end.into(), future).await.ok(),
        Until::Now => timeout(Duration::ZERO, future).await.ok(),
    }
}
