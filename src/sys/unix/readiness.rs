//! Which of many descriptors are readable, at a cost that does not depend on how many there are.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::{Event, Raw, Server, resource_errors};
use crate::error::Obstacle;
use crate::sys::WaitLimit;

/// Descriptors, each with a key of its own.
#[derive(Debug)]
pub(crate) struct Readiness(OwnedFd);

impl Readiness {
    pub(crate) fn new() -> io::Result<Self> {
        let made = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from);
        made.map(Self).map_err(resource_errors::told)
    }

    /// Adds a reading end, if its descriptor tells when it is readable.
    pub(crate) fn add_end(&self, end: &Raw, key: u64) -> io::Result<()> {
        if end.waits_by_itself() || end.is_over_carrier() {
            return Err(Obstacle::Unsupported.into());
        }
        self.add(end, key)
    }

    pub(crate) fn remove_end(&self, end: &Raw) {
        self.remove(end);
    }

    /// Goes on with the FIFO to which the end has switched, if it has.
    pub(crate) fn follow(&self, end: &mut Raw, key: u64) -> io::Result<()> {
        // The descriptor of the last one is closed, and so no longer here.
        if end.take_switched() { self.add_end(end, key) } else { Ok(()) }
    }

    pub(crate) fn add_server(&self, server: &Server, key: u64) -> io::Result<()> {
        self.add(server, key)
    }

    pub(crate) fn remove_server(&self, server: &Server) {
        self.remove(server);
    }

    pub(crate) fn add_event(&self, event: &Event, key: u64) -> io::Result<()> {
        self.add(event, key)
    }

    pub(crate) fn remove_event(&self, event: &Event) {
        self.remove(event);
    }

    fn add(&self, fd: impl AsFd, key: u64) -> io::Result<()> {
        let added = epoll::add(&self.0, fd, epoll::EventData::new_u64(key), epoll::EventFlags::IN);
        added.map_err(io::Error::from).map_err(resource_errors::told)
    }

    fn remove(&self, fd: impl AsFd) {
        // It can fail only where it is not there.
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits until one of them is readable or hung up, or the wait ends; gives the keys of some that are.
    pub(crate) fn wait(&self, until: WaitLimit, mut ready: impl FnMut(u64)) -> io::Result<()> {
        let mut events = [MaybeUninit::uninit(); 64];
        let time = match until {
            WaitLimit::Done => None,
            WaitLimit::Now => Some(Duration::ZERO),
            // In whole milliseconds, as every kernel takes them, and never too early.
            WaitLimit::Deadline(end) => {
                let left = end.saturating_duration_since(Instant::now()).min(LONGEST);
                let whole = left.as_nanos().div_ceil(1_000_000);
                Some(Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX)))
            }
        };
        let time = time.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match epoll::wait(&self.0, &mut events, time.as_ref()) {
            Ok((events, _)) => {
                for event in events {
                    ready(event.data.u64());
                }
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The longest single wait.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
