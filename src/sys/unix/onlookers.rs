//! What can be seen of a name from outside, and the removal of what no process holds: for the program `tpipe`.
//!
//! Looking changes nothing: no lock is tried, and a FIFO is opened only while another process reads it.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Stat, fstat};

use super::file::{ensure_fifo, ensure_socket, in_words, look as status};
use super::folder::open_folder;
use super::lock::{Left, Lock};
use super::owned_name::{remove_left, split};
use super::temporary::{is_temporary, sweep_one};
use super::trust;
use crate::error::Obstacle;
use crate::sys::found::{Cleaned, Found, Holder, Kind, Locked};
use crate::sys::obstacle;

/// What is under a name, and who holds it.
pub(crate) fn look(path: &Path) -> io::Result<Found> {
    let (parent, name) = split(path)?;
    let folder = open_folder(parent)?;
    let there = optional(status(folder.as_fd(), &name))?;
    let lock = Lock::status(folder.as_fd(), &name)?;
    #[allow(unused_mut, reason = "only some systems tell more")]
    let mut found = Found {
        kind: there.as_ref().map_or(Kind::Nothing, kind),
        mode: there.as_ref().map(mode),
        user: there.as_ref().map(|stat| stat.st_uid),
        lock: match &lock {
            None => Locked::No,
            Some((_, Err(why))) => Locked::Not(why.to_string()),
            // Whether it is held is seen below.
            Some((_, Ok(left))) => Locked::Left(matches!(left, Left::Own | Left::OwnAndSpare)),
        },
        processes: None,
        unseen: 0,
        waiting: None,
        clients: None,
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    proc::look(
        folder.as_fd(),
        path,
        &name,
        there.as_ref(),
        lock.as_ref().map(|(lock, _)| lock),
        &mut found,
    );
    Ok(found)
}

/// Removes what a dead owner left under a name, as the next owner would replace it; nothing else, and nothing that a process
/// has open.
pub(crate) fn clean(path: &Path) -> io::Result<Cleaned> {
    let (parent, name) = split(path)?;
    let folder = match open_folder(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cleaned::Nothing),
        folder => folder?,
    };
    trust::folder(parent, &fstat(&folder)?)?;
    let found = look(path)?;
    if let Some(holder) = found.processes.iter().flatten().next() {
        let Holder { process, name, .. } = holder;
        return Ok(Cleaned::Held(format!("process {process} ({name}) has it open")));
    }
    let removed = if is_temporary(parent, &name) {
        let (above, folder) = split(parent)?;
        sweep_one(open_folder(above)?.as_fd(), &folder)
    } else {
        remove_left(folder.as_fd(), path, &name)
    };
    match removed {
        Ok(true) => Ok(Cleaned::Removed),
        Ok(false) => Ok(Cleaned::Nothing),
        Err(error) if matches!(obstacle(&error), Some(Obstacle::InUse)) => {
            Ok(Cleaned::Held("its owner is alive".into()))
        }
        Err(error) => Err(error),
    }
}

fn optional<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn mode(stat: &Stat) -> u32 {
    #[allow(clippy::useless_conversion, reason = "the type differs by system")]
    u32::from(stat.st_mode & 0o7777)
}

