//! Unix domain sockets: making, binding, connecting.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat, stat};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, getpeername, getsockname, sockopt};

use super::file::ensure_socket;
use super::name::resolve;
use super::owned_name::Site;
use super::peer::Credentials;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::proc;
use super::wait::{pause, ready};
use super::{fifo, rights, trust};
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
    match getpeername(fd) {
        Ok(_) | Err(Errno::INVAL) => Ok(false),
        Err(Errno::NOTCONN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The path at which a socket is bound.
pub(super) fn path_of(socket: &OwnedFd) -> io::Result<PathBuf> {
    let address = SocketAddrUnix::try_from(getsockname(socket)?)?;
    match address.path_bytes() {
        Some(path) if !path.is_empty() => Ok(resolve(Path::new(OsStr::from_bytes(path)))?),
        _ => Err(Obstacle::OtherHandle("a socket without a path", "a listener at one").into()),
    }
}

/// Connects, and waits until a process listens and has room for one more client.
pub(super) fn connect(path: &Path, any_owner: bool, wait: Wait<'_>) -> io::Result<OwnedFd> {
    let socket = try_until(wait, pause, || {
        let connected = connect_now(path);
        let failed = connected.as_ref().err().filter(|_| !any_owner).and_then(obstacle);
        // No listener tells who it is. The name of a stranger is none to wait at.
        match failed {
            Some(Obstacle::NoListener) => trust::user(retry_on_intr(|| stat(path))?.st_uid)?,
            Some(Obstacle::Busy) => {
                trust::busy(&retry_on_intr(|| stat(path))?, &fifo::folder_of(path)?)?;
            }
            _ => {}
        }
        connected
    })?;
    if !any_owner {
        trust::user(Credentials::of(socket.as_fd())?.uid)?;
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
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = retry_on_intr(|| open(path, flags, Mode::empty()))?;
    proc::ensure_mounted(LONG)?;
    Ok(act(&SocketAddrUnix::new(proc::path_of(file.as_fd()))?))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn with_long_address<T>(path: &Path, _: impl FnOnce(&SocketAddrUnix) -> T) -> io::Result<T> {
    Err(too_long(path).into())
}

/// Binds a socket to a name at a site, which must be free.
pub(super) fn bind(socket: &OwnedFd, site: Site<'_>, name: &OsStr) -> io::Result<()> {
    let path = site.path.with_file_name(name);
    let address = match SocketAddrUnix::new(&path) {
        Err(Errno::NAMETOOLONG) => long_address(site.folder, name, &path)?,
        address => address?,
    };
    told(rustix::net::bind(socket, &address))
}

/// The result of a bind, with the error of a name that is not free.
fn told(bound: rustix::io::Result<()>) -> io::Result<()> {
    match bound {
        Err(Errno::ADDRINUSE) => Err(io::ErrorKind::AlreadyExists.into()),
        bound => Ok(bound?),
    }
}

/// What needs another way than an address.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LONG: &str = "a listener at so long a path";

/// The address of a name in a folder, by the folder's descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn long_address(folder: BorrowedFd<'_>, name: &OsStr, _: &Path) -> io::Result<SocketAddrUnix> {
    proc::ensure_mounted(LONG)?;
    Ok(SocketAddrUnix::new(Path::new(&proc::path_of(folder)).join(name))?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn long_address(_: BorrowedFd<'_>, _: &OsStr, path: &Path) -> io::Result<SocketAddrUnix> {
    Err(too_long(path).into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn too_long(path: &Path) -> Obstacle {
    /// The longest path of a socket, without its terminating NUL.
    const LONGEST: usize =
        size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path) - 1;
    Obstacle::PathTooLong { len: path.as_os_str().len(), limit: LONGEST }
}
