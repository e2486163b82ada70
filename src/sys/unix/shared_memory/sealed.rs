//! Bytes that no process can change any more.
#![allow(unsafe_code, reason = "the proof that the bytes cannot change stands here")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FileType, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs};
use rustix::io::Errno;

use super::file;
use super::mapping::{Frozen, Writable};
use crate::error::Obstacle;
use crate::sys::unix::file::in_words;

/// A sealed file in memory, and the view of it.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: OwnedFd,
    bytes: Arc<Frozen>,
}

impl Sealed {
    /// Makes a file of zeros, lets it be filled, and seals it.
    pub(crate) fn fill(len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        let file = file::create(len)?;
        let mut view = Writable::new(file.as_fd(), len)?;
        fill(view.bytes());
        drop(view);
        Self::sealing(file, len)
    }

    /// Makes a file of these bytes, and seals it.
    pub(crate) fn copy(bytes: &[u8]) -> io::Result<Self> {
        Self::sealing(file::with(bytes)?, bytes.len())
    }

    /// Seals a file of this size that this process has made.
    fn sealing(file: OwnedFd, len: usize) -> io::Result<Self> {
        seal(file.as_fd())?;
        // SAFETY: the callers have made the file, of this size, and it has just been sealed.
        let bytes = unsafe { Frozen::new(file.as_fd(), len) }?;
        Ok(Self { file, bytes: Arc::new(bytes) })
    }

    /// Looks at what another process made, of `limit` bytes at most.
    pub(crate) fn adopt(file: OwnedFd, limit: usize) -> Result<Self, (OwnedFd, io::Error)> {
        match view(file.as_fd(), limit) {
            Ok(bytes) => Ok(Self { file, bytes: Arc::new(bytes) }),
            Err(error) => Err((file, error)),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, bytes: Arc::clone(&self.bytes) })
    }
}

impl From<Sealed> for OwnedFd {
    fn from(sealed: Sealed) -> Self {
        sealed.file
    }
}

/// With these, a file has the same size and the same bytes for good: no process can take a seal away.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// Seals a file whose writable view is gone.
fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    for _ in 0..TRIES {
        match fcntl_add_seals(file, SEALS.union(SealFlags::SEAL)) {
            // A child that was forked off in the moment between mapping and advice sees it, until it runs a program.
            Err(Errno::BUSY) => thread::sleep(PAUSE),
            sealed => return Ok(sealed?),
        }
    }
    Err(Obstacle::ResourceExhausted("a process that was forked off still writes to the memory")
        .into())
}

const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Maps a file, once it is proved that it cannot change any more, and that all of it is there.
fn view(file: BorrowedFd<'_>, limit: usize) -> io::Result<Frozen> {
    let other = |what| io::Error::from(Obstacle::OtherHandle(what, "sealed bytes"));
    let seals = match fcntl_get_seals(file) {
        Ok(seals) => seals,
        Err(Errno::INVAL | Errno::BADF) => {
            let kind = FileType::from_raw_mode(fstat(file)?.st_mode);
            return Err(other(in_words(kind)));
        }
        Err(error) => return Err(error.into()),
    };
    if !seals.contains(SEALS) {
        return Err(other("memory that its sender could still change"));
    }
    // Huge pages, which have seals too, are a resource of the whole machine.
    if fstatfs(file)?.f_type != TMPFS_MAGIC {
        return Err(other("memory of another kind"));
    }
    // The size is looked at after the seals: before, it could have changed.
    let size = u64::try_from(fstat(file)?.st_size).unwrap_or(u64::MAX);
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    // No slice is larger than that, whatever the limit.
    let limit = limit.min(isize::MAX.unsigned_abs());
    if len > limit {
        return Err(Obstacle::SealedBytesTooLarge { len: size, limit }.into());
    }
    // A missing part would be made of this process's memory when it is read, or kill it where there is none. Its size alone
    // does not tell: memory behind the end counts as well.
    if !file::is_whole(file, size)? {
        return Err(other("memory of which parts are missing"));
    }
    // SAFETY: it has the seals and the size, both for good.
    unsafe { Frozen::new(file, len) }
}

const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
