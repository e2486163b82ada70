//! FIFOs and Unix domain sockets.

#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod arena;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "no_arena.rs"]
mod arena;
#[cfg(feature = "process")]
mod child_connection;
mod description;
mod fifo;
mod fifo_end;
mod file;
mod folder;
mod half;
mod identity;
mod inherited;
mod lending;
mod links;
mod lock;
mod machine;
mod maker;
mod name;
#[cfg(all(feature = "service", any(target_os = "linux", target_os = "android")))]
mod parking_lot;
// Where it is not needed, it is tested all the same.
#[cfg(all(test, feature = "fanout", any(target_os = "linux", target_os = "android")))]
mod no_epoll;
mod node;
#[cfg(feature = "tool")]
mod onlookers;
mod owned_name;
mod peer;
#[cfg(feature = "tokio")]
mod polled;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod proc;
mod process;
mod raw;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod reader_mark;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "no_reader_mark.rs"]
mod reader_mark;
#[cfg(all(feature = "fanout", any(target_os = "linux", target_os = "android")))]
mod readiness;
#[cfg(all(feature = "fanout", not(any(target_os = "linux", target_os = "android"))))]
#[path = "no_epoll.rs"]
mod readiness;
mod resource_errors;
mod rights;
mod server;
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
mod shared_memory;
#[cfg(not(all(feature = "shared-memory", any(target_os = "linux", target_os = "android"))))]
#[path = "no_ring.rs"]
mod shared_memory;
mod signal;
mod sleeps;
mod socket;
mod temporary;
mod trust;
mod wait;
#[cfg(feature = "fanout")]
mod watched;

pub(crate) use std::os::fd::OwnedFd as Handle;

#[cfg(feature = "process")]
pub(crate) use child_connection::{ChildConnection, from_parent};
pub(crate) use file::ensure_file;
pub(crate) use inherited::inherited;
pub(crate) use maker::Maker;
pub(crate) use name::{private, resolve, temporary_place as temporary_folder};
pub(crate) use node::Node;
#[cfg(feature = "tool")]
pub(crate) use onlookers::{clean, look};
#[cfg(all(feature = "service", any(target_os = "linux", target_os = "android")))]
pub(crate) use parking_lot::ParkingLot;
#[cfg(feature = "tokio")]
pub(crate) use polled::{Polled, PolledServer};
pub(crate) use process::Process;
pub(crate) use raw::Raw;
#[cfg(feature = "fanout")]
pub(crate) use readiness::Readiness;
pub(crate) use server::Server;
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
pub(crate) use shared_memory::{GREETING, Offer, RingView, Sealed};
pub(crate) use sleeps::sleeps;
pub(crate) use socket::{Socket, ensure_socket_of};
pub(crate) use wait::{Event, ensure_not_cancelled, pause};

/// `PIPE_BUF`: what one write puts into a FIFO whole, or not at all.
pub(crate) const ATOMIC_WRITE: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 4096 } else { 512 };
