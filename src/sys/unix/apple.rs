//! The differences of macOS.
#![allow(unsafe_code, reason = "`mkfifo` and `select` have no safe wrapper")]

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{
    FdSetElement, FdSetIter, Timespec, fd_set_insert, fd_set_num_elements, select,
};
use rustix::fs::{Mode, getpath};

/// Makes a FIFO in a folder: `mkfifoat` is too new to be linked to.
pub(super) fn make_fifo(folder: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> io::Result<()> {
    let mut path = getpath(folder)?.into_bytes();
    path.push(b'/');
    path.extend_from_slice(name.as_bytes());
    let path = CString::new(path)?;
    // SAFETY: `path` is a string that ends with NUL and lives over the call; nothing else is pointed to.
    match unsafe { libc::mkfifo(path.as_ptr(), mode.bits()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for bytes or the end of the writers, or for the cancel token; returns whether each came.
///
/// Neither `poll` nor `kqueue` reports that the last writer of a FIFO left; `select` does.
pub(super) fn select_readable(
    fd: BorrowedFd<'_>,
    token: Option<BorrowedFd<'_>>,
    time: Option<&Timespec>,
) -> rustix::io::Result<(bool, bool)> {
    let fd = fd.as_raw_fd();
    let token = token.map(|token| token.as_raw_fd());
    let count = fd.max(token.unwrap_or(0)) + 1;
    // On the heap and as long as it must be: the descriptors may be beyond FD_SETSIZE.
    let mut set = vec![FdSetElement::default(); fd_set_num_elements(2, count)];
    fd_set_insert(&mut set, fd);
    if let Some(token) = token {
        fd_set_insert(&mut set, token);
    }
    // SAFETY: the set has room for every descriptor below `count`, and holds only descriptors that are
    // borrowed over the whole call, hence open.
    unsafe { select(count, Some(&mut set), None, None, time)? };
    let (mut readable, mut cancelled) = (false, false);
    for found in FdSetIter::new(&set) {
        readable |= found == fd;
        cancelled |= Some(found) == token;
    }
    Ok((readable, cancelled))
}
