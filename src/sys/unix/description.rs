//! The open file description of a pipe, which other processes may share.
//!
//! `O_NONBLOCK` belongs to the description: a change applies to every process that has the description by an inherited
//! or a passed descriptor. So this module sets the flag, and remembers it, only on a description that is not shared. If it
//! may be shared, an operation that must not wait goes through another description of the same
//! pipe, opened again for this end alone. Waits go through the first one: it alone knows which writers have left.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, Result, ioctl_fionbio};

use super::fifo;
use super::wait::{ready, until_done};
use crate::sys::{Wait, Way};

/// An open pipe.
#[derive(Debug)]
pub(super) struct Description {
    fd: Arc<OwnedFd>,
    way: Way,
    /// Whether other processes may share it. Then its flags must not change.
    shared: AtomicBool,
    /// Whether it waits, as long as it is not shared.
    nonblocking: bool,
    anew: Anew,
}

/// The same pipe, opened anew, never to wait.
#[derive(Debug)]
enum Anew {
    Untried,
    Open(OwnedFd),
    /// It never will be: there is no such way, or it is forbidden.
    Refused,
}

impl Description {
    /// One that was opened here, not to wait.
    pub(super) fn opened(fd: OwnedFd, way: Way) -> Self {
        Self {
            fd: Arc::new(fd),
            way,
            shared: AtomicBool::new(false),
            nonblocking: true,
            anew: Anew::Untried,
        }
    }

    /// One that came from elsewhere.
    pub(super) fn adopted(fd: OwnedFd, way: Way) -> Self {
        Self {
            fd: Arc::new(fd),
            way,
            shared: AtomicBool::new(true),
            nonblocking: false,
            anew: Anew::Untried,
        }
    }

    /// Lends the descriptor to a caller that may pass it on: from now on it waits, and its flags do not change.
    pub(super) fn show(&self) -> BorrowedFd<'_> {
        if !self.shared.load(Ordering::Acquire) {
            if self.nonblocking {
                // It fails for no descriptor that is open.
                let _ = ioctl_fionbio(&self.fd, false);
            }
            self.shared.store(true, Ordering::Release);
        }
        self.fd.as_fd()
    }

    /// Gives the descriptor away: unchanged if it was shared, else waiting, as callers expect.
    ///
    /// Once this is dropped, the caller has the only descriptor.
    pub(super) fn give(&self) -> Arc<OwnedFd> {
        self.show();
        Arc::clone(&self.fd)
    }

    /// Performs one operation: plainly if nothing else can end the wait, else with `poll`.
    #[inline]
    pub(super) fn attempt(
        &mut self,
        asked: PollFlags,
        wait: Wait<'_>,
        operation: impl FnMut(BorrowedFd<'_>) -> Result<usize>,
    ) -> io::Result<usize> {
        let nonblocking = !wait.is_plain();
        if *self.shared.get_mut() {
            if nonblocking {
                return self.attempt_shared(asked, wait, operation);
            }
        } else if self.nonblocking != nonblocking {
            self.set_nonblocking(nonblocking)?;
        }
        // If another process has set the flag, this waits all the same.
        until_done(self.fd.as_fd(), asked, wait, operation)
    }

    /// Performs an operation that must not wait while others may share the description.
    #[cold]
    fn attempt_shared(
        &mut self,
        asked: PollFlags,
        wait: Wait<'_>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> Result<usize>,
    ) -> io::Result<usize> {
        match self.anew.open(self.fd.as_fd(), self.way) {
            Some(anew) => until_done(self.fd.as_fd(), asked, wait, |_| operation(anew)),
            None => until_done(self.fd.as_fd(), asked, wait, |fd| {
                without_waiting(fd, asked, &mut operation)
            }),
        }
    }

    #[cold]
    fn set_nonblocking(&mut self, nonblocking: bool) -> Result<()> {
        ioctl_fionbio(&self.fd, nonblocking)?;
        self.nonblocking = nonblocking;
        Ok(())
    }
}

