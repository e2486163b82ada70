//! The mark of a FIFO's reader, by which its writer tells it from the next one.
//!
//! A lock of one byte at a random place of the FIFO, which has no bytes of its own. It belongs to the open file
//! description, and goes with the last descriptor of it, however the process ends.
#![allow(unsafe_code, reason = "locks of open file descriptions have no safe wrapper")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Marks a reading end. Where the system refuses, the end stays without a mark.
pub(super) fn set(fd: BorrowedFd<'_>) {
    let Ok(random) = getrandom::u64() else { return };
    let start = i64::try_from(random >> 2).unwrap_or_default();
    let _ = lock(fd, libc::F_OFD_SETLK, libc::F_RDLCK, start, 1);
}

/// The mark of the reader of this writing end, if there is a reader that has one.
pub(super) fn get(fd: BorrowedFd<'_>) -> Option<i64> {
    let found = lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, 0, 0)?;
    (i32::from(found.l_type) == libc::F_RDLCK).then_some(found.l_start)
}

fn lock(
    fd: BorrowedFd<'_>,
    command: libc::c_int,
    kind: libc::c_int,
    start: i64,
    len: i64,
) -> Option<libc::flock64> {
    let mut lock = libc::flock64 {
        l_type: libc::c_short::try_from(kind).ok()?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).ok()?,
        l_start: start,
        l_len: len,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open while borrowed, and both commands read and write one `flock64`, which is alive and
    // lent to nothing else during the call.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut lock) };
    (done == 0).then_some(lock)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{CWD, Mode, OFlags, open};

    use super::*;
    use crate::sys::unix::fifo;

    #[test]
    fn a_mark_lasts_as_long_as_its_reader_and_is_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let folder = open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        fifo::make(folder.as_fd(), "fifo".as_ref(), Mode::RWXU).unwrap();
        let reader = || {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            rustix::fs::openat(CWD, &path, flags, Mode::empty()).unwrap()
        };
        let first = reader();
        let writer = open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        assert_eq!(get(writer.as_fd()), None);
        set(first.as_fd());
        let mark = get(writer.as_fd());
        assert!(mark.is_some());
        assert_eq!(get(writer.as_fd()), mark);
        let copy = first.try_clone().unwrap();
        drop(first);
        assert_eq!(get(writer.as_fd()), mark);
        drop(copy);
        assert_eq!(get(writer.as_fd()), None);
        let second = reader();
        set(second.as_fd());
        assert_ne!(get(writer.as_fd()), mark);
    }
}
