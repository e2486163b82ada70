//! Writes to a pipe without a reader, without SIGPIPE.
//!
//! The runtime of Rust ignores that signal, so that a write returns an error. In a program
//! whose `main` is not Rust's, such a write ends the process, or calls the program's own handler. This crate
//! must cause neither, and any thread may change the action of the signal at any time, even while a write
//! waits for room: so no write relies on the action, and each suppresses the signal itself.
#![allow(unsafe_code, reason = "masks and dispositions of signals have no safe wrapper")]

use std::io::IoSlice;
#[cfg(not(target_vendor = "apple"))]
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
#[cfg(not(target_vendor = "apple"))]
use std::ptr;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(not(target_vendor = "apple"))]
use rustix::io::Errno;
use rustix::io::writev;

/// Writes without raising a signal.
#[cfg(target_os = "linux")]
pub(super) fn write_quietly(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    use rustix::io::{ReadWriteFlags, pwritev2};
    /// `RWF_NOSIGNAL`, since Linux 6.18.
    const NO_SIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
    /// Whether this kernel, or a filter of its system calls, does not know the flag.
    static IS_UNKNOWN: AtomicBool = AtomicBool::new(false);
    if IS_UNKNOWN.load(Ordering::Relaxed) {
        return write_masked(fd, bufs);
    }
    // An offset of -1 is the present position: a pipe has no other.
    match pwritev2(fd, bufs, u64::MAX, NO_SIGNAL) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            IS_UNKNOWN.store(true, Ordering::Relaxed);
            write_masked(fd, bufs)
        }
        written => written,
    }
}

// The filter of Android's system calls may end a program for one that it does not know.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) use write_masked as write_quietly;

/// After [`quiet`] a plain write is enough.
#[cfg(target_vendor = "apple")]
pub(super) fn write_quietly(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    writev(fd, bufs)
}

/// Only macOS has a setting for all writes.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn quiet(_: BorrowedFd<'_>) {}

/// Suppresses the signal of all writes to this pipe.
#[cfg(target_vendor = "apple")]
pub(super) fn quiet(fd: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    /// `F_SETNOSIGPIPE`, as in `sys/fcntl.h`.
    const SET_NO_SIGPIPE: libc::c_int = 73;
    // SAFETY: the command takes an integer and touches no memory; the descriptor is open while borrowed.
    // If it fails, writes are as before.
    unsafe { libc::fcntl(fd.as_raw_fd(), SET_NO_SIGPIPE, 1) };
}

/// Writes with the signal blocked.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn write_masked(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let whole = bufs.iter().map(|buf| buf.len()).sum();
    masked(whole, || writev(fd, bufs))
}

/// Performs a write of so many bytes with the signal blocked in this thread, and removes the signal if the write raised it.
///
/// A signal that was pending before stays: it is not ours. There can be one only if the signal was blocked before.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn masked(
    whole: usize,
    write: impl FnOnce() -> rustix::io::Result<usize>,
) -> rustix::io::Result<usize> {
    let sigpipe = just_sigpipe();
    let mut before = just_sigpipe();
    // SAFETY: both point to sets that live over the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const sigpipe, &raw mut before) };
    let was_blocked = has_sigpipe(&before);
    let pending = was_blocked && is_pending();
    let written = write();
    // If the reader left in the middle, the write returns the bytes before that, and the signal is raised.
    let may_have_raised = match written {
        Ok(bytes) => bytes < whole,
        Err(error) => error == Errno::PIPE,
    };
    if may_have_raised && !pending {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time live over the call; the pointer for the details of the signal is null.
        unsafe { libc::sigtimedwait(&raw const sigpipe, ptr::null_mut(), &raw const now) };
    }
    if !was_blocked {
        // SAFETY: `before` was written by the first call, and lives over this one.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    }
    written
}

/// After [`quiet`] nothing raises the signal.
#[cfg(target_vendor = "apple")]
pub(super) fn masked(
    _: usize,
    write: impl FnOnce() -> rustix::io::Result<usize>,
) -> rustix::io::Result<usize> {
    write()
}

#[cfg(not(target_vendor = "apple"))]
fn just_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointer is to a place for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was made empty above, which makes it a valid one.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE) };
    // SAFETY: it was made a valid set by `sigemptyset`.
    unsafe { set.assume_init() }
}

#[cfg(not(target_vendor = "apple"))]
fn is_pending() -> bool {
    let mut set = just_sigpipe();
    // SAFETY: the pointer is to a valid set, which the call overwrites with another.
    unsafe { libc::sigpending(&raw mut set) };
    has_sigpipe(&set)
}

#[cfg(not(target_vendor = "apple"))]
fn has_sigpipe(set: &libc::sigset_t) -> bool {
    // SAFETY: the set is valid, and only looked at.
    unsafe { libc::sigismember(set, libc::SIGPIPE) == 1 }
}

#[cfg(all(test, not(target_vendor = "apple")))]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a23_both_ways_write_and_tell_of_a_reader_that_is_gone() {
        type WriteQuietly = fn(BorrowedFd<'_>, &[IoSlice<'_>]) -> rustix::io::Result<usize>;
        #[cfg(target_os = "linux")]
        let ways: [WriteQuietly; 2] = [write_quietly, write_masked];
        #[cfg(not(target_os = "linux"))]
        let ways: [WriteQuietly; 1] = [write_masked];
        for way in ways {
            let (read, write) = rustix::pipe::pipe().unwrap();
            assert_eq!(way(write.as_fd(), &[IoSlice::new(b"heard")]), Ok(5));
            drop(read);
            assert_eq!(way(write.as_fd(), &[IoSlice::new(b"unheard")]), Err(Errno::PIPE));
            assert!(!is_pending());
        }
    }

    /// A reader that leaves in the middle of a write raises the signal, though a part of the bytes went.
    #[test]
    fn a23_a_write_that_ends_in_its_middle_leaves_no_signal() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let writing = std::thread::spawn(move || {
            let blocked = just_sigpipe();
            // What is left pending stays so: it can be seen.
            // SAFETY: the set lives over the call.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, ptr::null_mut()) };
            let written = write_masked(write.as_fd(), &[IoSlice::new(&[7; 1 << 20])]);
            (written, is_pending())
        });
        // What is read makes room for more, so that a part is written in any case.
        assert_eq!(rustix::io::read(&read, &mut [0; 1]), Ok(1));
        while rustix::io::ioctl_fionread(&read).unwrap() < 60_000 {
            std::thread::yield_now();
        }
        drop(read);
        let (written, pending) = writing.join().unwrap();
        assert!(matches!(written, Ok(1..0x10_0000)), "{written:?}");
        assert!(!pending);
    }
}
