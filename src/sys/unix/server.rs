//! A name at which clients connect: a socket that listens.
#![allow(
    unsafe_code,
    reason = "a descriptor that keeps its number has no safe way to another file"
)]

use std::ffi::OsStr;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::PollFlags;
use rustix::fs::CWD;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::listen;

use super::description::without_waiting;
use super::file::{ensure_socket, look};
use super::half::halves;
use super::identity::Identity;
use super::owned_name::{Occupied, OwnedName, Site, clear, is_too_long, mode, set_rights};
use super::raw::Raw;
use super::socket::{self, Socket, ask_for_buffer, bind, ensure_socket_of, is_listened_to};
use super::wait::{LOOK_AT_NAME, is_timeout, part_of, until_received};
use super::{resource_errors, rights};
use crate::error::Obstacle;
use crate::sys::{IfExists, Settings, Wait};

/// A socket that listens. Dropping it removes the name if it is still its own.
#[derive(Debug)]
pub struct Server {
    // In this order: the name goes first, while the socket still listens.
    name: Name,
    socket: OwnedFd,
    buffer_size: Option<usize>,
    /// With these settings a lost name is taken again.
    again: Option<Settings>,
    /// Whether the descriptor is that of another socket than a moment ago.
    renewed: AtomicBool,
}

/// The name of a socket that listens.
#[derive(Debug)]
enum Name {
    Owned(Box<OwnedName>),
    /// Another process owns it, which listens at the same socket.
    Elsewhere(PathBuf),
}

impl Name {
    /// Fails if no client can come by it any more.
    fn ensure_there(&self) -> io::Result<()> {
        match self {
            Self::Owned(name) => name.ensure_ours(),
            Self::Elsewhere(_) if self.is_unlinked() => Err(Obstacle::NameGone.into()),
            Self::Elsewhere(_) => Ok(()),
        }
    }

    fn is_unlinked(&self) -> bool {
        match self {
            Self::Owned(name) => name.is_unlinked(),
            Self::Elsewhere(path) => {
                let there = look(CWD, path.as_os_str());
                there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            }
        }
    }
}

impl Server {
    pub(crate) fn bind(path: &Path, settings: &Settings) -> io::Result<Self> {
        let (owned_name, socket) = OwnedName::take(path, settings, |site| occupy(site, settings))
            .map_err(resource_errors::told)?;
        Ok(Self::new(Name::Owned(Box::new(owned_name)), socket, settings))
    }

    fn new(name: Name, socket: OwnedFd, settings: &Settings) -> Self {
        let again = (settings.if_exists == IfExists::TakeAgain).then(|| settings.clone());
        Self {
            name,
            socket,
            buffer_size: settings.buffer_size,
            again,
            renewed: AtomicBool::new(false),
        }
    }

