//! An open end of a FIFO.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{CWD, OFlags, fcntl_getfl, fstat};
use rustix::io::{read, readv};

use super::description::Description;
use super::file::expect_fifo;
use super::lending::Lending;
use super::wait::{pause, ready, ready_or_time};
use super::{fifo, signal};
use crate::error::Obstacle;
use crate::sys::retry::try_until;
use crate::sys::{Wait, Way};

/// How often a reader that no writer has come to looks whether its pipe still has a name.
const LOOK_AT_NAME: Duration = Duration::from_secs(1);

/// How often a task looks whether the writers have left, where nothing wakes it.
#[cfg(feature = "tokio")]
const LOOK_AT_WRITERS: Duration = Duration::from_millis(20);

/// An open end.
#[derive(Debug)]
pub(super) struct FifoEnd {
    pipe: Description,
    /// What the claim to be the only reader hangs on, once `pipe` was opened anew.
    claim: Option<Description>,
    writers: Writers,
    lending: Lending,
}

/// What a reading end knows of the writers.
///
/// A FIFO that no writer has opened yet reads as if it had ended: only `poll` can tell the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    Awaited,
    /// None came, and the end that macOS tells of once without any is over.
    AwaitedStill,
    Seen,
    Gone,
}

impl FifoEnd {
    fn new(pipe: Description, way: Way) -> Self {
        if way == Way::Out {
            signal::quiet(pipe.as_fd());
        }
        Self { pipe, claim: None, writers: Writers::Awaited, lending: Lending::default() }
    }

    pub(super) fn open(path: &Path, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        Self::wait_to_open(way, wait, || fifo::open(CWD, path.as_os_str(), way, any_owner))
    }

    /// Tries to open until there is what must be there, or the wait ends.
    pub(super) fn wait_to_open(
        way: Way,
        wait: Wait<'_>,
        mut attempt: impl FnMut() -> io::Result<OwnedFd>,
    ) -> io::Result<Self> {
        let fd = try_until(wait, pause, || {
            let fd = attempt()?;
            if way == Way::In {
                fifo::claim_reading(fd.as_fd())?;
            }
            Ok(fd)
        })?;
        Ok(Self::new(Description::opened(fd, way), way))
    }

    pub(super) fn adopt(fd: OwnedFd, way: Way) -> Result<Self, (OwnedFd, io::Error)> {
        match expect_way(&fd, way) {
            Ok(()) => Ok(Self::new(Description::adopted(fd, way), way)),
            Err(error) => Err((fd, error)),
        }
    }

    /// Gives the descriptor away: as it is where it came from elsewhere, else blocking as descriptors are expected to be.
    pub(super) fn into_handle(self) -> OwnedFd {
        let fd = self.pipe.into_fd();
        if let Some(claim) = self.claim {
            // The claim goes with the descriptor.
            drop(claim);
            let _ = fifo::claim_reading(fd.as_fd());
        }
        fd
    }

