//! The file of shared memory: it has no name, so nothing of it is left anywhere once no process has it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SeekFrom, Stat, fallocate, ftruncate, memfd_create, seek,
};
use rustix::io::{Errno, pwrite, retry_on_intr};

use crate::error::Obstacle;
use crate::sys::unix::machine::{file_size_limit, memory};
use crate::sys::unix::resource_errors;

/// Makes a file of this size in memory, which has all of its pages: no process is killed for one that is not there.
pub(super) fn create(len: usize) -> io::Result<OwnedFd> {
    create_with(len, 0)
}

/// The same, and behind it so many bytes whose pages are not there yet.
pub(super) fn create_with(len: usize, behind: usize) -> io::Result<OwnedFd> {
    let all = len.saturating_add(behind);
    let [size, whole] = [len, all].map(|len| u64::try_from(len).unwrap_or(u64::MAX));
    let file = empty(all)?;
    if size > 0 {
        retry_on_intr(|| ftruncate(&file, whole)).map_err(told)?;
        retry_on_intr(|| fallocate(&file, FallocateFlags::empty(), 0, size)).map_err(told)?;
    }
    Ok(file)
}

/// Makes a file of these bytes in memory. That takes half of the time of mapping one and copying them.
pub(super) fn with(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = empty(bytes.len())?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let place = u64::try_from(written).unwrap_or(u64::MAX);
        match retry_on_intr(|| pwrite(&file, rest, place)).map_err(told)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => written += n,
        }
    }
    Ok(file)
}

/// Makes an empty file, if it can have so many bytes.
fn empty(len: usize) -> io::Result<OwnedFd> {
    let size = u64::try_from(len).unwrap_or(u64::MAX);
    // The system would end processes before it says that there is not so much.
    if memory().is_some_and(|all| size > all) {
        return Err(Obstacle::ResourceExhausted(NO_MEMORY).into());
    }
    // Above this limit the system would raise a signal.
    if file_size_limit().is_some_and(|limit| size > limit) {
        let small = "the limit of this process for the size of files (`ulimit -f`) is smaller";
        return Err(Obstacle::ResourceExhausted(small).into());
    }
    unnamed()
}

const NO_MEMORY: &str = "this machine has no memory for it";

/// A file that is closed on exec. It is never executed either, where the system knows (Linux 6.3) how to forbid that.
fn unnamed() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(c"typed-pipe", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(c"typed-pipe", flags).map_err(told),
        made => made.map_err(told),
    }
}

/// The number of bytes that the file has room for without another page: fewer than its size if parts are missing.
pub(super) fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// Whether all of a file of this size was written, so that it has all of its pages.
pub(super) fn is_whole(file: BorrowedFd<'_>, size: u64) -> io::Result<bool> {
    // An empty one has no place to ask for. The end counts as a hole.
    Ok(size == 0 || seek(file, SeekFrom::Hole(0))? >= size)
}

/// Names the reason. A page that cannot be made, as where the system promises no more memory than it has, is a bad address.
pub(super) fn told(error: Errno) -> io::Error {
    match error {
        Errno::NOSPC | Errno::FBIG | Errno::FAULT => Obstacle::ResourceExhausted(NO_MEMORY).into(),
        Errno::NOSYS => Obstacle::Unsupported.into(),
        error => resource_errors::told(error.into()),
    }
}
