//! Whether a call that failed is tried again, and when.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::sys::WaitLimit;
use crate::wait::left;

/// The attempts of one call.
pub(crate) struct Attempts {
    pub(super) left: u32,
    pub(super) pause: Duration,
    pub(super) longest: Duration,
    pub(super) repeatable: bool,
    pub(super) until: WaitLimit,
}

impl Attempts {
    /// How long to rest before the next attempt; `None` where there is none.
    pub(crate) fn pause_after(&mut self, error: &Error) -> Option<Duration> {
        self.left = self.left.saturating_sub(1);
        let again = is_worth_another(error) && (self.repeatable || !error.is_delivered());
        let in_time = matches!(self.until, WaitLimit::Done) || left(self.until) > self.pause;
        if self.left == 0 || !again || !in_time {
            return None;
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(self.longest);
        Some(pause)
    }
}

/// Whether it may go better the next time.
fn is_worth_another(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Disconnected
            | ErrorKind::ResourceExhausted
            | ErrorKind::Finished
            | ErrorKind::NotFound
            | ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Instant;

    use super::*;
    use crate::error::Operation;

    const MS: Duration = Duration::from_millis(1);

    fn attempts(left: u32, repeatable: bool, until: WaitLimit) -> Attempts {
        Attempts { left, pause: MS, longest: 4 * MS, repeatable, until }
    }

    fn error(kind: io::ErrorKind) -> Error {
        Error::new(Operation::Call, io::Error::from(kind))
    }

    #[test]
    fn pauses_grow_up_to_the_longest_one() {
        let mut attempts = attempts(6, false, WaitLimit::Done);
        let pauses = [(); 6].map(|()| attempts.pause_after(&error(io::ErrorKind::NotFound)));
        assert_eq!(
            pauses,
            [Some(MS), Some(2 * MS), Some(4 * MS), Some(4 * MS), Some(4 * MS), None]
        );
    }

    #[test]
    fn what_may_have_been_handled_is_repeated_only_where_that_is_allowed() {
        let lost = || error(io::ErrorKind::BrokenPipe).delivered();
        assert_eq!(attempts(9, false, WaitLimit::Done).pause_after(&lost()), None);
        assert_eq!(attempts(9, true, WaitLimit::Done).pause_after(&lost()), Some(MS));
        let refused = error(io::ErrorKind::PermissionDenied);
        assert_eq!(attempts(9, true, WaitLimit::Done).pause_after(&refused), None, "it stays so");
    }

    #[test]
    fn no_pause_goes_beyond_the_deadline() {
        let soon = WaitLimit::Deadline(Instant::now());
        assert_eq!(attempts(9, true, soon).pause_after(&error(io::ErrorKind::NotFound)), None);
    }
}