    /// Why another process cannot listen at the same socket.
    pub(crate) fn stays(&self) -> Option<&'static str> {
        None
    }

    /// A handle by which another process listens at the same socket.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone().map_err(resource_errors::told)
    }

    /// Listens at a socket whose name another process owns.
    pub(crate) fn shared(path: &Path, socket: OwnedFd) -> Result<Self, (OwnedFd, io::Error)> {
        let kind = Socket { internet: false, stream: true, listens: true };
        match ensure_socket_of(&socket, kind) {
            Ok(()) => Ok(Self::new(Name::Elsewhere(path.to_owned()), socket, &Settings::default())),
            Err(error) => Err((socket, error)),
        }
    }

    /// The same, at the path that the system knows.
    pub(crate) fn adopt(
        socket: OwnedFd,
        settings: &Settings,
    ) -> Result<(PathBuf, Self), (OwnedFd, io::Error)> {
        let mut server = Self::shared(Path::new(""), socket)?;
        server.buffer_size = settings.buffer_size;
        match socket::path_of(&server.socket) {
            Ok(path) => {
                server.name = Name::Elsewhere(path.clone());
                Ok((path, server))
            }
            Err(error) => Err((server.socket, error)),
        }
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let (path, owned_name, socket) =
            OwnedName::temporary(settings, |site| occupy(site, settings))
                .map_err(resource_errors::told)?;
        Ok((path, Self::new(Name::Owned(Box::new(owned_name)), socket, settings)))
    }

    /// While there is no client, it looks now and then whether any can come.
    pub(crate) fn accept(&self, wait: Wait<'_>) -> io::Result<(Raw, Raw)> {
        let client = loop {
            let (once, is_all) = part_of(wait, LOOK_AT_NAME);
            match self.accept_once(once) {
                Err(error) if is_timeout(&error) => {
                    if let Err(lost) = self.name.ensure_there() {
                        // Before its name was lost, a client may have come; the new socket would not have it.
                        match self.accept_once(Wait::NOW) {
                            Err(error) if is_timeout(&error) => {}
                            accepted => break accepted.map_err(resource_errors::told)?,
                        }
                        if !self.take_again()? {
                            return Err(lost);
                        }
                    }
                    if is_all {
                        return Err(error);
                    }
                }
                accepted => break accepted.map_err(resource_errors::told)?,
            }
        };
        Ok(self.raw_of(client))
    }

    /// Accepts a client that is there, without a look at the name.
    #[cfg(feature = "tokio")]
    pub(super) fn accept_here(&self) -> io::Result<(Raw, Raw)> {
        let client = self.accept_once(Wait::NOW).map_err(resource_errors::told)?;
        Ok(self.raw_of(client))
    }

    fn raw_of(&self, client: OwnedFd) -> (Raw, Raw) {
        if let Some(bytes) = self.buffer_size {
            ask_for_buffer(client.as_fd(), bytes);
        }
        Raw::both(halves(client))
    }

    /// Takes its lost name again with a new socket, if its owner wants that; returns whether it has it.
    fn take_again(&self) -> io::Result<bool> {
        let (Name::Owned(name), Some(settings)) = (&self.name, &self.again) else {
            return Ok(false);
        };
        let taken = name.place().take_again(|site| occupy(site, settings));
        if let Some(socket) = taken.map_err(resource_errors::told)? {
            // A client that came by now waits in the new one, whose number is the old one: what waits by that number goes on.
            put_in_place(&socket, &self.socket)?;
            self.set_renewed();
            return Ok(true);
        }
        // Another thread may have been faster.
        Ok(name.ensure_ours().is_ok())
    }

    pub(super) fn set_renewed(&self) {
        self.renewed.store(true, Ordering::Release);
    }

    /// Whether its descriptor is that of another socket than when this was asked before.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn take_renewed(&self) -> bool {
        self.renewed.swap(false, Ordering::Acquire)
    }

    fn accept_once(&self, wait: Wait<'_>) -> io::Result<OwnedFd> {
        let accept = |fd: BorrowedFd<'_>| match accept(fd) {
            // This client has left; there may be others.
            Err(Errno::CONNABORTED) => Err(Errno::INTR),
            accepted => accepted,
        };
        until_received(self.socket.as_fd(), wait, |fd| match self.name {
            Name::Owned(_) => accept(fd),
            Name::Elsewhere(_) => {
                let client = without_waiting(fd, PollFlags::IN, accept)?;
                // What the listener of others lets in is not known.
                rights::refuse(client.as_fd());
                Ok(client)
            }
        })
    }

    pub(crate) fn remove(&mut self) -> io::Result<()> {
        match &mut self.name {
            Name::Owned(name) => name.remove(),
            Name::Elsewhere(_) => Ok(()),
        }
    }

    pub(crate) fn is_unlinked(&self) -> bool {
        self.name.is_unlinked()
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets the number of one descriptor be that of another one, whose file it closes.
fn put_in_place(new: &OwnedFd, old: &OwnedFd) -> io::Result<()> {
    // SAFETY: `old` is open, and stays so with the same number; this second owner of it is never dropped.
    let mut old = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(old.as_raw_fd()) });
    #[cfg(not(target_vendor = "apple"))]
    retry_on_intr(|| rustix::io::dup3(new, &mut old, rustix::io::DupFlags::CLOEXEC))?;
    #[cfg(target_vendor = "apple")]
    {
        retry_on_intr(|| rustix::io::dup2(new, &mut old))?;
        rustix::io::ioctl_fioclex(&*old)?;
    }
    Ok(())
}

