//! Retries until the other side is there.

use std::io;
use std::time::Duration;

use super::{Wait, obstacle};
use crate::error::Obstacle;

/// The shortest and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The growing pauses between attempts.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    /// How many more times an attempt may find another reader.
    claims: u32,
}

impl Pauses {
    pub(crate) fn new() -> Self {
        Self { next: PAUSES.0, claims: 5 }
    }

    /// The pause before the next attempt; `None` if the failure is other than a missing other side.
    pub(crate) fn after(&mut self, failure: &io::Error) -> Option<Duration> {
        if matches!(obstacle(failure), Some(Obstacle::HasReader)) {
            // A forked process holds what this one had open, until it becomes another program.
            self.claims = self.claims.checked_sub(1)?;
        } else if !may_come(failure) {
            return None;
        }
        let time = self.next;
        self.next = (time * 2).min(PAUSES.1);
        Some(time)
    }
}

/// Repeats an attempt until the other side is there, or the wait ends.
///
/// The system's own wait could not be ended, or would wait for ever on a pipe that has
/// lost its name meanwhile.
pub(super) fn try_until<T>(
    wait: Wait<'_>,
    pause: impl Fn(Duration, Wait<'_>) -> io::Result<()>,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut pauses = Pauses::new();
    loop {
        let missing = match attempt() {
            Err(error) => error,
            done => return done,
        };
        let Some(time) = pauses.after(&missing) else { return Err(missing) };
        pause(time, wait).map_err(|ended| end_of_wait(ended, missing))?;
    }
}

/// Whether a failure means only that the other side is not there yet.
fn may_come(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(
            obstacle(error),
            Some(
                Obstacle::Busy
                    | Obstacle::NoChild
                    | Obstacle::NoListener
                    | Obstacle::NoReader
                    | Obstacle::NoWriter
                    | Obstacle::NotTaken
            )
        )
}

/// The error of a wait that ended in vain, with what was missing.
pub(crate) fn end_of_wait(ended: io::Error, missing: io::Error) -> io::Error {
    match (ended.kind(), obstacle(&missing)) {
        (io::ErrorKind::WouldBlock, _) | (io::ErrorKind::TimedOut, Some(Obstacle::HasReader)) => {
            missing
        }
        (io::ErrorKind::TimedOut, Some(Obstacle::Busy)) => {
            Obstacle::TimedOut("its owner still serves as many clients as it can").into()
        }
        (io::ErrorKind::TimedOut, Some(Obstacle::NoChild)) => {
            Obstacle::TimedOut("the child has not taken its side of the connection").into()
        }
        (io::ErrorKind::TimedOut, Some(Obstacle::NoListener)) => {
            Obstacle::TimedOut("still no process listens at it").into()
        }
        (io::ErrorKind::TimedOut, Some(Obstacle::NotTaken)) => {
            Obstacle::TimedOut("the reader has not taken all of it yet").into()
        }
        (io::ErrorKind::TimedOut, Some(Obstacle::NoWriter)) => {
            Obstacle::TimedOut("still no writer has opened it").into()
        }
        (io::ErrorKind::TimedOut, Some(_)) => {
            Obstacle::TimedOut("still no process reads from it").into()
        }
        (io::ErrorKind::TimedOut, None) => {
            Obstacle::TimedOut("there is still no pipe of this name").into()
        }
        _ => ended,
    }
}
