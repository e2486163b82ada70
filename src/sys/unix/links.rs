//! Symbolic links on a client's way to a FIFO, the links to open files in `/proc` and `/dev/fd` included.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, open, readlinkat, stat};
use rustix::io::{Errno, retry_on_intr};

use super::file::look;
use super::trust;
use crate::sys::Way;

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Target {
    /// To a name that is no link, whether or not there is a file.
    Name(PathBuf),
    /// Through this link to an open file, which may have no name.
    Open(PathBuf),
}

/// The most links on the way, as for the system.
const MOST: usize = 40;

/// How a folder is opened that may be searched, and perhaps not read.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEARCHED: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEARCHED: OFlags = OFlags::RDONLY;

/// Follows the links that a path names, each of which must be trusted.
pub(super) fn follow(path: &Path, way: Way, any_owner: bool) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let link = match look(CWD, path.as_os_str()) {
            Ok(there) if FileType::from_raw_mode(there.st_mode).is_symlink() => there,
            // What is wrong with it shows when it is opened.
            _ => return Ok(Target::Name(path)),
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Target::Name(path));
        };
        let flags = SEARCHED | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = retry_on_intr(|| open(parent, flags, Mode::empty()))?;
        if !any_owner {
            trust::link(&fstat(&folder)?, &link)?;
        }
        if is_of_open_files(&folder, parent)? {
            ensure_way(&link, way)?;
            return Ok(Target::Open(path));
        }
        let target = retry_on_intr(|| readlinkat(&folder, name, Vec::new()))?;
        let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target.as_bytes());
        path = parent.join(target);
    }
    Err(Errno::LOOP.into())
}

/// The status of the file to which a path leads.
pub(super) fn status(path: &Path, way: Way, any_owner: bool) -> io::Result<Stat> {
    match follow(path, way, any_owner)? {
        Target::Name(name) => look(CWD, name.as_os_str()),
        Target::Open(link) => Ok(retry_on_intr(|| stat(&link))?),
    }
}

/// Whether the links of a folder are open files: those of `/proc/…/fd`, and so of `/dev/fd`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_of_open_files(folder: &std::os::fd::OwnedFd, path: &Path) -> io::Result<bool> {
    use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};
    let of_processes = fstatfs(folder)?.f_type == PROC_SUPER_MAGIC;
    Ok(of_processes && path.file_name().is_some_and(|name| name == "fd"))
}

/// Elsewhere they are no links.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_of_open_files(_: &std::os::fd::OwnedFd, _: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Refuses an open file that is not open this way, of which the bits of its link tell.
fn ensure_way(link: &Stat, way: Way) -> Result<(), crate::error::Obstacle> {
    let (bit, wanted) = match way {
        Way::In => (Mode::RUSR, "reading"),
        Way::Out => (Mode::WUSR, "writing"),
    };
    if Mode::from_raw_mode(link.st_mode).contains(bit) {
        return Ok(());
    }
    Err(crate::error::Obstacle::WrongDirection(wanted))
}
