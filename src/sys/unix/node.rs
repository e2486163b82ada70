//! The name of an allocated FIFO.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, chmod, fstat, mkdir, openat, rmdir, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::fifo;
use super::identity::Identity;
use super::lock::Lock;
use super::name::user_folder;
use super::raw::Raw;
use crate::error::Obstacle;
use crate::sys::{IfExists, Settings, Wait, Way};

/// An allocated name. Dropping it removes the name if it is still its own.
#[derive(Debug)]
pub(crate) struct Node {
    folder: OwnedFd,
    name: OsString,
    identity: Identity,
    /// `None` in a folder of its own, where nobody else looks for a name.
    lock: Option<Lock>,
    /// The folder of its own.
    temporary: Option<PathBuf>,
    /// Who may remove the name: not a child that was forked off.
    maker: u32,
    kept: bool,
    buffer_size: Option<usize>,
}

impl Node {
    pub(crate) fn create(path: &Path, settings: &Settings) -> io::Result<Self> {
        let (parent, name) = split(path)?;
        if parent == user_folder() {
            make_private(parent)?;
        }
        let folder = open_folder(parent)?;
        if !settings.any_folder {
            expect_safe(parent, &fstat(&folder)?)?;
        }
        let lock = Lock::take(folder.as_fd(), &name)?;
        match Self::allocate(folder.as_fd(), &name, settings, lock.was_left_behind()) {
            Ok(identity) => Ok(Self::new(folder, name, identity, Some(lock), settings)),
            Err(error) => {
                // A lock that was left behind stays: it tells of the FIFO beside it.
                if !lock.was_left_behind() {
                    lock.remove(folder.as_fd());
                }
                Err(error)
            }
        }
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let parent =
            std::env::temp_dir().join(format!("typed-pipe-{}", crate::sys::random_name()?));
        make_folder(&parent)?;
        let name = OsString::from("pipe");
        let path = parent.join(&name);
        let made = open_folder(&parent).and_then(|folder| {
            let identity = Self::allocate(folder.as_fd(), &name, settings, false)?;
            Ok((folder, identity))
        });
        match made {
            Ok((folder, identity)) => {
                let mut node = Self::new(folder, name, identity, None, settings);
                node.temporary = Some(parent);
                Ok((path, node))
            }
            Err(error) => {
                let _ = rmdir(&parent);
                Err(error)
            }
        }
    }

    fn new(
        folder: OwnedFd,
        name: OsString,
        identity: Identity,
        lock: Option<Lock>,
        settings: &Settings,
    ) -> Self {
        Self {
            folder,
            name,
            identity,
            lock,
            temporary: None,
            maker: process::id(),
            kept: false,
            buffer_size: settings.buffer_size,
        }
    }

    /// Makes the FIFO, or takes the one that is there if the settings allow it.
    fn allocate(
        folder: BorrowedFd<'_>,
        name: &OsStr,
        settings: &Settings,
        left_behind: bool,
    ) -> io::Result<Identity> {
        #[allow(clippy::useless_conversion, reason = "the type of a mode differs by system")]
        let mode = Mode::from_raw_mode(settings.mode.try_into().unwrap_or(0o600));
        let made = match fifo::make(folder, name, mode) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        let identity = Identity::of(folder, name)?;
        let stat = identity.stat();
        if !made {
            let allowed = match settings.if_exists {
                IfExists::Fail => false,
                IfExists::TakeOver => left_behind,
                IfExists::Reuse => true,
            };
            if !allowed {
                return Err(Obstacle::AlreadyExists.into());
            }
            if stat.st_uid != geteuid().as_raw() {
                return Err(Obstacle::NotTrusted { owner: stat.st_uid.to_string() }.into());
            }
        }
        if Mode::from_raw_mode(stat.st_mode) != mode {
            identity.set_mode(folder, name, mode)?;
        }
        Ok(identity)
    }

    /// Opens an end of this very FIFO.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "an end is open once at a time")]
    pub(crate) fn open(&mut self, way: Way, wait: Wait<'_>) -> io::Result<Raw> {
        let raw = Raw::wait_to_open(way, wait, || {
            match fifo::open(self.folder.as_fd(), &self.name, way, false) {
                Ok(fd) if self.identity.is(&fstat(&fd)?) => Ok(fd),
                Ok(_) => Err(Obstacle::Replaced.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(Obstacle::NameGone.into())
                }
                Err(error) => Err(error),
            }
        })?;
        if let Some(bytes) = self.buffer_size {
            raw.ask_for_buffer(bytes);
        }
        Ok(raw)
    }

    /// Removes the name, if it is still ours and this is the process that made it.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        if self.kept || self.maker != process::id() {
            return Ok(());
        }
        let folder = self.folder.as_fd();
        let superseded = self.lock.as_ref().is_some_and(|lock| lock.is_superseded(folder));
        if !superseded && self.identity.has(folder, &self.name) {
            match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.leave();
        Ok(())
    }

    /// Leaves the name where it is, without an owner.
    pub(crate) fn persist(mut self) {
        if self.maker == process::id() {
            self.temporary = None;
            self.leave();
        }
    }

    /// Whether the name is gone, or leads to something else.
    pub(crate) fn is_orphaned(&self) -> bool {
        !self.identity.has(self.folder.as_fd(), &self.name)
    }

    /// Gives up what stands beside the name.
    fn leave(&mut self) {
        self.kept = true;
        if let Some(lock) = self.lock.take() {
            lock.remove(self.folder.as_fd());
        }
        if let Some(folder) = self.temporary.take() {
            let _ = rmdir(folder);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

fn split(path: &Path) -> io::Result<(&Path, OsString)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((parent, name.to_owned()))
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes a folder for this user alone, whatever the umask.
fn make_folder(path: &Path) -> rustix::io::Result<()> {
    mkdir(path, Mode::RWXU)?;
    chmod(path, Mode::RWXU)
}

/// Makes the folder of this user's pipes, or checks that the one there is private.
fn make_private(folder: &Path) -> io::Result<()> {
    match make_folder(folder) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let stat = rustix::fs::lstat(folder)?;
    let private = Mode::from_raw_mode(stat.st_mode) & (Mode::RWXG | Mode::RWXO) == Mode::empty();
    let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    if is_folder && private && stat.st_uid == geteuid().as_raw() {
        return Ok(());
    }
    Err(Obstacle::UnsafeFolder(folder.to_owned()).into())
}

/// Refuses a folder in which anybody could put another pipe in the place of this one.
fn expect_safe(path: &Path, folder: &Stat) -> Result<(), Obstacle> {
    let mode = Mode::from_raw_mode(folder.st_mode);
    if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
        return Err(Obstacle::UnsafeFolder(path.to_owned()));
    }
    Ok(())
}
