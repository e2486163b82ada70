//! The type and the owner of a file.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::retry_on_intr;

use crate::error::Obstacle;

/// The status of the file of this name, without following a link and without opening it.
pub(super) fn look(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Stat> {
    Ok(retry_on_intr(|| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?)
}

/// Whether both are the same file.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Why no process comes by a name any more, if that is so.
pub(super) fn lost(
    there: &io::Result<Stat>,
    is_it: impl FnOnce(&Stat) -> bool,
) -> Option<Obstacle> {
    match there {
        Ok(there) if is_it(there) => None,
        Ok(_) => Some(Obstacle::Replaced),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Obstacle::NameGone),
        // What cannot be told now can be later.
        Err(_) => None,
    }
}

/// Refuses what is not a FIFO.
pub(super) fn ensure_fifo(stat: &Stat) -> Result<(), Obstacle> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Ok(()),
        other => Err(Obstacle::NotAPipe(in_words(other))),
    }
}

/// Refuses what is not a socket.
pub(super) fn ensure_socket(stat: &Stat) -> Result<(), Obstacle> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => Ok(()),
        other => Err(Obstacle::NotASocket(in_words(other))),
    }
}

/// Refuses all but files: a pipe, a socket, a folder, or a descriptor without access.
pub(crate) fn ensure_file(fd: &OwnedFd) -> io::Result<()> {
    match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::RegularFile | FileType::CharacterDevice | FileType::BlockDevice => {}
        other => return Err(Obstacle::OtherHandle(in_words(other), "a file").into()),
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if fcntl_getfl(fd)?.contains(OFlags::PATH) {
        return Err(Obstacle::OtherHandle("a name without access", "a file").into());
    }
    Ok(())
}

pub(super) fn in_words(file: FileType) -> &'static str {
    match file {
        FileType::Fifo => Obstacle::FIFO,
        FileType::RegularFile => Obstacle::FILE,
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Socket => Obstacle::SOCKET,
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}
