//! A name with one owner in a folder, and the file under it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, Stat, fstat, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::file::{ensure_fifo, ensure_socket, look, lost};
use super::folder::{make_folder, open_folder};
use super::identity::Identity;
use super::lock::{Left, Lock, SPARE, with_ending};
use super::maker::Maker;
use super::name::user_folder;
use super::temporary::{self, TemporaryFolder, is_temporary};
use super::trust;
use crate::error::{ErrorKind, Obstacle};
use crate::sys::{Access, IfExists, Settings, obstacle};

/// A name that is owned. Dropping it removes the name if it is still its own.
#[derive(Debug)]
pub(super) struct OwnedName {
    place: Place,
    /// The folder of its own.
    temporary: Option<TemporaryFolder>,
    kept: bool,
}

/// Where a name is, and what its owner has of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    folder: Arc<OwnedFd>,
    path: Arc<Path>,
    name: OsString,
    held: Arc<Mutex<Held>>,
    /// The process that may remove the name: not a forked child.
    maker: Maker,
}

#[derive(Debug)]
struct Held {
    identity: Identity,
    /// `None` in a folder of its own, whose lock is enough.
    lock: Option<Lock>,
    /// Whether the owner has removed the name, or left it to others.
    released: bool,
}

impl Place {
    pub(super) fn parts(&self) -> (BorrowedFd<'_>, &OsStr) {
        (self.folder.as_fd(), &self.name)
    }

    /// The status of the file of this name.
    pub(super) fn look(&self) -> io::Result<Stat> {
        look(self.folder.as_fd(), &self.name)
    }

    /// Whether this is the file that was put under the name.
    pub(super) fn is(&self, stat: &Stat) -> bool {
        self.held().identity.is(stat)
    }

    /// Whether the name leads to that file.
    pub(super) fn is_there(&self) -> bool {
        self.look().is_ok_and(|there| self.is(&there))
    }

    /// What is held, even after a panic: it is right between any two lines.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the name again that was removed or moved away, with what `occupy` puts there; `None` if it is not lost any
    /// more, or another process has it.
    pub(super) fn take_again<T>(
        &self,
        occupy: impl FnOnce(Site<'_>) -> io::Result<Occupied<T>>,
    ) -> io::Result<Option<T>> {
        if !self.maker.is_this() {
            return Ok(None);
        }
        let taken = self.try_to_take_again(occupy);
        match taken {
            Err(error) if is_lost_for_good(&error) => Ok(None),
            taken => taken,
        }
    }

    fn try_to_take_again<T>(
        &self,
        occupy: impl FnOnce(Site<'_>) -> io::Result<Occupied<T>>,
    ) -> io::Result<Option<T>> {
        let (folder, name) = self.parts();
        let mut held = self.held();
        if held.released || held.identity.has(folder, name)? {
            return Ok(None);
        }
        // The lock may be lost as well. One that cannot be looked at is not: another one in its place would be refused.
        let is_there = held.lock.as_ref().map(|lock| lock.is_there(folder)).transpose()?;
        if is_there == Some(false) {
            held.lock = Some(Lock::take(folder, name)?);
        }
        let lock = held.lock.as_ref();
        lock.map_or(Ok(()), |lock| lock.tell(Left::Own))?;
        let site = Site { folder, path: &self.path, name, left: Left::Nothing, lock };
        let Occupied { identity, what, .. } = occupy(site)?;
        held.identity = identity;
        Ok(Some(what))
    }
}

/// Whether a name cannot be taken again because another process has it, or because its folder is gone.
fn is_lost_for_good(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound)
        || matches!(
            obstacle(error),
            Some(
                Obstacle::InUse
                    | Obstacle::AlreadyExists
                    | Obstacle::NothingLeft
                    | Obstacle::NotAPipe(_)
                    | Obstacle::NotASocket(_)
            )
        )
}

/// A name that this process is about to take, with its lock held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) folder: BorrowedFd<'a>,
    pub(super) path: &'a Path,
    pub(super) name: &'a OsStr,
    /// What a dead owner left under this name.
    pub(super) left: Left,
    lock: Option<&'a Lock>,
}

/// The new file under a name.
#[derive(Debug)]
pub(super) struct Occupied<T> {
    pub(super) identity: Identity,
    pub(super) what: T,
    /// Whether another program made it before.
    pub(super) found: bool,
}

