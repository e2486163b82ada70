//! The lock that shows that the owner of a name is alive.
//!
//! It is a file beside the FIFO, since FIFOs themselves cannot be locked everywhere. The kernel lets go
//! of the lock when the owner dies, however it dies; the file itself stays then, and tells the next owner
//! that the FIFO beside it was left behind.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, openat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use super::file::look;
use crate::error::Obstacle;

/// What the name of the lock has after that of the FIFO.
pub(super) const ENDING: &str = ".lock";

const EXCLUSIVE: FlockOperation = FlockOperation::NonBlockingLockExclusive;

#[derive(Debug)]
pub(super) struct Lock {
    file: OwnedFd,
    name: OsString,
    /// Whether the file was there before: an owner died without removing it.
    left_behind: bool,
}

impl Lock {
    /// Locks a name, or fails with [`Obstacle::InUse`] at once.
    pub(super) fn take(folder: BorrowedFd<'_>, fifo: &OsStr) -> io::Result<Self> {
        let mut name = fifo.to_owned();
        name.push(ENDING);
        loop {
            let (file, left_behind) = open(folder, &name)?;
            let lock = Self { file, name: name.clone(), left_behind };
            let held = match retry_on_intr(|| flock(&lock.file, EXCLUSIVE)) {
                Ok(()) => lock.is_ready(folder),
                Err(Errno::WOULDBLOCK) => return Err(Obstacle::InUse.into()),
                Err(error) => Err(error.into()),
            };
            match held {
                Ok(true) => return Ok(lock),
                Ok(false) => {}
                Err(error) => {
                    // One that stays would tell of an owner that died.
                    if !left_behind {
                        lock.remove(folder);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Gives a new file its mode; tells whether it is still the one of this name.
    fn is_ready(&self, folder: BorrowedFd<'_>) -> io::Result<bool> {
        if !self.left_behind {
            // The umask may have taken from this user what the next owner needs.
            retry_on_intr(|| fchmod(&self.file, Mode::RUSR | Mode::WUSR))?;
        }
        // Between opening and locking, the owner before may have removed the file.
        Ok(leads_to(folder, &self.name, &self.file)? == Some(true))
    }

    /// Whether somebody has removed the file, and another owner has made a lock of its own since.
    pub(super) fn is_superseded(&self, folder: BorrowedFd<'_>) -> bool {
        matches!(leads_to(folder, &self.name, &self.file), Ok(Some(false)))
    }

    /// Whether an owner died and left this name behind.
    pub(super) fn was_left_behind(&self) -> bool {
        self.left_behind
    }

    /// Removes the file, which is ours as long as we hold its lock.
    pub(super) fn remove(self, folder: BorrowedFd<'_>) {
        if !self.is_superseded(folder) {
            // Where it cannot be removed, the next owner takes it over.
            let _ = retry_on_intr(|| unlinkat(folder, &self.name, AtFlags::empty()));
        }
        drop(self.file);
    }
}

/// Whether the name leads to this very file; `None` where there is none of that name.
fn leads_to(folder: BorrowedFd<'_>, name: &OsStr, file: &OwnedFd) -> io::Result<Option<bool>> {
    let file = fstat(file)?;
    match look(folder, name) {
        Ok(there) => Ok(Some((there.st_dev, there.st_ino) == (file.st_dev, file.st_ino))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the file, or makes it: whether it was there is told.
fn open(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<(OwnedFd, bool)> {
    let flags =
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    loop {
        let new = flags | OFlags::CREATE | OFlags::EXCL;
        match retry_on_intr(|| openat(folder, name, new, Mode::RUSR | Mode::WUSR)) {
            Ok(file) => return Ok((file, false)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match retry_on_intr(|| openat(folder, name, flags, Mode::empty())) {
            Ok(file) => {
                let stat = fstat(&file)?;
                let ours = stat.st_uid == geteuid().as_raw();
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !ours {
                    return Err(Obstacle::InUse.into());
                }
                return Ok((file, true));
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