    /// The descriptor, for others.
    pub(super) fn show(&self) -> BorrowedFd<'_> {
        self.pipe.show()
    }

    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.read_with(wait, |fd| read(fd, &mut *buf))
    }

    pub(super) fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        // The system looks at so many buffers only, and nothing read into none of them is no end.
        let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else { return Ok(0) };
        let bufs = bufs.get_mut(first..).unwrap_or_default();
        self.read_with(wait, |fd| readv(fd, &mut *bufs))
    }

    pub(super) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)], wait)
    }

    pub(super) fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        self.pipe.attempt(PollFlags::OUT, wait, |fd| signal::write_quietly(fd, bufs))
    }

    pub(super) fn lend(&mut self, before: usize, len: usize) -> bool {
        self.lending.lend(self.pipe.as_fd(), before, len)
    }

    pub(super) fn lent(&self) -> &[u8] {
        self.lending.lent()
    }

    pub(super) fn lent_mut(&mut self) -> &mut [u8] {
        self.lending.lent_mut()
    }

    pub(super) fn give(&mut self, wait: Wait<'_>) -> io::Result<usize> {
        let mut lending = mem::take(&mut self.lending);
        let given = self.pipe.attempt(PollFlags::OUT, wait, |fd| lending.give(fd, wait.is_plain()));
        self.lending = lending;
        given
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.pipe)?)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        Err(Obstacle::Unsupported.into())
    }

    /// Asks for a buffer of this size. The system may give another one, or refuse.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn ask_for_buffer(&self, bytes: usize) {
        let mut bytes = bytes;
        // Above the limit for users the system refuses, instead of giving what it would allow.
        while rustix::pipe::fcntl_setpipe_size(&self.pipe, bytes) == Err(rustix::io::Errno::PERM)
            && bytes > 4096
        {
            bytes /= 2;
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn ask_for_buffer(&self, _: usize) {}

    /// Waits until the readers have taken all that was written; `Ok(false)` where the system does not tell.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        try_until(wait, pause, || {
            if rustix::io::ioctl_fionread(&self.pipe)? == 0 {
                return Ok(true);
            }
            // An empty interest asks for nothing but the news that no reader is left.
            match ready(self.pipe.as_fd(), PollFlags::empty(), Wait::NOW) {
                // It may have taken the rest just before it left.
                Ok(()) if rustix::io::ioctl_fionread(&self.pipe)? == 0 => Ok(true),
                Ok(()) => Err(rustix::io::Errno::PIPE.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(Obstacle::NotTaken.into())
                }
                Err(error) => Err(error),
            }
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn wait_until_taken(&self, _: Wait<'_>) -> io::Result<bool> {
        Ok(false)
    }

    /// Waits until a writer has come. On Apple's systems, one that has written nothing yet does not show.
    pub(super) fn wait_for_writer(&self, wait: Wait<'_>) -> io::Result<()> {
        try_until(wait, pause, || {
            if self.writers != Writers::Awaited
                || fifo::has_writer(self.pipe.as_fd())? == Some(true)
            {
                return Ok(());
            }
            if cfg!(target_vendor = "apple") {
                // Without any writer, `select` may tell of an end all the same.
                let bytes = rustix::io::ioctl_fionread(&self.pipe)?;
                return if bytes > 0 { Ok(()) } else { Err(Obstacle::NoWriter.into()) };
            }
            match ready(self.pipe.as_fd(), PollFlags::IN, Wait::NOW) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(Obstacle::NoWriter.into())
                }
                done => done,
            }
        })
    }

    /// After the last writer left: the next read waits for the next writer.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        if let Some(fd) = fifo::reopen(self.pipe.as_fd(), Way::In)? {
            // The claim is not let go of in between: another reader may be waiting for just that.
            let before = mem::replace(&mut self.pipe, Description::opened(fd, Way::In));
            self.claim.get_or_insert(before);
        }
        self.writers = Writers::Awaited;
        Ok(())
    }

    /// How long a reader may wait to be woken before it [looks](Self::look) by itself; `None` where it is always woken.
    #[cfg(feature = "tokio")]
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.writers {
            // Only `select` tells of the end of the writers there, and no task can wait for that.
            _ if cfg!(target_vendor = "apple") => Some(LOOK_AT_WRITERS),
            Writers::Awaited | Writers::AwaitedStill => Some(LOOK_AT_NAME),
            Writers::Seen | Writers::Gone => None,
        }
    }

    /// What a reader must see for itself, beside whether there is something to read.
    #[cfg(feature = "tokio")]
    pub(super) fn look(&self) -> io::Result<()> {
        match self.writers {
            Writers::Awaited | Writers::AwaitedStill => self.expect_name(),
            Writers::Seen | Writers::Gone => Ok(()),
        }
    }

    fn read_with(
        &mut self,
        wait: Wait<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match self.writers {
                Writers::Gone => return Ok(0),
                Writers::Seen => {}
                Writers::Awaited | Writers::AwaitedStill => {
                    self.await_writer(wait)?;
                }
            }
            let read = self.pipe.attempt(PollFlags::IN, wait, &mut read)?;
            if read == 0 && cfg!(target_vendor = "apple") && self.writers == Writers::Awaited {
                self.writers = Writers::AwaitedStill;
                continue;
            }
            self.writers = if read == 0 { Writers::Gone } else { Writers::Seen };
            return Ok(read);
        }
    }

    /// Waits for bytes or for the end of the writers, as long as a writer can come.
    fn await_writer(&self, wait: Wait<'_>) -> io::Result<()> {
        while !ready_or_time(self.pipe.as_fd(), PollFlags::IN, LOOK_AT_NAME, wait)? {
            self.expect_name()?;
        }
        Ok(())
    }

    /// Fails where no writer is there, and none can come by the name any more.
    fn expect_name(&self) -> io::Result<()> {
        if fstat(&self.pipe)?.st_nlink == 0 && fifo::has_writer(self.pipe.as_fd())? == Some(false) {
            return Err(Obstacle::NameGone.into());
        }
        Ok(())
    }
}

impl AsFd for FifoEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Refuses what is not a pipe, or not open this way.
fn expect_way(fd: &OwnedFd, way: Way) -> io::Result<()> {
    expect_fifo(&fstat(fd)?)?;
    let flags = fcntl_getfl(fd)?;
    let (access, wanted) = match way {
        Way::In => (OFlags::RDONLY, "reading alone"),
        Way::Out => (OFlags::WRONLY, "writing alone"),
    };
    if flags & OFlags::RWMODE != access {
        return Err(Obstacle::WrongDirection(wanted).into());
    }
    Ok(())
}
