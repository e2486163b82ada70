//! The process and the user on the other side of a socket.
#![allow(
    unsafe_code,
    reason = "no safe wrapper takes a process without a number, or has `getpeereid`"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::getpeername;
use rustix::process::geteuid;

use crate::sys::{Peer, User};

/// The peer that connected, or that listened, at that time.
pub(super) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let Credentials { pid, uid, gid } = Credentials::of(socket)?;
    Ok(Peer { pid, same_user: uid == geteuid().as_raw(), user: User::Id { uid, gid } })
}

/// The address of the other side of a TCP stream.
pub(super) fn remote(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let address = getpeername(socket)?.ok_or(Errno::NOTCONN)?;
    let address = SocketAddr::try_from(address)?;
    Ok(Peer::remote(address.to_string()))
}

/// The system's report of the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials {
    pid: Option<u32>,
    pub(super) uid: u32,
    gid: u32,
}

impl Credentials {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let mut told = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: libc::gid_t::MAX };
        let mut len = size_of_val(&told).try_into().unwrap_or(0);
        // SAFETY: the descriptor is open while borrowed. The system writes `len` bytes at most, for which there is
        // room, and both places live over the call; each of the integers may have any value.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut told).cast(),
                &raw mut len,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // A process that this one cannot see, such as that of a container's host, has the ID 0.
        let pid = u32::try_from(told.pid).ok().filter(|&pid| pid > 0);
        Ok(Self { pid, uid: told.uid, gid: told.gid })
    }

    /// Only Linux reports the process in the same call.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let (mut uid, mut gid) = (0, 0);
        // SAFETY: the descriptor is open while borrowed, and both places live over the call.
        let done = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { pid: None, uid, gid })
    }
}
