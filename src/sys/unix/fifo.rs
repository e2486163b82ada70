//! FIFOs as files: made, opened, and never created by opening.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::PollFlags;
#[cfg(not(target_vendor = "apple"))]
use rustix::fs::FileType;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, stat};
use rustix::io::{Errno, ioctl_fionread, retry_on_intr};

use super::file::{ensure_fifo, is_same, look};
use super::links::{Target, follow};
use super::wait::ready;
use super::{reader_mark, trust};
use crate::error::Obstacle;
use crate::sys::{Wait, Way, obstacle};

/// Makes a FIFO in a folder. The umask may clear bits of the mode.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn make(folder: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0))?)
}

#[cfg(target_vendor = "apple")]
pub(super) use super::apple::make_fifo as make;

/// How often, and how long, the time of the last write is waited for, where a FIFO holds bytes.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(2);

/// A FIFO that was opened just now.
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    /// What it was before.
    before: Stat,
}

impl Opened {
    /// At least how many bytes were in it before it was opened. They are left over from another reader, which may have
    /// read a part of a message.
    ///
    /// A writer that has waited for a reader may be quick. So it is 0 if anything was written since.
    pub(super) fn left_over(&self) -> io::Result<usize> {
        let mut looks = 0..LOOKS;
        loop {
            let bytes = ioctl_fionread(&self.fd)?;
            if bytes == 0 || written(&fstat(&self.fd)?) != written(&self.before) {
                return Ok(0);
            }
            if looks.next().is_none() {
                return Ok(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            // The system sets the time after it has put the bytes in, and may let another thread run in between.
            thread::sleep(PAUSE);
        }
    }
}

/// When something was written last.
fn written(stat: &Stat) -> (i128, i128) {
    #[allow(clippy::useless_conversion, reason = "the types differ by system")]
    (stat.st_mtime.into(), stat.st_mtime_nsec.into())
}

/// Opens a FIFO without waiting: a writing end without a reader is refused.
///
/// The type of the file is checked before, because opening a device may have an effect, and again after.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    way: Way,
    any_owner: bool,
) -> io::Result<Opened> {
    let before = look(folder, name)?;
    ensure_fifo(&before)?;
    if !any_owner {
        // Before anything is waited for: a stranger's FIFO is none to wait for.
        trust::user(before.st_uid)?;
    }
    let flags = access(way) | UNHELD | OFlags::NOFOLLOW;
    let fd = opened(retry_on_intr(|| openat(folder, name, flags, Mode::empty())))?;
    let stat = fstat(&fd)?;
    ensure_fifo(&stat)?;
    if !any_owner {
        trust::user(stat.st_uid)?;
    }
    Ok(Opened { fd, before })
}

/// Opens the FIFO to which a client's path leads, and returns its name where it has one. Links are followed.
pub(super) fn open_at(
    path: &Path,
    way: Way,
    any_owner: bool,
) -> io::Result<(Opened, Option<PathBuf>)> {
    let link = match follow(path, way, any_owner)? {
        Target::Name(name) => {
            let opened = open(CWD, name.as_os_str(), way, any_owner)?;
            if !any_owner {
                trust::only_name(&opened.before, || folder_of(&name))?;
            }
            return Ok((opened, Some(name)));
        }
        Target::Open(link) => link,
    };
    let before = retry_on_intr(|| stat(&link))?;
    ensure_fifo(&before)?;
    if !any_owner {
        trust::user(before.st_uid)?;
    }
    let open = || rustix::fs::open(&link, access(way) | UNHELD, Mode::empty());
    let fd = opened(retry_on_intr(open))?;
    // The link may lead to another file by now.
    let after = fstat(&fd)?;
    if !is_same(&after, &before) {
        return Err(Obstacle::Replaced.into());
    }
    Ok((Opened { fd, before }, None))
}

/// The status of the folder in which a path has its last part.
pub(super) fn folder_of(path: &Path) -> io::Result<Stat> {
    Ok(retry_on_intr(|| stat(path.parent().unwrap_or(path)))?)
}

/// Whether a process reads from it.
pub(super) fn is_read(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match open(folder, name, Way::Out, false) {
        Ok(_) => Ok(true),
        Err(error) if matches!(obstacle(&error), Some(Obstacle::NoReader)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses a second reader: two would take each other's bytes. A writer tells this one from the next by its mark.
///
/// It holds among readers of this crate, on systems where FIFOs can be locked.
pub(super) fn claim_reading(fd: BorrowedFd<'_>) -> Result<(), Obstacle> {
    match retry_on_intr(|| flock(fd, FlockOperation::NonBlockingLockExclusive)) {
        Err(Errno::WOULDBLOCK) => Err(Obstacle::HasReader),
        _ => {
            reader_mark::set(fd);
            Ok(())
        }
    }
}

/// Whether a writer has the FIFO open, even one that writes nothing; `None` if that cannot be told now. Consumes no bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn has_writer(fd: BorrowedFd<'_>) -> Option<bool> {
    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
    let (_read, copy) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    match retry_on_intr(|| tee(fd, &copy, 1, SpliceFlags::NONBLOCK)) {
        Ok(0) => Some(false),
        Ok(_) | Err(Errno::AGAIN) => Some(true),
        // No memory, or a filter of system calls.
        Err(_) => None,
    }
}

/// The other systems do not report it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn has_writer(_: BorrowedFd<'_>) -> Option<bool> {
    None
}

/// Whether all processes of the other side have left. It is known only on Linux.
pub(super) fn is_left_alone(fd: BorrowedFd<'_>) -> bool {
    // An empty interest asks for nothing but this news.
    cfg!(any(target_os = "linux", target_os = "android"))
        && ready(fd, PollFlags::empty(), Wait::NOW).is_ok()
}

/// Opens the same end of the same pipe again, non-blocking, and without memory of the writers that left.
///
/// The other descriptor stays open meanwhile, so that no writer finds the FIFO without a reader.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn reopen(fd: BorrowedFd<'_>, way: Way) -> rustix::io::Result<Option<OwnedFd>> {
    let path = super::proc::path_of(fd);
    retry_on_intr(|| rustix::fs::open(&path, access(way) | UNHELD, Mode::empty())).map(Some)
}

/// As [`reopen`], by the name of the pipe where there is no other way to it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn reopen_at(
    fd: BorrowedFd<'_>,
    way: Way,
    name: Option<(BorrowedFd<'_>, &OsStr)>,
) -> io::Result<Option<OwnedFd>> {
    match reopen(fd, way) {
        Err(Errno::NOENT) if !super::proc::is_mounted() => {}
        opened => return Ok(opened?),
    }
    let needed = Obstacle::NoProc("a reader without a name that waits for the next writer");
    let Some((folder, name)) = name else { return Err(needed.into()) };
    let flags = access(way) | UNHELD | OFlags::NOFOLLOW;
    let again = match retry_on_intr(|| openat(folder, name, flags, Mode::empty())) {
        Err(Errno::NOENT) => return Err(needed.into()),
        again => again?,
    };
    let (here, there) = (fstat(fd)?, fstat(&again)?);
    let same = is_same(&here, &there);
    if same { Ok(Some(again)) } else { Err(needed.into()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn reopen_at(
    fd: BorrowedFd<'_>,
    way: Way,
    _: Option<(BorrowedFd<'_>, &OsStr)>,
) -> io::Result<Option<OwnedFd>> {
    Ok(reopen(fd, way)?)
}

/// The other systems cannot do that, and forget the writers that left with the read that reported their end.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn reopen(_: BorrowedFd<'_>, _: Way) -> rustix::io::Result<Option<OwnedFd>> {
    Ok(None)
}

fn access(way: Way) -> OFlags {
    match way {
        Way::In => OFlags::RDONLY,
        Way::Out => OFlags::WRONLY,
    }
}

/// The flags of every open: it does not wait, and no child process inherits the descriptor.
const UNHELD: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// An open to write that found no reader has an obstacle of its own.
fn opened(fd: rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match fd {
        Err(Errno::NXIO) => Err(Obstacle::NoReader.into()),
        fd => Ok(fd?),
    }
}
