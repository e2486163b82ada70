//! The line between a writer and a reader of a ring, by which each wakes the other.
//!
//! It is a pair of sockets. The flags of each call say whether it waits, so it does not matter what the other side does to
//! flags that are shared. It ends with the last process that has the other side: so no death goes unnoticed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::sys::Wait;
use crate::sys::unix::wait::ready;
use crate::sys::unix::{resource_errors, socket};

#[derive(Debug)]
pub(super) struct Line(OwnedFd);

/// What a sleep came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something new.
    Look,
    /// The other side is gone.
    Gone,
}

impl Line {
    /// The two ends of a line.
    pub(super) fn pair() -> io::Result<[Self; 2]> {
        Ok(socket::pair().map_err(resource_errors::told)?.map(Self))
    }

    /// An end that came from another process: a connected socket of this machine.
    pub(super) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        socket::ensure_stream(&fd)?;
        Ok(Self(fd))
    }

    /// Wakes the other side. A full line has woken it already, and a side that is gone does not sleep.
    ///
    /// It must not fail otherwise, or the other side would sleep for good: where the system has no memory for it at this
    /// moment, it is tried again for a while.
    #[cold]
    pub(super) fn wake(&self) {
        for _ in 0..TRIES {
            match send(&self.0, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) | Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::NOTSOCK) => {
                    return;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if ready(self.0.as_fd(), PollFlags::OUT, Wait::NOW).is_err() {
                        return;
                    }
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Sleeps until the other side wakes this one.
    #[cold]
    pub(super) fn sleep(&self, wait: Wait<'_>) -> io::Result<Woken> {
        if wait.is_plain() {
            if let Some(woken) = self.receive(RecvFlags::empty())? {
                return Ok(woken);
            }
        }
        ready(self.0.as_fd(), PollFlags::IN, wait)?;
        Ok(self.drain())
    }

    /// Forgets the wakeups that have come; says whether there can be more.
    pub(super) fn drain(&self) -> Woken {
        self.receive(RecvFlags::DONTWAIT).ok().flatten().unwrap_or(Woken::Look)
    }

    /// `None` if nothing has come. Several wakeups are one.
    fn receive(&self, flags: RecvFlags) -> io::Result<Option<Woken>> {
        match recv(&self.0, &mut [0_u8; 64], flags) {
            Ok((0, _)) | Err(Errno::CONNRESET) => Ok(Some(Woken::Gone)),
            Err(Errno::AGAIN) => Ok(None),
            Ok(_) | Err(Errno::INTR) => Ok(Some(Woken::Look)),
            Err(error) => Err(resource_errors::told(error.into())),
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

/// So often, and with this pause, a wakeup is tried again.
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