impl OwnedName {
    /// Takes a name, under which `occupy` puts something.
    pub(super) fn take<T>(
        path: &Path,
        settings: &Settings,
        occupy: impl FnOnce(Site<'_>) -> io::Result<Occupied<T>>,
    ) -> io::Result<(Self, T)> {
        ensure_possible(settings)?;
        let (parent, name) = split(path)?;
        if user_folder().is_ok_and(|folder| folder == parent) {
            make_private(parent)?;
        }
        let folder = open_folder(parent)?;
        if !settings.any_folder {
            trust::folder(parent, &fstat(&folder)?)?;
        }
        let lock = Lock::take(folder.as_fd(), &name)?;
        let (left, beside) = (lock.left(), Some(&lock));
        let site = Site { folder: folder.as_fd(), path, name: &name, left, lock: beside };
        match claim_and_occupy(&lock, site, occupy) {
            Ok(Occupied { identity, what, .. }) => Ok((
                Self::new(folder, path, name, Held { identity, lock: Some(lock), released: false }),
                what,
            )),
            Err(error) => {
                // An existing lock file stays: it describes the file beside it, or is another program's.
                if lock.was_made() {
                    lock.remove(folder.as_fd());
                }
                Err(error)
            }
        }
    }

    /// Takes a name in a new folder of its own.
    pub(super) fn temporary<T>(
        settings: &Settings,
        occupy: impl FnOnce(Site<'_>) -> io::Result<Occupied<T>>,
    ) -> io::Result<(PathBuf, Self, T)> {
        ensure_possible(settings)?;
        let (temporary, folder) = TemporaryFolder::make(settings)?;
        let (name, path) = (OsString::from(temporary::NAME), temporary.name());
        let left = Left::Nothing;
        let site = Site { folder: folder.as_fd(), path: &path, name: &name, left, lock: None };
        match occupy(site) {
            Ok(Occupied { identity, what, .. }) => {
                let held = Held { identity, lock: None, released: false };
                let mut owned_name = Self::new(folder, &path, name, held);
                owned_name.temporary = Some(temporary);
                Ok((path, owned_name, what))
            }
            Err(error) => {
                temporary.remove(folder.as_fd());
                Err(error)
            }
        }
    }

    fn new(folder: OwnedFd, path: &Path, name: OsString, held: Held) -> Self {
        let (folder, held) = (Arc::new(folder), Arc::new(Mutex::new(held)));
        let place = Place { folder, path: path.into(), name, held, maker: Maker::this() };
        Self { place, temporary: None, kept: false }
    }

    /// Replaces the file under the name, and returns the old one; `None` if the name is no
    /// longer ours, or this is not the process that made it.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "one thread at a time replaces it")]
    pub(super) fn replace(
        &mut self,
        make: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<Identity>,
    ) -> io::Result<Option<Identity>> {
        if !self.place.maker.is_this() || !self.is_ours()? {
            return Ok(None);
        }
        let (folder, name) = self.place.parts();
        let mut held = self.place.held();
        let new = supersede(folder, name, held.lock.as_ref(), make)?;
        Ok(Some(mem::replace(&mut held.identity, new)))
    }

    /// Whether the name leads to the file that was put there, and this is its owner.
    fn is_ours(&self) -> io::Result<bool> {
        let (folder, name) = self.place.parts();
        let held = self.place.held();
        let superseded = held.lock.as_ref().is_some_and(|lock| lock.is_superseded(folder));
        Ok(!superseded && held.identity.has(folder, name)?)
    }

    /// Removes the name, if it is still ours and this is the process that made it.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        if self.kept || !self.place.maker.is_this() {
            return Ok(());
        }
        if self.is_ours()? {
            let (folder, name) = self.place.parts();
            match retry_on_intr(|| unlinkat(folder, name, AtFlags::empty())) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.leave();
        Ok(())
    }

    /// Leaves the name where it is, without an owner.
    pub(super) fn persist(mut self) {
        if self.place.maker.is_this() {
            if let Some(temporary) = self.temporary.take() {
                temporary.keep(self.place.folder.as_fd());
            }
            self.leave();
        }
    }

    /// The place of the name. An end has a copy, which outlives a borrow of this.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Fails if the name is gone, or leads to something else: then no process comes by it any more.
    pub(super) fn ensure_ours(&self) -> io::Result<()> {
        let there = self.place.look();
        lost(&there, |there| self.place.is(there)).map_or(Ok(()), |why| Err(why.into()))
    }

    /// Whether the name is gone, or leads to something else.
    pub(super) fn is_unlinked(&self) -> bool {
        self.ensure_ours().is_err()
    }

    /// Releases the files beside the name.
    fn leave(&mut self) {
        self.kept = true;
        let folder = self.place.folder.as_fd();
        let mut held = self.place.held();
        held.released = true;
        let lock = held.lock.take();
        drop(held);
        if let Some(lock) = lock {
            lock.remove(folder);
        }
        if let Some(temporary) = self.temporary.take() {
            temporary.remove(folder);
        }
    }
}

impl Drop for OwnedName {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

impl Site<'_> {
    /// Whether the file under the name may be taken.
    pub(super) fn may_take(&self, stat: &Stat, settings: &Settings) -> Result<(), Obstacle> {
        let allowed = match settings.if_exists {
            IfExists::Fail => false,
            IfExists::TakeOver | IfExists::TakeAgain => self.left != Left::Nothing,
            IfExists::Reuse => true,
        };
        if !allowed {
            return Err(match settings.if_exists {
                IfExists::TakeOver | IfExists::TakeAgain => Obstacle::NothingLeft,
                _ => Obstacle::AlreadyExists,
            });
        }
        trust::takeable(stat)
    }

