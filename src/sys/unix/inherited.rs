//! Descriptors that the supervisor of this process opened for it, as systemd does.
#![allow(unsafe_code, reason = "no safe call takes the number of a descriptor")]

use std::env;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process;

use crate::error::Obstacle;

/// The first of them.
const FIRST: libc::c_int = 3;

/// Copies of the descriptors, with their names: the variables are `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`.
pub(crate) fn inherited() -> io::Result<Vec<(String, OwnedFd)>> {
    let pid = env::var("LISTEN_PID").unwrap_or_default();
    if pid.parse() != Ok(process::id()) {
        return Ok(Vec::new());
    }
    let count = env::var("LISTEN_FDS").unwrap_or_default();
    let count = count.parse::<u16>().map_err(|_| Obstacle::BadVariable("LISTEN_FDS"))?;
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let end = FIRST + libc::c_int::from(count);
    let named = |number| Ok((names.next().unwrap_or_default().to_owned(), copy(number, end)?));
    (FIRST..end).map(named).collect()
}

/// A copy, which belongs to the caller alone, and has none of the numbers below `end`: those are of other descriptors. The
/// descriptor itself stays open, and is no longer inherited.
fn copy(number: libc::c_int, end: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call copies a descriptor, or fails if there is none of this number; it touches no memory.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, end) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above; it sets a flag of the descriptor.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: the system returned a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