/// Makes the socket, listens, and names it.
fn occupy(site: Site<'_>, settings: &Settings) -> io::Result<Occupied<OwnedFd>> {
    let put = |name: &OsStr| put(site, name, settings);
    // A client that may connect finds no name before it has all its rights.
    let put = || match settings.lets_others_in() {
        true => site.staged(put),
        false => match put(site.name) {
            Err(error) if is_too_long(&error) => site.staged(put),
            done => done,
        },
    };
    let (socket, identity) = match put() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            ensure_stale(site, settings)?;
            site.clear()?;
            put()?
        }
        done => done?,
    };
    Ok(Occupied { identity, what: socket, found: false })
}

/// Puts a new socket that listens under a name, which must be free.
fn put(site: Site<'_>, name: &OsStr, settings: &Settings) -> io::Result<(OwnedFd, Identity)> {
    let socket = socket::stream()?;
    // Linux gives the name the mode of the socket, less the umask. It may well fail elsewhere.
    let _ = retry_on_intr(|| rustix::fs::fchmod(&socket, mode(settings)));
    bind(&socket, site, name)?;
    // No client can connect before it listens.
    let begin = || {
        let identity = Identity::of(site.folder, name, ensure_socket)?;
        set_rights(&identity, site.folder, name, settings)?;
        listen(&socket, settings.backlog.into())?;
        Ok(identity)
    };
    match begin() {
        Ok(identity) => Ok((socket, identity)),
        Err(error) => {
            let _ = clear(site.folder, name);
            Err(error)
        }
    }
}

/// Refuses to replace a file that the settings protect, or a socket at which a process listens.
fn ensure_stale(site: Site<'_>, settings: &Settings) -> io::Result<()> {
    let stat = look(site.folder, site.name)?;
    ensure_socket(&stat)?;
    if is_listened_to(site.path)? {
        return Err(Obstacle::InUse.into());
    }
    Ok(site.may_take(&stat, settings)?)
}

#[cfg(not(target_vendor = "apple"))]
fn accept(socket: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    rustix::net::accept_with(socket, rustix::net::SocketFlags::CLOEXEC)
}

#[cfg(target_vendor = "apple")]
fn accept(socket: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let client = rustix::net::accept(socket)?;
    rustix::io::ioctl_fioclex(&client)?;
    rustix::io::ioctl_fionbio(&client, false)?;
    Ok(client)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs::{Permissions, read_dir, set_permissions};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use rustix::fs::Mode;

    use super::super::lock::{Left, Lock};
    use super::super::proc;
    use super::*;

    /// What a listener leaves that is killed between its short name and its long one.
    fn begin(folder: &Path, name: &str) -> PathBuf {
        let fd = rustix::fs::open(folder, rustix::fs::OFlags::RDONLY, Mode::empty()).unwrap();
        let lock = Lock::take(fd.as_fd(), name.as_ref()).unwrap();
        lock.tell(Left::OwnAndSpare).unwrap();
        let name = format!(".{:x}.next", lock.number().unwrap());
        // However long the path of the temporary folder is.
        drop(UnixListener::bind(format!("{}/{name}", proc::path_of(fd.as_fd()))).unwrap());
        folder.join(name)
    }

    #[test]
    fn the_next_owner_of_a_long_name_removes_the_short_one_that_a_killed_owner_left() {
        let folder = tempfile::tempdir().unwrap();
        // Whatever the umask is.
        set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let [ours, theirs] = ["n", "m"].map(|letter| letter.repeat(200));
        let (left, used) = (begin(folder.path(), &ours), begin(folder.path(), &theirs));
        let server = Server::bind(&folder.path().join(&ours), &Settings::default()).unwrap();
        assert!(!left.exists());
        assert!(used.exists(), "that of another name was touched");
        drop(server);
        let names = read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let ours: Vec<_> = names.filter(|name| name.as_bytes().starts_with(b"n")).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}
