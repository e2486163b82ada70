//! FIFOs.

#[cfg(target_vendor = "apple")]
mod apple;
mod fifo;
mod identity;
mod lock;
mod name;
mod node;
#[cfg(feature = "tokio")]
mod polled;
mod raw;
mod signal;
mod wait;

pub(crate) use std::os::fd::OwnedFd as Handle;

pub(crate) use name::resolve;
pub(crate) use node::Node;
#[cfg(feature = "tokio")]
pub(crate) use polled::Polled;
pub(crate) use raw::Raw;
pub(crate) use wait::Event;

/// `PIPE_BUF`: what one write puts into a FIFO whole, or not at all.
pub(crate) const ATOMIC_WRITE: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 4096 } else { 512 };
