//! A connection that a child program takes from its parent.
//!
//! What the child inherits is no side of the connection, but a line out of which it takes one: so whatever else has
//! inherited the line, one process has the connection.
#![allow(
    unsafe_code,
    reason = "no safe call acts in a child before its program, or takes a number"
)]

use std::env;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::fstat;
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};

use super::raw::Raw;
use super::{resource_errors, rights, socket};
use crate::error::Obstacle;
use crate::sys::{PARENT, Wait};

/// The side of the parent, until it is taken.
#[derive(Debug)]
pub(crate) struct ChildConnection(Option<(Raw, Raw)>);

/// No number of a descriptor.
const NONE: libc::c_int = -1;

/// From here on, the number is of no use to programs that expect descriptors of certain numbers, nor in the way of the
/// ones that a program sets for its child.
const FIRST: libc::c_int = 64;

impl ChildConnection {
    /// Starts a program that inherits its side of a connection.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Self)> {
        let (ours, line) = prepare().map_err(resource_errors::told)?;
        command.env(PARENT, format!("{}:{}", line.as_raw_fd(), inode(&line)?));
        // The closure stays in the command, for each further child.
        let inherited = Arc::new(AtomicI32::new(line.as_raw_fd()));
        let in_child = Arc::clone(&inherited);
        let keep = move || keep_open(in_child.load(Ordering::Relaxed));
        // SAFETY: in the child, the closure loads a number and makes one system call, as is allowed after a fork.
        unsafe { command.pre_exec(keep) };
        let started = command.spawn();
        inherited.store(NONE, Ordering::Relaxed);
        command.env_remove(PARENT);
        let child = started.map_err(|error| Obstacle::not_started(command, &error))?;
        Ok((child, Self(Some(ours))))
    }

    /// Our side, which waits for nothing.
    pub(crate) fn accept(&mut self, _: Wait<'_>) -> io::Result<(Raw, Raw)> {
        self.0.take().ok_or_else(|| Obstacle::ParentTaken.into())
    }
}

/// Our side of a connection, and a line with the other side in it.
fn prepare() -> io::Result<((Raw, Raw), OwnedFd)> {
    let [ours, theirs] = socket::pair()?;
    let (sending, line) = UnixStream::pair()?;
    rights::send(sending.as_fd(), &[IoSlice::new(b"p")], &[theirs], SendFlags::empty())?;
    // Also above the standard streams, which may be closed here.
    let line = fcntl_dupfd_cloexec(&line, FIRST).or_else(|_| fcntl_dupfd_cloexec(&line, 3))?;
    Ok((Raw::adopt_both(ours).map_err(|(_, error)| error)?, line))
}

/// What tells an open file from all others, in words.
fn inode(fd: &OwnedFd) -> io::Result<String> {
    Ok(fstat(fd)?.st_ino.to_string())
}

/// Lets the program of this process inherit a descriptor.
fn keep_open(number: libc::c_int) -> io::Result<()> {
    if number == NONE {
        return Ok(());
    }
    // SAFETY: it sets the flags of a descriptor, and touches no memory.
    match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes the connection to the parent.
pub(crate) fn from_parent() -> io::Result<(Raw, Raw)> {
    let told = env::var_os(PARENT).ok_or(Obstacle::NoParent)?;
    let line = line(&told).ok_or(Obstacle::StaleParent)?;
    forget_variable();
    let flags = RecvFlags::DONTWAIT;
    let side = match retry_on_intr(|| rights::receive(line.as_fd(), &mut [0], flags)) {
        Ok((_, Some(batch))) => batch.expect(1)?.pop(),
        // It is empty: another process has inherited the line as well.
        Ok((_, None)) | Err(Errno::AGAIN | Errno::CONNRESET) => None,
        Err(error) => return Err(error.into()),
    };
    let side = side.ok_or(Obstacle::ParentTaken)?;
    rights::refuse(side.as_fd());
    Raw::adopt_both(side).map_err(|(_, error)| error)
}

/// The line of a parent, if the descriptor of this number is still the one. From then on no program inherits it.
fn line(told: &OsStr) -> Option<OwnedFd> {
    let (number, of_parent) = told.to_str()?.split_once(':')?;
    let number = number.parse::<libc::c_int>().ok().filter(|number| *number >= 0)?;
    // SAFETY: the call copies a descriptor, or fails if there is none of this number; it touches no memory.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy == NONE {
        return None;
    }
    // SAFETY: the system returned a new descriptor, which nothing else owns.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    if inode(&copy).ok()? != of_parent {
        return None;
    }
    // SAFETY: the parent opened it for this call alone, as the file shows, so nothing else in this process uses it.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    Some(copy)
}

/// Removes the variable, so that no program inherits it.
fn forget_variable() {
    // SAFETY: other threads that read variables through `std` hold its lock. Those that read them by C see pointers to texts
    // that stay: it came with this program, so the system frees nothing, and what follows it moves up by whole pointers.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    unsafe {
        env::remove_var(PARENT);
    };
}
