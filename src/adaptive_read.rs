//! The pace at which a reading end calls the system.

use std::hint;
use std::io;
use std::time::{Duration, Instant};

use crate::sys::{Spinner, WaitLimit, sleeps};

/// The pace of the reads of one end.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Bytes may gather for a moment before a read, where that pays.
    Gathering(Gathering),
    /// A read that has to wait polls before it sleeps.
    Spinning(Spinning),
}

impl Pace {
    /// Reads, with a pause before it, or polling instead of sleeping.
    pub(crate) fn read(
        &mut self,
        until: WaitLimit,
        mut read: impl FnMut(WaitLimit) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Gathering(gathering) => {
                let paused = !matches!(until, WaitLimit::Now) && gathering.pause();
                let bytes = read(until)?;
                gathering.note(bytes, paused, sleeps);
                Ok(bytes)
            }
            Self::Spinning(spinning) => spinning.read(until, read),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::Gathering(Gathering::default())
    }
}

/// Measures whether reads return more bytes after a short pause.
///
/// A reader that is as fast as its writer finds one small message at each read, and the two get in each other's way at
/// the kernel's lock of the pipe, message for message: together they are several times slower than either
/// alone. A pause as long as a few writes cures that. So where reads return little without sleeping, a pause is tried
/// now and then, and its gain is compared. Reads that sleep get no pause: it would only keep the processor from the
/// writer.
#[derive(Clone, Debug)]
pub struct Gathering {
    /// Reads without a pause, and the bytes they returned.
    reads: usize,
    bytes: usize,
    /// How often the thread had slept before the first of these reads.
    sleeps: Option<usize>,
    /// The number of reads after which a pause may be tried.
    window: usize,
    /// When the last read ended, if the next one is to come after a pause.
    since: Option<Instant>,
}

impl Gathering {
    /// Pauses if a pause is due; returns whether it did.
    #[inline]
    fn pause(&self) -> bool {
        self.since.inspect(pause_since).is_some()
    }

    /// Notes the result of a read, after a pause or without one.
    fn note(&mut self, bytes: usize, paused: bool, sleeps: impl FnOnce() -> Option<usize>) {
        if paused {
            if bytes / WORTH >= self.bytes / self.reads.max(1) {
                self.window = FIRST_WINDOW.max(self.window / 2);
                self.since = Some(Instant::now());
            } else {
                self.begin_anew(sleeps());
            }
        } else if self.since.is_none() {
            self.reads += 1;
            self.bytes += bytes;
            if self.reads >= self.window {
                let slept = sleeps();
                if self.is_worth_a_try(slept) {
                    self.since = Some(Instant::now());
                } else {
                    self.begin_anew(slept);
                }
            }
        }
    }

    /// Whether reads return little without sleeping.
    fn is_worth_a_try(&self, sleeps: Option<usize>) -> bool {
        let slept = sleeps.zip(self.sleeps).and_then(|(now, then)| now.checked_sub(then));
        let seldom = slept.is_some_and(|slept| slept < self.reads / SELDOM);
        seldom && self.bytes / self.reads < LITTLE
    }

    /// Lengthens the window before the next try.
    fn begin_anew(&mut self, sleeps: Option<usize>) {
        let window = if self.sleeps.is_none() { FIRST_WINDOW } else { self.window * 2 };
        *self = Self { sleeps, window: window.min(MAX_WINDOW), ..Self::default() };
    }
}

fn pause_since(since: &Instant) {
    while since.elapsed() < PAUSE {
        hint::spin_loop();
    }
}

impl Default for Gathering {
    fn default() -> Self {
        Self { reads: 0, bytes: 0, sleeps: None, window: FIRST_WINDOW, since: None }
    }
}

/// The length of a pause: a few writes, and far less than sleeping and waking take.
const PAUSE: Duration = Duration::from_micros(2);

/// The factor by which a pause must increase the bytes of a read.
const WORTH: usize = 2;

/// Reads that return fewer bytes than this may gain from a pause.
const LITTLE: usize = 4096;

/// Reads rarely sleep if fewer than one in this many does.
const SELDOM: usize = 4;

/// The number of reads before the first pause.
const FIRST_WINDOW: usize = 16;

/// The largest window between tries that do not pay.
const MAX_WINDOW: usize = 1024;

/// Reads that poll before they sleep, as long as that brings something.
#[derive(Clone, Debug)]
pub struct Spinning {
    time: Duration,
    spinner: Spinner,
}

impl Spinning {
    /// Polls for at most this time.
    ///
    /// How many processors this thread may use says nothing of whether the other side has one: a thread that polls is often
    /// bound to one of its own.
    pub(crate) fn new(time: Duration) -> Self {
        Self { time, spinner: Spinner::default() }
    }

