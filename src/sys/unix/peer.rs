//! Who is on the other side of a socket.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::process::geteuid;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::process::{Gid, Uid};

use crate::sys::{Peer, User};

/// Who connected, or who listened, at that time.
pub(super) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let (uid, gid) = user(socket)?;
    Ok(Peer {
        pid: process(socket),
        same_user: uid == geteuid(),
        user: User::Id { uid: uid.as_raw(), gid: gid.as_raw() },
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn user(socket: BorrowedFd<'_>) -> io::Result<(Uid, Gid)> {
    let peer = rustix::net::sockopt::socket_peercred(socket)?;
    Ok((peer.uid, peer.gid))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn process(socket: BorrowedFd<'_>) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use ids::user;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod ids {
    #![allow(unsafe_code, reason = "`getpeereid` has no safe wrapper")]

    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd};

    use rustix::process::{Gid, Uid};

    pub(in super::super) fn user(socket: BorrowedFd<'_>) -> io::Result<(Uid, Gid)> {
        let (mut uid, mut gid) = (0, 0);
        // SAFETY: the descriptor is open while borrowed, and both places live over the call.
        let told = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) };
        if told != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }
}

/// Only Linux tells without more ado.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn process(_: BorrowedFd<'_>) -> Option<u32> {
    None
}
