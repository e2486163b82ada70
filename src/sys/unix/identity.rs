//! The identity of a file, independent of its name.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::OwnedFd;

use rustix::fs::Gid;
use rustix::fs::{Mode, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::file::{is_same, look};
use crate::error::Obstacle;

/// The identity of a file. While it is kept, no other file takes its number.
#[derive(Debug)]
pub(super) struct Identity {
    stat: Stat,
    keep: Keep,
}

impl Identity {
    /// Takes the identity of the file of this name, if it is of the expected type.
    pub(super) fn of(
        folder: BorrowedFd<'_>,
        name: &OsStr,
        expect: fn(&Stat) -> Result<(), Obstacle>,
    ) -> io::Result<Self> {
        let (keep, stat) = Keep::hold(folder, name)?;
        expect(&stat)?;
        Ok(Self { stat, keep })
    }

    /// Whether this is the same file.
    pub(super) fn is(&self, stat: &Stat) -> bool {
        let same = is_same(stat, &self.stat);
        same && self.keep.is(stat)
    }

    /// Its status when it was opened.
    pub(super) fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Whether the name still leads to it.
    pub(super) fn has(&self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
        match look(folder, name) {
            Ok(stat) => Ok(self.is(&stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives it to a group.
    pub(super) fn set_group(
        &self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        gid: u32,
    ) -> io::Result<()> {
        match self.keep.set_group(folder, name, Gid::from_raw(gid)) {
            Err(Errno::PERM) => Err(Obstacle::NotInGroup(gid).into()),
            done => Ok(done?),
        }
    }

    /// Sets its permission bits, whatever the umask.
    pub(super) fn set_mode(
        &self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        mode: Mode,
    ) -> io::Result<()> {
        self.keep.set_mode(folder, name, mode)
    }
}

/// Wakes processes that block in the system's own `open` of a FIFO whose other side no process will open any more. They
/// find that no process is there.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn let_go(fifo: &Identity) {
    use std::os::fd::AsFd;

    use rustix::fs::OFlags;
    let path = super::proc::path_of(fifo.keep.0.as_fd());
    for access in [OFlags::RDONLY, OFlags::WRONLY] {
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        // Closed at once: bytes that they write meanwhile would be lost.
        drop(retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty())));
    }
}

/// On the other systems, a file without a name cannot be opened.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn let_go(_: &Identity) {}

/// A descriptor of the file itself, which is neither a reader nor a writer.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
struct Keep(OwnedFd);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Keep {
    fn hold(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<(Self, Stat)> {
        use rustix::fs::{OFlags, fstat, openat};
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = retry_on_intr(|| openat(folder, name, flags, Mode::empty()))?;
        let stat = fstat(&file)?;
        Ok((Self(file), stat))
    }

    fn is(&self, _: &Stat) -> bool {
        true
    }

    fn set_group(&self, _: BorrowedFd<'_>, _: &OsStr, gid: Gid) -> rustix::io::Result<()> {
        use rustix::fs::{AtFlags, chownat};
        retry_on_intr(|| chownat(&self.0, "", None, Some(gid), AtFlags::EMPTY_PATH))
    }

    fn set_mode(&self, folder: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> io::Result<()> {
        use rustix::fs::{AtFlags, chmodat, fstat};
        use std::os::fd::AsFd;
        // `fchmod` refuses such descriptors; the way through /proc leads to the same file.
        let path = super::proc::path_of(self.0.as_fd());
        match retry_on_intr(|| rustix::fs::chmod(&path, mode)) {
            Err(Errno::NOENT) if !super::proc::is_mounted() => {}
            done => return Ok(done?),
        }
        // By its name: in a folder that is trusted, no other user puts a link there meanwhile.
        let (here, there) = (fstat(&self.0)?, look(folder, name)?);
        if !is_same(&here, &there) {
            return Err(Obstacle::Replaced.into());
        }
        Ok(retry_on_intr(|| chmodat(folder, name, mode, AtFlags::empty()))?)
    }
}

/// The birth time, on systems where the inode number may be reused.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
struct Keep {
    birth: (i64, i64),
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Keep {
    fn hold(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<(Self, Stat)> {
        let stat = look(folder, name)?;
        Ok((Self { birth: birth(&stat) }, stat))
    }

    fn is(&self, stat: &Stat) -> bool {
        self.birth == birth(stat)
    }

    fn set_group(&self, folder: BorrowedFd<'_>, name: &OsStr, gid: Gid) -> rustix::io::Result<()> {
        use rustix::fs::{AtFlags, chownat};
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        retry_on_intr(|| chownat(folder, name, None, Some(gid), flags))
    }

    fn set_mode(&self, folder: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> io::Result<()> {
        use rustix::fs::AtFlags;
        Ok(retry_on_intr(|| rustix::fs::chmodat(folder, name, mode, AtFlags::SYMLINK_NOFOLLOW))?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn birth(stat: &Stat) -> (i64, i64) {
    (stat.st_birthtime, stat.st_birthtime_nsec)
}