impl AsFd for Description {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Anew {
    /// The pipe opened anew, as soon as an operation needs that.
    fn open(&mut self, fd: BorrowedFd<'_>, way: Way) -> Option<BorrowedFd<'_>> {
        if let Self::Untried = self {
            *self = match fifo::reopen(fd, way) {
                Ok(Some(anew)) => Self::Open(anew),
                // The last reader has just left, which the operation will report; or there is no room now.
                Err(Errno::NXIO | Errno::MFILE | Errno::NFILE) => Self::Untried,
                Ok(None) | Err(_) => Self::Refused,
            };
        }
        match &*self {
            Self::Open(anew) => Some(anew.as_fd()),
            Self::Untried | Self::Refused => None,
        }
    }
}

/// Performs an operation that must not wait on a shared description, where no other can be opened.
///
/// The flag is on for this one call, and only if the call has something to do, so that other processes hardly ever see
/// it. The old flags are read each time: other processes may have changed them.
pub(super) fn without_waiting<T>(
    fd: BorrowedFd<'_>,
    asked: PollFlags,
    operation: impl FnOnce(BorrowedFd<'_>) -> Result<T>,
) -> Result<T> {
    match ready(fd, asked, Wait::NOW) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Errno::AGAIN),
        Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
    if fcntl_getfl(fd)?.contains(OFlags::NONBLOCK) {
        return operation(fd);
    }
    ioctl_fionbio(fd, true)?;
    let done = operation(fd);
    // It fails for no descriptor that is open.
    let _ = ioctl_fionbio(fd, false);
    done
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::io::{read, write};
    use rustix::pipe::pipe;

    use super::*;
    use crate::sys::WaitLimit;

    fn late() -> Wait<'static> {
        let end = Instant::now() + Duration::from_millis(20);
        Wait { until: WaitLimit::Deadline(end), token: None }
    }

    /// As where there is no `/proc`, or the pipe is another user's.
    fn refused(fd: &OwnedFd, way: Way) -> Description {
        let fd = fd.try_clone().unwrap();
        Description { anew: Anew::Refused, ..Description::adopted(fd, way) }
    }

    fn waits(fd: &OwnedFd) -> bool {
        !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    #[test]
    fn a25_a_pipe_that_cannot_be_opened_anew_is_left_as_it_was_after_each_operation() {
        for nonblocking in [false, true] {
            let (from, to) = pipe().unwrap();
            for fd in [&from, &to] {
                ioctl_fionbio(fd, nonblocking).unwrap();
            }
            let (mut reader, mut writer) = (refused(&from, Way::In), refused(&to, Way::Out));
            let mut buf = vec![0; 65_536];
            for (wait, kind) in
                [(Wait::NOW, io::ErrorKind::WouldBlock), (late(), io::ErrorKind::TimedOut)]
            {
                let failed = reader.attempt(PollFlags::IN, wait, |fd| {
                    assert!(!waits(&from));
                    read(fd, &mut *buf)
                });
                assert_eq!(failed.unwrap_err().kind(), kind);
                let mut written = 0;
                let failed = loop {
                    let wrote = writer.attempt(PollFlags::OUT, wait, |fd| {
                        assert!(!waits(&to));
                        write(fd, &[7; 10_000])
                    });
                    match wrote {
                        Ok(bytes) => written += bytes,
                        Err(error) => break error,
                    }
                };
                assert_eq!(failed.kind(), kind);
                while written > 0 {
                    written -=
                        reader.attempt(PollFlags::IN, wait, |fd| read(fd, &mut *buf)).unwrap();
                }
                assert_eq!([waits(&from), waits(&to)], [!nonblocking; 2]);
            }
            drop((from, to));
            let forever = Wait { until: WaitLimit::Done, token: None };
            drop(reader);
            let told = writer.attempt(PollFlags::OUT, forever, |fd| write(fd, b"unheard"));
            assert_eq!(told.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a25_nothing_more_is_opened_before_an_operation_must_not_wait() {
        let (from, to) = pipe().unwrap();
        let mut reader = Description::adopted(from, Way::In);
        write(&to, b"12").unwrap();
        let forever = Wait { until: WaitLimit::Done, token: None };
        let mut buf = [0; 1];
        reader.attempt(PollFlags::IN, forever, |fd| read(fd, &mut buf)).unwrap();
        assert!(matches!(reader.anew, Anew::Untried));
        reader.attempt(PollFlags::IN, Wait::NOW, |fd| read(fd, &mut buf)).unwrap();
        assert!(matches!(reader.anew, Anew::Open(_)));
    }
}
