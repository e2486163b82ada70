//! FIFOs as files: made, opened, and never created by opening.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

#[cfg(not(target_vendor = "apple"))]
use rustix::fs::FileType;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, openat};
use rustix::io::{Errno, retry_on_intr};

use super::file::{expect_fifo, expect_trusted, look};
use crate::error::Obstacle;
use crate::sys::Way;

/// Makes a FIFO in a folder. The umask may take bits from the mode.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn make(folder: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0))?)
}

#[cfg(target_vendor = "apple")]
pub(super) use super::apple::make_fifo as make;

/// Opens a FIFO, never waiting: a writing end that finds no reader is refused.
///
/// What the name leads to is looked at before, since opening a device may do something, and again on
/// what was opened.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    way: Way,
    any_owner: bool,
) -> io::Result<OwnedFd> {
    expect_fifo(&look(folder, name)?)?;
    let flags = access(way) | UNHELD | OFlags::NOFOLLOW;
    let fd = match retry_on_intr(|| openat(folder, name, flags, Mode::empty())) {
        Ok(fd) => fd,
        Err(Errno::NXIO) => return Err(Obstacle::NoReader.into()),
        Err(error) => return Err(error.into()),
    };
    let stat = fstat(&fd)?;
    expect_fifo(&stat)?;
    if !any_owner {
        expect_trusted(&stat)?;
    }
    Ok(fd)
}

/// Refuses to read where another end reads: two readers would take each other's bytes.
///
/// It holds among readers of this crate, and where FIFOs can be locked, which is not everywhere.
pub(super) fn claim_reading(fd: BorrowedFd<'_>) -> Result<(), Obstacle> {
    match retry_on_intr(|| flock(fd, FlockOperation::NonBlockingLockExclusive)) {
        Err(Errno::WOULDBLOCK) => Err(Obstacle::HasReader),
        _ => Ok(()),
    }
}

/// Whether a writer has the FIFO open, be it one that says nothing. Takes nothing out.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn has_writer(fd: BorrowedFd<'_>) -> io::Result<Option<bool>> {
    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
    let (_read, copy) = pipe_with(PipeFlags::CLOEXEC)?;
    match retry_on_intr(|| tee(fd, &copy, 1, SpliceFlags::NONBLOCK)) {
        Ok(0) => Ok(Some(false)),
        Ok(_) | Err(Errno::AGAIN) => Ok(Some(true)),
        Err(error) => Err(error.into()),
    }
}

/// The other systems do not tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn has_writer(_: BorrowedFd<'_>) -> io::Result<Option<bool>> {
    Ok(None)
}

/// Opens the same end of the same pipe once more, not to wait, and with no memory of the writers that left.
///
/// The other descriptor stays open meanwhile, so that no writer finds the FIFO without a reader.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn reopen(fd: BorrowedFd<'_>, way: Way) -> rustix::io::Result<Option<OwnedFd>> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    retry_on_intr(|| rustix::fs::open(&path, access(way) | UNHELD, Mode::empty())).map(Some)
}

/// On the other systems there is no way to that, and the writers that left are forgotten by the read that told of them.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn reopen(_: BorrowedFd<'_>, _: Way) -> rustix::io::Result<Option<OwnedFd>> {
    Ok(None)
}

fn access(way: Way) -> OFlags {
    match way {
        Way::In => OFlags::RDONLY,
        Way::Out => OFlags::WRONLY,
    }
}

/// What waits for nobody, and is nobody else's.
const UNHELD: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
