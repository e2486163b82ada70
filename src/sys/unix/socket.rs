//! Unix domain sockets: making, binding, connecting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat, stat};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, getpeername, getsockname, sockopt};

use super::file::{ensure_socket, ensure_trusted, ensure_trusted_user};
use super::owned_name::Site;
use super::peer::Credentials;
use super::rights;
use super::wait::{pause, ready};
use crate::error::Obstacle;
use crate::sys::retry::try_until;
use crate::sys::{Wait, WaitLimit, obstacle};

/// Requests buffers of this size. The system may set another size.
pub(super) fn ask_for_buffer(socket: BorrowedFd<'_>, bytes: usize) {
    let _ = sockopt::set_socket_send_buffer_size(socket, bytes);
    let _ = sockopt::set_socket_recv_buffer_size(socket, bytes);
}

/// A non-blocking socket that is closed on exec and refuses handles.
pub(super) fn stream() -> io::Result<OwnedFd> {
    let socket = make()?;
    rights::refuse(socket.as_fd());
    Ok(socket)
}

#[cfg(not(target_vendor = "apple"))]
fn make() -> io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(target_vendor = "apple")]
fn make() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::ioctl_fioclex(&socket)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The two sides of a connection that has no name.
pub(super) fn pair() -> io::Result<[OwnedFd; 2]> {
    let (one, other) = UnixStream::pair()?;
    let sockets = [one, other].map(OwnedFd::from);
    sockets.iter().for_each(|socket| rights::refuse(socket.as_fd()));
    Ok(sockets)
}

/// Refuses all but a connected stream socket of this machine.
pub(super) fn ensure_stream(fd: &OwnedFd) -> io::Result<()> {
    ensure_socket(&fstat(fd)?)?;
    if getsockname(fd)?.address_family() != AddressFamily::UNIX {
        return Err(Obstacle::NotASocket("a socket of another family").into());
    }
    if sockopt::socket_type(fd)? != SocketType::STREAM {
        return Err(Obstacle::NotASocket("a socket that carries no stream").into());
    }
    match getpeername(fd) {
        Ok(_) => Ok(()),
        // The other side has left, and its bytes may still be there.
        #[cfg(target_vendor = "apple")]
        Err(Errno::INVAL) => Ok(()),
        Err(Errno::NOTCONN) => Err(Obstacle::NotASocket("a socket that is not connected").into()),
        Err(error) => Err(error.into()),
    }
}

/// The wanted kind of socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) internet: bool,
    pub(crate) stream: bool,
    pub(crate) listens: bool,
}

