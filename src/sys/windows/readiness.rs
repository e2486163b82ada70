//! Which of many events are set, at a cost that does not depend on how many there are.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::time::Duration;

use super::Event;
use super::wakeup::Wakeup;
use crate::error::Obstacle;
use crate::sys::{Wait, WaitLimit, Watched, Way};

/// Events, each with a key of its own. The threads of the wakeups watch them, as they do for tasks.
#[derive(Debug)]
pub(crate) struct Readiness {
    rung: Arc<Rung>,
    wakeups: Mutex<HashMap<u64, Wakeup>>,
}

/// The keys of those that were set.
#[derive(Debug)]
struct Rung {
    keys: Mutex<Vec<u64>>,
    /// Set when there are some.
    event: Event,
}

impl Rung {
    fn keys(&self) -> MutexGuard<'_, Vec<u64>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a set event rings.
struct Bell {
    key: u64,
    rung: Arc<Rung>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut keys = self.rung.keys();
        keys.push(self.key);
        if keys.len() == 1 {
            self.rung.event.set();
        }
    }
}

impl Readiness {
    /// Whether a wait for many costs no more and takes no further thread, and reports what was there before.
    #[cfg(feature = "service")]
    pub(crate) const KEEPS_ALL: bool = false;

    pub(crate) fn new() -> io::Result<Self> {
        let rung = Rung { keys: Mutex::default(), event: Event::automatic()? };
        Ok(Self { rung: Arc::new(rung), wakeups: Mutex::default() })
    }

    /// Adds something, if an event tells when there is something. What was there before is not told.
    pub(crate) fn add(&self, watched: &mut Watched<'_>, key: u64) -> io::Result<()> {
        let (event, stays_set) = match watched {
            Watched::End(end) if end.is_over_carrier() => return Err(Obstacle::Unsupported.into()),
            Watched::End(end) => (end.attend(Way::In)?, false),
            Watched::Server(server) => (server.event(), false),
            Watched::Event(event) => (Arc::new(event.share()?), true),
        };
        let bell = Arc::new(Bell { key, rung: Arc::clone(&self.rung) });
        let wakeup = Wakeup::of(bell.into(), event, stays_set)?;
        self.wakeups().insert(key, wakeup);
        Ok(())
    }

    fn wakeups(&self) -> MutexGuard<'_, HashMap<u64, Wakeup>> {
        self.wakeups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remove(&self, _: &Watched<'_>, key: u64) {
        let wakeup = self.wakeups().remove(&key);
        drop(wakeup);
    }

    /// Does nothing: an end keeps its event.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "Unix has more to do")]
    pub(crate) fn follow(&self, _: &mut Watched<'_>, _: u64) -> io::Result<()> {
        Ok(())
    }

    /// Waits until one of them is set, or the wait ends; returns the keys of those that were.
    #[expect(single_use_lifetimes, reason = "the oldest Rust cannot leave it out here")]
    pub(crate) fn wait<'a>(
        &self,
        until: WaitLimit,
        _: impl Iterator<Item = (u64, Watched<'a>)>,
    ) -> io::Result<Vec<u64>> {
        loop {
            let keys = mem::take(&mut *self.rung.keys());
            if !keys.is_empty() {
                return Ok(keys);
            }
            // It may still be set for keys that were taken.
            match self.rung.event.wait(Wait { until, token: None }) {
                Ok(()) => {}
                Err(error) if is_over(&error) => return Ok(mem::take(&mut *self.rung.keys())),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Watched<'_> {
    /// How often it is to be tried although nothing is reported; `None` where all is.
    pub(crate) fn look_interval(&self) -> Option<Duration> {
        match self {
            Self::End(end) => end.look_interval(),
            Self::Server(_) | Self::Event(_) => None,
        }
    }
}

fn is_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, PLAIN, alone, client, handles, server, timely, within};
    use super::*;

    #[test]
    fn no_handle_and_no_thread_is_left() {
        let status = alone("readiness::tests::no_handle_and_no_thread_is_left_alone").status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "run by the test above"]
    fn no_handle_and_no_thread_is_left_alone() {
        fn round() {
            let readiness = Readiness::new().unwrap();
            let token = Event::new().unwrap();
            let mut sources = Vec::new();
            // More than one thread can wait for.
            for key in 0..24 {
                let (path, server) = server();
                let mut client = client(&path);
                let mut served = server.accept(within(10_000)).unwrap();
                readiness.add(&mut Watched::Server(&server), 3 * key).unwrap();
                readiness.add(&mut Watched::End(&mut served.0), 3 * key + 1).unwrap();
                readiness.add(&mut Watched::Event(&token), 3 * key + 2).unwrap();
                assert!(served.0.read(&mut [0; 8], NOW).is_err(), "nothing is there");
                client.1.write(b"x", PLAIN).unwrap();
                sources.push((server, client, served));
            }
            token.set();
            let mut seen = std::collections::HashSet::new();
            let expected = (0..72).filter(|key| key % 3 != 0).count();
            while seen.iter().filter(|key| *key % 3 != 0).count() < expected {
                let until = within(10_000).until;
                let keys = readiness.wait(until, std::iter::empty()).unwrap();
                assert!(!keys.is_empty(), "{seen:?}");
                seen.extend(keys);
            }
            for (key, (_, _, served)) in (0..).zip(&mut sources) {
                readiness.remove(&Watched::End(&mut served.0), 3 * key + 1);
            }
        }
        timely(|| {
            let before = handles();
            for _ in 0..3 {
                round();
            }
            // The threads of the wakeups end a second after their last one. What the system keeps for the first is little.
            while handles() > before + 4 {
                std::thread::sleep(Duration::from_millis(20)); // between two looks
            }
        });
    }
}
