//! The lock file, which shows that the owner of a name is alive.
//!
//! The file lies beside the FIFO, because FIFOs themselves cannot be locked everywhere. The kernel releases
//! the lock when the owner dies, however it dies; the file itself stays. It is empty until its owner is about
//! to put something under the name: only a lock file with bytes shows the next owner that the file beside it was left
//! behind. Only this user can hold the lock, because no other user may open the file: not even users that may write to
//! the FIFO, and could hold a lock on that.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, ftruncate,
    openat, unlinkat,
};
use rustix::io::{Errno, pread, retry_on_intr};

use super::file::{is_same, look};
use super::machine::file_size_limit;
use super::trust;
use crate::error::Obstacle;
use crate::sys::obstacle;

/// The ending of the lock's name, after the name of the FIFO.
pub(super) const ENDING: &str = ".lock";

/// The ending of the spare name, of a file that is about to replace the FIFO. No longer than the other ending.
pub(super) const SPARE: &str = ".next";

/// How the file is opened.
const FLAGS: OFlags = OFlags::RDWR
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

const NOT_OURS: Obstacle = Obstacle::NotALock("a file of another program");

const EXCLUSIVE: FlockOperation = FlockOperation::NonBlockingLockExclusive;

/// The name of a file beside the one of this name.
pub(super) fn with_ending(name: &OsStr, ending: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(ending);
    name
}

#[derive(Debug)]
pub(super) struct Lock {
    file: OwnedFd,
    name: OsString,
    /// What a dead owner left behind.
    left: Left,
    /// Whether it was not there before.
    made: bool,
}

/// What a dead owner left behind. The length of the lock file encodes it, which takes no room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// There was no owner, or it had put nothing under the name.
    Nothing,
    /// The file under the name, which it made.
    Own,
    /// That, and perhaps a replacement under the [spare](SPARE) name.
    OwnAndSpare,
    /// A file that another program made, and that it used.
    Found,
}

impl Left {
    fn of(stat: &Stat) -> Option<Self> {
        let length = u8::try_from(stat.st_size).ok()?;
        let all = [Self::Nothing, Self::Own, Self::OwnAndSpare, Self::Found];
        all.into_iter().find(|left| left.length() == length)
    }

    fn length(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Own => 1,
            Self::OwnAndSpare => 2,
            Self::Found => 3,
        }
    }
}

