//! What many descriptors are, for a wait for all of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::wait::LOOK_AT_NAME;
use crate::error::Obstacle;
use crate::sys::{Watched, Way};

impl Watched<'_> {
    /// The descriptor, if it tells when there is something.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::End(end) if end.waits_by_itself() || end.is_over_carrier() => {
                Err(Obstacle::Unsupported.into())
            }
            Self::End(end) => Ok(end.as_fd()),
            Self::Server(server) => Ok(server.as_fd()),
            Self::Event(event) => Ok(event.as_fd()),
        }
    }

    /// Whether it has another descriptor than when this was asked before.
    pub(super) fn take_switched(&mut self) -> bool {
        match self {
            Self::End(end) => end.take_switched(),
            Self::Server(server) => server.take_renewed(),
            Self::Event(_) => false,
        }
    }

    /// How often it is to be tried although nothing is reported; `None` where all is.
    pub(crate) fn look_interval(&self) -> Option<Duration> {
        match self {
            Self::End(end) => end.look_interval(Way::In),
            Self::Server(_) => Some(LOOK_AT_NAME),
            Self::Event(_) => None,
        }
    }
}
