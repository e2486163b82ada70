//! Handles beside bytes (`SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::error::Obstacle;
use crate::sys::MAX_HANDLES;

/// The room for handles: with less, the system would drop the rest.
const ROOM: usize = cmsg_space!(ScmRights(MAX_HANDLES));

/// The handles that came in with one write.
#[derive(Debug)]
pub(super) struct Batch {
    handles: Vec<OwnedFd>,
    /// Why not all of them are here.
    lost: Option<&'static str>,
}

impl Batch {
    #[cfg(all(test, feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn of(handles: Vec<OwnedFd>) -> Self {
        Self { handles, lost: None }
    }

    /// The size of its room.
    pub(super) fn len(&self) -> usize {
        self.handles.len().max(1)
    }

    /// Closes them, if they are more than there is room for.
    pub(super) fn within(mut self, room: usize) -> Self {
        if self.handles.len() > room {
            self.handles.clear();
            self.lost = Some("more came than are to be kept");
        }
        self
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.handles.len()
    }

    /// The handles, if all of them arrived.
    #[cfg(feature = "foreign")]
    pub(super) fn all(self) -> Result<Vec<OwnedFd>, Obstacle> {
        let count = self.count();
        self.expect(count)
    }

    /// The handles, if they are as many as announced, and all of them arrived.
    pub(super) fn expect(self, count: usize) -> Result<Vec<OwnedFd>, Obstacle> {
        if let Some(reason) = self.lost {
            return Err(Obstacle::HandlesLost(reason));
        }
        if self.handles.len() != count {
            return Err(Obstacle::HandlesLost(
                "their number is not the one that the message tells",
            ));
        }
        Ok(self.handles)
    }
}

/// Writes, with handles beside the first byte.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    handles: &[OwnedFd],
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let handles: Vec<BorrowedFd<'_>> = handles.iter().map(AsFd::as_fd).collect();
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    if !handles.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&handles)) {
        return Err(rustix::io::Errno::INVAL);
    }
    sendmsg(socket, bufs, &mut beside, flags)
}

/// Reads, and accepts the handles beside the bytes.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: RecvFlags,
) -> rustix::io::Result<(usize, Option<Batch>)> {
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut beside = RecvAncillaryBuffer::new(&mut room);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(buf)], &mut beside, flags | CLOSED_ON_EXEC)?;
    let mut handles = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            handles.extend(came);
        }
    }
    #[cfg(target_vendor = "apple")]
    for handle in &handles {
        rustix::io::ioctl_fioclex(handle)?;
    }
    let cut = received.flags.contains(ReturnFlags::CTRUNC);
    let lost = cut.then_some("this process has too many open files");
    let batch = (cut || !handles.is_empty()).then_some(Batch { handles, lost });
    Ok((received.bytes, batch))
}

#[cfg(not(target_vendor = "apple"))]
const CLOSED_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;

#[cfg(target_vendor = "apple")]
const CLOSED_ON_EXEC: RecvFlags = RecvFlags::empty();

pub(super) use option::{allow, refuse};

/// Systems other than Linux cannot refuse handles: unwanted ones are closed when they are read.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod option {
    use std::os::fd::BorrowedFd;

    pub(in super::super) fn refuse(_: BorrowedFd<'_>) {}

    pub(in super::super) fn allow(_: BorrowedFd<'_>) {}
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod option {
    #![allow(unsafe_code, reason = "this option of sockets has no safe wrapper yet")]

    use std::os::fd::{AsRawFd, BorrowedFd};

    /// `SO_PASSRIGHTS`, since Linux 6.16.
    const PASS_RIGHTS: libc::c_int =
        if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) { 0x5c } else { 83 };

    /// Refuses handles, if the system can: a sender of some gets an error.
    pub(in super::super) fn refuse(socket: BorrowedFd<'_>) {
        set(socket, 0);
    }

    /// Accepts handles.
    pub(in super::super) fn allow(socket: BorrowedFd<'_>) {
        set(socket, 1);
    }

    fn set(socket: BorrowedFd<'_>, value: libc::c_int) {
        // SAFETY: the descriptor is open while borrowed; the value lives over the call, and its size is passed.
        // If the system does not know the option, nothing changes.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                PASS_RIGHTS,
                (&raw const value).cast(),
                size_of::<libc::c_int>().try_into().unwrap_or(0),
            )
        };
    }
}
