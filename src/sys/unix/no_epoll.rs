//! Which of many descriptors are readable: all of them are looked at.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::wait::whole_milliseconds;
use crate::sys::{WaitLimit, Watched};

/// Keeps nothing: each wait is given everything.
#[derive(Debug)]
pub(crate) struct Readiness;

#[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "Linux has more to do")]
impl Readiness {
    /// Whether a wait for many costs no more and takes no further thread, and reports what was there before.
    #[cfg(all(feature = "service", not(any(target_os = "linux", target_os = "android"))))]
    pub(crate) const KEEPS_ALL: bool = false;

    #[expect(clippy::unnecessary_wraps, reason = "on Linux it needs a descriptor")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Adds something, if its descriptor tells when it is readable.
    pub(crate) fn add(&self, watched: &mut Watched<'_>, _: u64) -> io::Result<()> {
        watched.fd().map(drop)
    }

    pub(crate) fn remove(&self, _: &Watched<'_>, _: u64) {}

    #[expect(clippy::unnecessary_wraps, reason = "on Linux it may fail")]
    pub(crate) fn follow(&self, watched: &mut Watched<'_>, _: u64) -> io::Result<()> {
        watched.take_switched();
        Ok(())
    }

    /// Waits until one of them is readable or hung up, or the wait ends; returns the keys of those that are.
    #[expect(single_use_lifetimes, reason = "the oldest Rust cannot leave it out here")]
    pub(crate) fn wait<'a>(
        &self,
        until: WaitLimit,
        all: impl Iterator<Item = (u64, Watched<'a>)>,
    ) -> io::Result<Vec<u64>> {
        let all: Vec<_> = all.collect();
        let mut polled = Vec::with_capacity(all.len());
        for (_, watched) in &all {
            polled.push(PollFd::from_borrowed_fd(watched.fd()?, PollFlags::IN));
        }
        match poll(&mut polled, whole_milliseconds(until)?.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let ready = all.iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready.map(|((key, _), _)| *key).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Node, Raw, Server};
    use super::*;
    use crate::sys::{Settings, Wait, Way};

    #[test]
    fn what_is_readable_is_found_among_the_others() {
        let plain = Wait { until: WaitLimit::Done, token: None };
        let [(_, mut writer), (mut reader, _writer)] = Raw::pair().unwrap();
        let (path, server) = Server::temporary(&Settings::default()).unwrap();
        let (fifo, mut node) = Node::temporary(&Settings::default()).unwrap();
        let mut end = node.open(Way::In, Wait::NOW).unwrap();
        let event = Event::new().unwrap();
        let readiness = Readiness::new().unwrap();
        let ready = |reader: &mut Raw, end: &mut Raw, until| {
            let mut all = [
                (1, Watched::End(reader)),
                (2, Watched::Server(&server)),
                (3, Watched::End(end)),
                (4, Watched::Event(&event)),
            ];
            for (key, watched) in &mut all {
                readiness.add(watched, *key).unwrap();
                assert_eq!(watched.look_interval().is_some(), matches!(*key, 2 | 3));
            }
            let keys = readiness.wait(until, all.into_iter()).unwrap();
            readiness.remove(&Watched::End(reader), 1);
            readiness.follow(&mut Watched::End(end), 3).unwrap();
            keys
        };
        assert_eq!(ready(&mut reader, &mut end, WaitLimit::Now), [0_u64; 0]);
        writer.write(b"x", plain).unwrap();
        assert_eq!(ready(&mut reader, &mut end, WaitLimit::Done), [1]);
        let client = Raw::connect(&path, false, plain).unwrap();
        event.set();
        assert_eq!(ready(&mut reader, &mut end, WaitLimit::Done), [1, 2, 4]);
        Raw::open(&fifo, Way::Out, false, plain).unwrap().write(b"x", plain).unwrap();
        assert_eq!(reader.read(&mut [0; 8], plain).unwrap(), 1);
        assert_eq!(ready(&mut reader, &mut end, WaitLimit::Done), [2, 3, 4]);
        drop(client);
        // What is over something else has no descriptor that tells.
        let (mut over, _) =
            Raw::over(crate::sys::Threads::new(io::empty(), io::sink()).unwrap()).unwrap();
        assert!(readiness.add(&mut Watched::End(&mut over), 5).is_err());
    }
}
