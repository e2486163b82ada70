//! A name at which clients connect: a socket that listens.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::listen;

use super::description::without_waiting;
use super::file::{ensure_socket, look};
use super::half::halves;
use super::identity::Identity;
use super::owned_name::{Occupied, OwnedName, Site, clear, is_too_long, mode, set_rights};
use super::raw::Raw;
use super::socket::{self, Socket, ask_for_buffer, bind, ensure_socket_of, is_listened_to};
use super::wait::{LOOK_AT_NAME, is_timeout, part_of, until_done};
use super::{resource_errors, rights};
use crate::error::Obstacle;
use crate::sys::{Settings, Wait};

/// A socket that listens. Dropping it removes the name if it is still its own.
#[derive(Debug)]
pub struct Server {
    // In this order: the name goes first, while the socket still listens.
    /// `None` if the socket came from elsewhere: then the name belongs to whoever made it.
    owned_name: Option<OwnedName>,
    socket: OwnedFd,
    buffer_size: Option<usize>,
}

impl Server {
    pub(crate) fn bind(path: &Path, settings: &Settings) -> io::Result<Self> {
        let (owned_name, socket) = OwnedName::take(path, settings, |site| occupy(site, settings))
            .map_err(resource_errors::told)?;
        Ok(Self::new(owned_name, socket, settings))
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let (path, owned_name, socket) =
            OwnedName::temporary(settings, |site| occupy(site, settings))
                .map_err(resource_errors::told)?;
        Ok((path, Self::new(owned_name, socket, settings)))
    }

    fn new(owned_name: OwnedName, socket: OwnedFd, settings: &Settings) -> Self {
        Self { owned_name: Some(owned_name), socket, buffer_size: settings.buffer_size }
    }

    /// Takes a socket that listens already, and returns its path. Other processes may accept from it as well.
    pub(crate) fn adopt(
        socket: OwnedFd,
        settings: &Settings,
    ) -> Result<(PathBuf, Self), (OwnedFd, io::Error)> {
        let wanted = Socket { internet: false, stream: true, listens: true };
        match ensure_socket_of(&socket, wanted).and_then(|()| socket::path_of(&socket)) {
            Ok(path) => {
                let buffer_size = settings.buffer_size;
                Ok((path, Self { owned_name: None, socket, buffer_size }))
            }
            Err(error) => Err((socket, error)),
        }
    }

    /// While there is no client, it looks now and then whether any can come.
    pub(crate) fn accept(&self, wait: Wait<'_>) -> io::Result<(Raw, Raw)> {
        let client = loop {
            let (once, is_all) = part_of(wait, LOOK_AT_NAME);
            match self.accept_once(once) {
                Err(error) if is_timeout(&error) => {
                    if let Some(owned_name) = &self.owned_name {
                        owned_name.ensure_ours()?;
                    }
                    if is_all {
                        return Err(error);
                    }
                }
                accepted => break accepted.map_err(resource_errors::told)?,
            }
        };
        if let Some(bytes) = self.buffer_size {
            ask_for_buffer(client.as_fd(), bytes);
        }
        Ok(Raw::both(halves(client)))
    }

    fn accept_once(&self, wait: Wait<'_>) -> io::Result<OwnedFd> {
        let accept = |fd: BorrowedFd<'_>| match accept(fd) {
            // This client has left; there may be others.
            Err(Errno::CONNABORTED) => Err(Errno::INTR),
            accepted => accepted,
        };
        until_done(self.socket.as_fd(), PollFlags::IN, wait, |fd| match self.owned_name {
            Some(_) => accept(fd),
            None => {
                let client = without_waiting(fd, PollFlags::IN, accept)?;
                // What the listener of others lets in is not known.
                rights::refuse(client.as_fd());
                Ok(client)
            }
        })
    }

    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.owned_name.as_mut().map_or(Ok(()), OwnedName::remove)
    }

    pub(crate) fn is_unlinked(&self) -> bool {
        self.owned_name.as_ref().is_some_and(OwnedName::is_unlinked)
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
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
    use std::fs::read_dir;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    use rustix::fs::Mode;

    use super::super::lock::{Left, Lock};
    use super::*;

    /// What a listener leaves that is killed between its short name and its long one.
    fn begin(folder: &Path, name: &str) -> PathBuf {
        let fd = rustix::fs::open(folder, rustix::fs::OFlags::RDONLY, Mode::empty()).unwrap();
        let lock = Lock::take(fd.as_fd(), name.as_ref()).unwrap();
        lock.tell(Left::OwnAndSpare).unwrap();
        let short = folder.join(format!(".{:x}.next", lock.number().unwrap()));
        drop(UnixListener::bind(&short).unwrap());
        short
    }

    #[test]
    fn the_next_owner_of_a_long_name_removes_the_short_one_that_a_killed_owner_left() {
        let folder = tempfile::tempdir().unwrap();
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
