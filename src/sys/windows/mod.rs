//! Named pipes of Windows.
//!
//! All handles opened here are overlapped, because the system serializes the operations on others, and none is
//! inheritable. An adopted handle may not be overlapped: it supports only calls without a deadline.

#[cfg(feature = "process")]
mod child_connection;
mod client;
mod connection;
mod event;
mod gather;
mod halves;
mod handle_transfer;
mod incoming;
mod instance;
mod maker;
mod mode;
mod name;
mod node;
mod outgoing;
mod overlapped;
mod peer;
mod pipe_info;
#[cfg(feature = "tokio")]
mod polled;
mod process;
mod raw;
mod read_ahead;
#[cfg(feature = "fanout")]
mod readiness;
mod resource_errors;
mod security;
mod server;
mod stream;
mod tcp;
#[cfg(test)]
mod testing;
#[cfg(any(feature = "fanout", feature = "tokio"))]
mod wakeup;
#[cfg(feature = "tokio")]
mod write_behind;
mod writers;

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;
pub(crate) use std::os::windows::io::OwnedHandle as Handle;

#[cfg(feature = "process")]
pub(crate) use child_connection::{ChildConnection, from_parent};
pub(crate) use event::{Event, ensure_not_cancelled, pause};
pub(crate) use maker::Maker;
pub(crate) use name::{private, resolve, temporary_folder};
pub(crate) use node::Node;
pub(crate) use pipe_info::ensure_file;
#[cfg(feature = "tokio")]
pub(crate) use polled::{Polled, PolledServer};
pub(crate) use process::Process;
pub(crate) use raw::Raw;
#[cfg(feature = "fanout")]
pub(crate) use readiness::Readiness;
pub(crate) use server::Server;

/// What the system puts into a pipe by one `WriteFile` stays whole, whatever its size: this is the size that
/// FIFOs have elsewhere.
pub(crate) const ATOMIC_WRITE: usize = 4096;

/// How often this thread has waited in the kernel: this system does not report it.
pub(crate) fn sleeps() -> Option<usize> {
    None
}

/// No supervisor hands over handles by number here.
pub(crate) fn inherited() -> io::Result<Vec<(String, Handle)>> {
    Ok(Vec::new())
}

/// The system does not tell which processes have a pipe open.
#[cfg(feature = "tool")]
pub(crate) fn look(_: &std::path::Path) -> io::Result<super::found::Found> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not tell who has a pipe open"))
}

/// No name outlives its owner here.
#[cfg(feature = "tool")]
pub(crate) fn clean(_: &std::path::Path) -> io::Result<super::found::Cleaned> {
    Ok(super::found::Cleaned::Nothing)
}

/// A string as the system takes it, with a NUL at its end.
fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The error with this code of the system.
fn system_error(code: u32) -> io::Error {
    io::Error::from_raw_os_error(i32::from_ne_bytes(code.to_ne_bytes()))
}

/// The code of the system in an error.
fn system_code(error: &io::Error) -> Option<u32> {
    error.raw_os_error().map(|code| u32::from_ne_bytes(code.to_ne_bytes()))
}

/// A length as the system counts. What it cannot count is cut off.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