    /// Replaces the file under the name.
    pub(super) fn supersede(
        &self,
        make: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<Identity>,
    ) -> io::Result<Identity> {
        supersede(self.folder, self.name, self.lock, make)
    }

    /// Removes the file under the name.
    pub(super) fn clear(&self) -> io::Result<()> {
        clear(self.folder, self.name)
    }

    /// Lets `make` put a file under another name, and moves it to this one, which must be free: no process finds the file
    /// before it is complete.
    ///
    /// The other name is the spare one, or one that is short and made of the number of the lock file. No other owner uses
    /// it, and the next one finds what this one leaves there when it is killed meanwhile.
    pub(super) fn staged<T>(&self, make: impl Fn(&OsStr) -> io::Result<T>) -> io::Result<T> {
        // Without a lock there is a folder of its own, into which no other process looks.
        let Some(lock) = self.lock else { return make(self.name) };
        if !is_free(self.folder, self.name)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        lock.tell(Left::OwnAndSpare)?;
        let mut made = Err(Obstacle::AlreadyExists.into());
        for name in [spare(self.name), short(lock)?] {
            clear_own(self.folder, &name, ours)?;
            if !is_free(self.folder, &name)? {
                continue;
            }
            made = make(&name).and_then(|made| {
                move_to_free(self.folder, &name, self.name)?;
                Ok(made)
            });
            if made.is_ok() {
                break;
            }
            clear_own(self.folder, &name, ours)?;
            if !made.as_ref().err().is_some_and(is_too_long) {
                break;
            }
        }
        // If this fails, the next owner looks for a spare in vain.
        let _ = lock.tell(Left::Own);
        made
    }
}

/// Moves a file to a name that was free just now.
fn move_to_free(folder: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        let free = RenameFlags::NOREPLACE;
        match retry_on_intr(|| renameat_with(folder, from, folder, to, free)) {
            // Not every file system can do that.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            moved => return Ok(moved?),
        }
    }
    // The lock of the name is held: only a program that knows of no locks is in the way.
    Ok(retry_on_intr(|| renameat(folder, from, folder, to))?)
}

/// Whether a name was too long for an address of a socket.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NAMETOOLONG)
        || matches!(obstacle(error), Some(Obstacle::PathTooLong { .. }))
}

/// Refuses what no owner puts under a spare name.
fn ours(stat: &Stat) -> Result<(), Obstacle> {
    ensure_fifo(stat).or_else(|_| ensure_socket(stat))
}

/// Sets the rights to a new file, whatever the umask. Its group comes first, which never lets in more users.
pub(super) fn set_rights(
    identity: &Identity,
    folder: BorrowedFd<'_>,
    name: &OsStr,
    settings: &Settings,
) -> io::Result<()> {
    if let Access::Group(gid) = settings.access {
        if identity.stat().st_gid != gid {
            identity.set_group(folder, name, gid)?;
        }
    }
    let mode = mode(settings);
    if Mode::from_raw_mode(identity.stat().st_mode) != mode {
        identity.set_mode(folder, name, mode)?;
    }
    Ok(())
}

/// Refuses settings of another system.
fn ensure_possible(settings: &Settings) -> Result<(), Obstacle> {
    match settings.access {
        Access::Sddl(_) => Err(Obstacle::OtherAccess("`Access::Sddl` is of Windows")),
        _ => Ok(()),
    }
}

/// The short name of a file that is about to get a long one.
fn short(lock: &Lock) -> io::Result<OsString> {
    Ok(format!(".{:x}{SPARE}", lock.number()?).into())
}

/// Replaces the file under a name atomically: a process that opens the name finds the old file or the new one, and a
/// shell that writes to it makes no regular file.
///
/// The lock file notes the spare name as long as a file of ours may be there. After a kill in between, the
/// next owner removes that.
fn supersede(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    lock: Option<&Lock>,
    make: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<Identity>,
) -> io::Result<Identity> {
    let tell = |what| lock.map_or(Ok(()), |lock| lock.tell(what));
    let spare = spare(name);
    if !is_free(folder, &spare)? {
        // Another file has the spare name. For a moment our name is missing instead.
        clear(folder, name)?;
        return make(folder, name);
    }
    tell(Left::OwnAndSpare)?;
    let made = make(folder, &spare).and_then(|identity| {
        match retry_on_intr(|| renameat(folder, &spare, folder, name)) {
            Ok(()) => Ok(identity),
            Err(error) => {
                let _ = clear(folder, &spare);
                Err(error.into())
            }
        }
    });
    // If this fails, the next owner looks for a spare in vain.
    let _ = tell(Left::Own);
    made
}