/// Refuses all but a socket of this kind.
pub(crate) fn ensure_socket_of(fd: &OwnedFd, wanted: Socket) -> io::Result<()> {
    let other = |found| Err(Obstacle::OtherHandle(found, "a socket of the expected kind").into());
    if !FileType::from_raw_mode(fstat(fd)?.st_mode).is_socket() {
        return other("no socket");
    }
    let family = getsockname(fd)?.address_family();
    let of_internet = family == AddressFamily::INET || family == AddressFamily::INET6;
    let of_machine = family == AddressFamily::UNIX;
    if (wanted.internet && !of_internet) || (!wanted.internet && !of_machine) {
        return other("a socket of another family");
    }
    let carried = sockopt::socket_type(fd)?;
    let type_wanted = if wanted.stream { SocketType::STREAM } else { SocketType::DGRAM };
    if carried != type_wanted {
        return other("a socket of another type");
    }
    match wanted.stream && listens(fd)? {
        listens if listens == wanted.listens => Ok(()),
        true => other("a socket that listens"),
        false => other("a socket that does not listen"),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn listens(fd: &OwnedFd) -> io::Result<bool> {
    Ok(sockopt::socket_acceptconn(fd)?)
}

/// The system reports only whether it is connected, or was until the other side left.
#[cfg(target_vendor = "apple")]
fn listens(fd: &OwnedFd) -> io::Result<bool> {
    match rustix::net::getpeername(fd) {
        Ok(_) | Err(Errno::INVAL) => Ok(false),
        Err(Errno::NOTCONN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Connects, and waits until a process listens and has room for one more client.
pub(super) fn connect(path: &Path, any_owner: bool, wait: Wait<'_>) -> io::Result<OwnedFd> {
    let socket = try_until(wait, pause, || {
        let connected = connect_now(path);
        if let Err(error) = &connected {
            // No listener tells who it is. The name of a stranger is none to wait at.
            if !any_owner && matches!(obstacle(error), Some(Obstacle::NoListener)) {
                ensure_trusted(&retry_on_intr(|| stat(path))?)?;
            }
        }
        connected
    })?;
    if !any_owner {
        ensure_trusted_user(Credentials::of(socket.as_fd())?.uid)?;
    }
    ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

/// Whether a process listens at a path, as far as that is known without waiting.
pub(super) fn is_listened_to(path: &Path) -> io::Result<bool> {
    match connect_now(path) {
        Ok(_) => Ok(true),
        Err(error) => match obstacle(&error) {
            Some(obstacle) => Ok(!matches!(obstacle, Obstacle::NoListener)),
            // A refused client gets that error from the listener, or from the name.
            None if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            None => Err(error),
        },
    }
}

fn connect_now(path: &Path) -> io::Result<OwnedFd> {
    let socket = stream()?;
    loop {
        let connected = with_address(path, |address| rustix::net::connect(&socket, address))?;
        return match connected {
            Ok(()) | Err(Errno::ISCONN) => Ok(socket),
            Err(Errno::AGAIN) => Err(Obstacle::Busy.into()),
            Err(Errno::CONNREFUSED | Errno::NOTSOCK) => {
                ensure_socket(&retry_on_intr(|| stat(path))?)?;
                Err(Obstacle::NoListener.into())
            }
            Err(Errno::PROTOTYPE) => Err(Obstacle::NotASocket("a socket of another type").into()),
            // It goes on, or it was undone, as on Linux after a signal: another `connect` shows which.
            Err(Errno::INPROGRESS | Errno::INTR) => {
                let forever = Wait { until: WaitLimit::Done, token: None };
                ready(socket.as_fd(), PollFlags::OUT, forever)?;
                continue;
            }
            Err(error) => Err(error.into()),
        };
    }
}

/// Runs a function with the address of a path. A path that is too long goes by its descriptor, if possible.
fn with_address<T>(path: &Path, act: impl FnOnce(&SocketAddrUnix) -> T) -> io::Result<T> {
    match SocketAddrUnix::new(path) {
        Ok(address) => Ok(act(&address)),
        Err(Errno::NAMETOOLONG) => with_long_address(path, act),
        Err(error) => Err(error.into()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn with_long_address<T>(path: &Path, act: impl FnOnce(&SocketAddrUnix) -> T) -> io::Result<T> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = retry_on_intr(|| open(path, flags, Mode::empty()))?;
    let short = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(act(&SocketAddrUnix::new(short)?))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn with_long_address<T>(path: &Path, _: impl FnOnce(&SocketAddrUnix) -> T) -> io::Result<T> {
    Err(too_long(path).into())
}

/// Binds a socket to a name, which must be free. After a failure the socket may be bound to nothing, or to a name that is
/// gone: take another one.
pub(super) fn bind(socket: &OwnedFd, site: Site<'_>) -> io::Result<()> {
    let bound = match SocketAddrUnix::new(site.path) {
        Ok(address) => rustix::net::bind(socket, &address),
        Err(Errno::NAMETOOLONG) => return bind_long(socket, site),
        Err(error) => Err(error),
    };
    told(bound)
}

/// The result of a bind, with the error of a name that is not free.
fn told(bound: rustix::io::Result<()>) -> io::Result<()> {
    match bound {
        Err(Errno::ADDRINUSE) => Err(io::ErrorKind::AlreadyExists.into()),
        bound => Ok(bound?),
    }
}

/// Binds it by way of the folder's descriptor. A name that is too long even so is first a [short one](Site::with_short).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_long(socket: &OwnedFd, site: Site<'_>) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::{RenameFlags, renameat, renameat_with};
    match in_folder(site.folder, site.name.as_bytes()) {
        Ok(address) => return told(rustix::net::bind(socket, &address)),
        Err(Errno::NAMETOOLONG) => {}
        Err(error) => return Err(error.into()),
    }
    site.with_short(|short| {
        told(rustix::net::bind(socket, &in_folder(site.folder, short.as_bytes())?))?;
        let free = RenameFlags::NOREPLACE;
        match retry_on_intr(|| renameat_with(site.folder, short, site.folder, site.name, free)) {
            // Not every file system can do that. The name was free, and its lock is held.
            Err(Errno::INVAL | Errno::NOSYS) => {
                Ok(retry_on_intr(|| renameat(site.folder, short, site.folder, site.name))?)
            }
            renamed => Ok(renamed?),
        }
    })
}

/// The address of a name in a folder, by the folder's descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn in_folder(folder: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    SocketAddrUnix::new(path)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_long(_: &OwnedFd, site: Site<'_>) -> io::Result<()> {
    Err(too_long(site.path).into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn too_long(path: &Path) -> Obstacle {
    /// The longest path of a socket, without its terminating NUL.
    const LONGEST: usize =
        size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path) - 1;
    Obstacle::PathTooLong { len: path.as_os_str().len(), limit: LONGEST }
}
