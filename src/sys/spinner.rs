//! When it pays to look again and again before sleeping.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// Spins as long as that brings something.
///
/// Where it did not a few times in a row, since the other side has more to do or no processor, it is given up, but for a
/// try now and then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spinner {
    /// How often in a row it brought nothing, or was not tried.
    failed: u32,
}

impl Spinner {
    /// Looks for something for at most this time, and `looks` times between two looks at the clock; returns whether it is
    /// there.
    #[inline]
    pub(crate) fn spin(
        &mut self,
        time: Duration,
        looks: u32,
        mut is_there: impl FnMut() -> bool,
    ) -> bool {
        if time.is_zero() || !self.is_worth_a_try() {
            return false;
        }
        let mut end = None;
        loop {
            for _ in 0..looks {
                if is_there() {
                    self.failed = 0;
                    return true;
                }
                spin_loop();
            }
            let now = Instant::now();
            if now >= *end.get_or_insert_with(|| now + time.min(A_DAY)) {
                self.failed = self.failed.saturating_add(1);
                return false;
            }
        }
    }

    fn is_worth_a_try(&mut self) -> bool {
        if self.failed < ENOUGH {
            return true;
        }
        self.failed += 1;
        if self.failed < ENOUGH + PAUSE {
            return false;
        }
        self.failed = ENOUGH - 1;
        true
    }
}

/// So many tries in vain are enough.
const ENOUGH: u32 = 4;

/// So many waits pass before the next try.
const PAUSE: u32 = 32;

/// No clock reaches the end of some durations.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_nanos(1);

    #[test]
    fn what_brings_nothing_is_given_up_but_for_a_try_now_and_then() {
        let mut spinner = Spinner::default();
        let mut tries = 0;
        for _ in 0..1000 {
            let mut looked = false;
            assert!(!spinner.spin(SHORT, 1, || {
                looked = true;
                false
            }));
            tries += u32::from(looked);
        }
        assert!((ENOUGH + 25..=ENOUGH + 1000 / PAUSE).contains(&tries), "{tries}");
        // One that brings something is enough to go on.
        while !spinner.spin(SHORT, 1, || true) {}
        for _ in 0..ENOUGH {
            assert!(spinner.spin(SHORT, 1, || true));
        }
    }

    #[test]
    fn what_is_there_at_once_needs_no_clock() {
        let mut spinner = Spinner::default();
        assert!(spinner.spin(Duration::MAX, 1, || true));
        assert!(!spinner.spin(Duration::ZERO, 1, || true), "it does not look at all");
    }

    #[test]
    fn it_looks_for_as_long_as_there_is_time() {
        let mut looks = 0;
        let found = Spinner::default().spin(Duration::from_secs(60), 4, || {
            looks += 1;
            looks == 1000
        });
        assert!(found);
    }
}
