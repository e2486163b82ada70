//! The folders of temporary names: each has a lock inside, and those that no living process holds are removed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, rmdir, statat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::file::{is_same, look};
use super::folder::{make_folder, open_folder};
use super::lock::{Lock, SPARE};
use super::name::temporary_folder;
use super::trust;
use crate::error::Obstacle;
use crate::sys::{Settings, obstacle};

/// The name in each of these folders.
pub(super) const NAME: &str = "pipe";

/// The prefix of such a folder, before [random digits](crate::sys::random_name).
const PREFIX: &str = "typed-pipe-";
const DIGITS: usize = 32;

/// A folder of this process, as long as its lock is held.
#[derive(Debug)]
pub(super) struct TemporaryFolder {
    path: PathBuf,
    lock: Lock,
}

impl TemporaryFolder {
    /// Makes a folder, after the removal of some that no process holds; returns its descriptor too.
    pub(super) fn make(settings: &Settings) -> io::Result<(Self, OwnedFd)> {
        let path = temporary_folder()?;
        let all = open_folder(&path)?;
        if !settings.any_folder {
            trust::folder(&path, &fstat(&all)?)?;
        }
        sweep(&all);
        let mut tries = 0;
        loop {
            let name = OsString::from(format!("{PREFIX}{}", crate::sys::random_name()?));
            let path = path.join(&name);
            let made = make_folder(all.as_fd(), &name).map_err(io::Error::from);
            let locked = made.and_then(|()| open(all.as_fd(), &name)).and_then(|folder| {
                let lock = Lock::take(folder.as_fd(), OsStr::new(NAME))?;
                Ok((lock, folder))
            });
            match locked {
                Ok((lock, folder)) => return Ok((Self { path, lock }, folder)),
                // Another process found it without the lock, and removed it.
                Err(error) if is_swept(&error) && tries < 10 => tries += 1,
                Err(error) => {
                    let _ = retry_on_intr(|| rmdir(&path));
                    return Err(error);
                }
            }
        }
    }

    /// The path of the name in it.
    pub(super) fn name(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// Removes the folder, which is empty but for the lock.
    pub(super) fn remove(self, folder: BorrowedFd<'_>) {
        self.lock.remove(folder);
        let _ = retry_on_intr(|| rmdir(&self.path));
    }

    /// Leaves the folder where it is: without a lock, no process removes it.
    pub(super) fn keep(self, folder: BorrowedFd<'_>) {
        self.lock.remove(folder);
    }
}

/// Whether a path is that of a temporary name.
pub(super) fn is_temporary(parent: &Path, name: &OsStr) -> bool {
    name == NAME && parent.file_name().is_some_and(is_ours)
}

/// Whether a folder has such a name.
fn is_ours(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

fn is_swept(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || matches!(obstacle(error), Some(Obstacle::InUse))
}

/// The most time that a sweep takes, and the most folders that it looks at. The next one goes on with the others.
const MOST_TIME: Duration = Duration::from_millis(5);
const MOST_FOLDERS: usize = 32;

/// Removes folders whose owners were killed.
fn sweep(all: &OwnedFd) {
    /// How many folders that are still there the last sweeps have looked at.
    static LOOKED_AT: AtomicUsize = AtomicUsize::new(0);
    let (begun, skipped) = (Instant::now(), LOOKED_AT.load(Ordering::Relaxed));
    let Ok(entries) = Dir::read_from(all) else { return };
    let (mut seen, mut removed, mut is_all) = (0, 0, true);
    for entry in entries.map_while(Result::ok) {
        // One at least is looked at, or a slow folder would stay as it is.
        let is_late = seen > skipped && begun.elapsed() > MOST_TIME;
        if is_late || seen >= skipped + MOST_FOLDERS {
            is_all = false;
            break;
        }
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_ours(name) {
            seen += 1;
            if seen > skipped {
                // What cannot be removed stays.
                removed += usize::from(matches!(sweep_one(all.as_fd(), name), Ok(true)));
            }
        }
    }
    LOOKED_AT.store(if is_all { 0 } else { seen - removed }, Ordering::Relaxed);
}

/// Removes a folder, if it is this user's alone and no process holds its lock; returns whether it did.
pub(super) fn sweep_one(all: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    let folder = open(all, name)?;
    let stat = fstat(&folder)?;
    if trust::private_folder(Path::new(name), &stat).is_err() {
        return Ok(false);
    }
    match Lock::take_left(folder.as_fd(), OsStr::new(NAME)) {
        Ok(lock) => {
            for name in [NAME.to_owned(), format!("{NAME}{SPARE}")] {
                clear(folder.as_fd(), name.as_ref())?;
            }
            lock.remove(folder.as_fd());
        }
        // Its owner was killed before it made the lock, or is about to make it: then it makes another folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let same = is_same(&look(all, name)?, &stat);
    if same {
        // Only if nothing else is in it.
        retry_on_intr(|| unlinkat(all, name, AtFlags::REMOVEDIR))?;
    }
    Ok(same)
}

/// Removes a FIFO or a socket, if one is there.
fn clear(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match retry_on_intr(|| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo | FileType::Socket => {
                Ok(retry_on_intr(|| unlinkat(folder, name, AtFlags::empty()))?)
            }
            _ => Err(io::ErrorKind::AlreadyExists.into()),
        },
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a folder, and follows no link.
fn open(all: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(retry_on_intr(|| openat(all, name, flags, Mode::empty()))?)
}
