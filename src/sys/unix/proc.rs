//! The way to an open file by `/proc`, which may not be mounted.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, retry_on_intr};

use crate::error::Obstacle;

/// The path of an open file.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Whether there are such paths. Any other failure of the system is one of those who use them.
pub(super) fn is_mounted() -> bool {
    let found = retry_on_intr(|| rustix::fs::stat("/proc/self/fd"));
    !matches!(found, Err(Errno::NOENT | Errno::NOTDIR))
}

/// Fails with the reason if there are none.
pub(super) fn ensure_mounted(what: &'static str) -> io::Result<()> {
    if is_mounted() { Ok(()) } else { Err(Obstacle::NoProc(what).into()) }
}