impl Lock {
    /// Locks a name, or fails with [`Obstacle::InUse`] at once.
    pub(super) fn take(folder: BorrowedFd<'_>, fifo: &OsStr) -> io::Result<Self> {
        let name = with_ending(fifo, ENDING);
        loop {
            let mut lock = Self::open(folder, &name)?;
            match lock.hold(folder) {
                Ok(true) => return Ok(lock),
                Ok(false) => {}
                Err(error) => {
                    let theirs = matches!(obstacle(&error), Some(Obstacle::InUse));
                    if lock.made && !theirs {
                        lock.remove(folder);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Locks a name only if there is a lock file for it, which no process holds.
    pub(super) fn take_left(folder: BorrowedFd<'_>, fifo: &OsStr) -> io::Result<Self> {
        let name = with_ending(fifo, ENDING);
        trust::lock(&look(folder, &name)?)?;
        let file = Self::reopen(folder, &name)?;
        let mut lock = Self { file, name, left: Left::Nothing, made: false };
        if lock.hold(folder)? { Ok(lock) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Opens a file that is there.
    fn reopen(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        let file = retry_on_intr(|| openat(folder, name, FLAGS, Mode::empty()))?;
        trust::lock(&fstat(&file)?)?;
        Ok(file)
    }

    /// Whether there is a lock file for this name.
    pub(super) fn is_beside(folder: &Path, fifo: &OsStr) -> bool {
        let name = with_ending(fifo, ENDING);
        look(CWD, folder.join(name).as_os_str()).is_ok_and(|stat| {
            // The owner may be another user.
            FileType::from_raw_mode(stat.st_mode).is_file()
                && matches!(Left::of(&stat), Some(Left::Own | Left::OwnAndSpare))
        })
    }

    /// The status of the lock file for this name, and what it says, without opening it; `None` if there is none.
    #[cfg(feature = "tool")]
    pub(super) fn status(
        folder: BorrowedFd<'_>,
        fifo: &OsStr,
    ) -> io::Result<Option<(Stat, Result<Left, Obstacle>)>> {
        let name = with_ending(fifo, ENDING);
        let stat = match look(folder, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            stat => stat?,
        };
        let says = trust::lock(&stat).and_then(|()| Left::of(&stat).ok_or(NOT_OURS));
        Ok(Some((stat, says)))
    }

    /// Opens the file, or makes it.
    fn open(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Self> {
        let of = |file, made| Self { file, name: name.to_owned(), left: Left::Nothing, made };
        loop {
            let new = FLAGS | OFlags::CREATE | OFlags::EXCL;
            match retry_on_intr(|| openat(folder, name, new, Mode::RUSR | Mode::WUSR)) {
                Ok(file) => return Ok(of(file, true)),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            // Before it is opened: a file of another user cannot be.
            match look(folder, name) {
                Ok(there) => trust::lock(&there)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            match Self::reopen(folder, name) {
                Ok(file) => return Ok(of(file, false)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Locks the file; returns whether it is still the one of this name.
    fn hold(&mut self, folder: BorrowedFd<'_>) -> io::Result<bool> {
        match retry_on_intr(|| flock(&self.file, EXCLUSIVE)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Obstacle::InUse.into()),
            Err(error) => return Err(error.into()),
        }
        // The maker of the file may not be the first to lock it. Its bytes were put there under
        // the lock.
        let left = Left::of(&fstat(&self.file)?);
        let left = if self.says_nothing()? { left } else { None };
        self.left = left.ok_or(NOT_OURS)?;
        if self.left == Left::Nothing {
            // The umask may have cleared permissions that the next owner needs.
            retry_on_intr(|| fchmod(&self.file, Mode::RUSR | Mode::WUSR))?;
        }
        // Between opening and locking, the owner before may have removed the file.
        Ok(leads_to(folder, &self.name, &self.file)? == Some(true))
    }

    /// The number of the file, which no other file of its folder has.
    pub(super) fn number(&self) -> io::Result<u64> {
        #[allow(clippy::useless_conversion, reason = "the type differs by system")]
        Ok(fstat(&self.file)?.st_ino.into())
    }

    /// Whether the file is made of zeros, as each lock is: the number of a process is no lock, however short it is.
    fn says_nothing(&self) -> io::Result<bool> {
        let mut bytes = [0; 4];
        retry_on_intr(|| pread(&self.file, &mut bytes, 0))?;
        Ok(bytes == [0; 4])
    }

    /// Notes in the file what is under the name, for the next owner to take over when this one has died.
    pub(super) fn tell(&self, what: Left) -> io::Result<()> {
        // A file that would grow beyond the limit ends the process, by a signal.
        if file_size_limit().is_some_and(|limit| limit < u64::from(what.length())) {
            return Err(Obstacle::FileLimit.into());
        }
        Ok(retry_on_intr(|| ftruncate(&self.file, what.length().into()))?)
    }

    /// Whether the file was removed, and another owner has made a lock of its own since.
    pub(super) fn is_superseded(&self, folder: BorrowedFd<'_>) -> bool {
        matches!(leads_to(folder, &self.name, &self.file), Ok(Some(false)))
    }

    /// Whether the file still has its name.
    pub(super) fn is_there(&self, folder: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(leads_to(folder, &self.name, &self.file)? == Some(true))
    }

    /// What a dead owner left under this name.
    pub(super) fn left(&self) -> Left {
        self.left
    }

    /// Whether the file was not there before.
    pub(super) fn was_made(&self) -> bool {
        self.made
    }

    /// Removes the file, which is ours as long as we hold its lock.
    pub(super) fn remove(self, folder: BorrowedFd<'_>) {
        if !self.is_superseded(folder) {
            // If it cannot be removed, the next owner takes it over.
            let _ = retry_on_intr(|| unlinkat(folder, &self.name, AtFlags::empty()));
        }
        drop(self.file);
    }
}

/// Whether the name leads to this very file; `None` where there is none of that name.
fn leads_to(folder: BorrowedFd<'_>, name: &OsStr, file: &OwnedFd) -> io::Result<Option<bool>> {
    let file = fstat(file)?;
    match look(folder, name) {
        Ok(there) => Ok(Some(is_same(&there, &file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::CWD;

    use super::*;

    /// Of two owners that race, the one that finds the file may lock it before the one that made it.
    #[test]
    fn who_makes_the_file_and_who_locks_it_may_be_two() {
        let folder = tempfile::tempdir().unwrap();
        let folder = openat(CWD, folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        let (folder, name) = (folder.as_fd(), OsStr::new("jobs.lock"));
        let mut maker = Lock::open(folder, name).unwrap();
        let mut other = Lock::open(folder, name).unwrap();
        assert!(maker.made && !other.made);

        assert!(other.hold(folder).unwrap());
        assert_eq!(other.left(), Left::Nothing, "no owner was there before");
        let error = maker.hold(folder).unwrap_err();
        assert!(matches!(obstacle(&error), Some(Obstacle::InUse)), "{error}");

        // It dies before it has made anything, and the next one after that.
        drop(other);
        let owner = Lock::take(folder, OsStr::new("jobs")).unwrap();
        assert_eq!(owner.left(), Left::Nothing);
        owner.tell(Left::Own).unwrap();
        drop(owner);
        let next = Lock::take(folder, OsStr::new("jobs")).unwrap();
        assert_eq!(next.left(), Left::Own);
        next.remove(folder);
        assert!(!maker.hold(folder).unwrap(), "its file has no name any more");
    }
}
