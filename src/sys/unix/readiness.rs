//! Which of many descriptors are readable, at a cost that does not depend on how many there are.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use rustix::io::Errno;

use super::resource_errors;
use super::wait::whole_milliseconds;
use crate::sys::{WaitLimit, Watched};

/// Descriptors, each with a key of its own.
#[derive(Debug)]
pub(crate) struct Readiness(OwnedFd);

impl Readiness {
    /// Whether a wait for many costs no more and takes no further thread, and reports what was there before.
    #[cfg(feature = "service")]
    pub(crate) const KEEPS_ALL: bool = true;

    pub(crate) fn new() -> io::Result<Self> {
        let made = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from);
        made.map(Self).map_err(resource_errors::told)
    }

    /// Adds something, if its descriptor tells when it is readable.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "other systems change what is watched")]
    pub(crate) fn add(&self, watched: &mut Watched<'_>, key: u64) -> io::Result<()> {
        let (data, readable) = (epoll::EventData::new_u64(key), epoll::EventFlags::IN);
        let added = epoll::add(&self.0, watched.fd()?, data, readable);
        added.map_err(io::Error::from).map_err(resource_errors::told)
    }

    pub(crate) fn remove(&self, watched: &Watched<'_>, _: u64) {
        if let Ok(fd) = watched.fd() {
            // It can fail only where it is not there.
            let _ = epoll::delete(&self.0, fd);
        }
    }

    /// Goes on with another FIFO or socket, if it has switched to one.
    pub(crate) fn follow(&self, watched: &mut Watched<'_>, key: u64) -> io::Result<()> {
        // The last one is closed, and so no longer here.
        if watched.take_switched() { self.add(watched, key) } else { Ok(()) }
    }

    /// Waits until one of them is readable or hung up, or the wait ends; returns the keys of some that are.
    #[allow(single_use_lifetimes, reason = "the oldest Rust cannot leave it out here")]
    pub(crate) fn wait<'a>(
        &self,
        until: WaitLimit,
        _: impl Iterator<Item = (u64, Watched<'a>)>,
    ) -> io::Result<Vec<u64>> {
        let mut events = [MaybeUninit::uninit(); 64];
        match epoll::wait(&self.0, &mut events, whole_milliseconds(until)?.as_ref()) {
            Ok((events, _)) => Ok(events.iter().map(|event| event.data.u64()).collect()),
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