    fn read(
        &mut self,
        until: WaitLimit,
        mut read: impl FnMut(WaitLimit) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let time = match until {
            WaitLimit::Now => return read(until),
            WaitLimit::Deadline(end) => {
                self.time.min(end.saturating_duration_since(Instant::now()))
            }
            WaitLimit::Done => self.time,
        };
        let mut done = None;
        self.spinner.spin(time, time, 1, || match read(WaitLimit::Now) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            result => {
                done = Some(result);
                true
            }
        });
        done.unwrap_or_else(|| read(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread whose reads never sleep.
    const AWAKE: Option<usize> = Some(7);

    fn read(gathering: &mut Gathering, bytes: usize) -> bool {
        let paused = gathering.pause();
        gathering.note(bytes, paused, || AWAKE);
        paused
    }

    /// The number of reads before the next pause.
    fn reads_before_a_pause(gathering: &mut Gathering, bytes: usize) -> usize {
        (0..).take_while(|_| !read(gathering, bytes)).count()
    }

    #[test]
    fn a_pause_that_pays_is_kept() {
        let mut gathering = Gathering::default();
        // The first reads measure how often the thread sleeps.
        for _ in 0..2 * FIRST_WINDOW {
            assert!(!read(&mut gathering, 40));
        }
        for _ in 0..10 * FIRST_WINDOW {
            assert!(read(&mut gathering, 400));
        }
        assert!(read(&mut gathering, 40), "it is known after the read only that it did not pay");
        assert!(!read(&mut gathering, 40));
    }

    #[test]
    fn pauses_that_do_not_pay_become_rare() {
        let mut gathering = Gathering::default();
        reads_before_a_pause(&mut gathering, 40);
        let before = [(); 8].map(|()| reads_before_a_pause(&mut gathering, 40));
        assert_eq!(before, [32, 64, 128, 256, 512, 1024, 1024, 1024]);
    }

    #[test]
    fn reads_that_bring_much_come_without_a_pause() {
        let mut gathering = Gathering::default();
        assert!((0..10 * MAX_WINDOW).all(|_| !read(&mut gathering, LITTLE)));
    }

    #[test]
    fn reads_that_sleep_come_without_a_pause() {
        let mut gathering = Gathering::default();
        for slept in 0..10 * MAX_WINDOW {
            let paused = gathering.pause();
            assert!(!paused);
            gathering.note(40, paused, || Some(slept));
        }
    }

    #[test]
    fn where_nothing_tells_of_sleep_there_is_no_pause() {
        let mut gathering = Gathering::default();
        for _ in 0..10 * MAX_WINDOW {
            let paused = gathering.pause();
            assert!(!paused);
            gathering.note(40, paused, || None);
        }
    }

    #[test]
    fn one_that_may_not_wait_does_not_pause() {
        let mut pace =
            Pace::Gathering(Gathering { since: Some(Instant::now()), ..Gathering::default() });
        let Pace::Gathering(before) = pace.clone() else { panic!("it spins") };
        pace.read(WaitLimit::Now, |_| Ok(1)).unwrap();
        let Pace::Gathering(after) = pace else { panic!("it spins") };
        assert_eq!(
            (after.since, after.reads),
            (before.since, 0),
            "nothing is learned from it either"
        );
    }

    #[test]
    fn one_may_spin_for_as_long_as_there_is_time() {
        let mut asked = 0;
        let spinning = Spinning { time: Duration::MAX, spinner: Spinner::default() };
        let read = Pace::Spinning(spinning).read(WaitLimit::Done, |until| {
            assert!(matches!(until, WaitLimit::Now), "it does not sleep");
            asked += 1;
            if asked < 5 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(7) }
        });
        assert_eq!((read.unwrap(), asked), (7, 5));
    }

    #[test]
    fn polling_that_brings_nothing_is_given_up() {
        let spinning = Spinning { time: Duration::from_micros(1), spinner: Spinner::default() };
        let mut pace = Pace::Spinning(spinning);
        let mut polled = 0;
        for _ in 0..100 {
            let mut polls = false;
            let read = pace.read(WaitLimit::Done, |until| {
                let polling = matches!(until, WaitLimit::Now);
                polls |= polling;
                if polling { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(1) }
            });
            assert_eq!(read.unwrap(), 1);
            polled += usize::from(polls);
        }
        assert!(polled < 10, "{polled} of 100 reads have polled");
    }

    #[test]
    fn errors_come_through() {
        let spinning = Spinning::new(Duration::from_micros(10));
        for mut pace in [Pace::default(), Pace::Spinning(spinning)] {
            let failed = pace.read(WaitLimit::Done, |_| Err(io::ErrorKind::BrokenPipe.into()));
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