fn kind(stat: &Stat) -> Kind {
    if ensure_fifo(stat).is_ok() {
        return Kind::Pipe;
    }
    match ensure_socket(stat) {
        Ok(()) => Kind::Listener,
        Err(_) => Kind::Other(in_words(FileType::from_raw_mode(stat.st_mode))),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod proc {
    use std::collections::BTreeSet;
    use std::ffi::{OsStr, OsString};
    use std::fs;
    use std::os::fd::BorrowedFd;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{Mode, OFlags, openat};
    use rustix::io::{ioctl_fionread, retry_on_intr};

    use super::*;
    use crate::sys::found::Does;
    use crate::sys::unix::owned_name::names_beside;

    /// A file by which it is known.
    type Number = (u64, u64);

    fn number(stat: &Stat) -> Number {
        #[allow(clippy::useless_conversion, reason = "the types differ by system")]
        (stat.st_dev.into(), stat.st_ino.into())
    }

    /// Notes what the system tells of all processes.
    pub(super) fn look(
        folder: BorrowedFd<'_>,
        path: &Path,
        name: &OsStr,
        there: Option<&Stat>,
        lock: Option<&Stat>,
        found: &mut Found,
    ) {
        let Ok(processes) = fs::read_dir("/proc") else { return };
        let sockets = match found.kind {
            Kind::Listener => Sockets::at(path, &names_beside(name, lock)),
            _ => Sockets::default(),
        };
        let file = there.filter(|_| found.kind == Kind::Pipe).map(number);
        let lock = lock.map(number);
        let mut holders = BTreeSet::new();
        for process in processes.filter_map(Result::ok) {
            let Some(id) = process.file_name().to_str().and_then(|id| id.parse().ok()) else {
                continue;
            };
            let Ok(open) = fs::read_dir(process.path().join("fd")) else {
                found.unseen += usize::from(process.path().exists());
                continue;
            };
            for open in open.filter_map(Result::ok) {
                let Ok(target) = fs::read_link(open.path()) else { continue };
                let target = target.to_string_lossy();
                if let Some(socket) = target.strip_prefix("socket:[") {
                    if sockets.listening.contains(socket.trim_end_matches(']')) {
                        holders.insert((id, Does::Listens));
                    }
                    continue;
                }
                // Files have a path, and a status that is asked of no other machine where the name is another.
                if !target.starts_with('/') {
                    continue;
                }
                let Ok(stat) = fs::metadata(open.path()) else { continue };
                let one = Some((stat.dev(), stat.ino()));
                if one != file && one != lock {
                    continue;
                }
                let about = process.path().join("fdinfo").join(open.file_name());
                let about = fs::read_to_string(about).unwrap_or_default();
                if one == file {
                    holders.extend(way(&about).map(|does| (id, does)));
                } else if about.lines().any(is_exclusive) {
                    holders.insert((id, Does::Owns));
                    found.lock = Locked::Held;
                }
            }
        }
        let is_read = holders.iter().any(|(_, does)| *does == Does::Reads);
        if is_read && found.kind == Kind::Pipe {
            // One more reader for a moment, which takes nothing, is seen by nobody.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let opened = retry_on_intr(|| openat(folder, name, flags, Mode::empty()));
            let same =
                opened.ok().filter(|fd| fstat(fd).is_ok_and(|stat| Some(number(&stat)) == file));
            found.waiting = same.and_then(|fd| ioctl_fionread(fd).ok());
        }
        if found.kind == Kind::Listener {
            found.clients = Some(sockets.connected);
        }
        let called = |id: u32| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        let holder = |(process, does): (u32, Does)| {
            let name = called(process).trim_end_matches('\n').to_owned();
            Holder { process, name, does }
        };
        found.processes = Some(holders.into_iter().map(holder).collect());
    }

    /// Which way a file is open, by what the system says about it.
    fn way(about: &str) -> Option<Does> {
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        if flags & OFlags::PATH.bits() != 0 {
            return None;
        }
        Some(match flags & 3 {
            0 => Does::Reads,
            1 => Does::Writes,
            _ => Does::ReadsAndWrites,
        })
    }

    /// Whether a line says that the file is locked as the crate locks it.
    fn is_exclusive(line: &str) -> bool {
        line.starts_with("lock:") && line.contains(" FLOCK ") && line.contains(" WRITE ")
    }

    /// The seven columns of a socket, and its name.
    fn columns(line: &str) -> Option<([&str; 7], &str)> {
        let (mut columns, mut rest) = ([""; 7], line);
        for column in &mut columns {
            (*column, rest) = rest.trim_start_matches(' ').split_once(' ')?;
        }
        Some((columns, rest))
    }

    /// The sockets at a name.
    #[derive(Default)]
    struct Sockets {
        /// The numbers of those at which clients connect.
        listening: BTreeSet<String>,
        connected: usize,
    }

    impl Sockets {
        /// Those of a path, by the names under which they may have been bound.
        fn at(path: &Path, names: &[OsString]) -> Self {
            let mut found = Self::default();
            let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
            let all = fs::read("/proc/net/unix").unwrap_or_default();
            for line in String::from_utf8_lossy(&all).lines().skip(1) {
                let Some(([_, _, _, flags, _, state, inode], bound)) = columns(line) else {
                    continue;
                };
                let bound = Path::new(bound);
                let named =
                    bound.file_name().is_some_and(|name| names.iter().any(|one| one == name));
                // A path by a descriptor, or one that is relative, tells no folder.
                let elsewhere = bound.is_absolute()
                    && !bound.starts_with("/proc")
                    && bound.parent().and_then(|folder| fs::canonicalize(folder).ok()) != parent;
                if !named || elsewhere {
                    continue;
                }
                if flags.ends_with("10000") {
                    found.listening.insert(inode.to_owned());
                } else if state == "03" {
                    found.connected += 1;
                }
            }
            found
        }
    }
}
