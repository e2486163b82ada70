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
    /// there. What is found later than `soon` brought nothing all the same: sleeping would have cost less.
    #[inline]
    pub(crate) fn spin(
        &mut self,
        time: Duration,
        soon: Duration,
        looks: u32,
        mut is_there: impl FnMut() -> bool,
    ) -> bool {
        if time.is_zero() || !self.is_worth_a_try() {
            return false;
        }
        let mut since = None;
        let mut is_late = false;
        loop {
            for _ in 0..looks {
                if is_there() {
                    self.failed = if is_late { self.failed.saturating_add(1) } else { 0 };
                    return true;
                }
                spin_loop();
            }
            let spent = since.get_or_insert_with(Instant::now).elapsed();
            if spent >= time {
                self.failed = self.failed.saturating_add(1);
                return false;
            }
            is_late = spent >= soon;
        }
    }

    /// Lets the next wait try, also if it was given up: the other side seems to try.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(crate) fn try_again(&mut self) {
        self.failed = self.failed.min(ENOUGH - 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_nanos(1);
    const A_MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_brings_nothing_is_given_up_but_for_a_try_now_and_then() {
        let mut spinner = Spinner::default();
        let mut tries = 0;
        for _ in 0..1000 {
            let mut looked = false;
            assert!(!spinner.spin(SHORT, SHORT, 1, || {
                looked = true;
                false
            }));
            tries += u32::from(looked);
        }
        assert!((ENOUGH + 25..=ENOUGH + 1000 / PAUSE).contains(&tries), "{tries}");
        // One that brings something is enough to go on.
        while !spinner.spin(SHORT, SHORT, 1, || true) {}
        for _ in 0..ENOUGH {
            assert!(spinner.spin(SHORT, SHORT, 1, || true));
        }
    }

    #[test]
    fn what_is_there_at_once_needs_no_clock() {
        let mut spinner = Spinner::default();
        assert!(spinner.spin(Duration::MAX, Duration::MAX, 1, || true));
        assert!(!spinner.spin(Duration::ZERO, SHORT, 1, || true), "it does not look at all");
    }

    #[test]
    fn what_is_found_late_brought_nothing() {
        let mut spinner = Spinner::default();
        let mut found = 0;
        for _ in 0..20 {
            let mut looks = 0;
            found += u32::from(spinner.spin(A_MINUTE, SHORT, 1, || {
                looks += 1;
                looks == 3
            }));
        }
        assert_eq!(found, ENOUGH);
    }

    #[test]
    fn it_looks_for_as_long_as_there_is_time() {
        let mut looks = 0;
        let found = Spinner::default().spin(A_MINUTE, A_MINUTE, 4, || {
            looks += 1;
            looks == 1000
        });
        assert!(found);
    }
}