/// Removes the replacement that a killed owner had made under the spare name, or under the short one.
fn sweep(site: Site<'_>) -> io::Result<()> {
    clear_own(site.folder, &spare(site.name), ours)?;
    site.lock.map_or(Ok(()), |lock| clear_own(site.folder, &short(lock)?, ours))
}

/// Removes a file of this user, if there is one of the expected type.
fn clear_own(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    expect: fn(&Stat) -> Result<(), Obstacle>,
) -> io::Result<()> {
    match look(folder, name) {
        Ok(stat) if expect(&stat).is_ok() && trust::own(&stat).is_ok() => clear(folder, name),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether an owner of this crate made the file under a name, or notes that it uses it.
pub(super) fn has_owner(path: &Path) -> bool {
    let Ok((parent, name)) = split(path) else { return false };
    is_temporary(parent, &name) || Lock::is_beside(parent, &name)
}

/// Removes what a dead owner left under a name, if no process holds its lock; returns whether there was something.
#[cfg(feature = "tool")]
pub(super) fn remove_left(folder: BorrowedFd<'_>, path: &Path, name: &OsStr) -> io::Result<bool> {
    let lock = match Lock::take_left(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        lock => lock?,
    };
    let left = lock.left();
    let site = Site { folder, path, name, left, lock: Some(&lock) };
    if left == Left::OwnAndSpare {
        sweep(site)?;
    }
    // What another program made stays.
    if matches!(left, Left::Own | Left::OwnAndSpare) {
        clear_own(folder, name, |stat| ours(stat).and_then(|()| trust::takeable(stat)))?;
    }
    lock.remove(folder);
    Ok(true)
}

/// The names under which the socket of a name may have been bound.
#[cfg(all(feature = "tool", any(target_os = "linux", target_os = "android")))]
pub(super) fn names_beside(name: &OsStr, lock: Option<&Stat>) -> Vec<OsString> {
    let short = lock.map(|lock| format!(".{:x}{SPARE}", lock.st_ino).into());
    [name.to_owned(), spare(name)].into_iter().chain(short).collect()
}

fn spare(name: &OsStr) -> OsString {
    with_ending(name, SPARE)
}

/// Whether there is no file under a name.
fn is_free(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match look(folder, name) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes the file under a name.
pub(super) fn clear(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(retry_on_intr(|| unlinkat(folder, name, AtFlags::empty()))?)
}

/// Puts a file under a name, and notes in the lock file that an owner made it: beforehand, unless there is a file that no
/// owner made.
fn claim_and_occupy<T>(
    lock: &Lock,
    site: Site<'_>,
    occupy: impl FnOnce(Site<'_>) -> io::Result<Occupied<T>>,
) -> io::Result<Occupied<T>> {
    let mut told = site.left;
    if told == Left::OwnAndSpare {
        sweep(site)?;
    }
    if told == Left::Nothing && is_free(site.folder, site.name)? {
        told = Left::Own;
        lock.tell(told)?;
    }
    let occupied = occupy(site)?;
    let what = if occupied.found { Left::Found } else { Left::Own };
    if told != what {
        // Without this, the next owner does not take it over unasked.
        let _ = lock.tell(what);
    }
    Ok(occupied)
}

/// The permission bits of a name.
pub(super) fn mode(settings: &Settings) -> Mode {
    #[allow(clippy::useless_conversion, reason = "the type of a mode differs by system")]
    Mode::from_raw_mode(settings.mode().try_into().unwrap_or(0o600))
}

pub(super) fn split(path: &Path) -> io::Result<(&Path, OsString)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((parent, name.to_owned()))
}

/// Makes the private folder of this user, or checks that the one there is private.
fn make_private(folder: &Path) -> io::Result<()> {
    let (path, name) = split(folder)?;
    let told = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "does not exist",
            io::ErrorKind::NotADirectory => "is no folder",
            io::ErrorKind::PermissionDenied => "this user may not write to",
            io::ErrorKind::ReadOnlyFilesystem => "is of a read-only file system",
            _ => return error,
        };
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Io,
            _ => ErrorKind::NotFound,
        };
        Obstacle::NoPrivateFolder { above: path.to_owned(), why: why.into(), kind }.into()
    };
    let above = open_folder(path).map_err(told)?;
    trust::above_private(path, &fstat(&above)?)?;
    match make_folder(above.as_fd(), &name) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(told(error.into())),
    }
    Ok(trust::private_folder(path, &look(above.as_fd(), &name)?)?)
}
